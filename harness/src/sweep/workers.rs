//! Threads that begin together and stop together.

use crate::machine::pin_current_thread;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a worker asks while it works.
pub struct Turn<'a> {
    /// Number of the worker, from 0.
    pub worker: usize,
    over: &'a AtomicBool,
}

impl Turn<'_> {
    /// True when the window is over: finish the operation at hand and return.
    #[inline]
    pub fn is_over(&self) -> bool {
        // Relaxed: a worker that learns it late does one operation more, which the joined results include.
        self.over.load(Ordering::Relaxed)
    }
}

/// What a group of workers did.
pub struct Window<T> {
    /// From the moment when all workers were ready to the moment when the last one ended.
    pub seconds: f64,
    /// What each returned, in the order of their numbers.
    pub results: Vec<T>,
    /// Why workers were not pinned, if they should have been.
    pub unpinned: Option<String>,
    /// The user asked to stop.
    pub interrupted: bool,
}

/// How often the caller looks whether the time is up or the user wants to stop.
const WATCH: Duration = Duration::from_millis(2);

/// Runs `work` once on each CPU of `cpus` (`None`: unpinned) at the same time, for at most `limit`. `prepare` runs on the
/// worker before the window opens and makes what `work` gets.
pub fn run<S, T: Send>(
    cpus: &[Option<usize>],
    limit: Option<Duration>,
    stop: &AtomicBool,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(&Turn<'_>, S) -> T + Sync,
) -> Window<T> {
    let over = AtomicBool::new(false);
    let ready = Barrier::new(cpus.len() + 1);
    std::thread::scope(|scope| {
        let spawn = |(worker, cpu): (usize, &Option<usize>)| {
            let (over, ready, prepare, work, cpu) = (&over, &ready, &prepare, &work, *cpu);
            scope.spawn(move || {
                let unpinned = cpu.and_then(|cpu| pin_current_thread(cpu).err()).map(|e| e.to_string());
                let state = prepare(worker);
                ready.wait();
                let result = work(&Turn { worker, over }, state);
                (result, Instant::now(), unpinned)
            })
        };
        let handles: Vec<_> = cpus.iter().enumerate().map(spawn).collect();
        ready.wait();
        let start = Instant::now();
        let mut interrupted = false;
        while !handles.iter().all(|handle| handle.is_finished()) {
            interrupted |= stop.load(Ordering::Relaxed);
            if interrupted || limit.is_some_and(|limit| start.elapsed() >= limit) {
                over.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(WATCH);
        }
        let mut window = Window { seconds: 0.0, results: Vec::new(), unpinned: None, interrupted };
        for handle in handles {
            match handle.join() {
                Ok((result, end, unpinned)) => {
                    window.seconds = window.seconds.max((end - start).as_secs_f64());
                    window.results.push(result);
                    window.unpinned = window.unpinned.or(unpinned);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        window
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_stop_when_the_time_is_up() {
        let stop = AtomicBool::new(false);
        let window = run(
            &[None, None],
            Some(Duration::from_millis(30)),
            &stop,
            |worker| worker,
            |turn, made| {
                let mut rounds = 0u64;
                while !turn.is_over() {
                    rounds += 1;
                    std::thread::yield_now();
                }
                (turn.worker == made, rounds)
            },
        );
        assert!(window.results.iter().all(|(same, rounds)| *same && *rounds > 0));
        assert!(window.seconds >= 0.03 && !window.interrupted);
    }

    #[test]
    fn workers_stop_when_the_user_wants() {
        let stop = AtomicBool::new(true);
        let window = run(&[None], None, &stop, |_| (), |turn, ()| while !turn.is_over() {});
        assert!(window.interrupted);
    }
}
