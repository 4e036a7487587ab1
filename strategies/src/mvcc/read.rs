//! Reading the newest version of everything.
//!
//! # Progress
//! A read never waits. It looks at the version word of the list: if no commit is writing the list, the links are in place,
//! and a copy is good if the word has not changed meanwhile. If a commit is writing it, the content from before that commit
//! is in the chain, whole, and stays there at least until that commit is over; and that content was the newest at an
//! instant inside the read. So however long a committer is suspended, and wherever, a read is answered at once. A read is
//! repeated only if some commit wrote this very list, or ended, between two of its steps: reads are lock-free. (Those of a
//! [snapshot](super::snapshot) are wait-free.)

use super::lists::List;
use super::{ListId, Shared};
use hnsw_core::graph::{At, Entry, Level, Link, LinkBuf, NodeId, NodeState, Stage, View};
use hnsw_core::sync::{Cost, Ordering, charge, epoch};

/// A session that reads the newest versions. Opening one costs nothing, and holding one keeps nothing alive.
pub struct Read<'g> {
    pub(super) shared: &'g Shared,
}

impl Shared {
    /// Copies the newest content of a list into `buf`.
    #[inline]
    pub(super) fn read_newest(&self, id: ListId, buf: &mut LinkBuf) {
        let list = self.list(id);
        while !self.read_once(id, list, buf) {
            self.counters.read_retried(buf);
        }
        charge(Cost::BytesCopied, size_of_val(&buf[..]));
    }

    /// False if a commit changed the list between two steps of this.
    #[inline]
    fn read_once(&self, id: ListId, list: List<'_>, buf: &mut LinkBuf) -> bool {
        let word = list.word();
        if hnsw_core::planted!("mvcc-read-waits") && word.is_writing() {
            self.wait_for_committer();
            return false;
        }
        if !word.is_writing() { list.copy(word, buf) } else { self.read_before(id, word.stamp(), buf) }
    }

    /// The content from before the commit that is writing the list, whose stamp was `stamp` then, or a newer one.
    #[cold]
    fn read_before(&self, id: ListId, stamp: u64, buf: &mut LinkBuf) -> bool {
        if stamp == 0 {
            buf.clear();
            return true;
        }
        self.counters.version_walked(buf);
        let guard = epoch::pin();
        match self.lists(id).chain(id.number).find(u64::MAX, &guard) {
            Some(record) if record.from() >= stamp => {
                buf.copy_from(record.links());
                true
            }
            _ => false,
        }
    }

    /// The newest entry point, packed.
    #[inline]
    pub(super) fn entry(&self) -> u64 {
        // Acquire [mvcc-entry]: pairs with Release [mvcc-entry-set]; the lists and the row of the node.
        self.entry.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn prefetch(&self, at: At, stage: Stage) {
        // Lists above level 0 are few and visited all the time: they are in the cache, and to find one costs as much.
        if at.level == 0 && stage == Stage::Near {
            self.base.prefetch(at.node.index());
        }
    }
}

impl View for Read<'_> {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        Entry::unpack(self.shared.entry())
    }

    #[inline]
    fn node_count(&self) -> usize {
        self.shared.nodes.count()
    }

    #[inline]
    fn state(&self, node: NodeId) -> NodeState {
        self.shared.nodes.state(node)
    }

    #[inline]
    fn level(&self, node: NodeId) -> Level {
        self.shared.nodes.level(node)
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.shared.nodes.may_have_tombstones()
    }

    #[inline]
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        self.shared.read_newest(self.shared.id(at), buf);
        buf
    }

    #[inline]
    fn prefetch(&self, at: At, stage: Stage) {
        self.shared.prefetch(at, stage);
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::Mvcc;
    use hnsw_core::graph::{Edit, Graph, GraphConfig, Link, NodeId, Snapshots, Verdict};

    /// A reader met the commit that replaced the second version, and comes to the chain when that version is gone from it. What
    /// it finds there is older than what others were shown.
    #[test]
    fn a_version_that_a_snapshot_keeps_does_not_stand_in_for_a_newer_one() {
        let graph = Mvcc::with_config(&GraphConfig::new(4)).unwrap();
        let node = graph.reserve(1, |_| 0).unwrap();
        let put = |target| {
            let mut session = graph.write(0);
            session.rewrite(At::base(node), |_, out| {
                out.push(Link::to(NodeId::new(target)));
                Verdict::Replace
            });
            session.commit().unwrap().0
        };
        let first = put(7);
        let snapshot = graph.snapshot();
        let second = put(8);
        put(9);
        let (id, mut buf) = (ListId { upper: false, number: node.index() }, LinkBuf::new());
        assert!(!graph.shared.read_before(id, second, &mut buf));
        assert!(graph.shared.read_before(id, first, &mut buf));
        assert_eq!(&buf[..], [Link::to(NodeId::new(7))]);
        drop(snapshot);
    }
}
