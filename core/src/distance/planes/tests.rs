//! Every kernel that this machine runs, against definitions that know nothing of planes.

use super::*;
use crate::distance::Kernels;
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// The lines of an f32 row that is as long as two planes.
fn floats(vector: &[f32]) -> Vec<Line> {
    let mut lines = vec![Line([0.0; LANES]); 2 * vector.len().div_ceil(HALVES)];
    let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut lines);
    floats[..vector.len()].copy_from_slice(vector);
    lines
}

/// Two planes by the words of the module's description.
fn halves(vector: &[f32]) -> [Vec<Line>; 2] {
    let whole = floats(vector);
    let mut planes = [(); 2].map(|()| Vec::with_capacity(whole.len() / 2));
    for two in whole.chunks(2) {
        let word = |first: u16, second: u16| u32::from(first) | u32::from(second) << 16;
        let words: [[u32; LANES]; 2] = [
            core::array::from_fn(|j| word(split(two[0].0[j]).0, split(two[1].0[j]).0)),
            core::array::from_fn(|j| word(split(two[0].0[j]).1, split(two[1].0[j]).1)),
        ];
        for (plane, words) in planes.iter_mut().zip(words) {
            plane.push(Line(words.map(f32::from_bits)));
        }
    }
    planes
}

/// What the high plane alone stands for.
fn rounded(vector: &[f32]) -> Vec<f32> {
    vector.iter().map(|x| f32::from_bits(u32::from(split(*x).0) << 16)).collect()
}

fn pointers(rows: &[Vec<Line>]) -> Vec<*const Line> {
    rows.iter().map(|row| row.as_ptr()).collect()
}

/// Distances by the f32 kernels, to rows padded as `floats` are.
fn exact(isa: Isa, metric: Metric, query: &[f32], rows: &[Vec<f32>]) -> Vec<u32> {
    let padded = query.len().next_multiple_of(HALVES);
    let kernels = Kernels::with_isa(metric, padded, isa).unwrap();
    let rows: Vec<Vec<Line>> = rows.iter().map(|row| floats(row)).collect();
    let pointers: Vec<*const f32> = rows.iter().map(|row| row.as_ptr().cast()).collect();
    let mut out = vec![0.0; rows.len()];
    // SAFETY: query and rows are aligned and as long as the kernels expect.
    unsafe { kernels.many(floats(query).as_ptr().cast(), &pointers, kernels.padded(), &mut out) };
    out.into_iter().map(f32::to_bits).collect()
}

fn bits(mut distances: Vec<f32>) -> Vec<u32> {
    assert_eq!(distances.pop(), Some(f32::MAX), "written behind the last distance");
    distances.into_iter().map(f32::to_bits).collect()
}

fn inputs() -> impl Strategy<Value = (Vec<f32>, Vec<Vec<f32>>)> {
    let scales = prop::sample::select(vec![1e-6f32, 1.0, 255.0, 1e15]);
    let dims = prop_oneof![1usize..=300, Just(1024)];
    (dims, 0usize..=21, scales, any::<u64>()).prop_map(|(dim, count, scale, seed)| {
        let mut state = seed | 1;
        let mut vector = || -> Vec<f32> {
            let component = |_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
            };
            (0..dim).map(component).collect()
        };
        (vector(), (0..count).map(|_| vector()).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn kernels_give_the_bits_of_the_f32_kernels((query, vectors) in inputs()) {
        let planes: Vec<[Vec<Line>; 2]> = vectors.iter().map(|vector| halves(vector)).collect();
        let (high, low): (Vec<_>, Vec<_>) = planes.into_iter().map(|[high, low]| (high, low)).unzip();
        let (rows, rests) = (pointers(&high), pointers(&low));
        let near: Vec<Vec<f32>> = vectors.iter().map(|vector| rounded(vector)).collect();
        let [from, _] = halves(&query);
        for isa in Isa::available() {
            for metric in METRICS {
                let kernels = PlaneKernels::with_isa(metric, query.len(), isa).unwrap();
                prop_assert_eq!((kernels.isa(), kernels.metric()), (isa, metric));
                let lines = floats(&query);
                let out = || vec![f32::MAX; rows.len() + 1];
                let (mut to_query, mut to_row, mut joined) = (out(), out(), out());
                // SAFETY: query and planes have the lines that the kernels expect, and outputs have room.
                unsafe {
                    kernels.to_query(lines.as_ptr(), &rows, &mut to_query);
                    kernels.to_row(from.as_ptr(), &rows, &mut to_row);
                    kernels.joined(lines.as_ptr(), &rows, &rests, &mut joined);
                }
                prop_assert_eq!(bits(to_query), exact(isa, metric, &query, &near), "{} {}", isa, metric);
                prop_assert_eq!(bits(to_row), exact(isa, metric, &rounded(&query), &near), "{} {}", isa, metric);
                prop_assert_eq!(bits(joined), exact(isa, metric, &query, &vectors), "{} {}", isa, metric);
            }
        }
    }

    #[test]
    fn halves_give_back_every_number(bits in any::<u32>()) {
        // NaN and infinity included, and what rounds up to infinity.
        let (high, low) = split(f32::from_bits(bits));
        prop_assert_eq!(join(high, low).to_bits(), bits);
    }

    #[test]
    fn the_high_half_is_the_nearest(x in -1e15f32..=1e15) {
        let high = |half: u16| f64::from(f32::from_bits(u32::from(half) << 16));
        let (half, _) = split(x);
        let error = (high(half) - f64::from(x)).abs();
        prop_assert!(error <= f64::from(x).abs() / 256.0 + f64::from(f32::MIN_POSITIVE));
        for other in [half.wrapping_sub(1), half.wrapping_add(1)] {
            if high(other).is_finite() {
                prop_assert!(error <= (high(other) - f64::from(x)).abs());
            }
        }
    }
}
