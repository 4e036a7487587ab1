//! The clock of recorded histories, in a file of its own so that it can be modelled.

use hnsw_core::sync::{AtomicU64, Ordering};

/// A clock that orders calls: if one returned before another began, its last reading is lower than the other's first.
#[derive(Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        // AcqRel [history-clock]: pairs with AcqRel [history-clock]; read-modify-writes of one word have one order, which what
        // happened before and after them keeps; so the readings order calls on all threads.
        self.0.fetch_add(1, Ordering::AcqRel)
    }
}
