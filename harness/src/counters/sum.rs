//! What threads read, put together: scaled, added, and by operation.

use std::collections::BTreeMap;

use super::{Event, Group, Reason, reasons};
use crate::record;

/// An event that was counted, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What the counter says.
    pub value: u64,
    /// Nanoseconds for which it should have counted.
    pub enabled: u64,
    /// Nanoseconds for which it did.
    pub running: u64,
}

impl Counted {
    /// What its value is multiplied by; `None` if it never counted though it should have.
    fn scaling(&self) -> Option<f64> {
        match (self.enabled, self.running) {
            // The thread did not run.
            (0, _) => Some(1.0),
            (_, 0) => None,
            // The kernel reads both clocks at one moment, and they run at one speed.
            (enabled, running) => Some((enabled as f64 / running as f64).max(1.0)),
        }
    }
}

/// What the counters of one thread say: for each event a count, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<Event, Result<Counted, Reason>>);

/// The sum over threads, by operation.
pub fn per_operation(threads: &[Counts], operations: u64) -> record::Counters {
    let group = |group| of_group(group, threads, operations);
    record::Counters {
        core: group(Group::Core),
        cache: group(Group::Cache),
        software: group(Group::Software),
    }
}

fn of_group(group: Group, threads: &[Counts], operations: u64) -> record::CounterGroup {
    let (mut per_op, mut refused, mut worst) = (BTreeMap::new(), Vec::new(), None::<f64>);
    for &event in group.events() {
        let (value, reason) = match total(event, threads) {
            Ok(_) if operations == 0 => (None, Some("no operation finished in the window".to_owned())),
            Ok((sum, scaling)) => {
                worst = Some(worst.map_or(scaling, |worst| worst.max(scaling)));
                (Some(sum / operations as f64), None)
            }
            Err(reason) => (None, Some(reason)),
        };
        per_op.insert(event.name().to_owned(), value);
        refused.push((event, reason));
    }
    record::CounterGroup { per_op, scaling: worst, unavailable: reasons(&refused) }
}

/// The scaled sum, and the largest factor in it. A sum that lacks a thread would be of another workload, so there is none.
fn total(event: Event, threads: &[Counts]) -> Result<(f64, f64), Reason> {
    let (mut sum, mut worst) = (0.0, 1.0_f64);
    for thread in threads {
        let counted = match thread.0.get(&event) {
            Some(Ok(counted)) => counted,
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err("not counted".into()),
        };
        let Some(scaling) = counted.scaling() else {
            return Err("other users of the CPU's counters left no turn to it".into());
        };
        sum += counted.value as f64 * scaling;
        worst = worst.max(scaling);
    }
    if threads.is_empty() { Err("no thread was counted".into()) } else { Ok((sum, worst)) }
}
