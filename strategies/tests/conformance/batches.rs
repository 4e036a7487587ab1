//! Batches, errors and limits.

use crate::support::{METRICS, Random, assert_whole, index, race};
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::error::{
    BatchError, ConfigError, Full, InsertError, MAX_EF, NotFound, SearchError, VectorError,
};
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_core::sync::{AtomicBool, Ordering};
use rayon::ThreadPoolBuilder;
use std::sync::Mutex;

const DIM: usize = 12;

fn config() -> IndexConfig {
    IndexConfig { m: 6, ef_construction: 30, ..IndexConfig::new(DIM, Metric::L2) }
}

/// `n` rows, one after another.
fn rows(seed: u64, n: usize) -> Vec<f32> {
    Random(seed).vector(n * DIM)
}

fn go_on(_done: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Row `i` is the vector of node `first + i`.
fn assert_rows<G: Graph>(index: &Index<G>, first: NodeId, rows: &[f32]) {
    for (i, row) in rows.chunks(DIM).enumerate() {
        let node = NodeId::new(first.get() + i as u32);
        assert_eq!(index.vector(node).as_deref(), Some(row), "node {node}");
    }
}

pub fn rows_get_consecutive_ids_and_are_counted<G: Graph>() {
    let index = index::<G>(config());
    for (seed, n) in [(1, 1), (2, 700), (3, 0), (4, 300)] {
        let (rows, counts) = (rows(seed, n), Mutex::new(Vec::new()));
        let before = index.node_count();
        let first = index.insert_batch(&rows, |done| {
            counts.lock().unwrap().push(done);
            ControlFlow::Continue(())
        });
        assert_eq!(first, Ok(NodeId::new(before as u32)));
        assert_eq!(index.node_count(), before + n);
        let mut counts = counts.into_inner().unwrap();
        counts.sort_unstable();
        assert!(counts.into_iter().eq(1..=n), "each count from 1 to {n} once");
        assert_rows(&index, first.unwrap(), &rows);
    }
    assert_whole(&index, "after batches");
}

pub fn a_request_to_stop_keeps_what_was_done<G: Graph>() {
    for stop_at in [1, 100, 600] {
        let index = index::<G>(config());
        let rows = rows(5, 2_000);
        let outcome = index.insert_batch(&rows, |done| {
            if done >= stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(BatchError::Stopped { done }) = outcome else { panic!("{outcome:?}") };
        assert!((stop_at..2_000).contains(&done), "{done} rows done, stop at {stop_at}");
        let live: Vec<_> = (0..2_000).map(NodeId::new).filter(|node| index.contains(*node)).collect();
        assert_eq!(live.len(), done);
        assert_whole(&index, "after a stop");
        assert_eq!(index.search(&rows[..DIM], 2_000, 2_000).unwrap().len(), done);
        let after = index.insert(&rows[..DIM]).unwrap();
        assert_eq!(after, NodeId::new(2_000), "ids that were given out are not used again");
    }
    let index = index::<G>(config());
    let last = index.insert_batch(&rows(6, 10), |done| match done {
        10 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(last, Ok(NodeId::new(0)), "a stop after the last row stops nothing");
}

pub fn a_bad_row_is_named_and_nothing_inserted<G: Graph>() {
    let index = index::<G>(config());
    let good = rows(7, 5_000);
    for (bad, error) in [
        (f32::NAN, VectorError::NotFinite { position: 3 }),
        (f32::INFINITY, VectorError::NotFinite { position: 3 }),
        (1e30, VectorError::TooLarge { position: 3 }),
    ] {
        for row in [0, 1, 2_499, 4_999] {
            let mut rows = good.clone();
            // The last row is bad too: it is the first bad row that is named.
            rows[4_999 * DIM + 3] = bad;
            rows[row * DIM + 3] = bad;
            assert_eq!(index.insert_batch(&rows, go_on), Err(BatchError::Vector { row, error }));
        }
    }
    let ragged = index.insert_batch(&good[..DIM + 1], go_on);
    assert_eq!(ragged, Err(BatchError::Ragged { values: DIM + 1, dim: DIM }));
    assert_eq!(index.node_count(), 0);
}

pub fn a_full_index_refuses<G: Graph>() {
    let full = Full { capacity: 100 };
    let small = index::<G>(IndexConfig { capacity: 100, ..config() });
    assert_eq!(small.insert_batch(&rows(8, 101), go_on), Err(BatchError::Full(full)));
    assert_eq!(small.node_count(), 0);
    assert_eq!(small.insert_batch(&rows(8, 60), go_on), Ok(NodeId::new(0)));
    assert_eq!(small.insert_batch(&rows(9, 41), go_on), Err(BatchError::Full(full)));
    assert_eq!(small.insert_batch(&rows(9, 0), go_on), Ok(NodeId::new(60)));
    // Many threads for the last places.
    let taken = race(4, |t| {
        let row = rows(10 + t as u64, 1);
        (0..20).filter(|_| index_has_room(&small, &row, full)).count()
    });
    assert_eq!((taken.iter().sum::<usize>(), small.node_count()), (40, 100));
    assert_whole(&small, "a full index");

    let one = index::<G>(IndexConfig { capacity: 1, ..config() });
    let row = rows(20, 1);
    assert_eq!(one.insert(&row), Ok(NodeId::new(0)));
    assert_eq!(one.insert(&row), Err(InsertError::Full(Full { capacity: 1 })));
    assert_eq!(one.search(&row, 5, 5).unwrap().len(), 1);
    one.remove(NodeId::new(0)).unwrap();
    assert_eq!(one.search(&row, 5, 5), Ok(Vec::new()));
    assert_eq!(one.insert(&row), Err(InsertError::Full(Full { capacity: 1 })), "ids are not used again");
}

fn index_has_room<G: Graph>(index: &Index<G>, row: &[f32], full: Full) -> bool {
    match index.insert(row) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, InsertError::Full(full));
            false
        }
    }
}

pub fn batches_work_inside_any_pool<G: Graph>() {
    let rows = rows(21, 600);
    for threads in [1, 2, 8] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let index = index::<G>(config());
        let (answers, first) = pool.install(|| {
            let first = index.insert_batch(&rows, go_on).unwrap();
            // Another batch at the same time, from another task of the same pool.
            let (again, answers) = rayon::join(
                || index.insert_batch(&rows, go_on).unwrap(),
                || index.search_batch(&rows, 1, 30).unwrap(),
            );
            assert_eq!(again, NodeId::new(600));
            (answers, first)
        });
        assert_eq!((first, answers.len()), (NodeId::new(0), 600));
        assert!(answers.iter().all(|answer| answer.len() == 1));
        assert_rows(&index, NodeId::new(600), &rows);
        assert_whole(&index, &format!("a pool of {threads} threads"));
    }
}

pub fn a_batch_of_searches_is_searches_one_by_one<G: Graph>() {
    let index = index::<G>(config());
    index.insert_batch(&rows(22, 500), go_on).unwrap();
    (0..500).step_by(7).for_each(|node| index.remove(NodeId::new(node)).unwrap());
    let queries = rows(23, 150);
    for (k, ef) in [(1, 1), (10, 40), (500, 500)] {
        let answers = index.search_batch(&queries, k, ef).unwrap();
        assert_eq!(answers.len(), 150);
        for (query, answer) in queries.chunks(DIM).zip(answers.iter()) {
            assert_eq!(answer, index.search(query, k, ef).unwrap());
        }
    }
    assert!(index.search_batch(&[], 1, 1).unwrap().is_empty());
    let short = VectorError::Dim { expected: DIM, found: 5 };
    assert_eq!(index.search_batch(&queries[..DIM + 5], 1, 1), Err(SearchError::Vector(short)));
    assert_eq!(index.search_batch(&queries, 0, 1), Err(SearchError::K(0)));
    assert_eq!(index.search_batch(&queries, 2, 1), Err(SearchError::Ef { ef: 1, k: 2 }));
}

pub fn bad_arguments_are_refused<G: Graph>() {
    let refused = |config| Index::<G>::new(config).err();
    assert_eq!(refused(IndexConfig { dim: 0, ..config() }), Some(ConfigError::Dim(0)));
    assert_eq!(refused(IndexConfig { m: 1, ..config() }), Some(ConfigError::M(1)));
    assert_eq!(refused(IndexConfig { ef_construction: 0, ..config() }), Some(ConfigError::EfConstruction(0)));
    assert_eq!(refused(IndexConfig { capacity: 0, ..config() }), Some(ConfigError::Capacity(0)));

    for metric in METRICS {
        let index = index::<G>(IndexConfig { metric, ..config() });
        let good = rows(24, 1);
        let with = |bad: f32| [&good[..4], &[bad], &good[5..]].concat();
        let mut bad = vec![
            (good[1..].to_vec(), VectorError::Dim { expected: DIM, found: DIM - 1 }),
            (Vec::new(), VectorError::Dim { expected: DIM, found: 0 }),
            (with(f32::NAN), VectorError::NotFinite { position: 4 }),
            (with(f32::NEG_INFINITY), VectorError::NotFinite { position: 4 }),
            (with(-1e16), VectorError::TooLarge { position: 4 }),
        ];
        if metric == Metric::Cosine {
            bad.push((vec![0.0; DIM], VectorError::Zero));
        }
        for (vector, error) in bad {
            assert_eq!(index.insert(&vector), Err(InsertError::Vector(error)), "{metric}");
            assert_eq!(index.search(&vector, 1, 1), Err(SearchError::Vector(error)), "{metric}");
        }
        assert_eq!(index.node_count(), 0, "{metric}: nothing was given out");
        assert_eq!(index.search(&good, 0, 5), Err(SearchError::K(0)));
        assert_eq!(index.search(&good, MAX_EF + 1, MAX_EF + 1), Err(SearchError::K(MAX_EF + 1)));
        assert_eq!(index.search(&good, 6, 5), Err(SearchError::Ef { ef: 5, k: 6 }));
        assert_eq!(index.search(&good, 1, MAX_EF + 1), Err(SearchError::Ef { ef: MAX_EF + 1, k: 1 }));
        if metric != Metric::Cosine {
            assert_eq!(index.insert(&[0.0; DIM]), Ok(NodeId::new(0)), "{metric}: a zero vector is a vector");
        }
    }
}

pub fn nothing_is_found_in_an_empty_index<G: Graph>() {
    let index = index::<G>(config());
    let query = rows(25, 1);
    assert_eq!(index.search(&query, 10, 50), Ok(Vec::new()));
    assert_eq!((index.node_count(), index.vector(NodeId::new(0))), (0, None));
    assert!(!index.contains(NodeId::new(0)));
    assert_eq!(index.search_batch(&query, 3, 3).unwrap().get(0), []);
}

pub fn a_node_is_removed_once<G: Graph>() {
    let index = index::<G>(config());
    index.insert_batch(&rows(26, 50), go_on).unwrap();
    for node in [NodeId::new(50), NodeId::new((1 << 31) - 2)] {
        assert_eq!(index.remove(node), Err(NotFound(node)), "it was never inserted");
    }
    let removed = race(4, |_| (0..50).filter(|node| index.remove(NodeId::new(*node)).is_ok()).count());
    assert_eq!(removed.iter().sum::<usize>(), 50);
    let node = NodeId::new(7);
    assert_eq!(index.remove(node), Err(NotFound(node)));
    assert_eq!((index.contains(node), index.vector(node)), (false, None));
    assert_eq!(index.search(&rows(27, 1), 10, 50), Ok(Vec::new()));
    let row = rows(28, 1);
    let back = index.insert(&row).unwrap();
    let answer = index.search(&row, 10, 50).unwrap();
    assert_eq!(answer.iter().map(|neighbor| neighbor.node).collect::<Vec<_>>(), [back]);
    assert_whole(&index, "a node among tombstones");
}

/// Named after the bug: a report taken between the two steps of growing counted rows that were not allocated yet, and the
/// slack below zero.
pub fn memory_can_be_asked_for_while_writers_run<G: Graph>() {
    for round in 0..20 {
        let index = index::<G>(IndexConfig { m: 2, ef_construction: 2, ..config() });
        let stop = AtomicBool::new(false);
        let reports = race(4, |t| {
            if t > 0 {
                (0..30).for_each(|i| {
                    index.insert_batch(&rows(round * 1_000 + i, 10), go_on).unwrap();
                });
                // Relaxed [batch-stop]: ends a loop.
                stop.store(true, Ordering::Relaxed);
                return 0;
            }
            let mut reports = 0;
            loop {
                let memory = index.memory();
                assert!(memory.slack_bytes < 1 << 40 && memory.levels_bytes < 1 << 40, "{memory:?}");
                reports += 1;
                // Relaxed [batch-stopped]: as above.
                if stop.load(Ordering::Relaxed) {
                    return reports;
                }
            }
        });
        assert!(reports[0] > 0);
        assert!(index.memory().vectors_bytes == 900 * DIM * size_of::<f32>());
    }
}
