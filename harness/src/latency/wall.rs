//! The time of a worker that runs.

use std::thread;
use std::time::Duration;

use super::worker::Time;
use crate::churn::Clock;
use crate::sweep::workers::Turn;

/// From the start of the clock to the opening of the window: all workers should be there by then.
const LEAD: u64 = 1_000_000;
/// A thread that sleeps may wake up that much later than it wished.
const OVERSLEEP: u64 = 150_000;
/// Longest sleep between two looks at whether the user wants to stop.
const LOOK: u64 = 20_000_000;

/// A clock that all workers of a window share.
///
/// Waiting is sleep until shortly before the time, and then one look at the clock after another. In between the thread yields its
/// CPU: there may be another worker on it, which is not to wait for one that waits.
#[derive(Clone, Copy)]
pub(super) struct Wall<'a> {
    pub(super) clock: Clock,
    pub(super) turn: &'a Turn<'a>,
}

impl Time for Wall<'_> {
    fn wait_until(&self, due: u64) -> Option<u64> {
        loop {
            if self.turn.is_over() {
                return None;
            }
            let now = self.clock.before();
            match due.saturating_add(LEAD).saturating_sub(now) {
                0 => return Some(now - LEAD),
                left if left > OVERSLEEP => {
                    thread::sleep(Duration::from_nanos((left - OVERSLEEP).min(LOOK)));
                }
                _ => thread::yield_now(),
            }
        }
    }

    fn after(&self) -> u64 {
        self.clock.after().saturating_sub(LEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::workers;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn nobody_begins_too_early_and_time_goes_on() {
        let (stop, clock) = (AtomicBool::new(false), Clock::start());
        // More workers than most machines have CPUs: each must get its turn.
        let wait = |turn: &Turn<'_>, ()| {
            let wall = Wall { clock, turn };
            let dues = (0..20).map(|n| n * 300_000);
            dues.map(|due| (due, wall.wait_until(due).expect("nobody stops"), wall.after()))
                .collect::<Vec<_>>()
        };
        let window = workers::run(&[None; 8], None, &stop, || (), |_| (), wait);
        for (due, start, after) in window.results.into_iter().flatten() {
            assert!(due <= start && start <= after, "{due} {start} {after}");
        }
    }

    #[test]
    fn who_waits_sees_that_the_user_wants_to_stop() {
        let wall = Wall { clock: Clock::start(), turn: &Turn::ended(0) };
        assert_eq!(wall.wait_until(u64::MAX), None);
    }
}
