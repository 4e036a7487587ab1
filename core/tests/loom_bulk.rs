//! Models of what the tasks of a build leave for each other. Each says what it proves and what its failure would mean for a user.
//!
//! The functions are those that the tasks of the pool call, here called by threads that are joined where the pool joins its
//! tasks. Everything is shared by handles that the model checker does not see, so that nothing but the joins can order it.
//! All accesses are Relaxed, so no ordering can be weakened: instead each model must fail without its join. That the pool does
//! join its tasks is promised by `rayon`, and looked at by `scripts/tsan`.
#![cfg(hnsw_loom)]

use hnsw_core::graph::NodeId;
use hnsw_core::hnsw::shared::{Candidates, Counts};
use hnsw_core::hnsw::{Candidate, Tally};
use hnsw_core::sync::model::{expect_failure, model};
use hnsw_core::sync::{AtomicU64, thread};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Runs two tasks at once, and `next` when both have ended; or before they have, if they are not `joined`.
fn step<T>(joined: bool, task: impl Fn(u32) + Clone + 'static, next: impl FnOnce() -> T) -> T {
    let tasks = [0, 1].map(|number| {
        let task = task.clone();
        thread::spawn(move || task(number))
    });
    drop(task);
    let join = || tasks.into_iter().for_each(|task| task.join().unwrap());
    if joined {
        join();
        next()
    } else {
        let result = next();
        join();
        result
    }
}

/// Proves: what the tasks of two groups found for the same points is all there when the points choose.
/// Failing, it would mean for a user: a graph with fewer and worse links than the rows deserve, and not the same one each time.
fn compare_and_choose(joined: bool) {
    // Each of two points has a slot in each of two groups, with room for one candidate.
    let candidates = Arc::new(Candidates::new(1, 2, (0..4).map(|_| Candidates::none()).collect()));
    let compare = {
        let candidates = Arc::clone(&candidates);
        move |group: u32| {
            for point in 0..2 {
                candidates.put((2 * point + group) as usize, [10 * group + point].into_iter());
            }
        }
    };
    step(joined, compare, || {
        let choose = |point: u32| {
            let candidates = Arc::clone(&candidates);
            move || {
                assert!(candidates.of(point as usize).eq([point, 10 + point]), "point {point} misses some")
            }
        };
        let other = thread::spawn(choose(0));
        choose(1)();
        other.join().unwrap();
    });
}

#[test]
fn candidates_are_all_there_when_points_choose() {
    model(None, "bulk: compare against compare, then choose", || compare_and_choose(true));
}

#[test]
fn candidates_are_not_all_there_before_the_join() {
    let output = expect_failure(|| {
        model(None, "bulk: compare against choose", || compare_and_choose(false));
    });
    assert!(output.contains("misses some"), "{output}");
}

/// Proves: two tasks that count links to the same places, and two that then place them, lose none and put no two into one place.
/// (Neither step can begin too early: each takes what the one before it shared.)
/// Failing, it would mean for a user: a node loses a link that it needs to be found, or a build writes out of bounds.
fn count_and_place() {
    const PLACES: usize = 2;
    let link = |task: u32, place: usize| Candidate::new(place as f32, NodeId::new(task));
    let alone = "the tasks have ended";
    let counts = Arc::new(Counts::new(PLACES));
    let count = {
        let counts = Arc::clone(&counts);
        move |_| (0..PLACES).for_each(|place| counts.count(place))
    };
    let placing = step(true, count, || {
        Arc::into_inner(counts).expect(alone).placed(|links| {
            assert_eq!(links, 2 * PLACES, "a link was not counted");
            (0..links).map(|_| AtomicU64::new(0)).collect()
        })
    });
    let placing = Arc::new(placing);
    let place = {
        let placing = Arc::clone(&placing);
        move |task| (0..PLACES).for_each(|place| placing.add(place, link(task, place)))
    };
    let incoming = step(true, place, || Arc::into_inner(placing).expect(alone).end());
    for place in 0..PLACES {
        let mut found: Vec<Candidate> = incoming.to(place).collect();
        found.sort_unstable();
        assert_eq!(found, [link(0, place), link(1, place)], "a link to {place} is lost");
    }
}

#[test]
fn every_link_that_is_counted_has_a_place_of_its_own() {
    model(None, "bulk: count against count, then place against place", count_and_place);
}

/// Proves: when the tasks of a batch have ended, the rows that they did are all counted; and if one was asked to stop, that is
/// known. Failing, it would mean for a user: a batch that is complete says that it was stopped, or the other way round.
fn tally(joined: bool) {
    let tally = Arc::new(Tally::new());
    let work = {
        let tally = Arc::clone(&tally);
        move |_| {
            tally.add_many(1, &|done| {
                if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        }
    };
    let (done, stopped) = step(joined, work, || (tally.finished(), tally.stopped()));
    assert_eq!((done, stopped), (2, true), "rows are not counted");
}

#[test]
fn all_rows_of_a_batch_are_counted() {
    model(None, "batch: count against count", || tally(true));
}

#[test]
fn rows_are_not_all_counted_before_the_join() {
    let output = expect_failure(|| {
        model(None, "batch: count against finished", || tally(false));
    });
    assert!(output.contains("rows are not counted"), "{output}");
}
