//! Every kernel that this machine runs, against a definition in f64.

use hnsw_core::distance::{Isa, Kernels, LANES, Metric};
use hnsw_core::vectors::Line;
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// A vector in aligned lines, padded with zeros.
fn row(vector: &[f32]) -> Vec<Line> {
    let mut lines = vec![Line([0.0; LANES]); vector.len().div_ceil(LANES)];
    for (line, chunk) in lines.iter_mut().zip(vector.chunks(LANES)) {
        line.0[..chunk.len()].copy_from_slice(chunk);
    }
    lines
}

fn one(kernels: &Kernels, a: &[Line], b: &[Line]) -> f32 {
    assert!(a.len() * LANES == kernels.padded() && b.len() == a.len());
    // SAFETY: both are aligned rows of as many floats as the kernels are for.
    unsafe { kernels.one(a.as_ptr().cast(), b.as_ptr().cast(), kernels.padded()) }
}

fn many(kernels: &Kernels, query: &[Line], rows: &[Vec<Line>]) -> Vec<f32> {
    assert!(rows.iter().chain([&query.to_vec()]).all(|row| row.len() * LANES == kernels.padded()));
    let pointers: Vec<*const f32> = rows.iter().map(|row| row.as_ptr().cast()).collect();
    // One more than is asked for, to see that it stays as it is.
    let mut out = vec![f32::MAX; rows.len() + 1];
    // SAFETY: all are aligned rows of as many floats as the kernels are for, and `out` is long enough.
    unsafe { kernels.many(query.as_ptr().cast(), &pointers, kernels.padded(), &mut out) };
    assert_eq!(out.pop(), Some(f32::MAX), "written behind the last distance");
    out
}

/// The distance in f64, and the sum of the magnitudes of all that is added up to it.
fn reference(metric: Metric, a: &[f32], b: &[f32]) -> (f64, f64) {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let products: f64 = pairs().map(|(x, y)| x * y).sum();
    let magnitude: f64 = pairs().map(|(x, y)| (x * y).abs()).sum();
    match metric {
        Metric::L2 => {
            let sum = pairs().map(|(x, y)| (x - y) * (x - y)).sum();
            (sum, sum)
        }
        Metric::InnerProduct => (-products, magnitude),
        Metric::Cosine => (1.0 - products, magnitude + 1.0),
    }
}

/// The error that a kernel may make, relative to the magnitude of what it adds up: a lane adds one term per line, and then
/// a dozen operations (difference, square, sum over 32 lanes, last step) each round once more, by half an epsilon at most.
fn tolerance(dim: usize) -> f64 {
    (dim.div_ceil(LANES) + 12) as f64 * f64::from(f32::EPSILON) / 2.0
}

fn kernels(dim: usize) -> impl Iterator<Item = Kernels> {
    METRICS.into_iter().flat_map(move |metric| {
        let isas = Isa::available().into_iter();
        isas.map(move |isa| Kernels::with_isa(metric, dim, isa).expect("it is available"))
    })
}

fn dims() -> impl Strategy<Value = usize> {
    prop_oneof![
        prop::sample::select(vec![1, 15, 16, 17, 32, 33, 96, 100, 112, 113, 128, 129, 784, 1024]),
        1usize..=1100
    ]
}

/// A query and up to 33 rows of one dimension, in one order of magnitude.
fn inputs() -> impl Strategy<Value = (Vec<f32>, Vec<Vec<f32>>)> {
    let scales = prop::sample::select(vec![1e-6f32, 1.0, 255.0, 1e15]);
    (dims(), 0usize..=33, scales, any::<u64>()).prop_map(|(dim, count, scale, seed)| {
        // Components by a multiplicative generator: proptest would take its time over 35,000 numbers, and shrink them.
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
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_kernel_computes_its_distance((query, vectors) in inputs()) {
        let (query_row, rows) = (row(&query), vectors.iter().map(|v| row(v)).collect::<Vec<_>>());
        for kernels in kernels(query.len()) {
            let found = many(&kernels, &query_row, &rows);
            prop_assert_eq!(found.len(), vectors.len());
            for (&found, vector) in found.iter().zip(&vectors) {
                let (expected, magnitude) = reference(kernels.metric(), &query, vector);
                let error = (f64::from(found) - expected).abs();
                prop_assert!(
                    error <= magnitude * tolerance(query.len()),
                    "{} {} at {}-d: {found} for {expected}, added up from {magnitude}",
                    kernels.isa(), kernels.metric(), query.len(),
                );
            }
        }
    }

    /// The same two rows give the same bits, wherever in a batch, alone, and in exchanged roles.
    #[test]
    fn a_distance_is_repeatable((query, vectors) in inputs()) {
        let (query_row, rows) = (row(&query), vectors.iter().map(|v| row(v)).collect::<Vec<_>>());
        for kernels in kernels(query.len()) {
            let batch = many(&kernels, &query_row, &rows);
            for (i, row) in rows.iter().enumerate() {
                prop_assert_eq!(one(&kernels, &query_row, row).to_bits(), batch[i].to_bits());
                prop_assert_eq!(one(&kernels, row, &query_row).to_bits(), batch[i].to_bits());
            }
            let later = many(&kernels, &query_row, rows.get(1..).unwrap_or_default());
            prop_assert_eq!(&later[..], batch.get(1..).unwrap_or_default());
        }
    }

    /// Whole numbers as in byte data sets are added up without rounding, so all instruction sets agree to the bit.
    #[test]
    fn instruction_sets_agree_on_whole_numbers(
        (a, b) in (1usize..=200).prop_flat_map(|dim| {
            let component = || (0u8..=255).prop_map(f32::from);
            (prop::collection::vec(component(), dim), prop::collection::vec(component(), dim))
        }),
    ) {
        for metric in [Metric::L2, Metric::InnerProduct] {
            let (expected, _) = reference(metric, &a, &b);
            for isa in Isa::available() {
                let kernels = Kernels::with_isa(metric, a.len(), isa).expect("it is available");
                prop_assert_eq!(f64::from(one(&kernels, &row(&a), &row(&b))), expected, "{} {}", isa, metric);
            }
        }
    }

    #[test]
    fn a_row_is_at_distance_zero_from_itself((query, _) in inputs()) {
        let row = row(&query);
        for isa in Isa::available() {
            let kernels = Kernels::with_isa(Metric::L2, query.len(), isa).expect("it is available");
            prop_assert_eq!(one(&kernels, &row, &row).to_bits(), 0.0f32.to_bits());
        }
    }
}

#[test]
fn kernels_say_what_they_are() {
    for isa in Isa::available() {
        for metric in METRICS {
            let kernels = Kernels::with_isa(metric, 100, isa).expect("it is available");
            assert_eq!((kernels.isa(), kernels.metric(), kernels.padded()), (isa, metric, 112));
        }
    }
}

/// Run under `HNSW_ISA=...` to see each choice.
#[test]
fn the_environment_chooses_or_else_the_machine() {
    let expected = Isa::from_env().ok().flatten().unwrap_or(Isa::detect());
    assert_eq!(Kernels::new(Metric::L2, 128).isa(), expected);
}

#[test]
fn kernels_of_another_machine_are_not_to_be_had() {
    let foreign = if cfg!(target_arch = "x86_64") { Isa::Neon } else { Isa::Avx2 };
    assert!(Kernels::with_isa(Metric::L2, 128, foreign).is_none());
}
