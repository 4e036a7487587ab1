//! The graph as of one commit.
//!
//! # Invariants
//! - I1: while a snapshot of commit `s` lives, the version of every list as of `s` is in place or in its chain: a record
//!   goes only when its registered stamp is gone (see [`registry`](super::registry) and [`vacuum`](super::vacuum)).
//! - I2: whoever has a snapshot of `s` sees all stores of the commits up to `s`: they come before the root in the committer,
//!   and the root comes to the holder through an Acquire load, then through whatever gave it the snapshot.
//!
//! # Synchronisation
//! By I2 the version word that a snapshot sees is that of its own version, or of a newer one. If it is its own, a validated
//! copy of the links in place is the answer. If the list is being written or has a newer version, then the record of its
//! own version is in the chain (`list-begin`, `list-end` with `list-word`) and stays (I1).
//!
//! # Progress
//! Reads are wait-free: one try in place, then one walk. Taking a snapshot is lock-free; dropping one does not wait, but if
//! no commit is under way the dropping thread takes out the versions that no one needs any more (and, like every holder of the
//! commit lock, answers whoever handed a set in meanwhile).
//!
//! # Memory
//! One small allocation for a snapshot and all its clones, and the versions that it alone keeps. An epoch is pinned only
//! during a walk, so a snapshot that lives long keeps nothing but its own versions.

use super::lists::Mark;
use super::registry::Ticket;
use super::{ListId, Root, Shared};
use hnsw_core::graph::{At, Entry, Level, Link, LinkBuf, NodeId, NodeState, Stage, View};
use hnsw_core::planted;
use hnsw_core::sync::{Arc, Cost, charge, epoch};

/// All of the graph as of one commit (contract P7). Cheap to clone; may outlive the graph.
#[derive(Clone)]
pub struct Snapshot(Arc<Held>);

struct Held {
    shared: Arc<Shared>,
    root: Arc<Root>,
    /// Taken only when this is dropped.
    ticket: Option<Ticket>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.registry.release(ticket);
            self.shared.vacuum_after(self.root.stamp);
        }
    }
}

impl Snapshot {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let newest = shared.root.with(|root| root.stamp);
        let (ticket, root) = shared.registry.register(newest, || {
            let root = shared.root.load();
            (root.stamp, root)
        });
        Snapshot(Arc::new(Held { shared: Arc::clone(shared), root, ticket: Some(ticket) }))
    }

    pub(super) fn stamp(&self) -> u64 {
        self.0.root.stamp
    }

    /// The newest commit that it may see of.
    fn shown(&self) -> u64 {
        self.stamp() + u64::from(planted!("mvcc-snapshot-ahead"))
    }

    fn read(&self, id: ListId, buf: &mut LinkBuf) {
        let (shared, stamp) = (&*self.0.shared, self.shown());
        let list = shared.list(id);
        let mut word = list.word();
        if word.stamp() <= stamp && !word.is_writing() {
            if list.copy(word, buf) {
                return;
            }
            // Now it has a newer version, or is being written; this makes the record in the chain visible.
            word = list.word();
            debug_assert!(
                word.is_writing() || word.stamp() > stamp,
                "the version of a snapshot was replaced unseen"
            );
        }
        shared.counters.version_walked(buf);
        let guard = epoch::pin();
        match shared.lists(id).chain(id.number).find(stamp, &guard) {
            Some(record) => buf.copy_from(record.links()),
            // The list was first written after this commit, or is now.
            None => buf.clear(),
        }
    }

    /// What the list of `node` on level 0 said of it. The list must exist.
    fn mark(&self, node: NodeId) -> Mark {
        let id = ListId::base(node);
        let word = self.0.shared.list(id).word();
        if word.stamp() <= self.shown() {
            // Also while the list is being written: the word is still that of the version before.
            return word.mark();
        }
        let guard = epoch::pin();
        self.0.shared.lists(id).chain(id.number).find(self.shown(), &guard).map_or(Mark::Unborn, |r| r.mark())
    }
}

impl View for Snapshot {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        self.0.root.entry
    }

    #[inline]
    fn node_count(&self) -> usize {
        self.0.root.node_count
    }

    fn state(&self, node: NodeId) -> NodeState {
        if node.index() >= self.node_count() {
            return NodeState::Free;
        }
        // A node that is not published now was not published then, and its lists may still be in the making.
        match self.0.shared.nodes.state(node) {
            NodeState::Free | NodeState::Reserved => NodeState::Reserved,
            NodeState::Live | NodeState::Tombstone => match self.mark(node) {
                Mark::Unborn => NodeState::Reserved,
                Mark::Live => NodeState::Live,
                Mark::Dead => NodeState::Tombstone,
            },
        }
    }

    #[inline]
    fn level(&self, node: NodeId) -> Level {
        self.0.shared.nodes.level(node)
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.0.root.tombstones > 0
    }

    #[inline]
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        self.read(self.0.shared.id(at), buf);
        charge(Cost::BytesCopied, size_of_val(&buf[..]));
        buf
    }

    #[inline]
    fn prefetch(&self, at: At, stage: Stage) {
        self.0.shared.prefetch(at, stage);
    }
}
