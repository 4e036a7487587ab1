//! An index for searching alone, on a graph in as few bytes as it takes.

use super::search::Neighbor;
use super::{Index, IndexSnapshot, Scratch, search_view, search_view_each, vectors_memory};
use crate::error::SearchError;
use crate::graph::{Graph, MemoryReport, NodeId, NodeState, Packed, Snapshots, View, arc_bytes};
use crate::hnsw::scratch::with_local;
use crate::sync::Arc;
use crate::vectors::{Codec, F32, Vectors};

/// A frozen copy of the graph of an [`Index`], and the vectors, which it shares with it. Searches give the same answers, bit for
/// bit, as the graph that was copied. Valid after the index is gone; dropping the index then frees its larger graph.
///
/// ```
/// # use hnsw_core::{graph::Graph, hnsw::Index};
/// # fn example<G: Graph>(index: Index<G>, query: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
/// let packed = index.pack();
/// assert_eq!(packed.search(query, 10, 64)?, index.search(query, 10, 64)?);
/// drop(index);
/// println!("{} bytes above the vectors", packed.memory().overhead());
/// # Ok(())
/// # }
/// ```
pub struct PackedIndex<C: Codec = F32> {
    graph: Packed,
    vectors: Arc<Vectors<C>>,
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// A packed copy for searching alone. Every insert and removal that has returned is in it; of those under way meanwhile, some
    /// may be (see [`Packed`]; [`IndexSnapshot::pack`] is exact while others write).
    ///
    /// Reads the graph in one session: it holds up what any session holds up, for as long as it takes to read all lists.
    pub fn pack(&self) -> PackedIndex<C> {
        PackedIndex { graph: Packed::freeze(&self.graph.read()), vectors: Arc::clone(&self.vectors) }
    }
}

impl<G: Snapshots, C: Codec> IndexSnapshot<G, C> {
    /// A packed copy of exactly this instant. Keeps no versions alive.
    pub fn pack(&self) -> PackedIndex<C> {
        PackedIndex { graph: Packed::freeze(&self.view), vectors: Arc::clone(&self.vectors) }
    }
}

impl<C: Codec> PackedIndex<C> {
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
        search_view(&self.graph, &self.vectors, query, k, ef, scratch)
    }

    /// As [`Index::search_each_with`].
    ///
    /// # Errors
    /// As [`Index::search_each_with`].
    pub fn search_each_with(
        &self,
        queries: &[f32],
        k: usize,
        ef: usize,
        scratch: &mut Scratch<C>,
        found: impl FnMut(usize, &[Neighbor]),
    ) -> Result<(), SearchError> {
        search_view_each(&self.graph, &self.vectors, queries, (k, ef), scratch, found)
    }

    /// True if `node` was live when the graph was packed.
    pub fn contains(&self, node: NodeId) -> bool {
        self.graph.state(node) == NodeState::Live
    }

    /// The vector of a live node (for cosine: scaled to unit length).
    pub fn vector(&self, node: NodeId) -> Option<Vec<f32>> {
        // SAFETY: a live node was published, so its row is written.
        self.contains(node).then(|| unsafe { self.vectors.decode(node) })
    }

    /// Ids given out when the graph was packed: all nodes are below it, removed ones included.
    pub fn node_count(&self) -> usize {
        self.graph.node_count()
    }

    /// The graph, for inspection.
    pub fn graph(&self) -> &Packed {
        &self.graph
    }

    /// Exact bytes by category, scratch excepted. The vectors are counted as if they were this index's alone; rows that the
    /// index added after it was packed are slack.
    pub fn memory(&self) -> MemoryReport {
        let own = size_of::<Self>() + arc_bytes::<Vectors<C>>();
        let own = MemoryReport { fixed_bytes: own, ..Default::default() };
        self.graph.memory() + vectors_memory(&self.vectors, self.node_count()) + own
    }
}
