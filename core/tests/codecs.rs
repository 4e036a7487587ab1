//! Every codec of the list, against F32 and against its own promises.

use hnsw_core::distance::{Metric, bytes};
use hnsw_core::error::{ConfigError, MAX_COMPONENT, MAX_HALF, VectorError};
use hnsw_core::vectors::{Codec, F16, F32, Line, Lvq4, Reranked, Split, Sq8};
use proptest::prelude::*;

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// Random vectors of one dimension, one after another, with components from -1 to 1.
fn vectors(dim: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    let component = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..dim * count).map(component).collect()
}

/// A stored vector.
struct Stored {
    row: Vec<Line>,
    rest: Vec<Line>,
}

fn store<C: Codec>(codec: &C, vector: &[f32]) -> Stored {
    assert_eq!(codec.check(vector), Ok(()));
    let lines = |count| vec![Line([0.0; 16]); count];
    let mut stored = Stored { row: lines(codec.lines()), rest: lines(codec.rest_lines()) };
    codec.encode(vector, &mut stored.row, &mut stored.rest);
    stored
}

fn store_all<C: Codec>(codec: &C, vectors: &[f32]) -> Vec<Stored> {
    vectors.chunks(codec.dim()).map(|vector| store(codec, vector)).collect()
}

fn query<C: Codec>(codec: &C, vector: &[f32]) -> C::Query {
    let mut query = codec.query();
    codec.prepare(vector, &mut query);
    query
}

fn rows(stored: &[Stored]) -> Vec<*const Line> {
    stored.iter().map(|stored| stored.row.as_ptr()).collect()
}

fn rests(stored: &[Stored]) -> Vec<*const Line> {
    stored.iter().map(|stored| stored.rest.as_ptr()).collect()
}

fn distances<C: Codec>(codec: &C, vector: &[f32], stored: &[Stored]) -> Vec<f32> {
    // One more than is asked for, to see that it stays as it is.
    let mut out = vec![f32::MAX; stored.len() + 1];
    // SAFETY: all rows were written by this codec, and the query prepared by it; `out` is long enough.
    unsafe { codec.distances(&query(codec, vector), &rows(stored), &mut out) };
    assert_eq!(out.pop(), Some(f32::MAX), "written behind the last distance");
    out
}

fn refined<C: Codec>(codec: &C, vector: &[f32], stored: &[Stored]) -> Vec<f32> {
    let mut out = vec![f32::MAX; stored.len()];
    // SAFETY: as above, for the rests too.
    unsafe { codec.refined(&query(codec, vector), &rows(stored), &rests(stored), &mut out) };
    out
}

fn between<C: Codec>(codec: &C, from: &Stored, to: &[Stored]) -> Vec<f32> {
    let (from, to) = if C::COARSE { (&from.rest, rests(to)) } else { (&from.row, rows(to)) };
    let mut out = vec![f32::MAX; to.len()];
    // SAFETY: all were written by this codec.
    unsafe { codec.distances_between(from.as_ptr(), &to, &mut out) };
    out
}

/// Checks that every codec of the list keeps.
fn keeps_its_promises<C: Codec>() {
    for metric in METRICS {
        for dim in [1, 2, 31, 32, 33, 63, 64, 65, 100, 128, 129, 192, 193, 300, 1024] {
            let sample = vectors(dim, 200, 7);
            let codec = C::train(dim, metric, &sample).unwrap();
            assert_eq!((codec.dim(), codec.metric()), (dim, metric), "{}", C::NAME);
            assert!(C::REFINES == (codec.rest_lines() > 0) && (C::REFINES || !C::COARSE), "{}", C::NAME);
            let stored_bytes = (codec.lines() + codec.rest_lines()) * size_of::<Line>();
            assert!(codec.vector_bytes() + codec.code_bytes() <= stored_bytes, "{}", C::NAME);
            for (k, ef) in [(1, 1), (1, 100), (10, 10), (10, 11), (10, 64), (100, 65_536)] {
                assert!((k..=ef).contains(&codec.shortlist(k, ef)), "{} for {k} of {ef}", C::NAME);
            }

            let data = vectors(dim, 23, 8);
            let stored = store_all(&codec, &data);
            let all = distances(&codec, &data[..dim], &stored);
            let from_row = between(&codec, &stored[0], &stored);
            for (i, vector) in data.chunks(dim).enumerate() {
                let context = format!("{} {metric} {dim}-d, row {i}", C::NAME);
                // From any place in a batch, alone, and either way round.
                assert_eq!(
                    distances(&codec, &data[..dim], &stored[i..])[0].to_bits(),
                    all[i].to_bits(),
                    "{context}"
                );
                let back = between(&codec, &stored[i], &stored[..1])[0];
                assert_eq!(back.to_bits(), from_row[i].to_bits(), "{context}");
                // What is decoded and stored again is the same row, but for a codec that fits its scale to each vector.
                let decoded = codec.decode(&stored[i].row, &stored[i].rest);
                assert_eq!(decoded.len(), dim, "{context}");
                if metric != Metric::Cosine {
                    let again = codec.decode(&store(&codec, &decoded).row, &store(&codec, &decoded).rest);
                    if C::NAME == Lvq4::NAME {
                        let drift = again.iter().zip(&decoded).map(|(x, y)| (x - y).abs());
                        assert!(drift.fold(0.0, f32::max) < 0.1, "{context}");
                    } else {
                        assert_eq!(again, decoded, "{context}");
                    }
                    let error = vector.iter().zip(&decoded).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
                    assert!(error < 0.2, "{context}: an error of {error}");
                }
            }
            let again = refined(&codec, &data[..dim], &stored);
            let exact = F32::new(dim, metric).unwrap();
            let expected = distances(&exact, &data[..dim], &store_all(&exact, &data));
            for i in 0..stored.len() {
                if C::REFINES {
                    assert_eq!(again[i].to_bits(), expected[i].to_bits(), "{} {metric} {dim}-d", C::NAME);
                } else {
                    assert_eq!(again[i].to_bits(), all[i].to_bits(), "{} {metric} {dim}-d", C::NAME);
                }
            }
        }
    }
}

macro_rules! check_each {
    ($(($name:literal, $codec:ty)),+ $(,)?) => {
        $({
            assert_eq!($name, <$codec as Codec>::NAME);
            keeps_its_promises::<$codec>();
        })+
    };
}

#[test]
fn every_codec_keeps_its_promises() {
    hnsw_core::for_each_codec!(check_each);
}

/// The distance by definition, in f64, of vectors as a codec gives them back.
fn defined(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match metric {
        Metric::L2 => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
        Metric::InnerProduct => -pairs().map(|(a, b)| a * b).sum::<f64>(),
        Metric::Cosine => pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / 2.0,
    }
}

/// Distances of rows are those of what the rows stand for, in units of the metric.
fn tells_the_distances_of_what_it_keeps<C: Codec>(data: &[f32], dim: usize, relative: f64) {
    for metric in METRICS {
        let codec = C::train(dim, metric, data).unwrap();
        let stored = store_all(&codec, data);
        let kept: Vec<Vec<f32>> = stored.iter().map(|s| codec.decode(&s.row, &s.rest)).collect();
        let largest = kept.iter().flatten().fold(0.0, |max: f64, x| max.max(f64::from(x.abs())));
        for (i, distance) in distances(&codec, &data[..dim], &stored).into_iter().enumerate() {
            let expected = defined(metric, &kept[0], &kept[i]);
            let error = (f64::from(distance) - expected).abs();
            let scale = expected.abs() + largest * largest * dim as f64;
            assert!(error <= relative * scale, "{} {metric} {dim}-d: {distance} for {expected}", C::NAME);
        }
    }
}

/// As above for [`Lvq4`], whose queries are rounded to 8 bits, and whose cosine is an inner product of what rows stand for,
/// which need not have unit length.
fn tells_the_distances_of_what_it_keeps_to_4_bits(data: &[f32], dim: usize) {
    for metric in METRICS {
        let codec = Lvq4::train(dim, metric, data).unwrap();
        let stored = store_all(&codec, data);
        let kept: Vec<Vec<f32>> = stored.iter().map(|s| codec.decode(&s.row, &s.rest)).collect();
        let exact = F32::new(dim, metric).unwrap();
        let query = exact.decode(&store(&exact, &data[..dim]).row, &[]);
        let expected = |a: &[f32], b: &[f32]| match metric {
            Metric::Cosine => 1.0 + defined(Metric::InnerProduct, a, b),
            _ => defined(metric, a, b),
        };
        let largest =
            kept.iter().flatten().chain(&query).fold(0.0, |max: f64, x| max.max(f64::from(x.abs())));
        let terms = largest * largest * dim as f64;
        let to_query = distances(&codec, &data[..dim], &stored);
        let to_row = between(&codec, &stored[0], &stored);
        for i in 0..stored.len() {
            // Half a step of 127 for each component of a query, twice for L2 and twice because of centring.
            let error = (f64::from(to_query[i]) - expected(&query, &kept[i])).abs();
            assert!(error <= terms * 4.0 / 127.0, "{metric} {dim}-d: {error} of {terms}");
            let error = (f64::from(to_row[i]) - expected(&kept[0], &kept[i])).abs();
            assert!(error <= (terms + 1.0) * 1e-5, "{metric} {dim}-d, rows: {error} of {terms}");
        }
    }
}

#[test]
fn four_bits_hold_constant_and_extreme_vectors() {
    for metric in METRICS {
        for x in [0.0, 1.0, -7.5, 1e-12, -1e-30, 1e-40, MAX_COMPONENT, -MAX_COMPONENT] {
            for dim in [1, 3, 104, 105, 300] {
                let codec = Lvq4::train(dim, metric, &[]).unwrap();
                let constant = vec![x; dim];
                let mixed: Vec<f32> = (0..dim).map(|i| if i % 2 == 0 { x } else { -x }).collect();
                let usable: Vec<f32> =
                    [constant, mixed].into_iter().filter(|v| codec.check(v).is_ok()).flatten().collect();
                let stored = store_all(&codec, &usable);
                for (vector, stored_one) in usable.chunks(dim).zip(&stored) {
                    let all = distances(&codec, vector, &stored);
                    let rows = between(&codec, stored_one, &stored);
                    assert!(
                        all.iter().chain(&rows).all(|d| d.is_finite()),
                        "{metric} of {x}: {all:?} {rows:?}"
                    );
                    if metric != Metric::Cosine {
                        let decoded = codec.decode(&stored_one.row, &[]);
                        // Two values are the ends of the range, up to the rounding of f32.
                        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * x.abs() + f32::MIN_POSITIVE;
                        assert!(vector.iter().zip(&decoded).all(near), "{metric} of {x}: {decoded:?}");
                    }
                }
            }
        }
    }
    assert_eq!(Lvq4::train(0, Metric::L2, &[]).err(), Some(ConfigError::Dim(0)));
}

/// A sample moves the centre, and what cannot be stored teaches nothing.
#[test]
fn the_centre_is_the_mean_of_what_is_usable() {
    let sample = [1.0, 2.0, f32::NAN, 1.0, 3.0, 6.0, 9.0];
    assert_eq!(Lvq4::train(2, Metric::L2, &sample).unwrap().mean(), [2.0, 4.0]);
    assert_eq!(Lvq4::train(2, Metric::L2, &[]).unwrap().mean(), [0.0, 0.0]);
    let unit = Lvq4::train(2, Metric::Cosine, &[0.0, 8.0, 0.0, 0.0]).unwrap();
    assert_eq!(unit.mean(), [0.0, 1.0]);
}

#[test]
fn four_bits_take_a_line_up_to_104_components() {
    for (dim, lines, bytes) in [(100, 1, 62), (104, 1, 64), (105, 2, 65), (128, 2, 76), (1024, 9, 524)] {
        let codec = Lvq4::train(dim, Metric::L2, &[]).unwrap();
        assert_eq!((codec.lines(), codec.vector_bytes()), (lines, bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn distances_are_those_of_what_rows_stand_for(
        dim in 1usize..=300, seed in any::<u64>(), scale in prop::sample::select(vec![1e-3f32, 1.0, 255.0, 4e4]),
    ) {
        let data: Vec<f32> = vectors(dim, 9, seed).iter().map(|x| x * scale).collect();
        tells_the_distances_of_what_it_keeps::<Sq8>(&data, dim, 1e-5);
        tells_the_distances_of_what_it_keeps::<F16>(&data, dim, 1e-5);
        // Queries are rounded to 8 bits.
        tells_the_distances_of_what_it_keeps_to_4_bits(&data, dim);
    }

    /// What is lost is less than a thirtieth of the range, in the mean square and at any offset: half a step of fifteen is that,
    /// and rounding to evenly spread values loses 1/√3 of half a step.
    #[test]
    fn four_bits_lose_little_of_the_range(
        dim in 1usize..=300, seed in any::<u64>(), scale in 1e-6f32..1e6, offset in -9f32..=9.0, trained in any::<bool>(),
    ) {
        let vector: Vec<f32> = vectors(dim, 1, seed).iter().map(|x| (x + offset) * scale).collect();
        let sample = vectors(dim, 100, !seed);
        for metric in [Metric::L2, Metric::InnerProduct] {
            let codec = Lvq4::train(dim, metric, if trained { &sample } else { &[] }).unwrap();
            let decoded = codec.decode(&store(&codec, &vector).row, &[]);
            let mean = codec.mean();
            let rest: Vec<f32> = vector.iter().zip(mean).map(|(x, mean)| x - mean).collect();
            let range = rest.iter().fold(f32::MIN, |m, x| m.max(*x)) - rest.iter().fold(f32::MAX, |m, x| m.min(*x));
            let squares: f32 = vector.iter().zip(&decoded).map(|(x, y)| (x - y) * (x - y)).sum();
            // Components far from zero are rounded as f32.
            let rounding = (10.0 * scale + 1.0) * 1e-6;
            let error = (squares / dim as f32).sqrt();
            prop_assert!(error <= range / 30.0 + rounding, "{error} of a range of {range}");
        }
    }

    /// The plane split gives back every bit, and the distances of F32.
    #[test]
    fn a_split_vector_is_the_vector(vector in prop::collection::vec(-MAX_COMPONENT..=MAX_COMPONENT, 1..200)) {
        for metric in METRICS {
            let (split, exact) = (Split::new(vector.len(), metric).unwrap(), F32::new(vector.len(), metric).unwrap());
            prop_assume!(split.check(&vector).is_ok());
            let (ours, theirs) = (store(&split, &vector), store(&exact, &vector));
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            prop_assert_eq!(bits(split.decode(&ours.row, &ours.rest)), bits(exact.decode(&theirs.row, &[])));
            prop_assert_eq!((split.vector_bytes(), split.code_bytes()), (4 * vector.len(), 0));
        }
    }

    /// A component inside the range is off by half a step at most; one outside is taken to the end of the range.
    #[test]
    fn a_byte_is_half_a_step_off_at_most(dim in 1usize..=300, seed in any::<u64>(), scale in 1e-6f32..1e6) {
        let sample: Vec<f32> = vectors(dim, 300, seed).iter().map(|x| x * scale).collect();
        let vector: Vec<f32> = vectors(dim, 1, !seed).iter().map(|x| 2.0 * x * scale).collect();
        for metric in [Metric::L2, Metric::InnerProduct] {
            let codec = Sq8::train(dim, metric, &sample).unwrap();
            let step = codec.step();
            // The range is that of the sample, all but its ends.
            prop_assert!((0.9..1.1).contains(&(step * 63.0 / scale)) || dim < 8, "step {step}, scale {scale}");
            let lowest = codec.decode(&vec![Line([0.0; 16]); codec.lines()], &[]);
            let decoded = codec.decode(&store(&codec, &vector).row, &[]);
            for ((x, y), low) in vector.iter().zip(decoded).zip(lowest) {
                let inside = x.clamp(low, low + f32::from(bytes::MAX) * step);
                prop_assert!((inside - y).abs() <= 0.501 * step, "{x} became {y}, step {step}, range from {low}");
            }
        }
    }

    /// To the nearest of 11 bits, and below the smallest normal number to a multiple of the smallest of all.
    #[test]
    fn a_half_is_off_by_its_rounding_at_most(vector in prop::collection::vec(-MAX_HALF..=MAX_HALF, 1..200)) {
        for scale in [1.0, 1e-3, 1e-9] {
            let vector: Vec<f32> = vector.iter().map(|x| x * scale).collect();
            for metric in [Metric::L2, Metric::InnerProduct] {
                let codec = F16::new(vector.len(), metric).unwrap();
                let decoded = codec.decode(&store(&codec, &vector).row, &[]);
                for (x, y) in vector.iter().zip(decoded) {
                    let most = (x.abs() / 2048.0).max(0.5f32.powi(25));
                    prop_assert!((x - y).abs() <= most, "{x} became {y}");
                }
            }
        }
    }
}

#[test]
fn halves_refuse_what_they_cannot_hold() {
    fn check<C: Codec>() {
        let (mut vector, largest) = (vec![1.0; 70], MAX_HALF.next_up());
        for (position, x) in [(69, largest), (33, -largest), (5, MAX_COMPONENT)] {
            vector[position] = x;
            for metric in [Metric::L2, Metric::InnerProduct] {
                let refused = C::train(70, metric, &[]).unwrap().check(&vector);
                assert_eq!(refused, Err(VectorError::TooLargeForHalf { position }), "{}", C::NAME);
            }
            // A vector that is scaled to unit length can have any length.
            assert_eq!(C::train(70, Metric::Cosine, &[]).unwrap().check(&vector), Ok(()));
        }
        let codec = C::train(2, Metric::L2, &[]).unwrap();
        assert_eq!(codec.check(&[MAX_HALF, -MAX_HALF]), Ok(()));
        assert_eq!(codec.check(&[0.0, f32::NAN]), Err(VectorError::NotFinite { position: 1 }));
        let stored = store(&codec, &[MAX_HALF, -MAX_HALF]);
        assert_eq!(codec.decode(&stored.row, &stored.rest), [MAX_HALF, -MAX_HALF]);
    }
    check::<F16>();
    check::<Reranked<F16>>();
}

#[test]
fn bytes_need_a_sample() {
    for metric in METRICS {
        // None, less than a vector, and none that could be stored.
        for sample in [&[][..], &[1.0; 2], &[f32::NAN; 3], &[1.0, f32::INFINITY, 0.0]] {
            assert_eq!(Sq8::train(3, metric, sample).err(), Some(ConfigError::Sample("sq8")));
            assert_eq!(Reranked::<Sq8>::train(3, metric, sample).err(), Some(ConfigError::Sample("sq8")));
        }
        assert_eq!(Sq8::train(0, metric, &[1.0]).err(), Some(ConfigError::Dim(0)));
        // What cannot be stored teaches nothing; the rest does.
        let sound = Sq8::train(2, metric, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let mixed = Sq8::train(2, metric, &[1.0, 2.0, f32::NAN, 1.0, 3.0, 4.0]).unwrap();
        assert_eq!(sound.step(), mixed.step());
    }
    assert_eq!(Sq8::train(2, Metric::Cosine, &[0.0; 2]).err(), Some(ConfigError::Sample("sq8")));
}

#[test]
fn a_sample_without_spread_or_of_any_magnitude_gives_finite_distances() {
    for metric in METRICS {
        for x in [0.0, 1.0, -7.5, 1e-12, -1e-20, MAX_COMPONENT, -MAX_COMPONENT] {
            for dim in [1, 70] {
                let (constant, opposite) = (vec![x; dim], vec![-x; dim]);
                for sample in
                    [constant.clone(), constant.repeat(100), [&constant[..], &opposite[..]].concat()]
                {
                    let Ok(codec) = Sq8::train(dim, metric, &sample) else {
                        assert!(metric == Metric::Cosine && x == 0.0);
                        continue;
                    };
                    let vectors = [&constant[..], &vec![1.0; dim], &vec![-MAX_COMPONENT; dim]];
                    let usable: Vec<f32> =
                        vectors.into_iter().filter(|v| codec.check(v).is_ok()).flatten().copied().collect();
                    let stored = store_all(&codec, &usable);
                    for vector in usable.chunks(dim) {
                        let found = distances(&codec, vector, &stored);
                        assert!(found.iter().all(|d| d.is_finite()), "{metric} of {x}: {found:?}");
                    }
                }
            }
        }
    }
}

/// One vector of a sample tells the range of all dimensions together, not that each is constant.
#[test]
fn few_vectors_teach_a_scale() {
    let vector = vectors(100, 1, 3);
    let codec = Sq8::train(100, Metric::L2, &vector).unwrap();
    let other = vectors(100, 1, 4);
    let decoded = codec.decode(&store(&codec, &other).row, &[]);
    let error = other.iter().zip(&decoded).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(error < 0.1, "{error}");
}

/// Half the squared distance of vectors of unit length is one minus the cosine of their angle.
#[test]
fn cosine_is_in_the_units_of_f32() {
    let data = vectors(100, 50, 5);
    let exact = F32::new(100, Metric::Cosine).unwrap();
    let expected = distances(&exact, &data[..100], &store_all(&exact, &data));
    fn errors<C: Codec>(data: &[f32], expected: &[f32]) -> f32 {
        let codec = C::train(100, Metric::Cosine, data).unwrap();
        let found = distances(&codec, &data[..100], &store_all(&codec, data));
        found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    }
    assert!(errors::<F16>(&data, &expected) < 1e-3);
    assert!(errors::<Sq8>(&data, &expected) < 1e-2);
}
