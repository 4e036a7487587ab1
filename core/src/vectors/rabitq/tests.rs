use super::*;
use crate::distance::Isa;
use crate::error::MAX_COMPONENT;
use crate::mix::mix;
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// Calls a function of the number of bits for each number.
macro_rules! for_each_width {
    ($function:ident($($argument:expr),*)) => {
        $function::<1>($($argument),*);
        $function::<2>($($argument),*);
        $function::<3>($($argument),*);
        $function::<4>($($argument),*);
    };
}

/// Components from -1 to 1.
fn random(dim: usize, seed: u64) -> Vec<f32> {
    (0..dim).map(|i| mix(mix(seed) ^ i as u64) as i64 as f32 / i64::MAX as f32).collect()
}

fn store<const BITS: usize>(codec: &RaBitQ<BITS>, vector: &[f32]) -> Vec<Line> {
    assert_eq!(codec.check(vector), Ok(()));
    let mut row = vec![Line([0.0; 16]); codec.lines()];
    codec.encode(vector, &mut row, &mut []);
    row
}

fn query<const BITS: usize>(codec: &RaBitQ<BITS>, vector: &[f32]) -> Query {
    let mut query = codec.query();
    codec.prepare(vector, &mut query);
    query
}

fn estimate<const BITS: usize>(codec: &RaBitQ<BITS>, query: &Query, row: &[Line]) -> f32 {
    let mut out = [f32::NAN];
    // SAFETY: the row was written and the query prepared by this codec.
    unsafe { codec.distances(query, &[row.as_ptr()], &mut out) };
    out[0]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn exact(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::L2 => dot(a, a) + dot(b, b) - 2.0 * dot(a, b),
        Metric::InnerProduct => -dot(a, b),
        Metric::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
    }
}

/// Over many pairs, estimates are right on average, their errors are as large as announced, and few are beyond the bound.
fn errors_are_as_announced<const BITS: usize>() {
    for metric in METRICS {
        for dim in [100, 384, 1024] {
            let sample: Vec<f32> = (0..50).flat_map(|i| random(dim, 1_000 + i)).collect();
            let codec = RaBitQ::<BITS>::train(dim, metric, &sample).unwrap();
            let vectors: Vec<Vec<f32>> = (0..60).map(|i| random(dim, i)).collect();
            let rows: Vec<Vec<Line>> = vectors.iter().map(|vector| store(&codec, vector)).collect();
            let (mut sum, mut squares, mut beyond, mut count) = (0.0, 0.0, 0, 0);
            for q in (0..60).map(|i| random(dim, 5_000 + i)) {
                let query = query(&codec, &q);
                for (vector, row) in vectors.iter().zip(&rows) {
                    let (estimate, exact) = (estimate(&codec, &query, row), exact(metric, &q, vector));
                    // SAFETY: the row was written by this codec.
                    let (factors, at_least) = unsafe {
                        (codec.factors(row.as_ptr()), codec.at_least(&query, row.as_ptr(), estimate))
                    };
                    let announced = f64::from(factors.error * query.length);
                    let error = (f64::from(estimate) - exact) / announced;
                    sum += error;
                    squares += error * error;
                    beyond += usize::from(f64::from(at_least) > exact);
                    count += 1;
                }
            }
            let context = format!("{BITS} bits, {metric}, {dim}-d");
            // Errors are not independent: they share 60 rows, 60 queries and one rotation.
            let (mean, deviation) = (sum / f64::from(count), (squares / f64::from(count)).sqrt());
            assert!(mean.abs() < 0.1, "{context}: off by {mean} standard errors on average");
            assert!((0.85..1.15).contains(&deviation), "{context}: {deviation} times the standard error");
            assert!(
                beyond < count as usize * 6 / 100,
                "{context}: {beyond} of {count} below what they are at least"
            );
        }
    }
}

#[test]
fn estimates_are_unbiased_and_err_as_announced() {
    for_each_width!(errors_are_as_announced());
}

/// A single row and a single query, under many rotations: here errors are independent.
#[test]
fn estimates_are_unbiased_over_rotations() {
    let (dim, count) = (128, 400);
    let (vector, q) = (random(dim, 1), random(dim, 2));
    let errors = (0..count).map(|seed| {
        let mut codec = RaBitQ::<1>::new(Metric::L2, vec![0.0; dim].into_boxed_slice());
        codec.rotation = Rotation::new(dim, seed);
        let row = store(&codec, &vector);
        let query = query(&codec, &q);
        // SAFETY: the row was written by this codec.
        let announced = unsafe { codec.factors(row.as_ptr()) }.error * query.length;
        (f64::from(estimate(&codec, &query, &row)) - exact(Metric::L2, &vector, &q)) / f64::from(announced)
    });
    let mean = errors.sum::<f64>() / count as f64;
    assert!(mean.abs() < 4.0 / (count as f64).sqrt(), "off by {mean} standard errors on average");
}

#[test]
fn more_bits_err_less() {
    let dim = 300;
    let (vector, zero) = (random(dim, 1), vec![0.0; dim].into_boxed_slice());
    fn error<const BITS: usize>(centre: Box<[f32]>, vector: &[f32]) -> f32 {
        let codec = RaBitQ::<BITS>::new(Metric::L2, centre);
        // SAFETY: the row was written by this codec.
        unsafe { codec.factors(store(&codec, vector).as_ptr()) }.error
    }
    let errors = [
        error::<1>(zero.clone(), &vector),
        error::<2>(zero.clone(), &vector),
        error::<3>(zero.clone(), &vector),
        error::<4>(zero, &vector),
    ];
    assert!(errors.is_sorted_by(|more, less| *less < 0.7 * *more), "{errors:?}");
}

/// What a row is at least is below the estimate, and how far is in proportion to the length of the query.
#[test]
fn a_row_at_the_centre_is_known_exactly() {
    for metric in [Metric::L2, Metric::InnerProduct] {
        let centre = random(70, 3);
        let codec = RaBitQ::<2>::train(70, metric, &centre).unwrap();
        let (row, q) = (store(&codec, &centre), random(70, 4));
        let query = query(&codec, &q);
        let found = estimate(&codec, &query, &row);
        assert!((f64::from(found) - exact(metric, &q, &centre)).abs() < 1e-4, "{metric}: {found}");
        // SAFETY: the row was written by this codec.
        assert_eq!(unsafe { codec.at_least(&query, row.as_ptr(), found) }, found);
    }
}

fn extremes_stay_finite<const BITS: usize>() {
    for metric in METRICS {
        for dim in [1, 2, 3, 15, 64, 100, 1024, 65_536] {
            let codec = RaBitQ::<BITS>::train(dim, metric, &[]).unwrap();
            let constant = |x: f32| vec![x; dim];
            let mut axis = constant(0.0);
            axis[dim - 1] = MAX_COMPONENT;
            let tiny = if metric == Metric::Cosine { 1e-25 } else { f32::from_bits(1) };
            let mut vectors =
                vec![constant(MAX_COMPONENT), constant(-MAX_COMPONENT), constant(1.0), constant(tiny), axis];
            if metric != Metric::Cosine {
                vectors.push(constant(0.0));
            }
            let rows: Vec<_> = vectors.iter().map(|vector| store(&codec, vector)).collect();
            let pointers: Vec<_> = rows.iter().map(|row| row.as_ptr()).collect();
            let mut out = vec![f32::NAN; rows.len()];
            for (vector, row) in vectors.iter().zip(&rows) {
                // SAFETY: all rows were written by this codec, and so was the query prepared.
                unsafe { codec.distances(&query(&codec, vector), &pointers, &mut out) };
                assert!(out.iter().all(|d| d.is_finite()), "{BITS} bits, {metric}, {dim}-d: {out:?}");
                // SAFETY: as above.
                unsafe { codec.distances_between(row.as_ptr(), &pointers, &mut out) };
                assert!(out.iter().all(|d| d.is_finite()), "{BITS} bits, {metric}, {dim}-d, rows: {out:?}");
                assert!(codec.decode(row, &[]).iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn the_largest_smallest_and_constant_vectors_have_finite_distances() {
    for_each_width!(extremes_stay_finite());
}

#[test]
fn rows_take_the_bytes_that_they_should() {
    fn lines<const BITS: usize>(dim: usize) -> (usize, usize) {
        let codec = RaBitQ::<BITS>::train(dim, Metric::L2, &[]).unwrap();
        (codec.vector_bytes(), codec.lines())
    }
    assert_eq!([lines::<1>(1024), lines::<2>(1024)], [(128 + 12, 3), (256 + 12, 5)]);
    assert_eq!([lines::<3>(1024), lines::<4>(1024)], [(128 + 256 + 12, 7), (512 + 12, 9)]);
    // The factors fit behind the codes in one line.
    assert_eq!([lines::<1>(384), lines::<2>(192), lines::<4>(100)], [(60, 1), (60, 1), (62, 1)]);
    assert_eq!([lines::<4>(104), lines::<4>(105)], [(64, 1), (65, 2)]);
    assert_eq!([lines::<3>(100), lines::<1>(1)], [(13 + 25 + 12, 2), (13, 1)]);
}

#[test]
fn unusable_vectors_of_a_sample_are_passed_over() {
    for metric in METRICS {
        let good = random(20, 1);
        let mut sample = good.clone();
        sample.extend([f32::NAN; 20]);
        sample.extend([f32::INFINITY; 20]);
        sample.extend(&good[..7]);
        let codec = RaBitQ::<2>::train(20, metric, &sample).unwrap();
        let expected = RaBitQ::<2>::train(20, metric, &good).unwrap();
        assert_eq!(codec.centre, expected.centre);
        assert!(RaBitQ::<2>::train(20, metric, &[f32::NAN; 20]).unwrap().centre.iter().all(|c| *c == 0.0));
        assert_eq!(RaBitQ::<2>::train(0, metric, &[]).err(), Some(ConfigError::Dim(0)));
    }
}

/// The distance by the definition: in f64, over decoded codes and the signed bytes of the query.
fn by_definition<const BITS: usize>(codec: &RaBitQ<BITS>, query: &Query, row: &[Line]) -> f64 {
    // SAFETY: the row was written by this codec.
    let factors = unsafe { codec.factors(row.as_ptr()) };
    let codes = codec.codes(row);
    // The query keeps its rotated components in whole units.
    let product: f64 =
        codes.iter().zip(&query.rotated).map(|(u, q)| f64::from(centred(*u, BITS)) * f64::from(*q)).sum();
    f64::from(factors.add) + f64::from(factors.slope) * f64::from(query.unit) * product + f64::from(query.add)
}

fn kernels_follow_the_definition<const BITS: usize>(
    dim: usize,
    count: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    for metric in METRICS {
        let mut codec = RaBitQ::<BITS>::train(dim, metric, &random(3 * dim, seed)).unwrap();
        let vectors: Vec<_> = (0..count as u64).map(|i| random(dim, seed ^ (i + 1) << 32)).collect();
        prop_assume!(vectors.iter().all(|vector| codec.check(vector).is_ok()));
        let rows: Vec<_> = vectors.iter().map(|vector| store(&codec, vector)).collect();
        let pointers: Vec<_> = rows.iter().map(|row| row.as_ptr()).collect();
        let q = random(dim, !seed);
        prop_assume!(codec.check(&q).is_ok());
        let query = query(&codec, &q);
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let Some(kernels) = BitKernels::with_isa::<BITS>(isa) else { continue };
            codec.kernels = kernels;
            for fetch in [0, codec.lines()] {
                codec.fetch = fetch;
                // One more than is asked for, to see that it stays as it is.
                let mut out = vec![f32::MAX; count + 1];
                // SAFETY: the rows were written and the query prepared by this codec.
                unsafe { codec.distances(&query, &pointers, &mut out) };
                prop_assert_eq!(out.pop(), Some(f32::MAX));
                for (row, found) in rows.iter().zip(&out) {
                    let expected = by_definition(&codec, &query, row);
                    let scale = dim as f64;
                    prop_assert!(
                        (f64::from(*found) - expected).abs() < 1e-5 * (scale + expected.abs()),
                        "{BITS} bits, {isa}, {metric}, {dim}-d: {found} for {expected}"
                    );
                }
                prop_assert_eq!(first.get_or_insert_with(|| out.clone()), &out, "{} differs", isa);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_kernel_follows_the_definition(
        dim in prop_oneof![1usize..=300, prop::sample::select(vec![384, 512, 513, 768, 1024, 1030])],
        count in 0usize..=37,
        seed in any::<u64>(),
    ) {
        kernels_follow_the_definition::<1>(dim, count, seed)?;
        kernels_follow_the_definition::<2>(dim, count, seed)?;
        kernels_follow_the_definition::<3>(dim, count, seed)?;
        kernels_follow_the_definition::<4>(dim, count, seed)?;
    }

    /// Rows are compared as the vectors that they are decoded to, up to what the estimate adds for the angle.
    #[test]
    fn rows_are_compared_by_their_grid_points(dim in 1usize..=200, seed in any::<u64>()) {
        let codec = RaBitQ::<4>::train(dim, Metric::InnerProduct, &[]).unwrap();
        let (a, b) = (store(&codec, &random(dim, seed)), store(&codec, &random(dim, !seed)));
        let mut out = [f32::NAN; 2];
        // SAFETY: both rows were written by this codec.
        unsafe {
            codec.distances_between(a.as_ptr(), &[b.as_ptr()], &mut out[..1]);
            codec.distances_between(b.as_ptr(), &[a.as_ptr()], &mut out[1..]);
        }
        let expected = -dot(&codec.decode(&a, &[]), &codec.decode(&b, &[]));
        for found in out {
            prop_assert!((f64::from(found) - expected).abs() < 1e-4 * (1.0 + dim as f64), "{found} for {expected}");
        }
    }

    #[test]
    fn a_prepared_query_leaves_nothing_of_the_one_before(seed in any::<u64>()) {
        let codec = RaBitQ::<3>::train(90, Metric::L2, &random(90, 1)).unwrap();
        let other = RaBitQ::<3>::train(700, Metric::L2, &[]).unwrap();
        let row = store(&codec, &random(90, seed));
        let mut reused = other.query();
        other.prepare(&random(700, seed), &mut reused);
        codec.prepare(&random(90, seed ^ 1), &mut reused);
        codec.prepare(&random(90, seed ^ 2), &mut reused);
        let fresh = query(&codec, &random(90, seed ^ 2));
        prop_assert_eq!(estimate(&codec, &reused, &row).to_bits(), estimate(&codec, &fresh, &row).to_bits());
    }
}
