//! What an insert spends its time on.
//!
//! The insert path tells a [`Recorder`] at the end of each stretch which phase the stretch belonged to. The one that
//! [`Index::insert`](super::Index::insert) uses is `()`, which compiles to nothing.

use std::time::{Duration, Instant};

/// A part of the work of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Looking for candidates: walking the graph and comparing vectors.
    Search,
    /// Choosing among them: the lists of the new node, and what stays in the lists that it is added to.
    Select,
    /// Writing lists, publishing the node, raising the entry point.
    Link,
    /// Opening and committing sessions, getting at a list that is to be changed, and changes that were lost to another
    /// thread.
    Wait,
}

impl Phase {
    /// All of them, in the order of tables.
    pub const ALL: [Phase; 4] = [Phase::Search, Phase::Select, Phase::Link, Phase::Wait];

    /// The name in tables and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Search => "search",
            Phase::Select => "select",
            Phase::Link => "link",
            Phase::Wait => "wait",
        }
    }
}

/// Learns what an insert was doing.
pub trait Recorder {
    /// What happened since the last call, or since the recorder was made, was this.
    fn done(&mut self, phase: Phase);
}

/// Records nothing, in no time.
impl Recorder for () {
    #[inline(always)]
    fn done(&mut self, _phase: Phase) {}
}

/// Adds up the time of each phase.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    since: Instant,
    spent: [Duration; Phase::ALL.len()],
}

impl Stopwatch {
    /// One that runs from now on.
    pub fn new() -> Self {
        Stopwatch { since: Instant::now(), spent: Default::default() }
    }

    /// Leaves out what happened since the last call.
    pub fn skip(&mut self) {
        self.since = Instant::now();
    }

    /// The time of a phase so far.
    pub fn spent(&self, phase: Phase) -> Duration {
        self.spent[phase as usize]
    }
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder for Stopwatch {
    #[inline]
    fn done(&mut self, phase: Phase) {
        let now = Instant::now();
        self.spent[phase as usize] += now - self.since;
        self.since = now;
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_counts_for_its_phase_and_skipped_ones_for_none() {
        let long = Duration::from_millis(30);
        let start = Instant::now();
        let mut watch = Stopwatch::new();
        std::thread::sleep(long);
        watch.done(Phase::Link);
        std::thread::sleep(long);
        watch.skip();
        watch.done(Phase::Search);
        std::thread::sleep(long);
        watch.done(Phase::Link);
        let all: Duration = Phase::ALL.into_iter().map(|phase| watch.spent(phase)).sum();
        assert!(watch.spent(Phase::Link) >= 2 * long);
        assert!(all + long <= start.elapsed(), "the stretch that was skipped is in no phase");
        assert_eq!(watch.spent(Phase::Wait), Duration::ZERO);
    }

    #[test]
    fn phases_are_their_places_in_the_list() {
        for (place, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, place, "{}", phase.name());
        }
    }
}
