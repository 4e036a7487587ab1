//! The schedule that suspends one thread.

use hnsw_core::sync::{given_back, standing};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::sync::{Arc, Mutex};

/// The thread of the test, which starts the others and waits for them.
const MAIN: usize = 0;
/// The first that it starts.
const VICTIM: usize = 1;

/// A thread that runs alone has something to wait for if it yields so often: more often than any lock spins before it does
/// something else.
const YIELDS: usize = 200;
/// Or if it does not end within so many points. None of the calls here takes a tenth of that alone.
const POINTS: usize = 40_000;
/// Points that a thread runs for at a time when all take turns.
const TURN: usize = 20;

/// What one execution showed.
#[derive(Default)]
pub struct Seen {
    /// Points that the victim came to.
    pub points: usize,
    /// What it did up to the last of them: accesses, and locks that it gave back.
    pub done: Vec<&'static str>,
    /// Before which access it stands.
    pub next: Option<&'static str>,
    /// It came to its end before it was to be suspended.
    pub ended: bool,
    /// At what each of the others waited, in order, until the victim went on; none if it came to its end.
    pub waits: Vec<Option<&'static str>>,
}

enum Phase {
    /// The victim, alone.
    Victim,
    /// The others one after another, each until it has ended or waits.
    Others { points: usize, yields: usize, last: Option<&'static str> },
    /// All take turns.
    All { points: usize },
}

const NEXT_OTHER: Phase = Phase::Others { points: 0, yields: 0, last: None };

/// Runs the first thread that the test starts for `at` points and suspends it, until each of the `others` that it starts
/// afterwards has ended or waits; then all go on.
pub struct Suspending {
    at: usize,
    others: usize,
    phase: Phase,
    seen: Arc<Mutex<Seen>>,
    began: bool,
}

impl Suspending {
    pub fn new(at: usize, others: usize, seen: &Arc<Mutex<Seen>>) -> Self {
        Suspending { at, others, phase: Phase::Victim, seen: Arc::clone(seen), began: false }
    }
}

impl Scheduler for Suspending {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!core::mem::replace(&mut self.began, true)).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let current = current.map(usize::from);
        let task =
            |number: usize| runnable.iter().map(|task| task.id()).find(|id| usize::from(*id) == number);
        let mut seen = self.seen.lock().unwrap();
        if current == Some(VICTIM) && matches!(self.phase, Phase::Victim) {
            let seen = &mut *seen;
            seen.points += 1;
            seen.done.extend(seen.next.take());
            seen.done.extend(given_back());
            seen.next = standing();
        }
        if let Some(main) = task(MAIN) {
            return Some(main);
        }
        loop {
            match &mut self.phase {
                Phase::Victim => match task(VICTIM) {
                    Some(victim) if seen.points < self.at => return Some(victim),
                    Some(_) => self.phase = NEXT_OTHER,
                    None => {
                        seen.ended = true;
                        self.phase = Phase::All { points: 0 };
                    }
                },
                Phase::Others { points, yields, last } => {
                    let number = VICTIM + 1 + seen.waits.len();
                    if seen.waits.len() == self.others {
                        self.phase = Phase::All { points: TURN };
                        return task(VICTIM);
                    }
                    if current == Some(number) {
                        *points += 1;
                        *yields += usize::from(is_yielding);
                        *last = standing().or(*last);
                    }
                    match task(number) {
                        Some(other) if *points < POINTS && *yields < YIELDS => return Some(other),
                        Some(_) => seen.waits.push(Some(last.unwrap_or("no access"))),
                        None => seen.waits.push(None),
                    }
                    self.phase = NEXT_OTHER;
                }
                Phase::All { points } => {
                    let goes_on = current.and_then(task).filter(|_| *points > 0 && !is_yielding);
                    *points = if goes_on.is_some() { *points - 1 } else { TURN };
                    // The next by number, or the first.
                    let later =
                        runnable.iter().map(|task| task.id()).filter(|id| Some(usize::from(*id)) > current);
                    return goes_on.or(later.min()).or(runnable.iter().map(|task| task.id()).min());
                }
            }
        }
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("no one draws numbers")
    }
}
