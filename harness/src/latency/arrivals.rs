//! When operations are meant to begin.
//!
//! Each worker has a schedule of its own, which is drawn from the seed and knows nothing of how long operations take.

use serde::{Deserialize, Serialize};

/// How operations arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// At even distances, the workers in turn
    Constant,
    /// Independent of each other, as those of many users are: distances are exponential
    Poisson,
}

impl Arrivals {
    /// The name in flags and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Arrivals::Constant => "constant",
            Arrivals::Poisson => "poisson",
        }
    }
}

/// Kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Search,
    Insert,
}

/// An operation that is meant to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// In nanoseconds since the window opened.
    pub(super) due: u64,
    pub(super) kind: Kind,
}

/// What all schedules of a window share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) arrivals: Arrivals,
    /// Operations per second of all workers together; infinite for those that are all meant to begin at once.
    pub(super) rate: f64,
    pub(super) workers: usize,
    /// Share of the operations that insert.
    pub(super) writes: f64,
    pub(super) seed: u64,
}

impl Offer {
    /// What is meant for one worker.
    pub(super) fn schedule(&self, worker: usize) -> Schedule {
        // Of one worker.
        let interval = self.workers as f64 * 1e9 / self.rate;
        let mut random = fastrand::Rng::with_seed(self.seed ^ (worker as u64 + 1) << 32);
        let next = match self.arrivals {
            Arrivals::Constant => interval * worker as f64 / self.workers as f64,
            Arrivals::Poisson => exponential(&mut random, interval),
        };
        Schedule { arrivals: self.arrivals, interval, next, writes: self.writes, random }
    }

    /// What is meant for each of the workers.
    pub(super) fn schedules(&self) -> impl Iterator<Item = Schedule> {
        (0..self.workers).map(|worker| self.schedule(worker))
    }

    /// The part of a window, from its beginning, for whose inserts there are rows enough.
    pub(super) fn fitting(&self, window: u64, rows: usize) -> u64 {
        if self.writes == 0.0 {
            return window;
        }
        let inserts = |schedule: Schedule| {
            let within = schedule.take_while(|arrival| arrival.due < window);
            within.filter(|arrival| arrival.kind == Kind::Insert).map(|arrival| arrival.due).take(rows + 1)
        };
        let mut dues: Vec<u64> = self.schedules().flat_map(inserts).collect();
        dues.sort_unstable();
        dues.get(rows).copied().unwrap_or(window)
    }
}

/// The intended starts of one worker, ascending, without end.
#[derive(Clone)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    /// Nanoseconds between two of them, on average.
    interval: f64,
    next: f64,
    writes: f64,
    random: fastrand::Rng,
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let due = self.next as u64;
        self.next += match self.arrivals {
            Arrivals::Constant => self.interval,
            Arrivals::Poisson => exponential(&mut self.random, self.interval),
        };
        let kind = if self.random.f64() < self.writes { Kind::Insert } else { Kind::Search };
        Some(Arrival { due, kind })
    }
}

fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    // 1 - x is never 0.
    -(1.0 - random.f64()).ln() * mean
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn offer(arrivals: Arrivals, rate: f64, workers: usize) -> Offer {
        Offer { arrivals, rate, workers, writes: 0.25, seed: 3 }
    }

    /// All intended starts of a second, in order.
    fn merged(offer: &Offer) -> Vec<u64> {
        let within = |schedule: Schedule| schedule.map(|arrival| arrival.due).take_while(|due| *due < SECOND);
        let mut dues: Vec<u64> = offer.schedules().flat_map(within).collect();
        dues.sort_unstable();
        dues
    }

    #[test]
    fn constant_arrivals_of_all_workers_are_evenly_apart() {
        let dues = merged(&offer(Arrivals::Constant, 1_000.0, 4));
        assert_eq!(dues, (0..1_000).map(|n| n * 1_000_000).collect::<Vec<u64>>());
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_its_variance() {
        let dues = merged(&offer(Arrivals::Poisson, 100_000.0, 3));
        assert!((dues.len() as f64 - 100_000.0).abs() < 5.0 * 100_000f64.sqrt(), "{}", dues.len());
        let gaps: Vec<f64> = dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution the deviation is the mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{mean} {variance}");
        let longer = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!((longer - (-1f64).exp()).abs() < 0.01, "{longer}");
    }

    #[test]
    fn schedules_follow_from_the_seed_and_no_two_are_alike() {
        let offer = offer(Arrivals::Poisson, 1_000.0, 2);
        let some = |offer: &Offer, worker: usize| offer.schedule(worker).take(50).collect::<Vec<Arrival>>();
        assert_eq!(some(&offer, 0), some(&offer, 0));
        assert_ne!(some(&offer, 0), some(&offer, 1));
        assert_ne!(some(&offer, 0), some(&Offer { seed: 4, ..offer }, 0));
    }

    #[test]
    fn so_many_operations_insert_as_the_share_says() {
        let kinds = offer(Arrivals::Constant, 1_000.0, 1).schedule(0).take(40_000);
        let inserts = kinds.filter(|arrival| arrival.kind == Kind::Insert).count();
        assert!((inserts as f64 - 10_000.0).abs() < 5.0 * (40_000.0 * 0.25 * 0.75f64).sqrt(), "{inserts}");
    }

    #[test]
    fn a_window_ends_before_its_rows_do() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let offer = offer(arrivals, 10_000.0, 3);
            let window = offer.fitting(SECOND, 1_000);
            let inserts = |until: u64| {
                let within = |schedule: Schedule| schedule.take_while(move |arrival| arrival.due < until);
                let all = offer.schedules().flat_map(within);
                all.filter(|arrival| arrival.kind == Kind::Insert).count()
            };
            assert!(window < SECOND / 2, "{window}");
            assert_eq!((inserts(window), inserts(window + 1)), (1_000, 1_001));
            assert_eq!(offer.fitting(SECOND, 10_000), SECOND);
            assert_eq!(Offer { writes: 0.0, ..offer }.fitting(SECOND, 0), SECOND);
        }
    }

    #[test]
    fn what_is_meant_to_begin_at_once_does_so_for_ever() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let at_once = offer(arrivals, f64::INFINITY, 2);
            assert!(at_once.schedule(1).take(1_000).all(|arrival| arrival.due == 0));
        }
    }
}
