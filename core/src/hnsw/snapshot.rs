//! An index as of one instant.

use super::search::Neighbor;
use super::{Index, Scratch, search_view};
use crate::error::SearchError;
use crate::graph::{NodeId, NodeState, Snapshots, Stamp, View};
use crate::hnsw::scratch::with_local;
use crate::sync::Arc;
use crate::vectors::{Codec, F32, Vectors};

/// An index as of one commit: the same search on the same snapshot returns the same nodes and the same bits, whatever is
/// written meanwhile. Cheap to clone, free to send to other threads, valid after the index is gone. Holding one keeps the
/// versions alive that it shows.
pub struct IndexSnapshot<G: Snapshots, C: Codec = F32> {
    pub(super) view: G::Snapshot,
    pub(super) vectors: Arc<Vectors<C>>,
}

impl<G: Snapshots, C: Codec> Clone for IndexSnapshot<G, C> {
    fn clone(&self) -> Self {
        IndexSnapshot { view: self.view.clone(), vectors: Arc::clone(&self.vectors) }
    }
}

impl<G: Snapshots, C: Codec> Index<G, C> {
    /// The index as of now: every insert and removal that has returned is in it.
    pub fn snapshot(&self) -> IndexSnapshot<G, C> {
        IndexSnapshot { view: self.graph.snapshot(), vectors: Arc::clone(&self.vectors) }
    }
}

impl<G: Snapshots, C: Codec> IndexSnapshot<G, C> {
    /// As [`Index::search`].
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search(&self, query: &[f32], k: usize, ef: usize) -> Result<Vec<Neighbor>, SearchError> {
        with_local(|scratch| self.search_with(query, k, ef, scratch).map(<[Neighbor]>::to_vec))
    }

    /// As [`Index::search_with`].
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_with<'s>(
        &self,
        query: &[f32],
        k: usize,
        ef: usize,
        scratch: &'s mut Scratch<C>,
    ) -> Result<&'s [Neighbor], SearchError> {
        search_view(&self.view, &self.vectors, query, k, ef, scratch)
    }

    /// True if `node` was live at this instant.
    pub fn contains(&self, node: NodeId) -> bool {
        self.view.state(node) == NodeState::Live
    }

    /// The graph as of this instant.
    pub fn view(&self) -> &G::Snapshot {
        &self.view
    }

    /// The commit that this snapshot shows.
    pub fn stamp(&self) -> Stamp {
        G::stamp(&self.view)
    }
}
