//! Whole indexes under many schedules: few points, short lists, and every access a place where another thread may go on.
//! `scripts/shuttle` runs this.
#![cfg(hnsw_shuttle)]

#[path = "models/schedules.rs"]
mod schedules;
#[path = "conformance/support.rs"]
#[allow(dead_code, reason = "written for the conformance tests, which use more of it")]
mod support;

use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::sync::{Arc, explore, thread};
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
}

/// Inserts, removals of own points and searches.
fn work<G: Graph>(index: &Index<G>, log: &Log, mut random: Random, operations: usize) {
    let mut own = Vec::new();
    for _ in 0..operations {
        match random.below(8) {
            0 if !own.is_empty() => {
                let node = own.swap_remove(random.below(own.len()));
                index.remove(node).unwrap();
                log.lives.lock().unwrap().get_mut(&node).unwrap().removed = Some(log.now());
                assert!(!index.contains(node));
            }
            0..3 => {
                let (query, begin) = (random.vector(DIM), log.now());
                let answer = index.search(&query, 4, 8).unwrap();
                log.searches.lock().unwrap().push(Search { query, begin, end: log.now(), answer });
            }
            _ => {
                let (vector, inserting) = (random.vector(DIM), log.now());
                let node = index.insert(&vector).unwrap();
                assert_eq!(index.vector(node), Some(vector.clone()));
                let before =
                    log.lives.lock().unwrap().insert(node, Life { vector, inserting, removed: None });
                assert!(before.is_none(), "{node} was given out twice");
                own.push(node);
            }
        }
    }
}

/// Runs one index on 3 or 4 threads and checks what the contract promises (P1 to P6).
fn life<G: Graph>(seed: u64) {
    let mut random = Random(seed);
    let threads = 3 + random.below(2);
    let operations = 10 + random.below(21);
    let config = IndexConfig {
        m: 2,
        ef_construction: 4,
        capacity: threads * operations,
        seed,
        ..IndexConfig::new(DIM, Metric::L2)
    };
    let index = Arc::new(Index::<G>::new(config).unwrap());
    let log = Arc::new(Log::default());
    let spawned: Vec<_> = (0..threads)
        .map(|_| {
            let (index, log, random) = (Arc::clone(&index), Arc::clone(&log), Random(random.next()));
            thread::spawn(move || work(&index, &log, random, operations))
        })
        .collect();
    spawned.into_iter().for_each(|thread| thread.join().unwrap());

    assert_whole(&index, "after all threads");
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
    let all = config.capacity.max(1);
    assert_eq!(index.search(&query, all, all).unwrap(), oracle.nearest(&query, all));
}

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {$(
        #[test]
        fn $name() {
            schedules(stringify!($name), 100, life::<$graph>);
        }
    )+};
}

hnsw_strategies::for_each_strategy!(suite);

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
