//! Who goes on while a writer is suspended in the middle of an insert (P8).
//!
//! The writer is suspended inside a rewrite, by a codec that waits at a gate when it compares the owner of a full list with
//! all the targets of the list: that is what pruning begins with, and nothing else compares so many rows at once.

use crate::codec::{Hook, Hooked};
use crate::support::{Random, assert_whole, race, stranded};
use core::cell::RefCell;
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, Level, NodeId, View};
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_core::sync::thread;
use hnsw_strategies::Sequential;
use std::sync::mpsc;
use std::time::Duration;

/// Neither M nor twice M is a number of rows that is compared at once but in pruning (the heuristic compares 8 at most).
pub const M: usize = 9;
const DIM: usize = 8;
const NODES: usize = 3_000;
/// How long to wait for something that must not happen.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long to wait for something that must happen, however slow the machine.
const LONG: Duration = Duration::from_secs(60);

/// Where a thread waits once, when it prunes a list of `links` links.
struct Gate {
    links: usize,
    reached: mpsc::Sender<()>,
    open: mpsc::Receiver<()>,
}

thread_local! {
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

/// Waits at the gate of its thread.
#[derive(Clone, Copy)]
pub struct AtGate;

impl Hook for AtGate {
    const NAME: &'static str = "gated";

    fn before(call: &'static str, rows: usize) {
        let is_here = |gate: &mut Gate| call == "distances_between" && gate.links == rows;
        if let Some(gate) = GATE.with(|gate| gate.borrow_mut().take_if(is_here)) {
            gate.reached.send(()).unwrap();
            // Also ends when the sender is gone: then the test has failed, and the writer must not hang.
            let _ = gate.open.recv();
        }
    }
}

/// The codec of vectors, with a gate.
pub type Gated = Hooked<AtGate>;

pub fn config(ef_construction: usize) -> IndexConfig {
    IndexConfig { m: M, ef_construction, ..IndexConfig::new(DIM, Metric::L2) }
}

/// Inserts half of `vectors` into a new index, suspends the insert of one of the others, of at least this `level`, in the middle of pruning a list of `links` links, runs
/// `body` with the index and a function that lets the insert go on, and checks the graph when the insert has ended.
pub fn suspended<G: Graph, R>(
    config: IndexConfig,
    vectors: &[Vec<f32>],
    (links, level): (usize, Level),
    body: impl FnOnce(&Index<G, Gated>, &dyn Fn()) -> R,
) -> R {
    let index = &Index::<G, Gated>::new(config).unwrap();
    let (before, others) = vectors.split_at(vectors.len() / 2);
    before.iter().for_each(|vector| {
        index.insert(vector).unwrap();
    });
    let levels = levels(config, vectors.len()).split_off(before.len());
    let (reached, is_reached) = mpsc::channel();
    let (let_go, open) = mpsc::channel();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            let mut gate = Some(Gate { links, reached, open });
            for (vector, of_next) in others.iter().zip(levels) {
                let high = of_next >= level;
                if high {
                    GATE.set(gate.take());
                }
                index.insert(vector).unwrap();
                if high {
                    gate = GATE.take();
                    if gate.is_none() {
                        return;
                    }
                }
            }
        });
        is_reached.recv_timeout(LONG).expect("some insert prunes a full list");
        let result = body(index, &|| let_go.send(()).unwrap());
        drop(let_go);
        result
    });
    assert_whole(index, "after the suspended insert has ended");
    result
}

/// Twice [`NODES`] random vectors.
pub fn cloud(dim: usize) -> Vec<Vec<f32>> {
    let mut random = Random(dim as u64);
    (0..2 * NODES).map(|_| random.vector(dim)).collect()
}

/// The levels of nodes: with one seed they are the same in every index.
fn levels(config: IndexConfig, nodes: usize) -> Vec<Level> {
    let twin = Index::<Sequential>::new(IndexConfig { dim: 1, ef_construction: 1, ..config }).unwrap();
    let vectors: Vec<f32> = (0..nodes).map(|i| i as f32).collect();
    twin.insert_batch(&vectors, |_| ControlFlow::Continue(())).unwrap();
    let view = twin.graph().read();
    (0..nodes as u32).map(|node| view.level(NodeId::new(node))).collect()
}

/// Runs `action` on another thread; waits up to `patience` for its end, then calls `release` and waits for it. True if it
/// had ended before.
fn ends_before(patience: Duration, action: impl FnOnce() + Send, release: &dyn Fn()) -> bool {
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            action();
            ended.send(()).unwrap();
        });
        let ended_before = end.recv_timeout(patience).is_ok();
        release();
        ended_before
    })
}

/// Whether other writers go on while one is suspended where it prunes.
fn writers_go_on<G: Graph>() -> bool {
    G::CAPS.lock_free_writes || G::CAPS.unlocked_rewrites
}

pub fn a_suspended_writer_holds_up_whom_it_may<G: Graph>() {
    // The writer is suspended where it prunes. Reads of the newest version of `mvcc` are lock-free and not wait-free, but no
    // suspended writer holds them up.
    let searches_go_on = G::CAPS.wait_free_reads || G::CAPS.snapshots || G::CAPS.unlocked_rewrites;
    let search_all = |index: &Index<G, Gated>| {
        let n = index.node_count();
        assert!(index.search(&[0.2; DIM], n, n).unwrap().len() >= NODES);
    };
    for links in [M, 2 * M] {
        // A wide search reads all lists of level 0, but not all above.
        if searches_go_on || links == 2 * M {
            let ended = suspended::<G, _>(config(30), &cloud(DIM), (links, 0), |index, release| {
                let patience = if searches_go_on { LONG } else { PATIENCE };
                ends_before(patience, || (0..20).for_each(|_| search_all(index)), release)
            });
            assert_eq!(ended, searches_go_on, "searches, with a list of {links} links being pruned");
        }
        if writers_go_on::<G>() {
            let write = |index: &Index<G, Gated>| {
                race(4, |t| {
                    let mut random = Random(t as u64);
                    for i in 0..100 {
                        let node = index.insert(&random.vector(DIM)).unwrap();
                        index
                            .remove(if i % 2 == 0 { node } else { NodeId::new((i * 4 + t) as u32) })
                            .unwrap();
                    }
                });
            };
            let ended = suspended::<G, _>(config(30), &cloud(DIM), (links, 0), |index, release| {
                ends_before(LONG, || write(index), release)
            });
            assert!(ended, "writers, with a list of {links} links being pruned");
        }
    }
}

/// Named after the bug: an insert was linked on the upper levels before it was on level 0. With a beam of 1, nodes that other
/// threads inserted meanwhile could have it as their only neighbour, and were lost for as long as it was suspended.
pub fn nodes_inserted_near_a_suspended_insert_are_reachable<G: Graph>() {
    if !writers_go_on::<G>() {
        return;
    }
    let config = IndexConfig { dim: 64, ..config(1) };
    let mut vectors = cloud(config.dim);
    // A centre that is nearest to all, on level 1 and not above: its list there is full, so a node of level 2 is suspended
    // when others can find it through level 2.
    let centre = levels(config, NODES).iter().position(|level| *level == 1).unwrap();
    vectors[centre].fill(0.0);
    suspended::<G, _>(config, &vectors, (M, 2), |index, _| {
        let suspended = NodeId::new(index.node_count() as u32 - 1);
        let vector = index.vector(suspended).expect("it is published before it is linked");
        (0..20).for_each(|_| {
            index.insert(&vector).unwrap();
        });
        let mut stranded = stranded(&index.graph().read());
        stranded.retain(|node| *node != suspended);
        assert_eq!(stranded, [], "while the insert of {suspended} is suspended");
    });
}
