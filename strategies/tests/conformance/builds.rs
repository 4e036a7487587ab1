//! Concurrent builds on real data (P1, P6), with the recall of a sequential build.

use crate::support::{Random, assert_whole, index, insert_racing, seeds, sift};
use hnsw_core::distance::Metric;
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_strategies::Sequential;
use std::sync::OnceLock;

const THREADS: usize = 8;
const K: usize = 10;
const EF: usize = 64;
/// How much recall a concurrent build may lose.
const TOLERANCE: f64 = 0.005;

pub fn config(seed: u64) -> IndexConfig {
    IndexConfig {
        ef_construction: 100,
        capacity: sift().base.len(),
        seed,
        ..IndexConfig::new(128, Metric::L2)
    }
}

/// The part of the true nearest that is found. An answer as near as the last of them counts, because integer vectors are
/// often equally near.
pub fn recall<G: Graph>(index: &Index<G>) -> f64 {
    let data = sift();
    let square = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    let mut scratch = Scratch::new();
    let mut found = 0;
    for (query, truth) in data.queries.iter().zip(&data.truth) {
        let farthest = square(query, &data.base[truth[K - 1] as usize]);
        let answer = index.search_with(query, K, EF, &mut scratch).unwrap();
        found += answer.iter().filter(|neighbor| neighbor.distance <= farthest).count();
    }
    found as f64 / (K * data.queries.len()) as f64
}

/// The recall of one thread that inserts the rows in their order.
pub fn sequential_recall() -> f64 {
    static RECALL: OnceLock<f64> = OnceLock::new();
    *RECALL.get_or_init(|| {
        let index = index::<Sequential>(config(0));
        sift().base.iter().for_each(|row| {
            index.insert(row).unwrap();
        });
        assert_whole(&index, "the sequential build");
        recall(&index)
    })
}

pub fn concurrent_builds_on_real_data_lose_nothing<G: Graph>() {
    for seed in 1..=seeds() {
        let what = format!("{} with seed {seed}", G::NAME);
        let mut rows = sift().base.clone();
        Random(seed).shuffle(&mut rows);
        let index = index::<G>(config(seed));
        let nodes = insert_racing(&index, &rows, THREADS);
        assert_whole(&index, &what);
        for (node, row) in nodes.iter().zip(&rows) {
            assert_eq!(index.vector(*node).as_ref(), Some(row), "{what}: the vector of {node}");
        }
        let (recall, expected) = (recall(&index), sequential_recall());
        println!("{what}: recall {recall:.4}, sequential {expected:.4}");
        assert!(recall >= expected - TOLERANCE, "{what}: recall {recall}, sequential {expected}");
    }
}
