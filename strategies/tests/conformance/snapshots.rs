//! Snapshots under concurrent writers (P7).

use crate::progress::{M, cloud, config, suspended};
use crate::support::{Oracle, Random, assert_ordered, index, race, stranded};
use hnsw_core::distance::Metric;
use hnsw_core::graph::{NodeId, Snapshots, View};
use hnsw_core::hnsw::{IndexConfig, IndexSnapshot, Neighbor};
use hnsw_core::sync::{AtomicBool, AtomicUsize, Ordering, thread};

const DIM: usize = 6;
const WRITERS: usize = 4;
/// Snapshots taken at different times, and searches on each.
const SNAPSHOTS: usize = 8;
const REPEATS: usize = 50;
/// More than the writers insert.
const CAPACITY: usize = 4_000;

fn bits(answer: &[Neighbor]) -> Vec<(NodeId, u32)> {
    answer.iter().map(|neighbor| (neighbor.node, neighbor.distance.to_bits())).collect()
}

/// With a wide beam, the answers of brute force over the nodes that the snapshot shows.
fn assert_exact<G: Snapshots>(
    snapshot: &IndexSnapshot<G>,
    vectors: impl Fn(NodeId) -> Vec<f32>,
    query: &[f32],
) {
    let mut oracle = Oracle::new(DIM, Metric::L2);
    let all = (0..snapshot.view().node_count() as u32).map(NodeId::new);
    all.filter(|node| snapshot.contains(*node)).for_each(|node| oracle.insert(node, &vectors(node)));
    let wide = oracle.len().max(1) + CAPACITY;
    let answer = snapshot.search(query, wide, wide).unwrap();
    assert_ordered(&answer);
    assert_eq!(answer, oracle.nearest(query, wide), "{:?}", snapshot.stamp());
    assert_eq!(stranded(snapshot.view()), [], "{:?}", snapshot.stamp());
}

pub fn repeatable_and_exact_under_writers<G: Snapshots>() {
    let config =
        IndexConfig { m: 4, ef_construction: 20, capacity: CAPACITY, ..IndexConfig::new(DIM, Metric::L2) };
    let index = &index::<G>(config);
    // The vector of a node that a writer inserts is a function of the writer and its count, written down by node.
    let rows: &Vec<std::sync::OnceLock<Vec<f32>>> = &(0..CAPACITY).map(|_| Default::default()).collect();
    // How many calls the writers have made, and how many they may have made by now: they keep pace with the reader, so that
    // the graph stays small however slowly that goes.
    let (stop, written, allowed) = (&AtomicBool::new(false), &AtomicUsize::new(0), &AtomicUsize::new(0));
    let pace = |calls: usize| {
        // Relaxed [snapshots-allow]: a number that ends a wait.
        allowed.fetch_add(calls, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let (mut random, mut mine) = (Random(writer as u64), Vec::new());
                // Relaxed [snapshots-stop]: ends a loop.
                while !stop.load(Ordering::Relaxed) {
                    // Relaxed [snapshots-written-read] and [snapshots-allowed]: as above.
                    if written.load(Ordering::Relaxed) >= allowed.load(Ordering::Relaxed) {
                        thread::yield_now();
                        continue;
                    }
                    let vector = random.vector(DIM);
                    let node = index.insert(&vector).unwrap();
                    rows[node.index()].set(vector).expect("a node is given out once");
                    mine.push(node);
                    if mine.len() % 3 == 0 {
                        index.remove(mine.swap_remove(random.below(mine.len()))).unwrap();
                    }
                    // Relaxed [snapshots-written]: a number to wait for.
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut random = Random(99);
        let mut snapshots = Vec::new();
        for i in 1..=SNAPSHOTS {
            pace(60);
            // Relaxed [snapshots-wait]: as above.
            while written.load(Ordering::Relaxed) < 60 * i {
                thread::yield_now();
            }
            let snapshot = index.snapshot();
            let query = random.vector(DIM);
            let first: Vec<_> = [8, 50].map(|ef| bits(&snapshot.search(&query, 5, ef).unwrap())).into();
            snapshots.push((snapshot, query, first));
        }
        for repeat in 0..REPEATS {
            pace(30);
            for (snapshot, query, first) in &snapshots {
                for (ef, first) in [8, 50].into_iter().zip(first) {
                    let again = snapshot.clone().search(query, 5, ef).unwrap();
                    assert_eq!(&bits(&again), first, "repeat {repeat}, ef {ef}, {:?}", snapshot.stamp());
                }
            }
        }
        // A node that is in a snapshot but not yet written down is a moment away from it.
        let vector = |node: NodeId| rows[node.index()].wait().clone();
        for (snapshot, query, _) in &snapshots {
            assert_exact(snapshot, vector, query);
        }
        assert!(snapshots.is_sorted_by(|a, b| a.0.stamp() < b.0.stamp()));
        // Relaxed [snapshots-stop-set]: ends loops.
        stop.store(true, Ordering::Relaxed);
        // Everything older than the present is still there, and other threads see the same.
        let shared = &snapshots;
        race(2, |_| {
            for (snapshot, query, first) in shared {
                assert_exact(snapshot, vector, query);
                assert_eq!(bits(&snapshot.search(query, 5, 8).unwrap()), first[0]);
            }
        });
    });
    index.graph().quiesce();
}

/// Snapshots can be taken and searched while an insert is suspended, and do not show it.
pub fn answered_while_a_writer_is_suspended<G: Snapshots>() {
    suspended::<G, _>(config(30), &cloud(8), (2 * M, 0), |index, _| {
        let snapshot = index.snapshot();
        let all = (0..snapshot.view().node_count() as u32).map(NodeId::new);
        let live = all.filter(|node| snapshot.contains(*node)).count();
        assert_eq!(live, index.node_count() - 1, "all but the insert that is suspended");
        let answer = snapshot.search(&vec![0.1; index.config().dim], live, live).unwrap();
        assert_eq!(answer.len(), live);
    });
}
