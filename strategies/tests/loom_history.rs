//! A model of the clock that the recorded histories of the contract tests go by.
#![cfg(hnsw_loom)]

#[path = "models/clock.rs"]
mod clock;

use clock::Clock;
use hnsw_core::sync::model::{expect_weak, model};
use hnsw_core::sync::{Arc, AtomicU32, Ordering, thread};

/// Proves: a call that ended before another began, by the clock, happened before it. Failing, it would mean for a user: the
/// contract tests blame a strategy for an answer that was right, or pass one that was wrong.
fn calls_in_order() {
    let world = Arc::new((Clock::default(), AtomicU32::new(0)));
    let caller = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            // Relaxed [model-call]: the clock orders it.
            world.1.store(1, Ordering::Relaxed);
            world.0.now()
        })
    };
    let begin = world.0.now();
    // Relaxed [model-answer]: as above.
    let answer = world.1.load(Ordering::Relaxed);
    let end = caller.join().unwrap();
    assert!(begin < end || answer == 1, "the call ended at {end} is not seen at {begin}");
}

#[test]
fn a_clock_orders_calls() {
    model(None, "history: the clock", calls_in_order);
}

/// Each of these must fail.
mod weakened {
    use super::*;
    use Ordering::{Acquire, Release};

    macro_rules! needs {
        ($($test:ident: $site:literal $to:ident, $model:expr;)*) => {$(
            #[test]
            fn $test() {
                let output = expect_weak($site, $to, || {
                    model(None, $site, $model);
                });
                assert!(output.contains("is not seen at"), "{output}");
            }
        )*};
    }

    needs! {
        clock_that_acquires: "history-clock" Acquire, calls_in_order;
        clock_that_releases: "history-clock" Release, calls_in_order;
    }
}
