//! Doing something at a set rate.

use super::workers::Turn;
use std::thread;
use std::time::{Duration, Instant};

/// Longest sleep between two looks at whether the window is over.
const LOOK: Duration = Duration::from_millis(2);

/// Arrivals at even distances. Whoever is late catches up, but never by more than [`Pace::PATIENCE`]: what could not be done
/// for longer than that is left out, so that a stall is not followed by a volley.
pub struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    /// How late an arrival may be and still be made up for.
    const PATIENCE: Duration = Duration::from_millis(10);

    /// So many arrivals per second, the first of them now.
    pub fn new(per_second: f64) -> Pace {
        let seconds = (1.0 / per_second).min(3600.0);
        Pace { interval: Duration::from_secs_f64(seconds), due: Instant::now() }
    }

    /// Waits until the next arrival. False if the window was over before.
    pub fn wait(&mut self, turn: &Turn<'_>) -> bool {
        loop {
            if turn.is_over() {
                return false;
            }
            let now = Instant::now();
            if now >= self.due {
                self.due = (self.due + self.interval).max(now - Self::PATIENCE);
                return true;
            }
            thread::sleep((self.due - now).min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::workers;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn arrivals_are_as_many_as_the_rate_says_and_none_when_the_window_is_over() {
        let stop = AtomicBool::new(false);
        let limit = Some(Duration::from_millis(300));
        let arrivals = |turn: &Turn<'_>, ()| {
            let mut pace = Pace::new(1_000.0);
            (0..).take_while(|_| pace.wait(turn)).count()
        };
        let window = workers::run(&[None], limit, &stop, || (), |_| (), arrivals);
        let most = window.seconds * 1_000.0 + 12.0;
        assert!(window.results[0] > 20 && window.results[0] as f64 <= most, "{:?}", window.results);
        assert!(!Pace::new(1e9).wait(&Turn::ended(0)));
    }
}
