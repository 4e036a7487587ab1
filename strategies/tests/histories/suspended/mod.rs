//! A thread that is suspended before each access of a call (P8): not only between the calls that it makes of its strategy, as
//! in `faults/`, but in the middle of them.
//!
//! The thread runs alone for n points, for n = 0, 1, … until the call ends before. Then it stands still while others search,
//! insert, remove (also the node of the call) and search again, one after another, each until it has ended or is found to wait.
//! Then the thread goes on, and all must end. Who may have waited is what the contract says, row by row ([`promises`]); what all of them did is a history, which
//! is checked as any other.
//!
//! A point is before each atomic access and each attempt at a lock. There is none inside `crossbeam-epoch` and `arc-swap`.
//!
//! A failure prints n: `HNSW_SHUTTLE=N scripts/shuttle suspended::STRATEGY::CALL`.

mod promises;
mod scenes;
mod schedule;

use crate::check;
use crate::clock::Clock;
use crate::record::{Event, What, timed};
use crate::snapshots::{self, Shot, watch};
use crate::support::{Random, assert_whole};
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::Index;
use hnsw_core::sync::{Arc, AtomicU32, Ordering, explore, spin_loop, thread};
use hnsw_strategies::{Batch, Fine, Slots};
use promises::{Hold, Promise, promise};
use scenes::{M, Scene, searched};
use schedule::{Seen, Suspending};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

/// What a thread did, and what it was shown.
type Log = (Vec<Event>, Vec<Shot>);

/// What another thread does while one is suspended.
struct Other<G: Graph> {
    run: fn(&Index<G>, &Clock, &Scene) -> Log,
    writes: bool,
}

impl<G: Graph> Clone for Other<G> {
    fn clone(&self) -> Self {
        Other { run: self.run, writes: self.writes }
    }
}

/// Two searches for all, one for a few, and what becomes of the node of the call.
fn search<G: Graph>(index: &Index<G>, clock: &Clock, scene: &Scene) -> Log {
    let mut events = searched(index, clock);
    let node = scene.node();
    let (begin, what, end) = timed(clock, || What::Contains { node, answer: index.contains(node) });
    events.push(Event { thread: 2, begin, end, what });
    (events, Vec::new())
}

fn insert<G: Graph>(index: &Index<G>, clock: &Clock, scene: &Scene) -> Log {
    let vector = scene.near.clone();
    let insert =
        || What::Insert { node: index.insert(&vector).expect("there is room"), vector: vector.clone() };
    let (begin, what, end) = timed(clock, insert);
    (vec![Event { thread: 3, begin, end, what }], Vec::new())
}

fn remove_another<G: Graph>(index: &Index<G>, clock: &Clock, scene: &Scene) -> Log {
    remove(index, clock, scene.spare)
}

fn remove_the_same<G: Graph>(index: &Index<G>, clock: &Clock, scene: &Scene) -> Log {
    remove(index, clock, scene.node())
}

fn remove<G: Graph>(index: &Index<G>, clock: &Clock, node: NodeId) -> Log {
    let (begin, what, end) = timed(clock, || What::Remove { node, removed: index.remove(node).is_ok() });
    (vec![Event { thread: 4, begin, end, what }], Vec::new())
}

fn snapshot<G: Snapshots>(index: &Index<G>, clock: &Clock, _scene: &Scene) -> Log {
    (Vec::new(), watch(index, clock, Random(5), 2))
}

fn others<G: Graph>() -> Vec<Other<G>> {
    let search = Other { run: search::<G>, writes: false };
    let writers =
        [insert::<G>, remove_another::<G>, remove_the_same::<G>].map(|run| Other { run, writes: true });
    let before = search.clone();
    [before].into_iter().chain(writers).chain([search]).collect()
}

/// Also with snapshots, which are taken and searched.
fn others_with_snapshots<G: Snapshots>() -> Vec<Other<G>> {
    let snapshot = Other { run: snapshot::<G>, writes: false };
    let mut others = others::<G>();
    others.insert(0, snapshot.clone());
    others.push(snapshot);
    others
}

/// Suspends the call of a scene after `at` points, and checks what everyone did. Who waited is in `seen`.
fn at_point<G: Graph>(scene: &Scene, others: &[Other<G>], at: usize, seen: &Arc<Mutex<Seen>>) {
    let clock = Arc::new(Clock::default());
    let (index, mut events) = scene.set_up::<G>(&clock);
    let index = Arc::new(index);
    let logs = Arc::new(Mutex::new(Vec::new()));
    let shared = (Arc::clone(&index), Arc::clone(&clock), scene.clone(), others.to_vec(), Arc::clone(&logs));
    explore(Suspending::new(at, others.len(), seen), move || {
        let (index, clock, scene, others, logs) = &shared;
        let start = |run: fn(&Index<G>, &Clock, &Scene) -> Log| {
            let (index, clock, scene) = (Arc::clone(index), Arc::clone(clock), scene.clone());
            thread::spawn(move || run(&index, &clock, &scene))
        };
        let victim = start(|index, clock, scene| (scene.run(index, clock), Vec::new()));
        let others: Vec<_> = others.iter().map(|other| start(other.run)).collect();
        let ended =
            core::iter::once(victim).chain(others).map(|thread| thread.join().expect("it did not panic"));
        *logs.lock().unwrap() = ended.collect();
    });
    let (calls, shots): (Vec<_>, Vec<_>) = core::mem::take(&mut *logs.lock().unwrap()).into_iter().unzip();
    events.extend(calls.into_iter().flatten());
    // Now that all is quiet.
    events.extend(searched(&index, &clock));
    let (shots, config) = (shots.concat(), index.config());
    check::check(&events, config.metric, config.capacity)
        .and_then(|()| snapshots::check(&events, &shots, config.metric))
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_whole(&index, "afterwards");
}

/// At how many points a thread was suspended, at how many others might be held up then, and at how many they were.
#[derive(Default)]
struct Count {
    points: usize,
    allowed: usize,
    held_up: usize,
}

impl core::fmt::Display for Count {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "were held up at {} of {} points, and might be at {}",
            self.held_up, self.points, self.allowed
        )
    }
}

impl Count {
    /// # Panics
    /// When someone was held up and must not be.
    fn add(&mut self, whom: &str, hold: Option<Hold>, done: &[&str], waited_at: Option<&str>) {
        let allowed = hold.is_some_and(|hold| hold.is_held(done, 2 * M));
        assert!(allowed || waited_at.is_none(), "{whom} must go on, and waits at {waited_at:?}");
        self.points += 1;
        self.held_up += usize::from(waited_at.is_some());
        self.allowed += usize::from(allowed);
    }
}

/// Suspends the call of a scene at each of its points in turn.
fn at_each_point<G: Graph>(test: &str, scene: &Scene, others: &[Other<G>]) {
    let Promise { searches, writers } = promise(G::NAME, G::CAPS);
    let only = std::env::var("HNSW_SHUTTLE").ok().map(|text| text.parse::<usize>().expect("a number"));
    let (mut searched, mut written) = (Count::default(), Count::default());
    for at in (only.unwrap_or(0)..).step_by(scene.every) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            at_point(scene, others, at, &seen);
            let seen = seen.lock().unwrap();
            let waited = |writes| {
                let of = others.iter().zip(&seen.waits).filter(|(other, _)| other.writes == writes);
                of.filter_map(|(_, wait)| *wait).next()
            };
            if !seen.ended {
                searched.add("a search", searches, &seen.done, waited(false));
                written.add("a writer", writers, &seen.done, waited(true));
            }
        }));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(panic) = ran {
            let next = seen.next.unwrap_or("no access");
            eprintln!("\n{}: {}, suspended after {at} points, before {next}", G::NAME, scene.name);
            eprintln!("again: HNSW_SHUTTLE={at} scripts/shuttle {test}\n");
            resume_unwind(panic);
        }
        if seen.ended {
            let missing = scene.needs.iter().find(|site| !seen.done.contains(*site));
            assert_eq!(missing, None, "{}: {}", G::NAME, scene.name);
        }
        if seen.ended || only.is_some() {
            break;
        }
    }
    for (hold, count) in [(searches, &searched), (writers, &written)] {
        let everyone = hold.is_some_and(|hold| hold.of_all);
        assert!(!everyone || count.held_up == count.allowed, "{}: {}: {count}", G::NAME, scene.name);
    }
    println!("{}: {}: searches {searched}, writers {written}", G::NAME, scene.name);
    if scene.contends && only.is_none() {
        assert_eq!(
            searches.is_some(),
            searched.held_up > 0,
            "{}: {}: searches {searched}",
            G::NAME,
            scene.name
        );
        assert_eq!(writers.is_some(), written.held_up > 0, "{}: {}: writers {written}", G::NAME, scene.name);
    }
}

#[test]
fn whoever_waits_is_found_out_and_goes_on_afterwards() {
    for (at, yields, waits) in [(0, true, true), (2, true, true), (2, false, true), (9, true, false)] {
        let seen = Arc::new(Mutex::new(Seen::default()));
        explore(Suspending::new(at, 2, &seen), move || {
            let flag = Arc::new(AtomicU32::new(0));
            let raised = Arc::clone(&flag);
            let victim = thread::spawn(move || {
                for value in [1, 2] {
                    // Relaxed [suspended-raise]: shuttle reorders nothing.
                    raised.store(value, Ordering::Relaxed);
                }
            });
            let look = move |until: u32| {
                let flag = Arc::clone(&flag);
                move || {
                    // Relaxed [suspended-look]: as above.
                    while flag.load(Ordering::Relaxed) < until {
                        if yields {
                            spin_loop();
                        }
                    }
                }
            };
            let others = [2, 0].map(|until| thread::spawn(look(until)));
            core::iter::once(victim).chain(others).for_each(|thread| thread.join().unwrap());
        });
        let Seen { ended, waits: found, .. } = &*seen.lock().unwrap();
        assert_eq!(*ended, !waits, "suspended after {at} points");
        // The second of them has nothing to wait for.
        let expected = if waits { vec![Some("suspended-look"), None] } else { Vec::new() };
        assert_eq!(*found, expected, "suspended after {at} points, yields: {yields}");
    }
}

/// The steps of a whole call.
fn steps<G: Graph>(scene: &Scene) -> Vec<&'static str> {
    let seen = Arc::default();
    at_point::<G>(scene, &[], usize::MAX, &seen);
    let seen = seen.lock().unwrap();
    seen.done.clone()
}

#[test]
fn calls_are_what_they_are_meant_to_be() {
    // Under the lock of a list, `fine` reads other rows only to prune.
    for scene in [scenes::an_insert(), scenes::an_insert_above_the_entry_point(), scenes::a_batch()] {
        let steps = steps::<Fine>(&scene);
        let pruned = steps.split(|step| *step == "list-lock").any(|held| {
            held.iter().take_while(|step| **step != "list-unlock").any(|step| *step == "segment-read")
        });
        assert!(pruned, "{}: {steps:?}", scene.name);
    }
    assert!(steps::<Fine>(&scenes::an_insert_above_the_entry_point()).contains(&"start-raise"));
    assert!(steps::<Fine>(&scenes::the_first_insert()).contains(&"start-found"));
    // What reads a list without its lock once the node is published looks for room for an anchor to it.
    let adopted = steps::<Slots>(&scenes::an_insert_that_is_adopted());
    let published = adopted.iter().position(|step| *step == "node-publish").unwrap();
    assert!(adopted[published..].contains(&"slots-read"), "{adopted:?}");
    // The nodes of a round are published in one session.
    let round = steps::<Batch>(&scenes::a_round());
    let sessions: Vec<usize> = round
        .split(|step| *step == "batch-thaw")
        .map(|session| session.iter().filter(|step| **step == "node-publish").count())
        .collect();
    assert!(sessions.contains(&8), "{sessions:?}");
}

macro_rules! calls {
    ($graph:ty, $others:expr) => {
        calls! { $graph, $others;
            the_first_insert, an_insert, an_insert_above_the_entry_point, an_insert_that_is_adopted, a_batch, a_removal, a_rewrite,
                a_search }
    };
    ($graph:ty, $others:expr; $($call:ident),+) => {
        $(#[test]
        fn $call() {
            let test = module_path!().split_once("::").expect("a crate, then the module").1;
            let test = format!("{test}::{}", stringify!($call));
            crate::suspended::at_each_point::<$graph>(&test, &crate::suspended::scenes::$call(), &$others);
        })+
    };
}

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {$(
        mod $name {
            calls!($graph, crate::suspended::others());
        }
    )+};
}

hnsw_strategies::for_each_strategy!(suite);

mod with_snapshots {
    mod mvcc {
        calls!(hnsw_strategies::Mvcc, crate::suspended::others_with_snapshots());
    }
}

/// A round of several rows, at every seventh point: each row has the same ones.
mod in_rounds {
    mod batch {
        calls!(hnsw_strategies::Batch, crate::suspended::others(); a_round);
    }
}
