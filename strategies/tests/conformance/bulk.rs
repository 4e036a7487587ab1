//! Graphs that are built as a whole (P1, P5, P6, P9).

use crate::builds::{config as sift_config, recall, sequential_recall};
use crate::support::{Random, assert_whole, index, race, sift};
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::error::{BatchError, Full};
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Graph, GraphConfig, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_core::sync::{AtomicUsize, Ordering};
use hnsw_strategies::Sequential;
use rayon::ThreadPoolBuilder;

const DIM: usize = 12;

fn config() -> IndexConfig {
    IndexConfig { m: 6, ef_construction: 30, ..IndexConfig::new(DIM, Metric::L2) }
}

fn build<G: Graph>(index: &Index<G>, rows: &[f32]) -> Result<NodeId, BatchError> {
    index.build(rows, |_| ControlFlow::Continue(()))
}

fn health<G: Graph>(index: &Index<G>) -> Health {
    Health::of(&index.graph().read(), &GraphConfig::new(index.config().m))
}

/// Real data: as good as row by row, and the same whatever the strategy and the number of threads.
pub fn a_graph_built_as_a_whole_is_as_good_as_one_built_by_rows<G: Graph>() {
    let rows = sift().base.concat();
    let on = |threads| {
        let index = index::<G>(sift_config(4));
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| build(&index, &rows)), Ok(NodeId::new(0)));
        index
    };
    let two = on(2);
    assert_whole(&two, G::NAME);
    let (recall, expected) = (recall(&two), sequential_recall());
    println!("{}: recall {recall:.4}, row by row {expected:.4}", G::NAME);
    assert!(recall >= expected - 0.005, "recall {recall}, row by row {expected}");
    for node in (0..rows.len() as u32 / 128).step_by(997).map(NodeId::new) {
        assert_eq!(two.vector(node).as_deref(), Some(&rows[node.index() * 128..][..128]));
    }
    // The levels above are built in rounds, whose order of links only some strategies keep; the links are the same.
    assert_eq!(health(&on(5)), health(&two), "the number of threads");
    let other = index::<Sequential>(sift_config(4));
    build(&other, &rows).unwrap();
    assert_eq!(health(&other), health(&two), "the strategy");
}

/// Points that no group brings together, points that cannot be told apart, and the smallest lists.
pub fn parts_that_hang_apart_are_joined<G: Graph>() {
    let mut random = Random(60);
    let mut rows = Vec::new();
    for cluster in 0..5 {
        for _ in 0..[1_500, 900, 40, 1, 600][cluster] {
            // The last cluster is one point, many times.
            let spread = if cluster == 4 { 0.0 } else { 1.0 };
            rows.extend(random.vector(DIM).iter().map(|x| 1e4 * cluster as f32 + 1.0 + spread * x));
        }
    }
    for (metric, m) in [(Metric::L2, 6), (Metric::L2, 2), (Metric::Cosine, 3), (Metric::InnerProduct, 6)] {
        let index = index::<G>(IndexConfig { metric, m, ..config() });
        build(&index, &rows).unwrap();
        assert_whole(&index, &format!("{metric} with M = {m}"));
        assert_eq!(index.search(&rows[..DIM], 3_041, 3_041).unwrap().len(), 3_041);
        if metric == Metric::L2 && m == 6 {
            let found = rows.chunks(DIM).filter(|row| index.search(row, 1, 40).unwrap()[0].distance == 0.0);
            let found = found.count();
            assert!(found >= 3_000, "{found} of 3,041 are found");
        }
    }
}

pub fn copies_of_one_vector_are_built<G: Graph>() {
    let index = index::<G>(IndexConfig { m: 2, ..config() });
    build(&index, &Random(61).vector(DIM).repeat(3_000)).unwrap();
    assert_whole(&index, "3,000 copies of one vector");
}

/// What is not suited is inserted as a batch, and a built index goes on as any other.
pub fn a_built_index_is_an_index<G: Graph>() {
    let index = index::<G>(IndexConfig { capacity: 4_000, ..config() });
    let rows = Random(62).vector(2_000 * DIM);
    assert_eq!(build(&index, &rows[..DIM + 1]), Err(BatchError::Ragged { values: DIM + 1, dim: DIM }));
    assert_eq!(build(&index, &[]), Ok(NodeId::new(0)));
    assert_eq!(build(&index, &rows), Ok(NodeId::new(0)));
    assert_eq!(build(&index, &rows[..50 * DIM]), Ok(NodeId::new(2_000)));
    assert_eq!(build(&index, &rows[..1_500 * DIM]), Ok(NodeId::new(2_050)));
    assert_eq!(build(&index, &rows), Err(BatchError::Full(Full { capacity: 4_000 })));
    (0..3_000).step_by(3).for_each(|node| index.remove(NodeId::new(node)).unwrap());
    (0..200).for_each(|i| {
        index.insert(&rows[i * DIM..][..DIM]).unwrap();
    });
    assert_whole(&index, "a built index that went on");
    assert_eq!(index.search(&rows[..DIM], 5, 40).unwrap()[0].distance, 0.0);
}

pub fn a_request_to_stop_a_build_leaves_nothing<G: Graph>() {
    let rows = Random(63).vector(5_000 * DIM);
    let highest = AtomicUsize::new(0);
    let index_of = || index::<G>(config());
    let whole = index_of();
    whole
        .build(&rows, |done| {
            // Relaxed: a maximum, read after the build.
            highest.fetch_max(done, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(highest.into_inner(), 5_000, "progress comes to its end");
    for stop_at in [1, 2_000, 4_900] {
        let index = index_of();
        let outcome = index.build(&rows, |done| match done >= stop_at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        assert_eq!(outcome, Err(BatchError::Stopped { done: 0 }), "stopped at {stop_at}");
        assert_eq!(index.search(&rows[..DIM], 5, 5), Ok(Vec::new()));
        assert_eq!(index.insert(&rows[..DIM]), Ok(NodeId::new(5_000)), "ids are not used again");
        assert_whole(&index, "after a stop");
    }
}

pub fn others_may_write_and_search_during_a_build<G: Graph>() {
    for seed in 0..3 {
        let index = index::<G>(IndexConfig { m: 2, ..config() });
        let rows = Random(64 + seed).vector(3_000 * DIM);
        race(3, |t| {
            let mut random = Random(70 + seed * 3 + t as u64);
            match t {
                0 => assert!(build(&index, &rows).is_ok()),
                1 => (0..700).for_each(|i| {
                    let node = index.insert(&random.vector(DIM)).unwrap();
                    if i % 5 == 0 {
                        index.remove(node).unwrap();
                    }
                }),
                _ => (0..700).for_each(|_| {
                    index.search(&random.vector(DIM), 10, 20).unwrap();
                }),
            }
        });
        assert_eq!(index.node_count(), 3_700);
        assert_whole(&index, "a build among other writers");
    }
}
