//! A writer that is suspended at each step of a call (P8).
//!
//! Whoever may go on must go on, and find the graph right (P1, P3, P6), while the writer stays where it is; whoever may be held
//! up must end when it goes on.

use crate::faulty::{Fault, Gate, Holds, Step, armed};
use crate::scenes::{Call, DIM, ROWS, Scene, Tested, assert_right, rows, set_up_for_batches, write_some};
use crate::support::{Oracle, Random, assert_whole};
use core::ops::ControlFlow;
use hnsw_core::graph::{Caps, Graph, NodeId};
use hnsw_core::hnsw::Scratch;
use hnsw_core::sync::thread;
use rayon::ThreadPoolBuilder;
use std::sync::mpsc;
use std::time::Duration;

/// How long to wait for something that must happen, however slow the machine.
const LONG: Duration = Duration::from_secs(60);

/// Runs `action` on another thread, which must end. A thread that hangs cannot be ended, so then the process is.
pub fn ends(what: &str, action: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let thread = scope.spawn(move || {
            // Dropped when the action has returned or panicked.
            let _ended = ended;
            action();
        });
        if end.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{what}: hangs");
            std::process::abort();
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Who goes on while one thread is suspended with this in its hands (the table of P8 in `docs/contract.md`).
struct Promise {
    searches: bool,
    writers: bool,
}

fn promise(caps: Caps, holds: Holds) -> Promise {
    // Where commits are atomic, edits are prepared in private. (None of the scenes holds the commit lock from the beginning.)
    let private = caps.snapshots;
    match holds {
        Holds::Nothing => Promise { searches: true, writers: true },
        Holds::Read => Promise { searches: caps.parallel_reads, writers: caps.parallel_writes },
        // Where several write at a time, a session holds nothing between two calls.
        Holds::Write => Promise { searches: caps.parallel_writes, writers: caps.parallel_writes },
        Holds::Rewrite => Promise {
            searches: caps.wait_free_reads || private || caps.unlocked_rewrites,
            writers: caps.lock_free_writes || private || caps.unlocked_rewrites,
        },
    }
}

/// What others do while a call is suspended, and what they find. Those who may be held up begin and wait, and must end when
/// `release` lets the call go on.
fn meanwhile<G: Graph>(
    index: &Tested<G>,
    oracle: &mut Oracle,
    half: &[NodeId],
    (step, at): (Step, usize),
    what: &str,
    release: impl FnOnce() + Send,
) {
    let Promise { searches, writers } = promise(G::CAPS, step.holds);
    let write = |oracle: &mut Oracle| write_some(index, oracle, half, at as u64);
    if searches {
        ends(what, || {
            assert_right(index, oracle, half, what);
            if writers {
                write(oracle);
                assert_right(index, oracle, half, what);
            }
        });
    }
    if !writers {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| write(oracle));
            release();
            ends(what, || waiting.join().unwrap());
        });
    }
}

/// Suspends a scene at one step. Returns its steps if it has fewer, and otherwise whether searches and other writers had to
/// go on.
fn at_step<G: Graph>(scene: &Scene, at: usize) -> Result<(bool, bool), Vec<Step>> {
    let (index, oracle) = scene.set_up::<G>();
    let (index, mut oracle) = (&index, oracle);
    // What brute force finds does not contain the node of the call until the call is over.
    let removed = matches!(scene.call, Call::Remove(_));
    if removed {
        scene.apply(&mut oracle, scene.node());
    }
    let (reached, is_reached) = mpsc::channel();
    let (let_go, open) = mpsc::channel();
    let went_on = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let fault = Fault::Wait(Gate { reached, open });
            armed(Some((at, fault)), || scene.run(index, &mut Scratch::new()))
        });
        // The other end goes with the fault when the call ends without it.
        let Ok(step) = is_reached.recv_timeout(LONG) else { return Err(writer.join().unwrap().1) };
        let what = format!("{}, {}, suspended at {at}: {step:?}", G::NAME, scene.name);
        let Promise { searches, writers } = promise(G::CAPS, step.holds);
        // Before an insert has an id, others take those that come next.
        let half = if removed || step.what != "reserve" { &[scene.node()][..] } else { &[] };
        meanwhile(index, &mut oracle, half, (step, at), &what, || let_go.send(()).unwrap());
        drop(let_go);
        ends(&what, || {
            let (node, _) = writer.join().unwrap();
            if !removed {
                scene.apply(&mut oracle, node.expect("it was suspended, and went on"));
            }
        });
        Ok((searches, writers))
    })?;
    let what = format!("{}, {}, after it was suspended at {at}", G::NAME, scene.name);
    assert_right(index, &oracle, &[], &what);
    assert_whole(index, &what);
    Ok(went_on)
}

pub fn a_writer_suspended_at_any_step_holds_up_whom_it_may<G: Graph>() {
    for scene in Scene::all() {
        let (mut searched, mut written) = (0, 0);
        for at in 0.. {
            match at_step::<G>(&scene, at) {
                Ok((searches, writers)) => {
                    searched += usize::from(searches);
                    written += usize::from(writers);
                }
                Err(trace) => {
                    assert_eq!(trace.len(), at, "{}", scene.name);
                    scene.assert_covered(&trace);
                    println!(
                        "{}: {}: {at} steps; searches had to go on at {searched}, writers at {written}",
                        G::NAME,
                        scene.name
                    );
                    // Before the first session and after the last one nobody is held up.
                    assert!(searched >= 2 && written >= 2, "{} {}", G::NAME, scene.name);
                    assert!(!G::CAPS.lock_free_writes || (searched, written) == (at, at), "{}", G::NAME);
                    break;
                }
            }
        }
    }
}

/// A batch on one thread, in rounds where the strategy has them, at every third of its steps: each row has the same ones.
pub fn a_batch_suspended_at_any_step_holds_up_whom_it_may<G: Graph>() {
    /// A larger graph takes longer to check.
    const MOST: usize = 700;
    let pool = &ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (mut set_up, mut random) = (set_up_for_batches::<G>(), Random(12));
    for at in (0..).step_by(3) {
        if set_up.0.node_count() > MOST {
            set_up = set_up_for_batches::<G>();
        }
        let ((index, oracle), rows) = (&mut set_up, &rows(&mut random, ROWS));
        let index = &*index;
        let first = index.node_count();
        let nodes: Vec<NodeId> = (first..first + ROWS).map(|node| NodeId::new(node as u32)).collect();
        let (reached, is_reached) = mpsc::channel();
        let (let_go, open) = mpsc::channel();
        let suspended = thread::scope(|scope| {
            let batch = scope.spawn(move || {
                let fault = Fault::Wait(Gate { reached, open });
                let insert = || index.insert_batch(rows, |_| ControlFlow::Continue(())).unwrap();
                pool.install(|| armed(Some((at, fault)), insert))
            });
            let step = is_reached.recv_timeout(LONG);
            let what = format!("{}, a batch, suspended at {at}: {step:?}", G::NAME);
            if let Ok(step) = step {
                let half = if step.what == "reserve" { &[] } else { &nodes[..] };
                meanwhile(index, oracle, half, (step, at), &what, || let_go.send(()).unwrap());
            }
            drop(let_go);
            ends(&what, || {
                let first = batch.join().unwrap().0.expect("it was suspended, and went on");
                for (i, row) in rows.chunks(DIM).enumerate() {
                    oracle.insert(NodeId::new(first.get() + i as u32), row);
                }
            });
            assert_right(index, oracle, &[], &what);
            step.is_ok()
        });
        if !suspended {
            println!("{}: a batch: {at} steps", G::NAME);
            assert!(at > 10 * ROWS, "{at} steps");
            return;
        }
    }
}
