//! Whole indexes under many schedules: few points, short lists, and every access a place where another thread may go on.
//! `scripts/shuttle` runs this.
//!
//! A batch is here the work of the thread that calls it: its loops go one after another, because shuttle does not know the
//! threads of rayon. So others interleave with its steps, and two batches with each other, but not the threads of one batch.
#![cfg(hnsw_shuttle)]

#[path = "models/schedules.rs"]
mod schedules;
#[path = "conformance/support.rs"]
#[allow(dead_code, reason = "written for the conformance tests, which use more of it")]
mod support;

use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::sync::{Arc, explore, thread, unexplored};
use hnsw_strategies::Batch;
use schedules::schedules;
use shuttle::scheduler::RandomScheduler;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Oracle, Random, assert_ordered, assert_whole};

const DIM: usize = 2;

/// When a node came and went: the reading of the clock before and after each call. Only one system thread is at work, so
/// readings order calls.
struct Life {
    vector: Vec<f32>,
    inserting: usize,
    removed: Option<usize>,
}

struct Search {
    query: Vec<f32>,
    begin: usize,
    end: usize,
    answer: Vec<Neighbor>,
}

/// What all threads did.
#[derive(Default)]
struct Log {
    clock: AtomicUsize,
    lives: Mutex<HashMap<NodeId, Life>>,
    searches: Mutex<Vec<Search>>,
}

impl Log {
    fn now(&self) -> usize {
        // Relaxed [shuttle-clock]: only one system thread is at work.
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn inserted(&self, node: NodeId, vector: &[f32], inserting: usize) {
        let life = Life { vector: vector.to_vec(), inserting, removed: None };
        assert!(self.lives.lock().unwrap().insert(node, life).is_none(), "{node} was given out twice");
    }
}

/// Random numbers, and vectors not farther than this from the origin, by component.
struct Draw {
    random: Random,
    spread: f32,
}

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIM).map(|_| self.random.unit() * self.spread).collect()
    }
}

/// Inserts, removals of own points and searches.
fn work<G: Graph>(index: &Index<G>, log: &Log, mut draw: Draw, operations: usize) {
    let mut own = Vec::new();
    for _ in 0..operations {
        match draw.below(8) {
            0 if !own.is_empty() => {
                let node = own.swap_remove(draw.below(own.len()));
                index.remove(node).unwrap();
                log.lives.lock().unwrap().get_mut(&node).unwrap().removed = Some(log.now());
                assert!(!index.contains(node));
            }
            0..3 => {
                let (query, begin) = (draw.vector(), log.now());
                let answer = index.search(&query, 4, 8).unwrap();
                log.searches.lock().unwrap().push(Search { query, begin, end: log.now(), answer });
            }
            _ => {
                let (vector, inserting) = (draw.vector(), log.now());
                let node = index.insert(&vector).unwrap();
                assert_eq!(index.vector(node), Some(vector.clone()));
                log.inserted(node, &vector, inserting);
                own.push(node);
            }
        }
    }
}

/// Batches of inserts, and of searches.
fn work_in_batches<G: Graph>(index: &Index<G>, log: &Log, mut draw: Draw, batches: usize, rows: usize) {
    for batch in 0..batches {
        let count = 1 + draw.below(rows);
        let vectors: Vec<f32> = (0..count).flat_map(|_| draw.vector()).collect();
        let begin = log.now();
        if batch > 0 && draw.below(3) == 0 {
            let answers = index.search_batch(&vectors, 4, 8).unwrap();
            let (mut searches, end) = (log.searches.lock().unwrap(), log.now());
            assert_eq!(answers.len(), count);
            for (query, answer) in vectors.chunks(DIM).zip(answers.iter()) {
                searches.push(Search { query: query.to_vec(), begin, end, answer: answer.to_vec() });
            }
        } else {
            let first = index.insert_batch(&vectors, |_| ControlFlow::Continue(())).unwrap();
            for (node, vector) in (first.get()..).map(NodeId::new).zip(vectors.chunks(DIM)) {
                assert_eq!(index.vector(node).as_deref(), Some(vector));
                log.inserted(node, vector, begin);
            }
        }
    }
}

/// An index with the shortest lists there are.
fn index<G: Graph>(capacity: usize, seed: u64) -> Arc<Index<G>> {
    let config =
        IndexConfig { m: 2, ef_construction: 4, capacity, seed, ..IndexConfig::new(DIM, Metric::L2) };
    Arc::new(Index::new(config).unwrap())
}

/// Runs `work(thread, what it draws from)` on so many threads, and waits for them.
fn together(
    threads: usize,
    random: &mut Random,
    spread: f32,
    work: impl Fn(usize, Draw) + Clone + Send + 'static,
) {
    let spawned: Vec<_> = (0..threads)
        .map(|number| {
            let (work, draw) = (work.clone(), Draw { random: Random(random.next()), spread });
            thread::spawn(move || work(number, draw))
        })
        .collect();
    spawned.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What the contract promises (P1 to P6) of an index and of what was done to it.
fn assert_right<G: Graph>(index: &Index<G>, log: &Log, mut random: Random) {
    assert_whole(index, "after all threads");
    let (lives, searches) = (log.lives.lock().unwrap(), log.searches.lock().unwrap());
    let mut oracle = Oracle::new(DIM, Metric::L2);
    for (node, life) in lives.iter().filter(|(_, life)| life.removed.is_none()) {
        oracle.insert(*node, &life.vector);
    }
    for search in searches.iter() {
        assert_ordered(&search.answer);
        for found in &search.answer {
            let life = &lives[&found.node];
            assert!(life.inserting < search.end, "{} was found before it was inserted", found.node);
            assert!(life.removed.is_none_or(|at| at > search.begin), "{} was removed", found.node);
            assert_eq!(found.distance, oracle.distance_to(&search.query, &life.vector));
        }
    }
    let query = random.vector(DIM);
    let all = index.config().capacity.max(1);
    assert_eq!(index.search(&query, all, all).unwrap(), oracle.nearest(&query, all));
}

/// Runs one index on 3 or 4 threads.
fn life<G: Graph>(seed: u64) {
    let mut random = Random(seed);
    let threads = 3 + random.below(2);
    let operations = 10 + random.below(21);
    let (index, log) = (index::<G>(threads * operations, seed), Arc::new(Log::default()));
    let shared = (Arc::clone(&index), Arc::clone(&log));
    together(threads, &mut random, 1.0, move |_, draw| work(&shared.0, &shared.1, draw, operations));
    assert_right(&index, &log, random);
}

/// Runs one index on 4 threads, of which two insert and search in batches.
fn batches<G: Graph>(seed: u64) {
    batches_behind::<G>(0, 4, 1.0, seed);
}

/// The same in rounds of several rows, where the strategy has them: these begin behind 256 nodes. All that is inserted then is
/// close together, so that threads want the same lists.
fn rounds<G: Graph>(seed: u64) {
    batches_behind::<G>(256, 9, 0.02, seed);
}

fn batches_behind<G: Graph>(nodes: usize, rows: usize, spread: f32, seed: u64) {
    let mut random = Random(seed);
    let (batches, operations) = (2, 4 + random.below(6));
    let index = index::<G>(nodes + 2 * batches * rows + 2 * operations, seed);
    let log = Arc::new(Log::default());
    unexplored(|| {
        for _ in 0..nodes {
            let (vector, inserting) = (random.vector(DIM), log.now());
            log.inserted(index.insert(&vector).unwrap(), &vector, inserting);
        }
    });
    let shared = (Arc::clone(&index), Arc::clone(&log));
    together(4, &mut random, spread, move |number, draw| match number {
        0 | 1 => work_in_batches(&shared.0, &shared.1, draw, batches, rows),
        _ => work(&shared.0, &shared.1, draw, operations),
    });
    unexplored(|| assert_right(&index, &log, random));
}

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {$(
        #[test]
        fn $name() {
            schedules(stringify!($name), 100, life::<$graph>);
        }
    )+

        mod in_batches {$(
            #[test]
            fn $name() {
                crate::schedules::schedules(concat!("in_batches::", stringify!($name)), 50, crate::batches::<$graph>);
            }
        )+}
    };
}

hnsw_strategies::for_each_strategy!(suite);

#[test]
fn in_rounds() {
    schedules("in_rounds", 20, rounds::<Batch>);
}

/// A counter that is read and then written, not added to.
#[test]
#[should_panic(expected = "an update is lost")]
fn a_planted_race_is_found() {
    use hnsw_core::sync::AtomicU32;
    explore(RandomScheduler::new_from_seed(1, 100), || {
        let counter = Arc::new(AtomicU32::new(0));
        let add = |counter: &AtomicU32| {
            // Relaxed [shuttle-read]: shuttle reorders nothing.
            let seen = counter.load(Ordering::Relaxed);
            // Relaxed [shuttle-write]: as above.
            counter.store(seen + 1, Ordering::Relaxed);
        };
        let other = Arc::clone(&counter);
        let rival = thread::spawn(move || add(&other));
        add(&counter);
        rival.join().unwrap();
        // Relaxed [shuttle-sum]: as above.
        assert_eq!(counter.load(Ordering::Relaxed), 2, "an update is lost");
    });
}
