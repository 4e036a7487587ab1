//! The definition of distances to planes, in plain Rust, summed up as by [`distance::scalar`](super::super::scalar).

use super::super::{LANES, LOOKAHEAD, prefetch};
use super::{Formula, Line, Routines, SHORT};

routines_of_planes!();

type Values = [f32; LANES];
type Words = [u32; LANES];
type Sums = [f32; LANES];

fn zeros() -> Sums {
    [0.0; LANES]
}

/// # Safety
/// `at` leads to a line.
unsafe fn values(at: *const Line) -> Values {
    // SAFETY: the caller's promise.
    unsafe { (*at).0 }
}

/// # Safety
/// As [`values`].
unsafe fn words(at: *const Line) -> Words {
    // SAFETY: the caller's promise.
    unsafe { (*at).0.map(f32::to_bits) }
}

fn planes(high: Words) -> [Values; 2] {
    [high.map(|word| f32::from_bits(word << 16)), high.map(|word| f32::from_bits(word & 0xFFFF_0000))]
}

fn joined(high: Words, low: Words) -> [Values; 2] {
    let [mut first, mut second] = [[0.0; LANES]; 2];
    for lane in 0..LANES {
        first[lane] = super::join(high[lane] as u16, low[lane] as u16);
        second[lane] = super::join((high[lane] >> 16) as u16, (low[lane] >> 16) as u16);
    }
    [first, second]
}

fn add<F: Formula>(mut sums: Sums, q: [Values; 2], r: [Values; 2]) -> Sums {
    for (a, b) in q.iter().zip(&r) {
        for lane in 0..LANES {
            sums[lane] +=
                if F::DIFFERENCES { (a[lane] - b[lane]) * (a[lane] - b[lane]) } else { a[lane] * b[lane] };
        }
    }
    sums
}

fn totals(sums: [Sums; 4]) -> [f32; 4] {
    sums.map(|mut lanes| {
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    })
}
