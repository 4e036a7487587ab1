//! The definition of each distance, in plain Rust.
//!
//! One lane per float of a cache line is summed apart, and the lanes are then summed pairwise. So a compiler may use what
//! vector registers there are, and the rounding error grows with the number of lines of a row, not of components.

use super::formula::Formula;
use super::{LANES, LOOKAHEAD, Routines, prefetch};

/// The kernels of a metric. They are the same for every dimension.
pub(super) fn routines<F: Formula>() -> Routines {
    Routines { one: one::<F>, many: many::<F> }
}

/// # Safety
/// See [`super::Kernels::one`].
unsafe fn one<F: Formula>(a: *const f32, b: *const f32, dim: usize) -> f32 {
    // SAFETY: the caller promises `dim` constant floats behind both.
    let (a, b) = unsafe { (core::slice::from_raw_parts(a, dim), core::slice::from_raw_parts(b, dim)) };
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] +=
                if F::DIFFERENCES { (a[lane] - b[lane]) * (a[lane] - b[lane]) } else { a[lane] * b[lane] };
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    if F::DIFFERENCES { lanes[0] } else { F::BASE - lanes[0] }
}

/// # Safety
/// See [`super::Kernels::many`].
unsafe fn many<F: Formula>(query: *const f32, rows: &[*const f32], dim: usize, out: &mut [f32]) {
    for (i, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(i + LOOKAHEAD) {
            (0..dim).step_by(LANES).for_each(|at| prefetch(ahead.wrapping_add(at).cast()));
        }
        // SAFETY: the caller's promise holds for each row.
        *out = unsafe { one::<F>(query, *row, dim) };
    }
}
