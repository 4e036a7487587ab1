//! A program for sanitizers: every strategy, with several codecs, under threads that insert, remove, search, pack and take snapshots at
//! the same time, beside a build and batches. `scripts/tsan` and `scripts/asan` build it and run it once for each name that the
//! argument `list` prints; first they run what it plants, which must be reported.
//!
//! It has no test harness and no scopes, because the standard library is not instrumented for ThreadSanitizer, and its own
//! synchronisation would be reported as races (`scripts/tsan` lists the exceptions). For the same reason builds and batches are made
//! by the main thread, which is one of the pool's: no other can wait for the pool without a lock of the standard library.
//!
//! Answers are checked as far as that orders no threads: what a thread knows of its own nodes. To hold an answer against the
//! removals of others takes a clock that all share (`stress.rs` has it), and then an access that nothing else orders would be
//! ordered by the clock, and not be reported. When all threads have ended the whole index is checked.

#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "conformance/support.rs"]
mod support;

use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::vectors::{Codec, F32, Line, Lvq4, Reranked, Sq8};
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::thread;
use support::{Oracle, Random, assert_ordered, assert_whole};

const THREADS: u64 = 4;
/// Nodes that each thread inserts.
const INSERTS: u64 = 300;
const DIM: usize = 8;
/// Rows that the index is built from: as many as are compared in several groups.
const BUILT: u64 = 1_100;
/// Batches, and rows of each: as many as are inserted in several rounds.
const BATCHES: u64 = 2;
const ROWS: u64 = 300;
/// Threads of the pool, the main thread among them.
const POOL: usize = 3;
/// Steps between two snapshots of a thread, and between two packed copies.
const SNAPSHOT_STEPS: u64 = 40;
const PACK_STEPS: u64 = 150;
/// Snapshots that a thread holds at a time.
const HELD: usize = 3;
/// The most that may wait to be freed when no thread is at work.
const RETIRED: usize = 512 << 10;

fn vector(seed: u64) -> Vec<f32> {
    Random(seed).vector(DIM)
}

fn vectors(seeds: impl Iterator<Item = u64>) -> Vec<f32> {
    seeds.flat_map(vector).collect()
}

/// A query that is the vector of no node.
fn query(seed: u64) -> Vec<f32> {
    vector(!seed)
}

/// A search of a snapshot.
type Frozen = Box<dyn Fn(&[f32]) -> Vec<Neighbor>>;
/// Takes a snapshot, if the strategy has them.
type Freeze<G, C> = fn(&Index<G, C>) -> Option<Frozen>;

fn freeze<G: Snapshots, C: Codec>(index: &Index<G, C>) -> Option<Frozen> {
    let snapshot = index.snapshot();
    Some(Box::new(move |query| snapshot.search(query, 10, 20).expect("the query is sound")))
}

/// What all threads work on.
struct World<G: Graph, C: Codec> {
    index: Index<G, C>,
    freeze: Freeze<G, C>,
    oracle: Oracle,
}

/// What one thread has done: nodes with the seeds of their vectors, and the nodes that it removed, which others may have inserted.
#[derive(Default)]
struct Done {
    inserted: BTreeMap<NodeId, u64>,
    removed: BTreeSet<NodeId>,
}

impl<G: Graph, C: Codec> World<G, C> {
    /// P2, P4 and P5 of an answer, as far as the thread that got it can tell: it is ordered, names no node twice and none that
    /// this thread removed before it asked, and the distances of the nodes that it inserted are those of their vectors.
    fn check(&self, done: &Done, query: &[f32], found: &[Neighbor], what: &str) {
        assert_ordered(found);
        for Neighbor { node, distance } in found {
            assert!(!done.removed.contains(node), "{}, {what}: {node} was removed", G::NAME);
            if let Some(seed) = done.inserted.get(node) {
                let expected = self.oracle.distance_to(query, &vector(*seed));
                assert_eq!(distance.to_bits(), expected.to_bits(), "{}, {what}: distance of {node}", G::NAME);
            }
        }
    }

    fn search(&self, done: &Done, query: &[f32]) -> Vec<Neighbor> {
        let found = self.index.search(query, 10, 20).expect("the query is sound");
        self.check(done, query, &found, "index");
        found
    }

    fn remove(&self, done: &mut Done, node: NodeId) {
        if self.index.remove(node).is_ok() {
            assert!(!self.index.contains(node), "{}: {node} was removed", G::NAME);
            done.removed.insert(node);
        }
    }

    /// Searches until a node is there; then inserts, removes some of its own nodes and some of any, and searches after each step;
    /// now and then also a packed copy and a snapshot, and the latter again later.
    fn work(&self, thread: u64) -> Done {
        let mut done = Done::default();
        let mut held: Vec<(Frozen, Vec<f32>, Vec<Neighbor>)> = Vec::new();
        let mut random = Random(thread);
        while self.search(&done, &query(thread)).is_empty() {
            thread::yield_now();
        }
        for i in 0..INSERTS {
            let seed = thread * INSERTS + i;
            let node = self.index.insert(&vector(seed)).expect("there is room, and the vector is sound");
            done.inserted.insert(node, seed);
            match i % 5 {
                0 => self.remove(&mut done, node),
                3 => {
                    let any = random.below(self.index.node_count()) as u32;
                    self.remove(&mut done, NodeId::new(any));
                }
                _ => (),
            }
            let query = query(seed);
            self.search(&done, &query);
            if i % PACK_STEPS == thread {
                let packed = self.index.pack();
                self.check(
                    &done,
                    &query,
                    &packed.search(&query, 10, 20).expect("the query is sound"),
                    "packed",
                );
                for node in done.inserted.keys().filter(|node| !packed.contains(**node)) {
                    assert!(!self.index.contains(*node), "{}: {node} is not packed", G::NAME);
                }
                assert!(self.index.memory().total() > packed.graph().memory().total(), "{}: bytes", G::NAME);
                self.index.graph().quiesce();
            }
            if i % SNAPSHOT_STEPS == 10 * thread
                && let Some(frozen) = (self.freeze)(&self.index)
            {
                for (frozen, query, first) in &held {
                    assert_eq!(&frozen(query), first, "{}: a snapshot changed", G::NAME);
                }
                let first = frozen(&query);
                self.check(&done, &query, &first, "snapshot");
                if held.len() == HELD {
                    drop(held.remove(0));
                }
                held.push((frozen, query, first));
            }
        }
        done
    }

    /// Builds the index and inserts and searches by batches, beside the other threads.
    fn batches(&self) -> Done {
        let mut done = Done::default();
        let mut seed = THREADS * INSERTS;
        let mut insert = |done: &mut Done, count: u64, first: NodeId| {
            done.inserted.extend((first.get()..).map(NodeId::new).zip(seed..seed + count));
            seed += count;
        };
        let go_on = |_| ControlFlow::Continue(());
        let rows = vectors(THREADS * INSERTS..THREADS * INSERTS + BUILT);
        let first = self.index.build(&rows, go_on).expect("the rows are sound");
        insert(&mut done, BUILT, first);
        for batch in 0..BATCHES {
            let begin = THREADS * INSERTS + BUILT + batch * ROWS;
            let rows = vectors(begin..begin + ROWS);
            let first = self.index.insert_batch(&rows, go_on).expect("the rows are sound");
            insert(&mut done, ROWS, first);
            let queries: Vec<Vec<f32>> = (begin..begin + ROWS / 2).map(query).collect();
            let answers = self.index.search_batch(&queries.concat(), 10, 20).expect("the queries are sound");
            assert_eq!(answers.len(), queries.len());
            queries
                .iter()
                .zip(answers.iter())
                .for_each(|(query, found)| self.check(&done, query, found, "batch"));
        }
        done
    }

    /// What is promised when all threads have ended: P1, P2, P4, P5 and P6 of the whole index, and P10.
    fn quiet(&self, all: Vec<Done>) {
        let removals: usize = all.iter().map(|done| done.removed.len()).sum();
        let removed: BTreeSet<NodeId> = all.iter().flat_map(|done| done.removed.iter().copied()).collect();
        assert_eq!(removals, removed.len(), "{}: a node was removed twice", G::NAME);
        let inserts: usize = all.iter().map(|done| done.inserted.len()).sum();
        let inserted: BTreeMap<NodeId, u64> = all.into_iter().flat_map(|done| done.inserted).collect();
        assert_eq!((inserted.len(), self.index.node_count()), (inserts, inserts), "{}: ids", G::NAME);
        assert!(removed.iter().all(|node| inserted.contains_key(node)), "{}: what was removed?", G::NAME);
        let mut oracle = self.oracle.clone();
        for (node, seed) in inserted {
            let (live, vector) = (!removed.contains(&node), vector(seed));
            let stored = live.then(|| oracle.stored(&vector));
            assert_eq!(self.index.vector(node), stored, "{}: {node}", G::NAME);
            if live {
                oracle.insert(node, &vector);
            }
        }
        assert_whole(&self.index, G::NAME);
        for query in (0..3).map(query) {
            // The beam holds removed nodes too.
            let found = self.index.search(&query, oracle.len(), inserts).expect("the query is sound");
            assert_eq!(found, oracle.nearest(&query, oracle.len()), "{}", G::NAME);
        }
        (0..8).for_each(|_| self.index.graph().quiesce());
        let memory = self.index.memory();
        assert!(memory.retired_bytes <= RETIRED && memory.snapshots_bytes == 0, "{}: {memory:?}", G::NAME);
    }
}

fn check<G: Graph, C: Codec>(metric: Metric, freeze: Freeze<G, C>) {
    let config = IndexConfig { m: 4, ef_construction: 20, ..IndexConfig::new(DIM, metric) };
    let index = || Index::<G, C>::trained(config, &vectors(0..256)).expect("the parameters are sound");
    // As in `main`: what is made at the first use, be it of the strategy, is made before the threads start.
    let first = index();
    first.insert(&vector(0)).expect("there is room, and the vector is sound");
    drop(freeze(&first));
    first.pack().search(&query(0), 1, 1).expect("the query is sound");
    drop(first);
    let world = Box::new(World { index: index(), freeze, oracle: Oracle::new(DIM, metric) });
    // Not in an `Arc`: its last owner would be reported, because it orders what it frees by a fence.
    let leaked = Box::into_raw(world);
    // SAFETY: it comes from a box, which is taken back when all threads have ended.
    let world: &'static World<G, C> = unsafe { &*leaked };
    let workers: Vec<_> = (0..THREADS).map(|number| thread::spawn(move || world.work(number))).collect();
    let mut all = vec![world.batches()];
    all.extend(workers.into_iter().map(|worker| worker.join().expect("no worker panics")));
    world.quiet(all);
    // SAFETY: the workers were joined, the tasks of the pool are over, and nothing here looks at it any more.
    drop(unsafe { Box::from_raw(leaked) });
    println!("test {}::{} ... ok", G::NAME, C::NAME);
}

/// Two threads write one number without any order: what ThreadSanitizer must report, or its silence means nothing.
fn race() {
    let number: &'static mut u64 = Box::leak(Box::new(0));
    let address = std::ptr::from_mut(number).expose_provenance();
    let write = move || {
        // SAFETY: none; that is the point.
        unsafe { *std::ptr::with_exposed_provenance_mut::<u64>(address) += 1 };
    };
    let writers = [thread::spawn(write), thread::spawn(write)];
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
}

/// One thread writes a row while another one computes with it: what ThreadSanitizer must report, or it does not see what kernels
/// read.
fn row_race() {
    let codec = F32::new(DIM, Metric::L2).expect("the parameters are sound");
    let row: &'static mut [Line] = Box::leak(vec![Line([0.0; 16]); codec.lines()].into());
    let address = row.as_mut_ptr().expose_provenance();
    let writer = thread::spawn(move || {
        let lines = std::ptr::with_exposed_provenance_mut::<Line>(address);
        // SAFETY: none; that is the point.
        let row = unsafe { std::slice::from_raw_parts_mut(lines, codec.lines()) };
        codec.encode(&vector(1), row, &mut []);
    });
    let mut query = codec.query();
    codec.prepare(&vector(2), &mut query);
    let mut distance = [f32::NAN];
    // SAFETY: none; that is the point.
    unsafe { codec.distances(&query, &[std::ptr::with_exposed_provenance(address)], &mut distance) };
    println!("distance {}", black_box(distance[0]));
    writer.join().expect("it only writes");
}

/// Reads what was freed: what AddressSanitizer must report.
fn use_after_free() {
    let number = black_box(Box::into_raw(Box::new(7_u64)));
    // SAFETY: it comes from a box.
    drop(unsafe { Box::from_raw(number) });
    // SAFETY: none; that is the point.
    println!("read {}", black_box(unsafe { number.read() }));
}

/// Loses memory: what LeakSanitizer must report. Many pieces on a thread of their own, so that no stale copy of their
/// addresses on a stack or in a register hides all of them.
fn leak() {
    let lose = || {
        (0..100_u64).for_each(|number| {
            black_box(Box::into_raw(Box::new([number; 8])));
        })
    };
    thread::spawn(lose).join().expect("it only allocates");
}

/// The program of a strategy.
macro_rules! with_codecs {
    ($graph:ty, $freeze:expr) => {
        (|| {
            check::<$graph, F32>(Metric::L2, $freeze);
            check::<$graph, Reranked<Sq8>>(Metric::Cosine, $freeze);
            check::<$graph, Reranked<Lvq4>>(Metric::L2, $freeze);
        }) as fn()
    };
}

macro_rules! check_each {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        [$((stringify!($name), <$graph>::CAPS.snapshots, with_codecs!($graph, |_| None))),+]
    };
}

/// The program of each strategy, by name.
fn checks() -> Vec<(&'static str, fn())> {
    let with_snapshots = |name| match name {
        "mvcc" => with_codecs!(hnsw_strategies::Mvcc, freeze),
        other => panic!("{other} has snapshots, and its program is not named here"),
    };
    hnsw_strategies::for_each_strategy!(check_each)
        .map(|(name, snapshots, check)| (name, if snapshots { with_snapshots(name) } else { check }))
        .into()
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("race") => race(),
        Some("row-race") => row_race(),
        Some("use-after-free") => use_after_free(),
        Some("leak") => leak(),
        Some("list") => checks().iter().for_each(|(name, _)| println!("{name}")),
        wanted => {
            // What is made once in the process, such as the collector of epochs, is made before any thread can race for it: `Once`
            // is of the standard library.
            drop(hnsw_core::sync::epoch::pin());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(POOL).use_current_thread();
            pool.build_global().expect("nothing has made the pool yet");
            let checks = checks();
            let chosen = checks.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
            assert!(chosen.clone().count() > 0, "{wanted:?} is none of the list");
            chosen.for_each(|(_, check)| check());
        }
    }
}
