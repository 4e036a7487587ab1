use super::super::generate::{Shape, uniform};
use super::*;
use std::sync::Mutex;

/// The definition: every distance in f64, sorted by distance and row.
fn naive(set: &Dataset, query: usize) -> Vec<(f64, u32)> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let q = set.query(query);
    let distance = |row: &[f32]| match set.metric() {
        Metric::L2 => dot(q, q) + dot(row, row) - 2.0 * dot(q, row),
        Metric::InnerProduct => -dot(q, row),
        Metric::Cosine => 1.0 - dot(q, row) / (dot(q, q) * dot(row, row)).sqrt(),
    };
    let mut all: Vec<(f64, u32)> = (0..set.len()).map(|row| (distance(set.row(row)), row as u32)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

/// Small integers, which tie often and whose distances are exact in f32.
fn integers(metric: Metric, rows: usize, dim: usize) -> Dataset {
    let source = uniform(&Shape { rows, dim, queries: 23, seed: 9 }).unwrap();
    let coarse = |values: &[f32]| values.iter().map(|x| (x * 3.0).floor() - 1.0).collect::<Vec<f32>>();
    Dataset::new("t".into(), metric, dim, coarse(source.base()), coarse(source.queries()), String::new())
        .unwrap()
}

#[test]
fn ties_go_to_the_lower_row() {
    for metric in [Metric::L2, Metric::InnerProduct] {
        for (rows, dim) in [(3_000, 5), (700, 16), (50, 33)] {
            let set = integers(metric, rows, dim);
            let truth = Truth::exact(&set, 10, Watch::none()).unwrap();
            for query in 0..set.query_count() {
                let expected: Vec<u32> = naive(&set, query)[..10].iter().map(|&(_, row)| row).collect();
                assert_eq!(truth.ids(query), expected, "{metric}, {rows} x {dim}, query {query}");
            }
        }
    }
}

#[test]
fn distances_are_those_of_a_naive_scan() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let source = uniform(&Shape { rows: 2_000, dim: 40, queries: 31, seed: 4 }).unwrap();
        let (base, queries) = (source.base().to_vec(), source.queries().to_vec());
        let set = Dataset::new("t".into(), metric, 40, base, queries, String::new()).unwrap();
        let truth = Truth::exact(&set, 20, Watch::none()).unwrap();
        for query in 0..set.query_count() {
            let naive = naive(&set, query);
            for (place, &id) in truth.ids(query).iter().enumerate() {
                let expected = naive[place].0;
                let found = f64::from(truth.distances[query * 20 + place]);
                let of_id = naive.iter().find(|(_, row)| *row == id).unwrap().0;
                let tolerance = 1e-5 * (1.0 + expected.abs());
                assert!(
                    (found - expected).abs() < tolerance,
                    "{metric}: {found} at place {place}, not {expected}"
                );
                assert!((of_id - expected).abs() < tolerance, "{metric}: row {id} is not at place {place}");
            }
        }
        let given = set.clone().with_truth(truth.ids.clone(), 20).unwrap();
        assert_eq!(given.truth(), Some(&truth), "{metric}: the same distances from ids alone");
    }
}

#[test]
fn slabs_and_groups_do_not_change_the_answer() {
    // Rows of 65,536 floats make a slab of 256 rows: several slabs.
    let rows = 600;
    let base: Vec<f32> =
        (0..rows).flat_map(|row| (0..MAX_WIDE).map(move |i| if i == 0 { row as f32 } else { 0.0 })).collect();
    const MAX_WIDE: usize = 1 << 16;
    let query = |at: f32| [vec![at], vec![0.0; MAX_WIDE - 1]].concat();
    let queries = [query(255.4), query(256.0), query(-1.0), query(1e6)].concat();
    let set = Dataset::new("t".into(), Metric::L2, MAX_WIDE, base, queries, String::new()).unwrap();
    let truth = Truth::exact(&set, 3, Watch::none()).unwrap();
    assert_eq!(truth.ids, [255, 256, 254, 256, 255, 257, 0, 1, 2, 599, 598, 597]);
}

#[test]
fn fewer_rows_than_k_give_all_rows() {
    let set = integers(Metric::L2, 4, 3);
    let truth = Truth::exact(&set, 10, Watch::none()).unwrap();
    assert_eq!((truth.k, truth.ids.len()), (4, 4 * 23));
    assert_eq!(Truth::exact(&set, 0, Watch::none()), Err(TruthError::K));
}

#[test]
fn progress_ends_at_all_and_a_flag_stops_it() {
    let set = integers(Metric::L2, 500, 4);
    let seen = Mutex::new(Vec::new());
    let cancel = AtomicBool::new(false);
    let watch = Watch { progress: &|done, all| seen.lock().unwrap().push((done, all)), cancel: &cancel };
    Truth::exact(&set, 5, watch).unwrap();
    assert_eq!(seen.lock().unwrap().iter().max(), Some(&(500 * 23, 500 * 23)));
    let cancel = AtomicBool::new(true);
    let stopped = Truth::exact(&set, 5, Watch { cancel: &cancel, ..watch });
    assert_eq!(stopped, Err(TruthError::Cancelled));
}

#[test]
fn recall_counts_by_distance() {
    let distances = vec![1.0, 2.0, 2.0, 0.0, 0.0, 5.0];
    let truth =
        Truth { k: 3, ids: vec![0, 1, 2, 3, 4, 5], slack: slack_of(Metric::L2, &distances), distances };
    let recall = |query, k, answers: &[f32]| truth.recall(query, k, answers.iter().copied());
    assert_eq!(recall(0, 3, &[1.0, 2.0, 2.0]), 1.0);
    assert_eq!(recall(0, 2, &[1.0, 2.0, 2.0, 2.0]), 1.0, "at most k hits");
    assert_eq!(recall(0, 2, &[2.0, 2.0]), 1.0, "a tie with the k-th is a hit");
    assert_eq!(recall(0, 2, &[1.0, 2.0 + 1e-5, 2.1]), 1.0, "rounding");
    assert_eq!(recall(0, 2, &[1.0, 2.001]), 0.5);
    assert_eq!(recall(0, 3, &[1.0]), 1.0 / 3.0, "missing answers are misses");
    assert_eq!(recall(1, 2, &[0.0, 1e-7]), 1.0, "rounding near zero");
    assert_eq!(recall(1, 2, &[0.0, 1e-4]), 0.5);
    assert_eq!(recall(1, 9, &[0.0, 0.0, 5.0]), 1.0, "no more neighbours are known");
    assert_eq!(recall(0, 0, &[1.0]), 0.0);
}

#[test]
fn tiny_scales_are_not_rounding() {
    let distances = vec![1e-9, 2e-9];
    let truth = Truth { k: 2, ids: vec![0, 1], slack: slack_of(Metric::L2, &distances), distances };
    assert_eq!(truth.recall(0, 2, [1e-9, 3e-9].into_iter()), 0.5);
}
