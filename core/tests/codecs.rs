//! Every codec of the list, against F32 and against its own promises.

use hnsw_core::distance::Metric;
use hnsw_core::vectors::{Codec, F32, Line};

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
                // What is decoded and stored again is the same row.
                let decoded = codec.decode(&stored[i].row, &stored[i].rest);
                assert_eq!(decoded.len(), dim, "{context}");
                if metric != Metric::Cosine {
                    let again = codec.decode(&store(&codec, &decoded).row, &store(&codec, &decoded).rest);
                    assert_eq!(again, decoded, "{context}");
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
