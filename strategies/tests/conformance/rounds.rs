//! Batches in rounds: the graph does not depend on the number of threads (P9), is whole (P1, P6), and is as good as one that
//! was built row by row.

use crate::builds::{config as sift_config, recall, sequential_recall};
use crate::support::{Random, assert_whole, index, race, sift};
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Entry, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, View};
use hnsw_core::hnsw::{Index, IndexConfig};
use rayon::{ThreadPool, ThreadPoolBuilder};

const DIM: usize = 12;

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn insert<G: Graph>(index: &Index<G>, rows: &[f32]) {
    index.insert_batch(rows, |_| ControlFlow::Continue(())).unwrap();
}

/// All that a graph is: its entry point, and every list with its anchors, in the order in which it is stored.
fn bytes<G: Graph>(index: &Index<G>) -> (Option<Entry>, Vec<(At, Vec<Link>)>) {
    let view = index.graph().read();
    let mut links = LinkBuf::new();
    let nodes = (0..view.node_count() as u32).map(NodeId::new);
    let lists = nodes.flat_map(|node| (0..=view.level(node)).map(move |level: Level| At::new(node, level)));
    (view.entry(), lists.map(|at| (at, view.links(at, &mut links).to_vec())).collect())
}

/// Batches of many sizes with removals and single inserts between them, on this many threads.
fn build<G: Graph>(threads: usize, config: IndexConfig, rows: &[Vec<f32>]) -> Index<G> {
    let index = index::<G>(config);
    pool(threads).install(|| {
        for (i, rows) in rows.iter().enumerate() {
            insert(&index, rows);
            let nodes = index.node_count();
            (i..nodes).step_by(7).for_each(|node| {
                // Some are removed already.
                let _ = index.remove(NodeId::new(node as u32));
            });
            index.insert(&rows[..config.dim]).unwrap();
        }
    });
    index
}

pub fn the_graph_does_not_depend_on_the_threads<G: Graph>() {
    let mut random = Random(31);
    let spread: Vec<Vec<f32>> = [700, 1, 900, 2_000, 40].map(|n| random.vector(n * DIM)).into();
    // Twelve vectors, each of them some hundred times: neighbours that refuse anchors, and equal distances everywhere.
    let twelve: Vec<Vec<f32>> = (0..12).map(|_| random.vector(DIM)).collect();
    let crowded: Vec<Vec<f32>> =
        [900, 1_500].map(|n| (0..n).flat_map(|_| twelve[random.below(12)].clone()).collect()).into();
    for metric in crate::support::METRICS {
        for (rows, m) in [(&spread, 6), (&crowded, 2)] {
            let config = IndexConfig { m, ef_construction: 20, ..IndexConfig::new(DIM, metric) };
            let one = build::<G>(1, config, rows);
            assert_whole(&one, "batches on one thread");
            let health = |index: &Index<G>| Health::of(&index.graph().read(), &GraphConfig::new(m));
            for threads in [2, 3, 8] {
                let many = build::<G>(threads, config, rows);
                assert_eq!(health(&one), health(&many), "{metric}, {threads} threads");
                assert!(bytes(&one) == bytes(&many), "{metric}: other bytes with {threads} threads");
            }
        }
    }
}

pub fn batches_are_as_good_as_rows_one_by_one<G: Graph>() {
    let rows: Vec<f32> = sift().base.concat();
    let index = index::<G>(sift_config(3));
    insert(&index, &rows);
    assert_whole(&index, "a batch of real data");
    let (recall, expected) = (recall(&index), sequential_recall());
    println!("{}: recall {recall:.4}, row by row {expected:.4}", G::NAME);
    assert!(recall >= expected - 0.005, "recall {recall}, row by row {expected}");
}

/// Not a matter of bytes, but still of reachability: batches, single inserts, removals and searches, all at once.
pub fn others_may_write_and_search_during_a_round<G: Graph>() {
    let index = index::<G>(IndexConfig { m: 4, ef_construction: 20, ..IndexConfig::new(DIM, Metric::L2) });
    insert(&index, &Random(40).vector(300 * DIM));
    race(4, |t| {
        let mut random = Random(50 + t as u64);
        match t {
            0 | 1 => (0..4).for_each(|_| insert(&index, &random.vector(600 * DIM))),
            2 => (0..800).for_each(|_| {
                let node = index.insert(&random.vector(DIM)).unwrap();
                if random.below(3) == 0 {
                    index.remove(node).unwrap();
                }
            }),
            _ => (0..1_000).for_each(|_| {
                assert_eq!(index.search(&random.vector(DIM), 10, 20).unwrap().len(), 10);
            }),
        }
    });
    assert_eq!(index.node_count(), 300 + 2 * 4 * 600 + 800);
    assert_whole(&index, "after rounds among other writers");
}
