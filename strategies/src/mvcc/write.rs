//! Preparing a commit: a private set of changes, and the session that collects it.
//!
//! All that can be done before the commit lock is done here, in parallel: reading the lists, computing what they should
//! be, and making the undo records. The committer only checks that the lists are still what the session saw.

use super::commit::Committer;
use super::lists::{Mark, Word};
use super::version::Version;
use super::{ListId, Shared};
use core::ops::Range;
use hnsw_core::graph::{
    At, Edit, Entry, Level, Link, LinkBuf, NodeId, NodeState, Stage, Stamp, Verdict, View,
};
use hnsw_core::sync::epoch::Owned;
use hnsw_core::sync::{Cost, MutexGuard, charge};

/// Another commit changed a list, or the entry point, that this edit had seen and was about to change. Nothing of the edit
/// has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

impl core::fmt::Display for Conflict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("another commit changed what this edit is based on; repeat it in a new session")
    }
}

impl core::error::Error for Conflict {}

/// The next version of one list.
pub(super) struct ListWrite {
    pub(super) id: ListId,
    /// The version that the session saw.
    pub(super) before: Word,
    /// Its node was not published when the edit came upon it, so that no one meets the list before this commit.
    pub(super) is_of_new: bool,
    /// That version as an undo record; none if the list was never written.
    pub(super) undo: Option<Owned<Version>>,
    /// Where the new links are in [`WriteSet::links`]; none if only the mark changes.
    links: Option<Range<usize>>,
    pub(super) mark: Mark,
}

impl ListWrite {
    /// The node that this publishes.
    pub(super) fn born(&self) -> Option<NodeId> {
        (self.before.mark() == Mark::Unborn && self.mark != Mark::Unborn).then(|| self.id.base_node())
    }

    /// The node that this removes.
    pub(super) fn dies(&self) -> Option<NodeId> {
        (self.before.mark() != Mark::Dead && self.mark == Mark::Dead).then(|| self.id.base_node())
    }
}

/// A new entry point, and what was there when it was decided, both packed.
#[derive(Clone, Copy)]
pub(super) struct EntryWrite {
    pub(super) before: u64,
    pub(super) after: u64,
}

/// All changes of one edit.
#[derive(Default)]
pub(super) struct WriteSet {
    pub(super) lists: Vec<ListWrite>,
    pub(super) entry: Option<EntryWrite>,
    links: Vec<Link>,
}

impl WriteSet {
    /// Searched from one end to the other: an edit changes a few dozen lists.
    fn position(&self, id: ListId) -> Option<usize> {
        self.lists.iter().position(|write| write.id == id)
    }

    /// The list as the edit has it now.
    fn content(&self, position: usize) -> &[Link] {
        let write = &self.lists[position];
        match (self.new_links(write), &write.undo) {
            (Some(links), _) => links,
            (None, Some(undo)) => undo.record().links(),
            (None, None) => &[],
        }
    }

    /// The links to write, if they change.
    pub(super) fn new_links(&self, write: &ListWrite) -> Option<&[Link]> {
        write.links.clone().map(|range| &self.links[range])
    }

    /// Adds a list whose version `before` had these links, without any change yet.
    fn add(&mut self, id: ListId, before: Word, is_of_new: bool, links: &[Link]) -> usize {
        let undo = (before.stamp() > 0).then(|| {
            charge(Cost::BytesCopied, size_of_val(links));
            Version::new(id.number, before, links)
        });
        self.lists.push(ListWrite { id, before, is_of_new, undo, links: None, mark: before.mark() });
        self.lists.len() - 1
    }

    fn replace(&mut self, position: usize, links: &[Link]) {
        let start = self.links.len();
        self.links.extend_from_slice(links);
        self.lists[position].links = Some(start..self.links.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.entry.is_none()
    }
}

impl Shared {
    /// Copies the newest content of a list into `buf` and returns its version. Waits for a commit that is writing it,
    /// because an edit of anything older would be refused.
    fn read_for_edit(&self, id: ListId, buf: &mut LinkBuf) -> Word {
        let list = self.list(id);
        loop {
            let word = list.word();
            if word.is_writing() {
                self.wait_for_committer();
            } else if list.copy(word, buf) {
                return word;
            }
        }
    }

    fn is_unpublished(&self, node: NodeId) -> bool {
        self.nodes.state(node) == NodeState::Reserved
    }
}

/// A session that changes the graph. It sees the newest versions and its own changes; no one else sees its changes until
/// [`Edit::commit`], and then all or none. Dropped without a commit, it leaves no trace.
///
/// Lists that the edit rewrites are checked at the commit; lists that it only reads, or keeps
/// ([`Verdict::Keep`]), are not: that is snapshot isolation, list by list.
pub struct Write<'g> {
    shared: &'g Shared,
    /// The commit lock, if this session cannot be allowed to fail.
    held: Option<MutexGuard<'g, Committer>>,
    set: WriteSet,
    old: LinkBuf,
    new: LinkBuf,
}

impl<'g> Write<'g> {
    pub(super) fn new(shared: &'g Shared, held: Option<MutexGuard<'g, Committer>>) -> Self {
        Write { shared, held, set: WriteSet::default(), old: LinkBuf::new(), new: LinkBuf::new() }
    }

    /// As [`Edit::commit`]; calls `pause` in the middle of every list and after every list, with the commit lock held. For
    /// tests that suspend a committer.
    #[doc(hidden)]
    pub fn commit_pausing(self, mut pause: impl FnMut()) -> Result<Stamp, Conflict> {
        self.shared.commit(self.held, self.set, &mut pause)
    }

    /// The place of the node's list on level 0 in the set; it is added if it is not there.
    fn base_list(&mut self, node: NodeId) -> usize {
        let id = ListId::base(node);
        self.set.position(id).unwrap_or_else(|| {
            let before = self.shared.read_for_edit(id, &mut self.old);
            self.set.add(id, before, self.shared.is_unpublished(node), &self.old)
        })
    }

    fn packed_entry(&self) -> u64 {
        self.set.entry.map_or_else(|| self.shared.entry(), |write| write.after)
    }

    fn set_entry(&mut self, present: u64, entry: Entry) {
        let before = self.set.entry.map_or(present, |write| write.before);
        self.set.entry = Some(EntryWrite { before, after: Entry::pack(Some(entry)) });
    }
}

impl View for Write<'_> {
    fn entry(&self) -> Option<Entry> {
        Entry::unpack(self.packed_entry())
    }

    fn node_count(&self) -> usize {
        self.shared.nodes.count()
    }

    fn state(&self, node: NodeId) -> NodeState {
        match self.set.position(ListId::base(node)).map(|position| self.set.lists[position].mark) {
            Some(Mark::Live) => NodeState::Live,
            Some(Mark::Dead) => NodeState::Tombstone,
            Some(Mark::Unborn) | None => self.shared.nodes.state(node),
        }
    }

    fn level(&self, node: NodeId) -> Level {
        self.shared.nodes.level(node)
    }

    fn may_have_tombstones(&self) -> bool {
        self.shared.nodes.may_have_tombstones() || self.set.lists.iter().any(|write| write.mark == Mark::Dead)
    }

    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        let id = self.shared.id(at);
        match self.set.position(id) {
            Some(position) => self.set.content(position),
            None => {
                self.shared.read_newest(id, buf);
                buf
            }
        }
    }

    fn prefetch(&self, at: At, stage: Stage) {
        self.shared.prefetch(at, stage);
    }
}

impl Edit for Write<'_> {
    type Conflict = Conflict;

    fn rewrite<F>(&mut self, at: At, mut f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        let id = self.shared.id(at);
        self.new.clear();
        let known = self.set.position(id);
        let (before, verdict) = match known {
            Some(position) => (None, f(self.set.content(position), &mut self.new)),
            None => (Some(self.shared.read_for_edit(id, &mut self.old)), f(&self.old, &mut self.new)),
        };
        if verdict == Verdict::Replace {
            debug_assert!(
                self.new.len() <= self.shared.lists(id).cap(),
                "a list of {} links",
                self.new.len()
            );
            let position = match (known, before) {
                (Some(position), _) => position,
                (None, Some(before)) => {
                    self.set.add(id, before, self.shared.is_unpublished(at.node), &self.old)
                }
                (None, None) => unreachable!("a list that is not known was read"),
            };
            self.set.replace(position, &self.new);
        }
        verdict
    }

    fn publish(&mut self, node: NodeId) {
        debug_assert_eq!(self.state(node), NodeState::Reserved, "{node} is published twice");
        let position = self.base_list(node);
        let write = &mut self.set.lists[position];
        if write.mark == Mark::Unborn {
            write.mark = Mark::Live;
        }
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        // Asked first, because the lists of a node that is not published may not exist yet.
        if self.state(node) != NodeState::Live {
            return false;
        }
        let position = self.base_list(node);
        let write = &mut self.set.lists[position];
        let live = write.mark == Mark::Live;
        write.mark = Mark::Dead;
        live
    }

    fn found(&mut self, entry: Entry) -> bool {
        let present = self.packed_entry();
        let none = Entry::unpack(present).is_none();
        if none {
            self.set_entry(present, entry);
        }
        none
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        let present = self.packed_entry();
        let higher = Entry::unpack(present).is_none_or(|present| present.level < entry.level);
        if higher {
            self.set_entry(present, entry);
        }
        higher
    }

    fn commit(self) -> Result<Stamp, Conflict> {
        self.shared.commit(self.held, self.set, &mut || ())
    }
}
