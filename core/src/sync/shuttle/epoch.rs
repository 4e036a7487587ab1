//! Epoch-based reclamation: `crossbeam-epoch`, with a point before each access. Threads of `shuttle` share a system thread,
//! so each gets a participant of its own here, of a collector that lives for one schedule.

pub use super::super::hooked::epoch::Atomic;
use super::{explores, point};
use ::shuttle::thread::{ThreadId, current};
use ::std::cell::RefCell;
use ::std::collections::HashMap;
use crossbeam_epoch::{Collector, LocalHandle};
pub use crossbeam_epoch::{CompareExchangeError, Guard, Owned, Pointable, Pointer, Shared, unprotected};

#[derive(Default)]
struct Participants {
    collector: Collector,
    handles: HashMap<ThreadId, LocalHandle>,
}

thread_local! {
    static PARTICIPANTS: RefCell<Participants> = RefCell::default();
}

/// As in `crossbeam-epoch`.
#[track_caller]
pub fn pin() -> Guard {
    if !explores() {
        return crossbeam_epoch::pin();
    }
    point("pin");
    PARTICIPANTS.with_borrow_mut(|Participants { collector, handles }| {
        handles.entry(current().id()).or_insert_with(|| collector.register()).pin()
    })
}

/// Ends the collector of a schedule.
pub(super) fn forget() {
    drop(PARTICIPANTS.take());
}
