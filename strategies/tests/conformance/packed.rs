//! Packed copies: the answers of what was packed, also while others write (P1, P2, P5, P6, and P7 for snapshots).

use crate::support::{Random, index, race, sift, stranded};
use hnsw_core::distance::Metric;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Graph, GraphConfig, Link, LinkBuf, NodeId, NodeState, Snapshots, View};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor, Scratch};
use hnsw_core::sync::{AtomicBool, Mutex, Ordering, thread};
use std::collections::HashSet;

const DIM: usize = 6;
const WRITERS: usize = 3;
/// Copies that are made while others write.
const COPIES: usize = 12;

fn health(view: &impl View, config: &IndexConfig) -> Health {
    Health::of(view, &GraphConfig { m: config.m, capacity: config.capacity })
}

/// With no writers, every answer is that of the source, bit for bit; and stays so, whatever becomes of the source.
pub fn a_packed_copy_answers_as_its_source<G: Graph>() {
    for metric in [Metric::L2, Metric::Cosine] {
        let config =
            IndexConfig { m: 8, ef_construction: 40, capacity: 3_000, ..IndexConfig::new(128, metric) };
        let index = index::<G>(config);
        let (first, later) = sift().base[..2_500].split_at(2_000);
        first.iter().for_each(|row| {
            index.insert(row).unwrap();
        });
        let untouched = index.pack();
        assert!(!untouched.graph().may_have_tombstones());
        // Among them the nodes that queries find first.
        let nearest = sift().queries.iter().take(20).map(|query| index.search(query, 1, 40).unwrap()[0].node);
        let removed: HashSet<NodeId> = (0..2_000).step_by(7).map(NodeId::new).chain(nearest).collect();
        removed.iter().for_each(|node| index.remove(*node).unwrap());
        let packed = index.pack();
        assert_eq!(packed.node_count(), 2_000);
        assert_eq!(health(packed.graph(), &config), health(&index.graph().read(), &config));
        let searches = || {
            let queries = sift().queries.iter().take(60);
            queries.flat_map(|query| [(query, 1, 1), (query, 10, 10), (query, 10, 64), (query, 50, 300)])
        };
        let expected: Vec<_> = searches().map(|(q, k, ef)| index.search(q, k, ef).unwrap()).collect();
        let check = |when: &str| {
            for ((query, k, ef), expected) in searches().zip(&expected) {
                let answer = packed.search(query, k, ef).unwrap();
                assert_eq!(&answer, expected, "{metric}, k {k}, ef {ef}, {when}");
                assert!(answer.iter().all(|n| !removed.contains(&n.node)), "{when}");
            }
        };
        check("as it was packed");
        let queries: Vec<f32> = sift().queries[..60].concat();
        let mut each: Vec<Vec<Neighbor>> = Vec::new();
        packed
            .search_each_with(&queries, 10, 64, &mut Scratch::new(), |query, answer| {
                assert_eq!(query, each.len(), "in the order of the queries");
                each.push(answer.to_vec());
            })
            .unwrap();
        assert_eq!(each.len(), 60);
        for (query, answer) in sift().queries.iter().zip(&each) {
            assert_eq!(answer, &packed.search(query, 10, 64).unwrap(), "{metric}, in one call");
        }
        later.iter().for_each(|row| {
            index.insert(row).unwrap();
        });
        index.remove(NodeId::new(1)).unwrap();
        check("after more was written");
        let vector = index.vector(NodeId::new(2));
        drop(index);
        check("after the source was dropped");
        for node in (0..2_001).map(NodeId::new) {
            assert_eq!(packed.contains(node), node.index() < 2_000 && !removed.contains(&node));
            assert_eq!(packed.vector(node).is_some(), packed.contains(node));
            assert_eq!(untouched.contains(node), node.index() < 2_000, "packed before the removals");
        }
        assert_eq!(packed.vector(NodeId::new(2)), vector);
        assert!(packed.search(&sift().queries[0], 10, 9).is_err() && packed.search(&[0.0], 1, 1).is_err());
    }
}

/// What a packed copy of an index without nodes, or with nodes that were only reserved, shows.
pub fn a_packed_copy_of_nothing_finds_nothing<G: Graph>() {
    let index = index::<G>(IndexConfig::new(DIM, Metric::L2));
    assert_eq!(index.pack().search(&[0.0; DIM], 3, 3).unwrap(), []);
    index.graph().reserve(3, |_| 2).unwrap();
    let packed = index.pack();
    assert_eq!((packed.node_count(), packed.graph().state(NodeId::new(2))), (3, NodeState::Reserved));
    assert_eq!(packed.search(&[0.0; DIM], 3, 3).unwrap(), []);
    let node = index.insert(&[1.0; DIM]).unwrap();
    assert_eq!(index.pack().search(&[0.0; DIM], 3, 3).unwrap()[0].node, node);
}

/// What writers have done, by calls that returned.
#[derive(Clone, Default)]
struct Done {
    inserted: Vec<NodeId>,
    /// The last may be under way.
    removing: Vec<NodeId>,
    removed: Vec<NodeId>,
}

/// Runs `body` while writers insert and remove; it is lent what they have done so far.
fn beside_writers<G: Graph>(index: &Index<G>, body: impl Fn(&Mutex<Done>) + Sync) {
    let (done, stop) = (&Mutex::new(Done::default()), &AtomicBool::new(false));
    race(WRITERS + 1, |thread| {
        if thread == WRITERS {
            while done.lock().inserted.len() < 300 {
                thread::yield_now();
            }
            body(done);
            // Relaxed [packed-test-stop-set]: ends loops.
            stop.store(true, Ordering::Relaxed);
            return;
        }
        let mut random = Random(thread as u64);
        for round in 0.. {
            // Relaxed [packed-test-stop]: as above.
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(node) = index.insert(&random.vector(DIM)) else { return };
            done.lock().inserted.push(node);
            if round % 4 == 3 {
                done.lock().removing.push(node);
                index.remove(node).unwrap();
                done.lock().removed.push(node);
            }
        }
    });
}

fn busy_config() -> IndexConfig {
    IndexConfig { m: 4, ef_construction: 20, capacity: 20_000, ..IndexConfig::new(DIM, Metric::L2) }
}

/// A copy that is made while others write has every insert and removal that had returned, each node of those can be reached, and
/// no list names what is not there.
pub fn packing_beside_writers_keeps_what_had_returned<G: Graph>() {
    let config = busy_config();
    let index = &index::<G>(config);
    beside_writers(index, |done| {
        for copy in 0..COPIES {
            let before = done.lock().clone();
            let packed = index.pack();
            let after = done.lock().clone();
            let health = health(packed.graph(), &config);
            assert!(health.faults.is_empty(), "{copy}: {:#?}", health.faults);
            let stranded: HashSet<NodeId> = stranded(packed.graph()).into_iter().collect();
            let removing: HashSet<NodeId> = after.removing.into_iter().collect();
            for node in &before.inserted {
                assert!(!stranded.contains(node), "{copy}: no way from or to {node}");
                assert!(packed.contains(*node) || removing.contains(node), "{copy}: {node} is missing");
            }
            for node in &before.removed {
                assert_eq!(packed.graph().state(*node), NodeState::Tombstone, "{copy}: {node}");
            }
            let answer = packed.search(&Random(copy as u64).vector(DIM), 20, 40).unwrap();
            assert_eq!(answer.len(), 20, "{copy}");
            assert!(answer.iter().all(|n| packed.contains(n.node)), "{copy}");
        }
    });
}

/// A packed snapshot is the snapshot: the same nodes, the same lists, the same answers.
pub fn a_packed_snapshot_is_that_snapshot<G: Snapshots>() {
    let config = busy_config();
    let index = &index::<G>(config);
    beside_writers(index, |done| {
        let (mut of_packed, mut of_source) = (LinkBuf::new(), LinkBuf::new());
        for copy in 0..COPIES {
            let returned = done.lock().inserted.clone();
            let snapshot = index.snapshot();
            let packed = snapshot.pack();
            let (graph, view) = (packed.graph(), snapshot.view());
            assert_eq!((graph.node_count(), graph.entry()), (view.node_count(), view.entry()));
            assert_eq!(health(graph, &config), health(view, &config), "{copy}");
            assert_eq!(stranded(graph), [], "{copy}");
            assert!(returned.iter().all(|node| graph.state(*node) != NodeState::Reserved), "{copy}");
            for node in (0..graph.node_count() as u32).map(NodeId::new) {
                assert_eq!(graph.state(node), view.state(node), "{copy}: {node}");
                if graph.state(node) == NodeState::Reserved {
                    continue;
                }
                for level in 0..=graph.level(node) {
                    let at = At::new(node, level);
                    let nodes =
                        |links: &[Link]| -> Vec<NodeId> { links.iter().map(|link| link.node()).collect() };
                    let (left, right) = (graph.links(at, &mut of_packed), view.links(at, &mut of_source));
                    assert_eq!(nodes(left), nodes(right), "{copy}: {at:?}");
                }
            }
            let query = Random(copy as u64).vector(DIM);
            for ef in [10, 100] {
                assert_eq!(packed.search(&query, 10, ef).unwrap(), snapshot.search(&query, 10, ef).unwrap());
            }
        }
    });
    index.graph().quiesce();
}
