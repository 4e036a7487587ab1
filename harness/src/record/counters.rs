//! What CPU and kernel counted in a window, as a row keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::{Event, Group};

/// Counts of one operation, on average over all that the window has, of any kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Cycles, instructions, branches.
    pub core: CounterGroup,
    /// Reads that went past caches.
    pub cache: CounterGroup,
    /// What the kernel counts.
    pub software: CounterGroup,
}

impl Counters {
    /// The group of that name.
    pub fn group(&self, group: Group) -> &CounterGroup {
        match group {
            Group::Core => &self.core,
            Group::Cache => &self.cache,
            Group::Software => &self.software,
        }
    }

    /// What one operation took of `event`, where it was counted.
    pub fn per_op(&self, event: Event) -> Option<f64> {
        self.group(event.group()).per_op.get(event.name()).copied().flatten()
    }

    /// Instructions per cycle.
    pub fn ipc(&self) -> Option<f64> {
        let cycles = self.per_op(Event::Cycles).filter(|cycles| *cycles > 0.0)?;
        Some(self.per_op(Event::Instructions)? / cycles)
    }
}

/// Events that were counted at the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterGroup {
    /// Each event by its name; null where it was not counted.
    pub per_op: BTreeMap<String, Option<f64>>,
    /// What counts were multiplied by, because the group had to share the counters of the CPU: of the thread where it is
    /// largest. 1 where it did not have to, null where nothing was counted.
    pub scaling: Option<f64>,
    /// Why events were not counted; null where all were.
    pub unavailable: Option<String>,
}
