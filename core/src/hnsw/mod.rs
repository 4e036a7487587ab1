//! The HNSW algorithm (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
//! Navigable Small World graphs", 2016), written once for every strategy and every row codec.
//!
//! [`Index`] is what users hold. All its methods take `&self`: inserts, removals and searches may run at the same time from
//! any number of threads; how much of that happens in parallel is the strategy's business.
//!
//! What is promised:
//! - after `insert` returned, the node is reachable from every other node on level 0, and stays so;
//! - a search that starts after `remove` returned never returns the node;
//! - every node that a search returns was live at some instant during the search, and the distance is that of its vector;
//! - answers are ordered, without duplicates.

mod batch;
mod bulk;
mod insert;
mod level;
mod packed;
mod phases;
mod pool;
mod rounds;
mod scratch;
mod search;
mod select;
mod snapshot;
mod visited;

pub use batch::Answers;
pub use packed::PackedIndex;
pub use phases::{Phase, Recorder, Stopwatch};
pub use scratch::Scratch;
pub use search::Neighbor;
pub use snapshot::IndexSnapshot;

// For the models, which call what tasks of a build call.
#[cfg(hnsw_loom)]
#[doc(hidden)]
pub use {batch::Tally, bulk::shared, pool::Candidate};

use crate::distance::Metric;
use crate::error::{ConfigError, InsertError, MAX_EF, NotFound, SearchError};
use crate::graph::{Edit, Graph, GraphConfig, MAX_NODES, MemoryReport, NodeId, NodeState, View, arc_bytes};
use crate::sync::Arc;
use crate::vectors::{Codec, F32, Vectors};
use level::Levels;
use scratch::with_local;
use search::Searcher;

/// What an index needs to know when it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexConfig {
    /// Components of a vector.
    pub dim: usize,
    /// How vectors are compared.
    pub metric: Metric,
    /// M: links per node and level above 0; twice as many on level 0.
    pub m: usize,
    /// Candidates kept while searching for the neighbours of a new node. More is slower and better.
    pub ef_construction: usize,
    /// How much nearer to a chosen neighbour than to the node itself a candidate must be to be left out: with 1 (the rule of
    /// the HNSW paper) any nearer, with more only `alpha` times nearer, so that more and longer links stay (the rule of Vamana;
    /// Subramanya et al., "DiskANN", 2019, for distances as the metric tells them, so squared ones for L2). From 1 to 2; taken
    /// as 1 for [`Metric::InnerProduct`], whose distances have no ratio.
    pub alpha: f32,
    /// The most nodes that the index will ever hold. Memory is taken as it fills; a true bound saves the growth slack.
    pub capacity: usize,
    /// Seed of the level draw.
    pub seed: u64,
}

impl IndexConfig {
    /// M = 16, ef_construction = 200, alpha = 1, no bound on the number of nodes.
    pub const fn new(dim: usize, metric: Metric) -> Self {
        IndexConfig { dim, metric, m: 16, ef_construction: 200, alpha: 1.0, capacity: MAX_NODES, seed: 42 }
    }
}

/// An HNSW index over a concurrency strategy `G` and a row codec `C`.
pub struct Index<G: Graph, C: Codec = F32> {
    config: IndexConfig,
    levels: Levels,
    vectors: Arc<Vectors<C>>,
    graph: G,
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// An empty index.
    ///
    /// # Errors
    /// When a parameter is out of range, or the codec needs a sample (see [`Index::trained`]).
    pub fn new(config: IndexConfig) -> Result<Self, ConfigError> {
        Self::trained(config, &[])
    }

    /// An empty index whose codec learns from `sample`: a row-major array of vectors that are like those to come, some
    /// thousands if possible. They are not inserted.
    ///
    /// # Errors
    /// When a parameter is out of range, or the codec cannot use the sample.
    pub fn trained(config: IndexConfig, sample: &[f32]) -> Result<Self, ConfigError> {
        let shape = GraphConfig { m: config.m, capacity: config.capacity };
        shape.check()?;
        if config.ef_construction == 0 || config.ef_construction > MAX_EF {
            return Err(ConfigError::EfConstruction(config.ef_construction));
        }
        if !(1.0..=2.0).contains(&config.alpha) {
            return Err(ConfigError::Alpha(config.alpha));
        }
        let codec = C::train(config.dim, config.metric, sample)?;
        Ok(Index {
            config,
            levels: Levels::new(config.m, config.seed),
            vectors: Arc::new(Vectors::new(codec, config.capacity)),
            graph: G::with_config(&shape)?,
        })
    }

    /// The parameters.
    pub fn config(&self) -> &IndexConfig {
        &self.config
    }

    /// The graph, for inspection.
    pub fn graph(&self) -> &G {
        &self.graph
    }

    fn graph_config(&self) -> GraphConfig {
        GraphConfig { m: self.config.m, capacity: self.config.capacity }
    }

    /// Inserts a vector and returns its node. Node ids are given out in order from 0.
    ///
    /// If the codec panics the insert has not happened: no search that starts afterwards returns the node. Its id, and the room
    /// that it takes, stay used up.
    ///
    /// # Errors
    /// When the vector has the wrong length, is not finite, or is zero under the cosine metric; when the index is full.
    pub fn insert(&self, vector: &[f32]) -> Result<NodeId, InsertError> {
        with_local(|scratch| self.insert_with(vector, scratch))
    }

    /// Removes a node. No search that starts after this returned will return it. The node goes on to carry searches to its
    /// neighbours.
    ///
    /// # Errors
    /// When the node is not live.
    pub fn remove(&self, node: NodeId) -> Result<(), NotFound> {
        #[cfg(hnsw_planted)]
        let late = crate::planted!("remove-late") && self.contains(node);
        #[cfg(hnsw_planted)]
        let node = match late.then(|| crate::planted::postpone(node.get())) {
            Some(None) => return Ok(()),
            Some(Some(earlier)) => NodeId::new(earlier),
            None => node,
        };
        let mut attempt = 0;
        loop {
            let mut edit = self.graph.write(attempt);
            if !edit.tombstone(node) {
                #[cfg(hnsw_planted)]
                if late || (crate::planted!("remove-twice") && edit.state(node) == NodeState::Tombstone) {
                    return Ok(());
                }
                return Err(NotFound(node));
            }
            if edit.commit().is_ok() {
                return Ok(());
            }
            attempt += 1;
        }
    }

    /// The `k` nearest nodes to `query` that a search with a beam of `ef` finds, nearest first.
    ///
    /// # Errors
    /// When k is 0, ef is below k, or the query has the wrong length, is not finite, or is zero under the cosine metric.
    pub fn search(&self, query: &[f32], k: usize, ef: usize) -> Result<Vec<Neighbor>, SearchError> {
        with_local(|scratch| self.search_with(query, k, ef, scratch).map(<[Neighbor]>::to_vec))
    }

    /// As [`Index::search`], with scratch of the caller's and without allocating: the answers are in the scratch.
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
        search_view(&self.graph.read(), &self.vectors, query, k, ef, scratch)
    }

    /// Searches for each row of a row-major `n x dim` array on this thread, one after another in one session. `found` is called
    /// with the number of each row and its answers, as [`Index::search`] gives them.
    ///
    /// # Errors
    /// As [`Index::search`], before anything is searched for; an array that is not whole rows counts as a query of the wrong
    /// dimension.
    pub fn search_each_with(
        &self,
        queries: &[f32],
        k: usize,
        ef: usize,
        scratch: &mut Scratch<C>,
        found: impl FnMut(usize, &[Neighbor]),
    ) -> Result<(), SearchError> {
        search_view_each(&self.graph.read(), &self.vectors, queries, (k, ef), scratch, found)
    }

    /// True if `node` is in the index and not removed.
    pub fn contains(&self, node: NodeId) -> bool {
        self.graph.read().state(node) == NodeState::Live
    }

    /// The vector of a live node (for [`Metric::Cosine`]: scaled to unit length).
    pub fn vector(&self, node: NodeId) -> Option<Vec<f32>> {
        // SAFETY: a live node was published, so its row is written.
        self.contains(node).then(|| unsafe { self.vectors.decode(node) })
    }

    /// Ids given out so far: all nodes are below it, removed ones included.
    pub fn node_count(&self) -> usize {
        self.graph.read().node_count()
    }

    /// Exact bytes by category, scratch excepted (see [`Scratch::bytes`]).
    pub fn memory(&self) -> MemoryReport {
        // The graph counts itself.
        let own = size_of::<Self>() - size_of::<G>() + arc_bytes::<Vectors<C>>();
        let own = MemoryReport { fixed_bytes: own, ..Default::default() };
        self.graph.memory() + vectors_memory(&self.vectors, self.node_count()) + own
    }
}

/// What a store with this many rows in use takes.
fn vectors_memory<C: Codec>(vectors: &Vectors<C>, rows: usize) -> MemoryReport {
    let codec = vectors.codec();
    let (vectors_bytes, codes_bytes) = (rows * codec.vector_bytes(), rows * codec.code_bytes());
    MemoryReport {
        vectors_bytes,
        codes_bytes,
        // Another thread may have taken ids and not yet made room for their rows.
        slack_bytes: vectors.allocated_bytes().saturating_sub(vectors_bytes + codes_bytes),
        fixed_bytes: vectors.spine_bytes() + codec.heap_bytes(),
        ..Default::default()
    }
}

fn check_k_ef(k: usize, ef: usize) -> Result<(), SearchError> {
    if k == 0 || k > MAX_EF {
        return Err(SearchError::K(k));
    }
    if ef < k || ef > MAX_EF {
        return Err(SearchError::Ef { ef, k });
    }
    Ok(())
}

/// Searches a view; the answers are in the scratch.
fn search_view<'s, V: View, C: Codec>(
    view: &V,
    vectors: &Vectors<C>,
    query: &[f32],
    k: usize,
    ef: usize,
    scratch: &'s mut Scratch<C>,
) -> Result<&'s [Neighbor], SearchError> {
    check_k_ef(k, ef)?;
    vectors.codec().check(query)?;
    Ok(answers(view, vectors, query, k, ef, scratch))
}

/// Searches a view for each row of `queries`; see [`Index::search_each_with`].
fn search_view_each<V: View, C: Codec>(
    view: &V,
    vectors: &Vectors<C>,
    queries: &[f32],
    (k, ef): (usize, usize),
    scratch: &mut Scratch<C>,
    mut found: impl FnMut(usize, &[Neighbor]),
) -> Result<(), SearchError> {
    check_k_ef(k, ef)?;
    let rows = || queries.chunks(vectors.codec().dim());
    rows().try_for_each(|query| vectors.codec().check(query))?;
    for (number, query) in rows().enumerate() {
        found(number, answers(view, vectors, query, k, ef, scratch));
    }
    Ok(())
}

/// The answers to a query that is checked.
fn answers<'s, V: View, C: Codec>(
    view: &V,
    vectors: &Vectors<C>,
    query: &[f32],
    k: usize,
    ef: usize,
    scratch: &'s mut Scratch<C>,
) -> &'s [Neighbor] {
    let query = scratch.prepare(vectors.codec(), query);
    let mut searcher = Searcher { view, vectors, query: &query, scratch };
    searcher.nearest(ef);
    searcher.answer(k, ef);
    scratch.query = Some(query);
    &scratch.answers
}
