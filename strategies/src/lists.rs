//! Arrays with one row per adjacency list of a graph.
//!
//! Level 0 has one list per node, indexed by the node. The lists above are indexed by the number that
//! [`Nodes::upper`] gives. Both grow without moving.

use hnsw_core::graph::{At, GraphConfig, NodeId, Nodes};
use hnsw_core::segments::Segments;

/// Link slots in a cache line. Models have no cache and want few slots.
pub(crate) const LINE: usize = if cfg!(hnsw_loom) { 1 } else { 64 / size_of::<u32>() };

/// Where the row of a list is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Base(usize),
    Upper(usize),
}

impl Place {
    /// The place of the list at `at`, which must exist.
    #[inline(always)]
    pub(crate) fn of(nodes: &Nodes, at: At) -> Place {
        if at.level == 0 {
            Place::Base(at.node.index())
        } else {
            Place::Upper(nodes.upper(at.node, at.level))
        }
    }
}

/// One row of `T` per adjacency list.
pub(crate) struct PerList<T> {
    base: Segments<T>,
    upper: Segments<T>,
}

/// Bytes of rows in use, of rows allocated beyond them, and of the spines.
pub(crate) struct Bytes {
    pub(crate) used: usize,
    pub(crate) slack: usize,
    pub(crate) fixed: usize,
}

impl<T> PerList<T> {
    /// Rows with a slot for each link that a list may have. Rows of level 0, where searches spend their time, are whole
    /// cache lines: no list touches a line more than it must.
    pub(crate) fn slots(config: &GraphConfig, init: fn() -> T) -> Self {
        Self::new(config, config.cap(0).next_multiple_of(LINE), config.cap(1), init)
    }

    /// Rows of `head` words and then a slot for each link that a list may have, without a gap between two rows: the head and
    /// the first links are in the same cache line but where a line ends between them.
    pub(crate) fn with_head(config: &GraphConfig, head: usize, init: fn() -> T) -> Self {
        Self::new(config, head + config.cap(0), head + config.cap(1), init)
    }

    /// One `T` per list.
    pub(crate) fn single(config: &GraphConfig, init: fn() -> T) -> Self {
        Self::new(config, 1, 1, init)
    }

    fn new(config: &GraphConfig, base: usize, upper: usize, init: fn() -> T) -> Self {
        PerList {
            base: Segments::new(base, config.capacity, init),
            upper: Segments::sized(upper, config.max_upper(), config.expected_upper(), init),
        }
    }

    /// Makes the rows of all nodes that the calling thread has reserved.
    pub(crate) fn grow(&self, nodes: &Nodes) {
        self.base.grow(nodes.count());
        self.upper.grow(nodes.upper_lists());
    }

    #[inline(always)]
    pub(crate) fn row(&self, place: Place) -> &[T] {
        match place {
            Place::Base(row) => self.base.row(row),
            Place::Upper(row) => self.upper.row(row),
        }
    }

    #[inline(always)]
    pub(crate) fn row_mut(&mut self, place: Place) -> &mut [T] {
        match place {
            Place::Base(row) => self.base.row_mut(row),
            Place::Upper(row) => self.upper.row_mut(row),
        }
    }

    /// Hints that the row of a list on level 0 will be read. Lists above are found by a walk that is itself what one waits
    /// for, so there is nothing to hint.
    #[inline(always)]
    pub(crate) fn prefetch_base(&self, node: NodeId) {
        self.base.prefetch(node.index(), self.base.row_bytes().div_ceil(64));
    }

    pub(crate) fn bytes(&self, nodes: &Nodes) -> Bytes {
        let base = self.base.used_and_slack(nodes.count());
        let upper = self.upper.used_and_slack(nodes.upper_lists());
        Bytes {
            used: base.0 + upper.0,
            slack: base.1 + upper.1,
            fixed: self.base.spine_bytes() + self.upper.spine_bytes(),
        }
    }
}
