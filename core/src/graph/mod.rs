//! The adjacency of an HNSW graph, as the algorithm sees it and as a concurrency strategy provides it.
//!
//! A strategy implements [`Graph`]. The algorithm opens a session, does its work through the session and drops
//! it. What a session is differs: the guard of a lock, the pin of an epoch, a snapshot. Vectors, distances and
//! the algorithm are the same for all strategies, so what differs between two strategies in a measurement is
//! concurrency control and nothing else.
//!
//! # How the algorithm uses it
//!
//! Search opens one [`View`] and follows [`View::links`]. Insert searches in a [`View`], drops it, opens an
//! [`Edit`], and then, in this order: writes all forward lists of the new node, [`Edit::publish`]es it, anchors it
//! in the list of a parent, adds the other reverse edges one list at a time, and raises the entry point. At no time
//! does one thread hold two sessions of one graph.
//!
//! # Anchors
//!
//! A link carries one bit besides its target: *anchor*. An anchor link must survive every rewrite. The algorithm
//! uses anchors to keep, inside level 0, a path from the first node to every other and one back: they are why no
//! node becomes unreachable, however lists are pruned. Strategies store the bit and know nothing of its meaning.

mod config;
mod contention;
mod links;
mod memory;
mod node;
mod nodes;
mod packed;

pub mod check;

pub use config::{GraphConfig, MAX_LEVEL, MAX_M, MAX_NODES};
pub use contention::Contention;
pub use links::LinkBuf;
pub use memory::{MemoryReport, arc_bytes};
pub use node::{At, Entry, Level, Link, NodeId, NodeState};
pub use nodes::Nodes;
pub use packed::Packed;

use crate::error::{ConfigError, Full};

/// What a strategy can do beyond the contract that all share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// More than one thread can make progress at a time in searches.
    pub parallel_reads: bool,
    /// More than one thread can make progress at a time in inserts.
    pub parallel_writes: bool,
    /// Each list is read in a bounded number of the reader's own steps, whatever other threads do (contract P8).
    pub wait_free_reads: bool,
    /// Some insert finishes even if any one thread is suspended at any point (contract P8).
    pub lock_free_writes: bool,
    /// Implements [`Snapshots`] (contract P7).
    pub snapshots: bool,
    /// A list that is read is one that some rewrite wrote. Without this, a read that overlaps a rewrite may give a mixture of the
    /// list before and the list after: with every anchor that is in both; a link that is no anchor may be missing from it or be
    /// in it twice if the rewrite gives it another place (contract P6). What [`Edit::rewrite`] shows is always whole.
    pub whole_lists: bool,
    /// The function of a [rewrite](Edit::rewrite), where the algorithm prunes lists, runs while its thread holds nothing: if it is
    /// suspended there, all others go on (contract P8).
    pub unlocked_rewrites: bool,
    /// Batches are inserted in rounds, and the graph that a batch makes does not depend on the number of threads (contract
    /// P9). Write sessions of several threads that change different lists must not wait for each other.
    pub deterministic_batch: bool,
}

/// Where a commit stands in the order of commits. Strategies without versions return [`Stamp::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// The stamp of a strategy that keeps no versions.
    pub const NONE: Stamp = Stamp(0);
}

/// What a rewrite decided about a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave the list as it is; the output buffer is ignored.
    Keep,
    /// Put the contents of the output buffer in its place.
    Replace,
}

/// How early a prefetch hint comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The list may be read some hops from now: fetch what leads to it (a handle, a pointer), if anything does.
    Far,
    /// The list is likely to be read next: fetch the list itself.
    Near,
}

/// One HNSW graph under one concurrency strategy: the adjacency lists of all levels, node states, and the entry point.
pub trait Graph: Send + Sync + Sized + 'static {
    /// The name of the strategy in flags, tables and result documents.
    const NAME: &'static str;
    /// What the strategy promises beyond the shared contract.
    const CAPS: Caps;

    /// A session for reading.
    type Read<'g>: View
    where
        Self: 'g;
    /// A session for changing the graph.
    type Write<'g>: Edit
    where
        Self: 'g;

    /// An empty graph.
    ///
    /// # Errors
    /// When `config` does not hold ([`GraphConfig::check`]).
    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError>;

    /// Takes the next `count` node ids, gives each the level that `level_of` says (at most [`MAX_LEVEL`]), and
    /// returns the first; the others follow it without a gap. The nodes are [`NodeState::Reserved`]: they have empty
    /// lists and no one else can meet them.
    ///
    /// # Errors
    /// [`Full`] when fewer than `count` ids are left; then none is taken.
    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full>;

    /// Opens a session for reading.
    fn read(&self) -> Self::Read<'_>;

    /// Opens a session for changing the graph. `attempt` is 0 at first and counts the [`Edit::Conflict`]s that this
    /// edit has met: a strategy whose commits can conflict may open a stronger session after some.
    fn write(&self, attempt: u32) -> Self::Write<'_>;

    /// Exact bytes held, by category. Counts all memory that the graph has allocated and not given back.
    fn memory(&self) -> MemoryReport;

    /// What threads have waited for and retried so far.
    fn contention(&self) -> Contention;

    /// Frees whatever is waiting to be freed, as far as no open session or snapshot needs it. Call it between trials
    /// and before a leak check, not on a hot path.
    fn quiesce(&self);
}

/// Reading a graph.
pub trait View {
    /// Where searches start. `None` while the graph is empty.
    fn entry(&self) -> Option<Entry>;

    /// The number of ids taken so far, published or not: all ids are below it.
    fn node_count(&self) -> usize;

    /// The state of a node. Ids at or above [`View::node_count`] are [`NodeState::Free`].
    fn state(&self, node: NodeId) -> NodeState;

    /// The highest level on which a reserved node has a list.
    fn level(&self, node: NodeId) -> Level;

    /// False only if no node can be a tombstone; lets a search skip asking for each node's state.
    fn may_have_tombstones(&self) -> bool;

    /// The list at `at`. Borrows it where lists are immutable, else copies it into `buf` and borrows that.
    ///
    /// The order of links within a list means nothing. Requires `at.level <= self.level(at.node)`.
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link];

    /// Hints that `links(at)` will be called. Never changes a result.
    fn prefetch(&self, at: At, stage: Stage);
}

/// Changing a graph.
///
/// One session is one edit: nothing of it may be relied on until [`Edit::commit`] returned `Ok`. Where
/// [`Edit::Conflict`] is [`Infallible`](core::convert::Infallible) the changes take effect one by one, as they are made.
pub trait Edit: View {
    /// Why a commit was refused. The caller repeats the whole edit in a new session.
    type Conflict: core::fmt::Debug;

    /// Changes one list: `f` gets the list as it is and an empty buffer for what it should be. The change is atomic:
    /// what `f` saw is what is replaced. `f` must be pure, because it runs again when another thread was faster.
    /// Returns the verdict of the run that counted.
    fn rewrite<F>(&mut self, at: At, f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict;

    /// Reserved -> Live: the instant at which the insert of `node` takes effect. Its forward lists must be written before
    /// any list, or the entry point, names it.
    fn publish(&mut self, node: NodeId);

    /// Live -> Tombstone: the instant at which the removal takes effect. False if `node` was not live.
    fn tombstone(&mut self, node: NodeId) -> bool;

    /// Makes `entry` the entry point if the graph has none. False if it has one. (Its first node needs this: that
    /// node has no links, so it must not replace an entry point that has.) The node must be published.
    fn found(&mut self, entry: Entry) -> bool;

    /// Makes `entry` the entry point if its level is higher than that of the present one. True if it did. The node
    /// must be published and linked on all its levels.
    fn raise_entry(&mut self, entry: Entry) -> bool;

    /// Ends the edit.
    ///
    /// # Errors
    /// `Conflict` if another edit got in between; then nothing of this one has happened.
    fn commit(self) -> Result<Stamp, Self::Conflict>;
}

/// Graphs that can be frozen in time for a reader (contract P7).
pub trait Snapshots: Graph {
    /// All of the graph as of one commit. Cheap to clone, free to send to other threads, and valid after the graph.
    type Snapshot: View + Clone + Send + Sync + 'static;

    /// The graph as of the newest commit. Everything whose `commit` returned before the call is in it.
    fn snapshot(&self) -> Self::Snapshot;

    /// The commit that `snapshot` shows.
    fn stamp(snapshot: &Self::Snapshot) -> Stamp;
}
