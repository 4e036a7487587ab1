//! Recorded histories, checked by search: small indexes under threads that insert, remove, ask and search, guessing at each
//! other's nodes. Whatever the interleaving was, the calls on each node must have an order that explains all answers.
//!
//! | module | what it is |
//! |---|---|
//! | [`checker`] | whether a history of one sequential object is linearizable |
//! | [`node`] | a node as such an object |
//! | [`record`] | what threads do and what is written down |
//! | [`check`] | histories node by node, and each search against brute force (P2 to P5) |
//! | [`snapshots`] | snapshots as sets of writes: a chain that agrees with stamps and real time (P7) |
//! | `suspended` | histories around a thread that is suspended at each access of a call, and who may wait for it (P8); under shuttle only |
//!
//! In an ordinary build threads race, and a seed decides what each asks; the environment variable `HNSW_SEEDS` asks for more
//! than the usual 2, of which each is [`ROUNDS`] indexes. `scripts/shuttle` runs the same with schedules that a seed decides
//! too, so that a failure is repeated by its seed. Decision 27 says what the check can and cannot see.
#![cfg(not(hnsw_loom))]

mod check;
mod checker;
#[path = "../models/clock.rs"]
mod clock;
mod node;
mod record;
#[cfg(hnsw_shuttle)]
#[path = "../models/schedules.rs"]
mod schedules;
mod snapshots;
#[path = "../conformance/support.rs"]
#[allow(dead_code, reason = "written for the conformance tests, which use more of it")]
mod support;
#[cfg(hnsw_shuttle)]
mod suspended;

use clock::Clock;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_core::sync::{Arc, thread};
use record::{Event, work};
use snapshots::{Shot, watch};
use std::sync::Barrier;
use support::{Random, assert_whole};

const DIM: usize = 2;
/// Indexes per seed.
#[cfg(not(hnsw_shuttle))]
const ROUNDS: u64 = 30;

/// What is asked of one index.
struct Shape {
    /// Threads that write and search.
    threads: usize,
    /// Calls of each of these.
    calls: usize,
    /// Threads that take snapshots, where there are any.
    watchers: usize,
    /// Snapshots of each of these.
    shots: usize,
}

impl Shape {
    fn of(random: &mut Random) -> Self {
        match cfg!(hnsw_shuttle) {
            true => Shape { threads: 3 + random.below(2), calls: 6 + random.below(7), watchers: 1, shots: 3 },
            false => {
                Shape { threads: 2 + random.below(7), calls: 20 + random.below(21), watchers: 2, shots: 8 }
            }
        }
    }

    /// The shortest lists there are, so that they are full and pruned all the time.
    fn config(&self, random: &mut Random) -> IndexConfig {
        IndexConfig {
            m: 2,
            ef_construction: 1 + random.below(4),
            // With room for the calls of one thread behind those of all.
            capacity: 2 * self.threads * self.calls,
            seed: random.next(),
            ..IndexConfig::new(DIM, [Metric::L2, Metric::InnerProduct, Metric::Cosine][random.below(3)])
        }
    }
}

/// Runs `body(thread)` on so many threads at once and returns what they returned.
fn together<R: Send + 'static>(threads: usize, body: impl Fn(usize) -> R + Send + Sync + 'static) -> Vec<R> {
    let (body, start) = (Arc::new(body), Arc::new(Barrier::new(threads)));
    let spawned: Vec<_> = (0..threads)
        .map(|number| {
            let (body, start) = (Arc::clone(&body), Arc::clone(&start));
            thread::spawn(move || {
                // The threads of shuttle take turns anyway, and none of them may block the others.
                if !cfg!(hnsw_shuttle) {
                    start.wait();
                }
                body(number)
            })
        })
        .collect();
    spawned.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
}

/// The random numbers of one thread.
fn numbers(seed: u64, thread: usize) -> Random {
    Random(Random(seed ^ (thread as u64 + 1) << 40).next())
}

/// # Panics
/// With the seed, if something is wrong.
fn accept(verdict: Result<(), String>, seed: u64) {
    if let Err(wrong) = verdict {
        panic!("seed {seed}: {wrong}");
    }
}

fn accept_history<G: Graph>(index: &Index<G>, mut events: Vec<Event>, seed: u64) {
    let &IndexConfig { metric, capacity, .. } = index.config();
    accept(check::check(&events, metric, capacity), seed);
    assert_whole(index, &format!("seed {seed}, after all threads"));
    // Nothing is under way any more, so these have one order.
    let clock = Clock::default();
    let late = events.iter().map(|event| event.end).max().unwrap_or(0) + 1;
    let last = work(index, &clock, 0, numbers(seed, capacity), capacity / 4);
    events.extend(last.into_iter().map(|event| Event {
        begin: event.begin + late,
        end: event.end + late,
        ..event
    }));
    accept(check::check(&events, metric, capacity), seed);
}

/// One index, and a history of it.
fn history<G: Graph>(seed: u64) {
    let mut random = Random(seed);
    let shape = Shape::of(&mut random);
    let index = Arc::new(support::index::<G>(shape.config(&mut random)));
    let clock = Arc::new(Clock::default());
    let shared = (Arc::clone(&index), Arc::clone(&clock));
    let logs = together(shape.threads, move |thread| {
        work(&shared.0, &shared.1, thread, numbers(seed, thread), shape.calls)
    });
    accept_history(&index, logs.into_iter().flatten().collect(), seed);
}

/// One index, and a history of it with snapshots.
fn history_with_snapshots<G: Snapshots>(seed: u64) {
    let mut random = Random(seed);
    let shape = Shape::of(&mut random);
    let index = Arc::new(support::index::<G>(shape.config(&mut random)));
    let clock = Arc::new(Clock::default());
    let shared = (Arc::clone(&index), Arc::clone(&clock));
    let logs: Vec<(Vec<Event>, Vec<Shot>)> = together(shape.threads + shape.watchers, move |thread| {
        let (index, clock) = (&shared.0, &shared.1);
        match thread < shape.threads {
            true => (work(index, clock, thread, numbers(seed, thread), shape.calls), Vec::new()),
            false => (Vec::new(), watch(index, clock, numbers(seed, thread), shape.shots)),
        }
    });
    let (events, shots): (Vec<_>, Vec<_>) = logs.into_iter().unzip();
    let events: Vec<Event> = events.into_iter().flatten().collect();
    let shots: Vec<Shot> = shots.into_iter().flatten().collect();
    accept(snapshots::check(&events, &shots, index.config().metric), seed);
    accept_history(&index, events, seed);
}

/// Runs `body` with every seed.
#[cfg(not(hnsw_shuttle))]
fn seeds(_strategy: &str, body: fn(u64)) {
    let seeds = match std::env::var("HNSW_SEEDS") {
        Ok(seeds) => seeds.parse().expect("HNSW_SEEDS is a number of seeds"),
        Err(_) => 2,
    };
    (0..seeds * ROUNDS).for_each(body);
}

#[cfg(hnsw_shuttle)]
fn seeds(strategy: &str, body: fn(u64)) {
    // The first hundred all miss a bug that `scripts/planted` plants.
    schedules::schedules(&format!("{strategy}::"), 150, body);
}

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn calls_are_linearizable() {
                crate::seeds(stringify!($name), crate::history::<$graph>);
            }
        })+

        /// The name of each strategy, and whether it has snapshots.
        const STRATEGIES: &[(&str, bool)] = &[$((stringify!($name), <$graph as Graph>::CAPS.snapshots)),+];
    };
}

macro_rules! snapshot_suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        mod with_snapshots {
            $(mod $name {
                #[test]
                fn snapshots_are_serializable() {
                    crate::seeds(concat!("with_snapshots::", stringify!($name)), crate::history_with_snapshots::<$graph>);
                }
            })+

            #[test]
            fn are_tested_for_every_strategy_that_has_them() {
                let having = super::STRATEGIES.iter().filter(|(_, snapshots)| *snapshots);
                assert!(having.map(|(name, _)| *name).eq([$(stringify!($name)),+]));
            }
        }
    };
}

hnsw_strategies::for_each_strategy!(suite);
snapshot_suite!((mvcc, hnsw_strategies::Mvcc));
