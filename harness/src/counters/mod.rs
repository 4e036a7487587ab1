//! Counters of the CPU and of the kernel: what a window cost besides time.
//!
//! - [`Event`], [`Group`]: what is counted, and what is counted together.
//! - [`Counting`]: the counters of one thread. Opened on it while it prepares, started when the window opens, stopped and read
//!   when it ends; in between the kernel alone has to do with them.
//! - [`Counts`]: what one thread read. [`per_operation`]: those of all threads, scaled and by operation.
//! - [`survey`]: which of all this the machine permits.
//! - `refusal`: what an error of the system means, and its cure.
//!
//! A *group* is put on the CPU whole or not at all, so ratios within one are of the same time. If the CPU has not enough counters
//! for all groups (or others use them), the kernel takes turns, and what a group counted is multiplied by the time for which it
//! should have counted over that for which it did. Groups are small, because one that the CPU can never hold counts nothing.
//!
//! Nothing here fails: an event that cannot be counted has the reason in the place of its count, and the others go on.

mod event;
#[cfg(any(target_os = "linux", test))]
mod refusal;
mod sum;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod system;

pub use event::{Event, Group};
pub use sum::{Counted, Counts, per_operation};
pub use system::Counting;

/// Why an event is not counted; for people.
pub type Reason = String;

/// The events of a group, and why those cannot be counted that cannot.
pub type Refusals = Vec<(Event, Option<Reason>)>;

/// The counters of the calling thread if `asked`, else none.
pub fn open_if(asked: bool) -> Vec<Counting> {
    asked.then(Counting::open).into_iter().collect()
}

/// The groups, and why events of them cannot be counted here. Opens the counters of the calling thread and closes them.
pub fn survey() -> Vec<(Group, Refusals)> {
    let counting = Counting::open();
    let of = |group: Group| {
        let events = group.events().iter().map(|&event| (event, counting.refused(event).cloned()));
        (group, events.collect())
    };
    Group::ALL.into_iter().map(of).collect()
}

/// Reasons of a group in one text: each once, behind the events that it is of unless it is of all.
pub fn reasons(events: &[(Event, Option<Reason>)]) -> Option<Reason> {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for (event, reason) in events {
        let Some(reason) = reason else { continue };
        match told.iter_mut().find(|(text, _)| text == reason) {
            Some((_, names)) => names.push(event.name()),
            None => told.push((reason, vec![event.name()])),
        }
    }
    let of_all = |names: &[&str]| names.len() == events.len();
    let texts = told.iter().map(|(reason, names)| match of_all(names) {
        true => (*reason).to_owned(),
        false => format!("{}: {reason}", names.join(", ")),
    });
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

#[cfg(test)]
mod tests;
