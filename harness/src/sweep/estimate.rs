//! How long the rest of a sweep takes, from the sessions that it has run.

use std::time::Duration;

/// What a session has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Its timed windows.
    pub windows: Duration,
    /// How often an index is filled, in units of what one thread takes for it.
    pub fills: f64,
}

/// Learns what a fill costs.
#[derive(Debug, Default)]
pub struct Estimate {
    outside_windows: Duration,
    fills: f64,
}

impl Estimate {
    /// A session with this work took so long.
    pub fn learn(&mut self, work: Work, took: Duration) {
        self.outside_windows += took.saturating_sub(work.windows);
        self.fills += work.fills;
    }

    /// What `rest` will take.
    pub fn of(&self, rest: impl Iterator<Item = Work>) -> Duration {
        let (windows, fills) = rest.fold((Duration::ZERO, 0.0), |(windows, fills), work| {
            (windows + work.windows, fills + work.fills)
        });
        let each = self.outside_windows.as_secs_f64() / self.fills.max(f64::MIN_POSITIVE);
        let fills = if self.fills > 0.0 { each * fills } else { 0.0 };
        windows + Duration::try_from_secs_f64(fills).unwrap_or(Duration::MAX / 2)
    }
}

/// A duration as people say it: `45 s`, `2 min 10 s`, `3 h 5 min`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(windows: u64, fills: f64) -> Work {
        Work { windows: Duration::from_secs(windows), fills }
    }

    #[test]
    fn the_rest_costs_what_the_past_did() {
        let mut estimate = Estimate::default();
        estimate.learn(work(2, 1.5), Duration::from_secs(5));
        let rest = estimate.of([work(2, 1.0), work(1, 0.5)].into_iter());
        assert_eq!(rest, Duration::from_secs(3 + 3));
    }

    #[test]
    fn without_fills_only_windows_count() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.of([work(2, 1.0)].into_iter()), Duration::from_secs(2));
        estimate.learn(work(4, 0.0), Duration::from_secs(4));
        assert_eq!(estimate.of([work(4, 0.0)].into_iter()), Duration::from_secs(4));
    }

    #[test]
    fn durations_for_people() {
        assert_eq!(spoken(Duration::from_millis(44_100)), "45 s");
        assert_eq!(spoken(Duration::from_secs(130)), "2 min 10 s");
        assert_eq!(spoken(Duration::from_secs(11_100)), "3 h 5 min");
    }
}
