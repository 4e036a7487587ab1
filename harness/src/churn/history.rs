//! What happened to each node, and what each search said: intervals on one clock.
//!
//! All readings are nanoseconds since the window opened. A reading is taken on the far side of a full fence from the operation
//! that it bounds ([`Clock::before`], [`Clock::after`]): else a processor might keep the last store of an insert to itself for
//! a moment after the insert was said to have ended, and a search that began then would be blamed for what it could not see.

use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use hnsw_core::graph::NodeId;

/// The clock of a window.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time, read before an operation begins.
    pub(crate) fn before(self) -> u64 {
        let now = self.nanos();
        // SeqCst [clock-before]: pairs with SeqCst [clock-after]; what the operation does comes after the reading. No model: the clock is
        // the machine's, and no model checker has it.
        fence(Ordering::SeqCst);
        now
    }

    /// The time, read after an operation has ended.
    pub(crate) fn after(self) -> u64 {
        // SeqCst [clock-after]: pairs with SeqCst [clock-before]; what the operation did comes before the reading, and no store of it
        // waits in this processor alone. No model: as there.
        fence(Ordering::SeqCst);
        self.nanos()
    }

    fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// From the reading before a call to that after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// A node that was inserted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Which row of the data it holds.
    pub(super) row: u32,
    pub(super) insert: Span,
    pub(super) remove: Option<Span>,
}

/// How a node stands to a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was there all the time.
    Must,
    /// It may or may not have been there at the instant that counts.
    May,
    /// It was not there at any time.
    Never,
}

impl Life {
    /// Of a row that was there before the window opened.
    pub(super) fn from_before(row: u32) -> Life {
        Life { row, insert: Span { begin: 0, end: 0 }, remove: None }
    }

    /// For how long the node had been there at `time`. What is from before the window is old.
    pub(super) fn age(&self, time: u64) -> u64 {
        if self.insert.end == 0 { u64::MAX } else { time.saturating_sub(self.insert.end) }
    }

    /// How the node stands to a search over `span`. Only what was over before the search began, or began when the search was
    /// over, is certain.
    pub(super) fn standing(&self, span: Span) -> Standing {
        let gone = self.remove.is_some_and(|remove| remove.end < span.begin);
        if gone || self.insert.begin > span.end {
            return Standing::Never;
        }
        let settled = self.insert.end < span.begin;
        match settled && self.remove.is_none_or(|remove| remove.begin > span.end) {
            true => Standing::Must,
            false => Standing::May,
        }
    }
}

/// What was searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A query of the data set.
    Query(u32),
    /// A row that was inserted a short time ago: the node that holds it should come first.
    Fresh(u32),
}

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) target: Target,
    pub(super) span: Span,
    pub(super) answers: Vec<NodeId>,
}

/// The lives of all nodes, by node.
#[derive(Default)]
pub(super) struct Lives(Vec<Option<Life>>);

impl Lives {
    /// Adds a node.
    ///
    /// # Errors
    /// The node, when it was there already: an index that gives an id out twice.
    pub(super) fn add(&mut self, node: NodeId, life: Life) -> Result<(), NodeId> {
        if self.0.len() <= node.index() {
            self.0.resize(node.index() + 1, None);
        }
        match self.0[node.index()].replace(life) {
            None => Ok(()),
            Some(_) => Err(node),
        }
    }

    /// Notes a removal of a node that was added.
    pub(super) fn removed(&mut self, node: NodeId, span: Span) {
        if let Some(Some(life)) = self.0.get_mut(node.index()) {
            life.remove = Some(span);
        }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Life> {
        self.0.get(node.index())?.as_ref()
    }

    /// All nodes with their lives.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Life)> {
        let numbered = (0..).map(NodeId::new).zip(&self.0);
        numbered.filter_map(|(node, life)| Some((node, life.as_ref()?)))
    }

    /// Nodes that were inserted and not removed.
    pub(super) fn live(&self) -> usize {
        self.iter().filter(|(_, life)| life.remove.is_none()).count()
    }
}
