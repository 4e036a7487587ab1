//! Systems without `perf_event_open`: nothing is counted, and the reason says so.

use super::{Counts, Event, Reason};

/// The counters of a thread, where there are none.
pub struct Counting {
    reason: Reason,
}

impl Counting {
    /// Opens nothing.
    pub fn open() -> Counting {
        Counting { reason: "counters are read on Linux only".into() }
    }

    /// Why an event will not be counted.
    pub fn refused(&self, _: Event) -> Option<&Reason> {
        Some(&self.reason)
    }

    /// Does nothing.
    pub fn start(&mut self) {}

    /// Does nothing.
    pub fn stop(&mut self) {}

    /// The reason, for each event.
    pub fn read(self) -> Counts {
        Counts(Event::ALL.into_iter().map(|event| (event, Err(self.reason.clone()))).collect())
    }
}
