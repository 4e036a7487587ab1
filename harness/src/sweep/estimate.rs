//! How long the rest of a sweep takes, from the sessions that it has run.

use super::plan::Session;
use super::{Plan, Workload};
use crate::machine::Machine;
use crate::record::Key;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a session has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Its timed windows.
    pub windows: Duration,
    /// How often an index is filled, in units of what one thread takes for it.
    pub fills: f64,
}

impl Work {
    /// What measuring `keys`, rows of one session, takes.
    pub fn of(plan: &Plan, machine: &Machine, which: &Session, keys: &BTreeSet<Key>) -> Work {
        let cores = machine.allowed_cores;
        let fill = |threads: usize| match which.strategy.caps().parallel_writes {
            true => 1.0 / threads.min(cores) as f64,
            false => 1.0,
        };
        let has = |workload: Workload| keys.iter().any(|key| key.workload == workload.name());
        let any = |workloads: &[Workload]| workloads.iter().any(|workload| has(*workload));
        let when = |is: bool, fills: f64| if is { fills } else { 0.0 };
        let built = if has(Workload::Build) { fill(which.threads) } else { fill(cores) };
        let bulk = if has(Workload::Bulk) { fill(which.threads) } else { fill(cores) };
        let fills = when(
            any(&[Workload::Build, Workload::Search, Workload::SearchBatch, Workload::SearchWriter]),
            built,
        ) + when(any(&[Workload::Bulk, Workload::BulkSearch, Workload::BulkSearchBatch]), bulk)
            + when(has(Workload::Phases), fill(which.threads))
            + when(has(Workload::Mixed), fill(cores))
            + when(has(Workload::WriteHeavy), fill(cores))
            + when(any(&[Workload::ReaderWriter, Workload::ReaderAlone]), fill(cores))
            + when(has(Workload::WriterAlone), fill(cores));
        let untimed = [Workload::Build, Workload::Bulk, Workload::Phases].map(Workload::name);
        let windows = keys.iter().filter(|key| !untimed.contains(&key.workload.as_str())).count();
        Work { windows: plan.window * windows as u32, fills }
    }
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
