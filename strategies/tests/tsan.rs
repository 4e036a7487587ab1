//! A program for sanitizers: every strategy under threads that insert, remove, search, pack and take snapshots at the same time,
//! beside batches. `scripts/tsan` and `scripts/asan` build it and run it once for each name that the argument `list` prints; first
//! they run what it plants, which must be reported.
//!
//! It has no test harness and no scopes, because the standard library is not instrumented for ThreadSanitizer, and its own
//! synchronisation would be reported as races (`scripts/tsan` lists the exceptions). For the same reason batches are made by the main thread, which is one of the pool's:
//! no other can wait for the pool without a lock of the standard library.

use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::thread;

const THREADS: u64 = 4;
const INSERTS: u64 = 600;
const DIM: usize = 8;
/// Rounds of batches, and rows of each: more than are inserted one by one at the start.
const BATCHES: u64 = 4;
const ROWS: u64 = 300;
/// Threads of the pool, the main thread among them.
const POOL: usize = 3;
/// Steps between two snapshots of a thread, and between two packed copies.
const SNAPSHOT_STEPS: u64 = 40;
const PACK_STEPS: u64 = 150;
/// Snapshots that a thread holds at a time.
const HELD: usize = 3;

/// Numbers that look random, the same for the same `seed` (splitmix64).
fn vector(seed: u64) -> Vec<f32> {
    let component = |i: u64| {
        let mut bits = (seed * DIM as u64 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 40) as f32
    };
    (0..DIM as u64).map(component).collect()
}

fn query(seed: u64) -> Vec<f32> {
    vector(!seed % 100_000)
}

/// A search of a snapshot.
type Frozen = Box<dyn Fn(&[f32]) -> Vec<Neighbor>>;
/// Takes a snapshot, if the strategy has them.
type Freeze<G> = fn(&Index<G>) -> Option<Frozen>;

fn freeze<G: Snapshots>(index: &Index<G>) -> Option<Frozen> {
    let snapshot = index.snapshot();
    Some(Box::new(move |query| snapshot.search(query, 10, 20).expect("the query is sound")))
}

/// What one thread has done: nodes with the seeds of their vectors.
#[derive(Default)]
struct Done {
    live: Vec<(NodeId, u64)>,
    removed: Vec<(NodeId, u64)>,
}

impl Done {
    /// That an answer is ordered, and has nothing that this thread removed before it asked.
    fn check(&self, found: &[Neighbor], what: &str) {
        assert!(found.windows(2).all(|pair| pair[0].distance <= pair[1].distance), "{what}: unordered");
        let mine = |node: NodeId| self.removed.iter().any(|&(gone, _)| gone == node);
        assert!(!found.iter().any(|neighbor| mine(neighbor.node)), "{what}: found what was removed");
    }
}

/// Inserts, removes every fifth of its own nodes and searches after each step; now and then also a packed copy and a snapshot,
/// and the latter again later.
fn work<G: Graph>(index: &Index<G>, thread: u64, freeze: Freeze<G>) -> Done {
    let mut done = Done::default();
    let mut held: Vec<(Frozen, Vec<f32>, Vec<Neighbor>)> = Vec::new();
    for i in 0..INSERTS {
        let seed = thread * INSERTS + i;
        let node = index.insert(&vector(seed)).expect("there is room, and the vector is sound");
        if i % 5 == 0 {
            index.remove(node).expect("only this thread removes it");
            done.removed.push((node, seed));
        } else {
            done.live.push((node, seed));
        }
        let query = query(seed);
        done.check(&index.search(&query, 10, 20).expect("the query is sound"), G::NAME);
        if i % PACK_STEPS == thread {
            let packed = index.pack();
            done.check(&packed.search(&query, 10, 20).expect("the query is sound"), "packed");
            assert!(done.live.iter().all(|&(node, _)| packed.contains(node)), "{}: not packed", G::NAME);
            assert!(index.memory().total() > packed.graph().memory().total(), "{}: bytes", G::NAME);
            index.graph().quiesce();
        }
        if i % SNAPSHOT_STEPS == 10 * thread
            && let Some(frozen) = freeze(index)
        {
            for (frozen, query, first) in &held {
                assert_eq!(&frozen(query), first, "{}: a snapshot changed", G::NAME);
            }
            let first = frozen(&query);
            done.check(&first, "snapshot");
            if held.len() == HELD {
                drop(held.remove(0));
            }
            held.push((frozen, query, first));
        }
    }
    done
}

/// Inserts and searches by batches; returns its nodes.
fn batches<G: Graph>(index: &Index<G>) -> Done {
    let mut done = Done::default();
    for batch in 0..BATCHES {
        let first = THREADS * INSERTS + batch * ROWS;
        let rows: Vec<f32> = (first..first + ROWS).flat_map(vector).collect();
        let node = index.insert_batch(&rows, |_| ControlFlow::Continue(())).expect("the rows are sound");
        done.live.extend((0..ROWS).map(|row| (NodeId::new(node.get() + row as u32), first + row)));
        let queries: Vec<f32> = (first..first + ROWS / 2).flat_map(query).collect();
        let answers = index.search_batch(&queries, 10, 20).expect("the queries are sound");
        answers.iter().for_each(|answer| done.check(answer, G::NAME));
    }
    done
}

fn check<G: Graph>(freeze: Freeze<G>) {
    let config = IndexConfig { m: 4, ef_construction: 20, ..IndexConfig::new(DIM, Metric::L2) };
    let index = Box::new(Index::<G>::new(config).expect("the parameters are sound"));
    // Not in an `Arc`: its last owner would be reported, because it orders what it frees by a fence.
    let leaked = Box::into_raw(index);
    // SAFETY: it comes from a box, which is taken back when all threads have ended.
    let index: &'static Index<G> = unsafe { &*leaked };
    // As in `main`: what is made at the first use, be it of the strategy, is made before the threads start.
    index
        .insert(&vector(THREADS * INSERTS + BATCHES * ROWS))
        .expect("there is room, and the vector is sound");
    drop(freeze(index));
    index.pack().search(&query(0), 1, 1).expect("the query is sound");
    let workers: Vec<_> =
        (0..THREADS).map(|number| thread::spawn(move || work(index, number, freeze))).collect();
    let mut all = vec![batches(index)];
    all.extend(workers.into_iter().map(|worker| worker.join().expect("no worker panics")));
    for Done { live, removed } in all {
        for (node, seed) in live {
            assert_eq!(index.vector(node).as_deref(), Some(vector(seed).as_slice()), "{}: {node:?}", G::NAME);
        }
        assert!(!removed.iter().any(|&(node, _)| index.contains(node)), "{}: removed, but there", G::NAME);
    }
    // SAFETY: the workers were joined, the tasks of the pool are over, and nothing here looks at it any more.
    drop(unsafe { Box::from_raw(leaked) });
    println!("test {} ... ok", G::NAME);
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

macro_rules! check_each {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        [$((stringify!($name), <$graph>::CAPS.snapshots, (|| check::<$graph>(|_| None)) as fn())),+]
    };
}

/// The program of each strategy, by name.
fn checks() -> Vec<(&'static str, fn())> {
    let with_snapshots = |name| match name {
        "mvcc" => || check::<hnsw_strategies::Mvcc>(freeze),
        other => panic!("{other} has snapshots, and its program is not named here"),
    };
    hnsw_strategies::for_each_strategy!(check_each)
        .map(|(name, snapshots, check)| (name, if snapshots { with_snapshots(name) } else { check }))
        .into()
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("race") => race(),
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
