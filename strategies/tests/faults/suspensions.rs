//! A writer that is suspended at each step of a call (P8).
//!
//! Whoever may go on must go on, and find the graph right (P1, P3, P6), while the writer stays where it is; whoever may be held
//! up must end when it goes on.

use crate::faulty::{Fault, Gate, Holds, Step, armed};
use crate::scenes::{Call, Scene, Tested, assert_right, write_some};
use crate::support::{Oracle, assert_whole};
use hnsw_core::graph::{Caps, Graph, NodeId};
use hnsw_core::hnsw::Scratch;
use hnsw_core::sync::thread;
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

/// What others do while the call is suspended, and what they find.
fn others<G: Graph>(
    index: &Tested<G>,
    oracle: &mut Oracle,
    half: Option<NodeId>,
    writes: Option<u64>,
    what: &str,
) {
    assert_right(index, oracle, half, what);
    if let Some(seed) = writes {
        write_some(index, oracle, half, seed);
        assert_right(index, oracle, half, what);
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
    let outcome = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let fault = Fault::Wait(Gate { reached, open });
            armed(Some((at, fault)), || scene.run(index, &mut Scratch::new()))
        });
        // The other end goes with the fault when the call ends without it.
        let Ok(step) = is_reached.recv_timeout(LONG) else { return Err(writer.join().unwrap().1) };
        let what = format!("{}, {}, suspended at {at}: {step:?}", G::NAME, scene.name);
        let Promise { searches, writers } = promise(G::CAPS, step.holds);
        // Before an insert has an id, others take those that come next.
        let half = (removed || step.what != "reserve").then(|| scene.node());
        if searches {
            ends(&what, || others(index, &mut oracle, half, writers.then_some(at as u64), &what));
        }
        if !(searches && writers) {
            // They may wait, and end when the writer goes on.
            let (index, oracle, what) = (&index, &mut oracle, &what);
            thread::scope(|scope| {
                let waiting = scope.spawn(move || write_some(index, oracle, half, at as u64));
                let_go.send(()).unwrap();
                ends(what, || {
                    waiting.join().unwrap();
                });
            });
        }
        drop(let_go);
        ends(&what, || {
            let (node, _) = writer.join().unwrap();
            if !removed {
                scene.apply(&mut oracle, node.expect("it was suspended, and went on"));
            }
        });
        Ok((searches, writers))
    });
    if outcome.is_err() {
        return outcome;
    }
    let what = format!("{}, {}, after it was suspended at {at}", G::NAME, scene.name);
    assert_right(index, &oracle, None, &what);
    assert_whole(index, &what);
    outcome
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
