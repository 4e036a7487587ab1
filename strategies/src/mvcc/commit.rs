//! Committing in groups.
//!
//! A session hands its write set in and takes the commit lock. Whoever has the lock answers all sets that were handed in:
//! it checks each against the lists as they are, applies or refuses it, and publishes one root for the group. So under
//! contention one thread commits for many, with one root and one vacuum, and the others find their answer ready.
//!
//! # Invariants
//! - I1: a set is applied whole or not at all: it is checked whole, under the lock, before anything of it is stored.
//! - I2: no list is written twice with one stamp: a set that would do so closes the group and begins the next.
//! - I3: a root is published after everything that it shows is stored, and before anyone is told of the commit.
//! - I4: whoever takes the lock finds its own request answered, or in the queue: only the holder empties the queue, and
//!   answers all of it before it lets the lock go.
//!
//! # Synchronisation
//! - The commit lock orders all commits, everything that only committers touch, and answers: whoever knows that it has
//!   committed sees the root that shows it.
//! - The root (published with Release, loaded with Acquire) shows everything committed up to it.
//!
//! Within one set, the lists of new nodes come first, then the new nodes are published and the removed ones become
//! tombstones, then come the other lists, then the entry point. So a reader of the newest versions never meets a node that is
//! not whole, and an edit that finds by a list that its node is gone is not told so before others are.
//!
//! # Progress
//! Commits block each other. A session that holds the lock from its beginning cannot be refused, so every edit gets
//! through.
//!
//! # Memory
//! A write set lives until its commit; its undo records pass to the [vacuum](super::vacuum).

use super::lists::Word;
use super::vacuum::Vacuum;
use super::write::{Conflict, ListWrite, WriteSet};
use super::{Root, Shared};
use hnsw_core::graph::{Entry, Link, Stamp};
use hnsw_core::planted;
use hnsw_core::sync::epoch::{self, Guard};
use hnsw_core::sync::{Arc, AtomicU64, Moment, MutexGuard, Ordering};

/// What the holder of the commit lock owns.
pub(super) struct Committer {
    /// The newest commit that is published.
    pub(super) stamp: u64,
    tombstones: usize,
    pub(super) vacuum: Vacuum,
    /// Requests that are being answered; empty between commits.
    batch: Vec<Request>,
}

impl Committer {
    pub(super) fn new(vacuum: Vacuum) -> Self {
        Committer { stamp: 0, tombstones: 0, vacuum, batch: Vec::new() }
    }
}

/// A write set that was handed in.
pub(super) struct Request {
    set: WriteSet,
    answer: Arc<Answer>,
}

/// Where the one who handed in a set finds, once it has the commit lock, what became of it.
struct Answer(AtomicU64);

impl Answer {
    const NONE: u64 = u64::MAX;
    const REFUSED: u64 = u64::MAX - 1;

    fn set(&self, outcome: Result<Stamp, Conflict>) {
        let word = outcome.map_or(Self::REFUSED, |stamp| stamp.0);
        // Relaxed [answer-set]: set and read with the commit lock held.
        self.0.store(word, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Result<Stamp, Conflict>> {
        // Relaxed [answer-get]: as above.
        match self.0.load(Ordering::Relaxed) {
            Self::NONE => None,
            Self::REFUSED => Some(Err(Conflict)),
            stamp => Some(Ok(Stamp(stamp))),
        }
    }
}

impl Shared {
    /// Commits `set`, with `held` if the session has the commit lock already. `pause` is for tests: see
    /// [`Write::commit_pausing`](super::Write::commit_pausing).
    pub(super) fn commit(
        &self,
        held: Option<MutexGuard<'_, Committer>>,
        set: WriteSet,
        pause: &mut impl FnMut(),
    ) -> Result<Stamp, Conflict> {
        let outcome = if set.is_empty() {
            Ok(Stamp(self.root.with(|root| root.stamp)))
        } else if let Some(mut committer) = held.or_else(|| self.commit.try_lock()) {
            self.lead(&mut committer, Some(set), pause).expect("a set was given")
        } else {
            self.follow(set, pause)
        };
        if outcome.is_err() {
            self.counters.commit_refused();
        }
        Moment::pass();
        outcome
    }

    /// Hands the set in and waits until someone, perhaps this thread, has answered.
    fn follow(&self, set: WriteSet, pause: &mut impl FnMut()) -> Result<Stamp, Conflict> {
        let answer = Arc::new(Answer(AtomicU64::new(Answer::NONE)));
        self.pending.lock().push(Request { set, answer: Arc::clone(&answer) });
        self.counters.lock_waited();
        let mut committer = self.commit.lock();
        if let Some(outcome) = answer.get() {
            return outcome;
        }
        self.lead(&mut committer, None, pause);
        answer.get().expect("the holder of the commit lock answers all requests")
    }

    /// Commits `own` and everything that was handed in, as one group, and takes out the versions that no one needs. Returns the
    /// outcome of `own`.
    pub(super) fn lead(
        &self,
        committer: &mut Committer,
        own: Option<WriteSet>,
        pause: &mut impl FnMut(),
    ) -> Option<Result<Stamp, Conflict>> {
        let guard = epoch::pin();
        let mut batch = core::mem::take(&mut committer.batch);
        core::mem::swap(&mut batch, &mut self.pending.lock());
        let mut group = Group { shared: self, committer, guard: &guard, open: false };
        let outcome = own.map(|set| group.admit(set, pause));
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch.drain(..) {
            answers.push((request.answer, group.admit(request.set, pause)));
        }
        group.close();
        answers.into_iter().for_each(|(answer, outcome)| answer.set(outcome));
        committer.batch = batch;
        committer.vacuum.run(self, &guard);
        outcome
    }

    /// Returns when no commit is under way that was when this was called.
    #[cold]
    pub(super) fn wait_for_committer(&self) {
        self.counters.lock_waited();
        drop(self.commit.lock());
    }
}

/// The commits that one holder of the commit lock makes visible together.
struct Group<'a> {
    shared: &'a Shared,
    committer: &'a mut Committer,
    guard: &'a Guard,
    /// Something was applied that no root shows yet.
    open: bool,
}

impl Group<'_> {
    /// The stamp that is being written.
    fn stamp(&self) -> u64 {
        self.committer.stamp + 1
    }

    fn admit(&mut self, set: WriteSet, pause: &mut impl FnMut()) -> Result<Stamp, Conflict> {
        let untouched = |write: &ListWrite| self.shared.list(write.id).word() == write.before;
        let holds = set.lists.iter().all(untouched)
            && set.entry.is_none_or(|write| self.shared.entry() == write.before);
        if !holds && !planted!("mvcc-commit-unchecked") {
            return Err(Conflict);
        }
        // Sessions see lists in place before a root shows them, so a set can be based on this very group.
        if set.lists.iter().any(|write| write.before.stamp() == self.stamp()) {
            self.close();
        }
        self.apply(set, pause);
        self.open = true;
        Ok(Stamp(self.stamp()))
    }

    fn apply(&mut self, mut set: WriteSet, pause: &mut impl FnMut()) {
        let mut lists = core::mem::take(&mut set.lists);
        for write in lists.iter_mut().filter(|write| write.is_of_new) {
            self.write(write, &set, pause);
        }
        lists.iter().filter_map(ListWrite::born).for_each(|node| self.shared.nodes.publish(node));
        // Before the lists that say so: whoever is told by a list that a node is gone finds that it is.
        let late = planted!("mvcc-removal-late");
        if !late {
            self.bury(&lists);
        }
        for write in lists.iter_mut().filter(|write| !write.is_of_new) {
            self.write(write, &set, pause);
        }
        if late {
            self.bury(&lists);
        }
        if let Some(entry) = set.entry {
            // Release [mvcc-entry-set]: pairs with Acquire [mvcc-entry]; the lists and the row of the node.
            self.shared.entry.store(entry.after, Ordering::Release);
        }
    }

    fn bury(&mut self, lists: &[ListWrite]) {
        for node in lists.iter().filter_map(ListWrite::dies) {
            let died = self.shared.nodes.tombstone(node);
            debug_assert!(died, "a node is as alive as its newest version says");
            self.committer.tombstones += 1;
        }
    }

    fn write(&mut self, write: &mut ListWrite, set: &WriteSet, pause: &mut impl FnMut()) {
        let (id, stamp) = (write.id, self.stamp());
        let (list, links) = (self.shared.list(id), set.new_links(write));
        if let Some(undo) = write.undo.take() {
            let mut until = stamp;
            let evicts = |new: &[Link]| undo.record().links().iter().any(|link| !new.contains(link));
            if planted!("mvcc-eviction-unversioned") && links.is_some_and(evicts) {
                // As if no snapshot could show it.
                until = undo.record().from();
            }
            let version = self.shared.lists(id).chain(id.number).push(undo, self.guard);
            self.committer.vacuum.add(id, version, until);
        }
        let new = Word::new(stamp, write.mark);
        match links {
            Some(links) => list.write(write.before, new, links, &mut *pause),
            None => list.stamp(new),
        }
        pause();
    }

    /// Makes what was applied visible to new snapshots.
    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.committer.stamp += 1;
            self.shared.root.store(Arc::new(Root {
                stamp: self.committer.stamp,
                entry: Entry::unpack(self.shared.entry()),
                node_count: self.shared.nodes.count(),
                tombstones: self.committer.tombstones,
            }));
        }
    }
}
