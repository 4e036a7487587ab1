//! Threads that begin together and stop together.
//!
//! A window opens when all workers are prepared and closes when the last one ended. Each worker takes the times of its own
//! beginning and end, because the thread that watches them may have to wait for a CPU: they have them all.
//!
//! # Synchronisation
//! Two barriers: at `prepared` all workers have made their state, and the counters are read while they wait at `go`. The
//! flag `over` is a wish to stop, `ended` counts workers for the watcher, and the results come through `join`, so the
//! accesses to both are relaxed.

use crate::counters::{Counting, Counts};
use crate::machine::pin_current_thread;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a worker asks while it works.
pub struct Turn<'a> {
    /// Number of the worker, from 0.
    pub worker: usize,
    over: &'a AtomicBool,
}

impl Turn<'_> {
    /// One that is over from the beginning: its worker does the least that there is to do.
    pub fn ended(worker: usize) -> Turn<'static> {
        static OVER: AtomicBool = AtomicBool::new(true);
        Turn { worker, over: &OVER }
    }

    /// True when the window is over: finish the operation at hand and return.
    #[inline]
    pub fn is_over(&self) -> bool {
        // Relaxed [window-over]: a worker that learns it late does one operation more, which the joined results include.
        self.over.load(Ordering::Relaxed)
    }

    /// Ends the window for all workers: there is nothing left to do. Otherwise the last ones would work with fewer
    /// competitors than the row says.
    pub fn end(&self) {
        // Relaxed [window-end]: as above.
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What a group of workers did.
pub struct Window<T, P> {
    /// From the moment when the first worker began to the moment when the last one ended.
    pub seconds: f64,
    /// What each returned, in the order of their numbers.
    pub results: Vec<T>,
    /// What `observe` saw just before the first worker began, and when the last one had ended.
    pub observed: (P, P),
    /// What the counters of each thread say that had some.
    pub counts: Vec<Counts>,
    /// Why workers were not pinned, if they should have been.
    pub unpinned: Option<String>,
    /// The user asked to stop.
    pub interrupted: bool,
}

/// How often the caller looks whether the user wants to stop: seldom, because each look takes a CPU from a worker.
const WATCH: Duration = Duration::from_millis(20);

/// What one worker hands back.
struct Done<T> {
    result: T,
    counts: Vec<Counts>,
    began: Instant,
    ended: Instant,
    unpinned: Option<String>,
}

/// Runs `work` once on each CPU of `cpus` (`None`: unpinned) at the same time, for at most `limit`. `prepare` runs on the
/// worker before the window opens and makes what `work` gets. `observe` reads counters of what happens in the window: not
/// of the preparation, nor of the start of threads.
pub fn run<S, T: Send, P>(
    cpus: &[Option<usize>],
    limit: Option<Duration>,
    stop: &AtomicBool,
    observe: impl Fn() -> P,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(&Turn<'_>, S) -> T + Sync,
) -> Window<T, P> {
    run_counted(cpus, limit, stop, observe, |worker| (prepare(worker), Vec::new()), work)
}

/// As [`run`], where `prepare` also opens counters, of its worker or of threads that work for it. They count while it works.
pub fn run_counted<S, T: Send, P>(
    cpus: &[Option<usize>],
    limit: Option<Duration>,
    stop: &AtomicBool,
    observe: impl Fn() -> P,
    prepare: impl Fn(usize) -> (S, Vec<Counting>) + Sync,
    work: impl Fn(&Turn<'_>, S) -> T + Sync,
) -> Window<T, P> {
    let (over, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (prepared, go) = (Barrier::new(cpus.len() + 1), Barrier::new(cpus.len() + 1));
    let watcher = thread::current();
    thread::scope(|scope| {
        let spawn = |(worker, cpu): (usize, &Option<usize>)| {
            let (over, all_ended, prepared, go) = (&over, &ended, &prepared, &go);
            let (prepare, work, cpu, watcher) = (&prepare, &work, *cpu, &watcher);
            scope.spawn(move || {
                let unpinned = cpu.and_then(|cpu| pin_current_thread(cpu).err()).map(|e| e.to_string());
                let (state, mut counting) = prepare(worker);
                prepared.wait();
                go.wait();
                counting.iter_mut().for_each(Counting::start);
                let began = Instant::now();
                let result = work(&Turn { worker, over }, state);
                let ended = Instant::now();
                counting.iter_mut().for_each(Counting::stop);
                // Relaxed [window-ended]: a count for the watcher; what was done comes through `join`.
                all_ended.fetch_add(1, Ordering::Relaxed);
                watcher.unpark();
                let counts = counting.into_iter().map(Counting::read).collect();
                Done { result, counts, began, ended, unpinned }
            })
        };
        let handles: Vec<_> = cpus.iter().enumerate().map(spawn).collect();
        prepared.wait();
        let before = observe();
        go.wait();
        let start = Instant::now();
        let mut interrupted = false;
        loop {
            // First, so that a wish from before the window is noticed however short it is.
            // Relaxed [window-stop]: a wish; nothing is read because of it.
            interrupted |= stop.load(Ordering::Relaxed);
            // Relaxed [window-ended-read]: a count; a worker that panics is finished and was not counted.
            if ended.load(Ordering::Relaxed) == cpus.len()
                || handles.iter().all(|handle| handle.is_finished())
            {
                break;
            }
            let left = limit.map_or(WATCH, |limit| limit.saturating_sub(start.elapsed()));
            if interrupted || left.is_zero() {
                // Relaxed [window-close]: a worker that learns it late does one operation more.
                over.store(true, Ordering::Relaxed);
            }
            // A worker that ends wakes us.
            thread::park_timeout(if left.is_zero() { Duration::from_millis(1) } else { left.min(WATCH) });
        }
        let observed = (before, observe());
        let mut done: Vec<Done<T>> = handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        let began = done.iter().map(|done| done.began).min().unwrap_or(start);
        let ended = done.iter().map(|done| done.ended).max().unwrap_or(start);
        Window {
            seconds: (ended - began).as_secs_f64(),
            observed,
            counts: done.iter_mut().flat_map(|done| std::mem::take(&mut done.counts)).collect(),
            unpinned: done.iter().find_map(|done| done.unpinned.clone()),
            results: done.into_iter().map(|done| done.result).collect(),
            interrupted,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{self, Event};

    const LIMIT: Option<Duration> = Some(Duration::from_millis(30));

    #[test]
    fn workers_stop_when_the_time_is_up() {
        let stop = AtomicBool::new(false);
        let window = run(
            &[None, None],
            LIMIT,
            &stop,
            || (),
            |worker| worker,
            |turn, made| {
                let mut rounds = 0u64;
                while !turn.is_over() {
                    rounds += 1;
                    thread::yield_now();
                }
                (turn.worker == made, rounds)
            },
        );
        assert!(window.results.iter().all(|(same, _)| *same));
        assert!(window.results.iter().any(|(_, rounds)| *rounds > 0));
        assert!(window.seconds >= 0.03 && !window.interrupted);
    }

    #[test]
    fn counters_are_of_each_worker_that_opened_some() {
        let stop = AtomicBool::new(false);
        let window = run_counted(
            &[None, None, None],
            LIMIT,
            &stop,
            || (),
            |worker| ((), counters::open_if(worker != 1)),
            |turn, ()| while !turn.is_over() {},
        );
        assert_eq!(window.counts.len(), 2);
        for Counts(events) in &window.counts {
            match &events[&Event::TaskClock] {
                Ok(counted) => assert!(counted.value > 0, "{counted:?}"),
                Err(reason) => assert!(!reason.is_empty()),
            }
        }
    }

    #[test]
    fn workers_stop_when_the_user_wants() {
        let stop = AtomicBool::new(true);
        let window = run(&[None], None, &stop, || (), |_| (), |turn, ()| while !turn.is_over() {});
        assert!(window.interrupted);
    }

    #[test]
    fn a_worker_without_work_ends_the_window_for_all() {
        let stop = AtomicBool::new(false);
        let window = run(
            &[None, None, None],
            Some(Duration::from_secs(600)),
            &stop,
            || (),
            |_| (),
            |turn, ()| {
                if turn.worker == 1 {
                    turn.end();
                }
                while !turn.is_over() {
                    thread::yield_now();
                }
            },
        );
        assert!(window.seconds < 300.0 && !window.interrupted);
    }

    #[test]
    fn what_is_observed_is_the_window_without_its_preparation() {
        let (stop, prepared, worked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let prepare = Duration::from_millis(60);
        let window = run(
            &[None, None],
            None,
            &stop,
            || (Instant::now(), prepared.load(Ordering::SeqCst), worked.load(Ordering::SeqCst)),
            |worker| {
                thread::sleep(prepare * worker as u32);
                prepared.fetch_add(1, Ordering::SeqCst);
            },
            |_, ()| worked.fetch_add(1, Ordering::SeqCst),
        );
        let (before, after) = window.observed;
        assert_eq!((before.1, before.2, after.2), (2, 0, 2));
        assert!(window.seconds <= (after.0 - before.0).as_secs_f64());
    }
}
