//! A panic at each step of a call, as a faulty codec or callback makes it.
//!
//! What holds afterwards: no lock is held, no list is left in the middle, no search and no other call notices. An insert that
//! panics has not happened: its id is used up, and no node. A removal that panics has happened or not. A batch that panics has
//! inserted some of its rows; a build, none.

use crate::faulty::{Fault, Holds, Step, armed, armed_from, point};
use crate::scenes::{Call, DIM, ROWS, Scene, Tested, assert_right, rows, set_up_for_batches, write_some};
use crate::support::{Oracle, Random, assert_ordered, race};
use crate::suspensions::ends;
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId, NodeState, Snapshots, View};
use hnsw_core::hnsw::{IndexConfig, Scratch};
use rayon::ThreadPoolBuilder;

/// Attempts after which every strategy opens its strongest session.
const MANY: u32 = 9;

/// The node of an insert that panicked: not live, and not about to be.
fn assert_taken_back<G: Graph>(index: &Tested<G>, node: NodeId, what: &str) {
    let state = index.graph().read().state(node);
    assert!(
        matches!(state, NodeState::Free | NodeState::Reserved | NodeState::Tombstone),
        "{what}: {state:?}"
    );
    assert_eq!((index.contains(node), index.vector(node)), (false, None), "{what}");
    assert!(index.remove(node).is_err(), "{what}");
}

/// Panics at each step of a scene in turn. Returns how many there were.
fn at_each_step<G: Graph>(scene: &Scene, attempts: u32) -> usize {
    for at in 0.. {
        let (index, mut oracle) = scene.set_up::<G>();
        let mut scratch = Scratch::new();
        let (done, trace) =
            armed_from(attempts, Some((at, Fault::Panic)), || scene.run(&index, &mut scratch));
        let what = format!("{}, {}, panicked at {at}: {:?}", G::NAME, scene.name, trace.get(at));
        match (&scene.call, done) {
            (_, Some(node)) => {
                scene.assert_covered(&trace);
                scene.apply(&mut oracle, node);
            }
            (Call::Insert(_), None) => assert_taken_back(&index, scene.node(), &what),
            (Call::Remove(node), None) if !index.contains(*node) => scene.apply(&mut oracle, *node),
            (Call::Remove(_), None) => {}
        }
        assert_right(&index, &oracle, &[], &what);
        // The scratch that the panic went through.
        let all = index.node_count() + 1;
        let query = [0.1; DIM];
        let answer = index.search_with(&query, all, all, &mut scratch).unwrap();
        assert_eq!(answer, oracle.nearest(&query, all), "{what}");
        let vector = [0.2; DIM];
        oracle.insert(index.insert_with(&vector, &mut scratch).unwrap(), &vector);
        // And other threads.
        ends(&what, || {
            write_some(&index, &mut oracle, &[], at as u64);
            assert_right(&index, &oracle, &[], &what);
        });
        if done.is_some() {
            return trace.len();
        }
    }
    unreachable!("a call has no end of steps")
}

pub fn a_panic_at_any_step_leaves_the_graph_whole<G: Graph>() {
    for scene in Scene::all() {
        let steps = at_each_step::<G>(&scene, 0);
        println!("{}: {}: {steps} steps", G::NAME, scene.name);
    }
}

/// As above, where each session for changing holds the commit lock from its beginning.
pub fn a_panic_gives_the_commit_lock_back<G: Snapshots>() {
    for scene in Scene::all() {
        let steps = at_each_step::<G>(&scene, MANY);
        println!("{}, with the lock: {}: {steps} steps", G::NAME, scene.name);
    }
}

/// Several threads write at once, and every other of their calls panics at one step or another.
pub fn panics_among_racing_writers_lose_nothing<G: Graph>() {
    const THREADS: usize = 3;
    const INSERTS: usize = 120;
    let config = IndexConfig { m: 3, ef_construction: 6, ..IndexConfig::new(DIM, Metric::L2) };
    let index = &Tested::<G>::new(config).unwrap();
    let written = race(THREADS, |t| {
        let (mut random, mut mine, mut panics) = (Random(t as u64), Vec::new(), 0);
        for _ in 0..INSERTS {
            let vector = random.vector(DIM);
            let fault = (random.below(2) == 0).then(|| (random.below(120), Fault::Panic));
            match armed(fault, || index.insert(&vector).unwrap()).0 {
                Some(node) => mine.push((node, vector)),
                None => panics += 1,
            }
            let found = index.search(&[0.0; DIM], 5, 9).unwrap();
            assert_ordered(&found);
            if !mine.is_empty() && random.below(3) == 0 {
                let at = random.below(mine.len());
                let (node, _) = mine[at];
                let (done, _) = armed(Some((random.below(8), Fault::Panic)), || index.remove(node).unwrap());
                if done.is_some() || !index.contains(node) {
                    mine.swap_remove(at);
                }
            }
        }
        (mine, panics)
    });
    let mut oracle = Oracle::new(DIM, Metric::L2);
    let panics: usize = written.iter().map(|(_, panics)| panics).sum();
    for (node, vector) in written.iter().flat_map(|(mine, _)| mine) {
        oracle.insert(*node, vector);
    }
    println!("{}: {panics} of {} racing inserts panicked", G::NAME, THREADS * INSERTS);
    assert!(panics > THREADS * INSERTS / 8, "{}: {panics} panics", G::NAME);
    assert_right(index, &oracle, &[], G::NAME);
}

/// The nodes of a call that panicked, from `first` on: those that are live are in the graph.
fn apply_live<G: Graph>(index: &Tested<G>, oracle: &mut Oracle, first: usize, rows: &[f32]) -> usize {
    let mut live = 0;
    for (i, row) in rows.chunks(DIM).enumerate() {
        let node = NodeId::new((first + i) as u32);
        if index.contains(node) {
            oracle.insert(node, row);
            live += 1;
        }
    }
    live
}

/// A batch at each of its steps, on one thread so that the steps are its own; in rounds, where the strategy has them.
pub fn a_batch_that_panics_has_inserted_some_of_its_rows<G: Graph>() {
    let (index, mut oracle) = set_up_for_batches::<G>();
    let mut random = Random(6);
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut partly = 0;
    for at in 0.. {
        let (rows, first) = (rows(&mut random, ROWS), index.node_count());
        let (done, trace) = pool.install(|| {
            armed(Some((at, Fault::Panic)), || {
                let progress = |_| {
                    point("progress");
                    ControlFlow::Continue(())
                };
                index.insert_batch(&rows, progress).unwrap()
            })
        });
        let what = format!("{}, a batch, panicked at {at}: {:?}", G::NAME, trace.get(at));
        let live = apply_live(&index, &mut oracle, first, &rows);
        partly += usize::from(done.is_none() && live > 0);
        // Checking all takes longer than the batch.
        if at % 8 == 0 || done.is_some() {
            ends(&what, || assert_right(&index, &oracle, &[], &what));
        }
        if done.is_some() {
            assert_eq!(live, ROWS);
            println!("{}: a batch: {} steps, {partly} with some of the rows", G::NAME, trace.len());
            assert!(partly > 0 && trace.len() > 10 * ROWS, "{what}");
            return;
        }
    }
}

/// A build at some of its steps. It has thousands: here the first and the last, and others evenly in between.
pub fn a_build_that_panics_has_inserted_nothing<G: Graph>() {
    const ROWS: usize = 1_000;
    const TRIES: usize = 24;
    let config = IndexConfig { m: 4, ef_construction: 8, ..IndexConfig::new(DIM, Metric::L2) };
    let rows = rows(&mut Random(6), ROWS);
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let build = |index: &Tested<G>, fault| {
        pool.install(|| {
            armed(fault, || {
                let progress = |_| {
                    point("progress");
                    ControlFlow::Continue(())
                };
                index.build(&rows, progress).unwrap()
            })
        })
    };
    let (_, whole) = build(&Tested::<G>::new(config).unwrap(), None);
    let written = |step: &Step| step.holds >= Holds::Write;
    let (begin, last) = (whole.iter().position(written).unwrap(), whole.len() - 1);
    // Half of the tries where the graph is written.
    let spread =
        |from: usize, to: usize| (0..TRIES / 2).map(move |i| from + (to - from) * i / (TRIES / 2 - 1));
    for at in spread(0, begin).chain(spread(begin, last)) {
        let index = Tested::<G>::new(config).unwrap();
        let (done, trace) = build(&index, Some((at, Fault::Panic)));
        let what = format!("{}, a build, panicked at {at} of {last}: {:?}", G::NAME, trace.get(at));
        assert!(done.is_none(), "{what}");
        let mut oracle = Oracle::new(DIM, Metric::L2);
        assert_eq!(apply_live(&index, &mut oracle, 0, &rows), 0, "{what}");
        ends(&what, || {
            assert_right(&index, &oracle, &[], &what);
            write_some(&index, &mut oracle, &[], at as u64);
            assert_right(&index, &oracle, &[], &what);
        });
    }
    println!("{}: a build: {} steps", G::NAME, whole.len());
}

/// A search at each of its steps, and the function that is told of its answers.
pub fn a_search_that_panics_leaves_its_scratch_usable<G: Graph>() {
    let scene = Scene::all().into_iter().find(|scene| scene.name == "a removal").unwrap();
    let (index, mut oracle) = scene.set_up::<G>();
    let mut scratch = Scratch::new();
    let removed = scene.run(&index, &mut scratch);
    scene.apply(&mut oracle, removed);
    let queries = rows(&mut Random(8), 4);
    for at in 0.. {
        let (done, trace) = armed(Some((at, Fault::Panic)), || {
            let told = |_: usize, _: &[_]| point("found");
            index.search_each_with(&queries, 3, 9, &mut scratch, told).unwrap();
            index.search(&queries[..DIM], 3, 9).unwrap();
        });
        let all = index.node_count();
        let mut told = Vec::new();
        index
            .search_each_with(&queries, all, all, &mut scratch, |query, found| {
                told.push((query, found.to_vec()))
            })
            .unwrap();
        told.sort_by_key(|(query, _)| *query);
        for (query, (number, found)) in told.iter().enumerate() {
            assert_eq!(*number, query);
            assert_eq!(*found, oracle.nearest(&queries[query * DIM..][..DIM], all), "{}, at {at}", G::NAME);
        }
        if done.is_some() {
            assert!(trace.iter().any(|step| step.what == "found"), "{trace:?}");
            println!("{}: searches: {} steps", G::NAME, trace.len());
            ends(G::NAME, || write_some(&index, &mut oracle, &[], 1));
            return;
        }
    }
}
