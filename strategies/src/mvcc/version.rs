//! Older versions of lists, in chains that begin beside the lists.
//!
//! An [undo record](Version) says what a list was until a commit replaced it. The records of a few neighbouring lists
//! share one chain, newest first.
//!
//! # Invariants
//! - I1: a record never changes once it is in a chain, but for the pointer to the next.
//! - I2: only the holder of the commit lock changes a chain.
//! - I3: of the records of one list, a newer version comes before an older one.
//! - I4: a record that was taken out still leads to whatever was behind it then. So a reader that stands on it loses
//!   nothing that is still in the chain.
//!
//! # Synchronisation
//! - `chain-push` (Release) with `chain-walk` (Acquire): whoever reaches a record sees its content.
//! - `vacuum-fence` (a Release fence, among others) with `chain-walk` (Acquire): the same where a record is reached through an
//!   unlinking, which puts a pointer to an old record in a new place. The fence comes after the pushes of all records that
//!   this can lead to, and before the unlinking.
//!
//! # Progress
//! A walk takes at most as many steps as the chain had records when it began. That is about as many as there are
//! snapshots, times the lists that share it.
//!
//! # Memory
//! A record that was taken out is destroyed by the epoch when no walk that may have seen it is left.

use super::lists::{Mark, Word};
use hnsw_core::graph::Link;
use hnsw_core::sync::Ordering;
use hnsw_core::sync::cell::Frozen;
use hnsw_core::sync::epoch::{Atomic, Guard, Owned, Shared};

/// What a list was, from one commit until the next that changed it.
pub(super) struct Record {
    list: u32,
    word: Word,
    links: Box<[Link]>,
}

impl Record {
    /// The commit that made this version.
    pub(super) fn from(&self) -> u64 {
        self.word.stamp()
    }

    pub(super) fn mark(&self) -> Mark {
        self.word.mark()
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }
}

/// A [`Record`] that can stand in a chain.
pub(super) struct Version {
    record: Frozen<Record>,
    next: Atomic<Version>,
}

impl Version {
    /// The version `word` of list number `list`.
    pub(super) fn new(list: usize, word: Word, links: &[Link]) -> Owned<Version> {
        let record = Record { list: list as u32, word, links: links.into() };
        Owned::new(Version { record: Frozen::new(record), next: Atomic::null() })
    }

    pub(super) fn record(&self) -> &Record {
        self.record.get()
    }

    /// Bytes allocated for it.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Version>() + size_of_val(self.record().links())
    }
}

/// The older versions of one list.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    head: &'a Atomic<Version>,
    list: u32,
}

impl<'a> Chain<'a> {
    pub(super) fn new(head: &'a Atomic<Version>, list: u32) -> Self {
        Chain { head, list }
    }

    /// The newest record of the list that was made at or before the commit `stamp`.
    pub(super) fn find(self, stamp: u64, guard: &Guard) -> Option<&Record> {
        let mut at = self.head;
        loop {
            // Acquire [chain-walk]: pairs with Release [chain-push] and SeqCst [vacuum-fence]; the content of the record.
            let version = at.load(Ordering::Acquire, guard);
            // SAFETY: it was reachable while `guard` was pinned, or from a record that was; a record is given to the epoch
            // only after it was taken out of its chain, so it stays until `guard` goes.
            let version = unsafe { version.as_ref() }?;
            let record = version.record();
            if record.list == self.list && record.from() <= stamp {
                return Some(record);
            }
            at = &version.next;
        }
    }

    /// Puts a record in front. Only for the holder of the commit lock.
    pub(super) fn push<'g>(self, version: Owned<Version>, guard: &'g Guard) -> Shared<'g, Version> {
        let version = version.into_shared(guard);
        // Relaxed [chain-peek]: only the holder of the commit lock stores here, and that is this thread.
        let next = self.head.load(Ordering::Relaxed, guard);
        // SAFETY: made from an owned record above, not null, and known to no one else yet.
        // Relaxed [chain-fill]: the push below publishes it.
        unsafe { version.deref() }.next.store(next, Ordering::Relaxed);
        // Release [chain-push]: pairs with Acquire [chain-walk]; the content of the record and of all behind it.
        self.head.store(version, Ordering::Release);
        version
    }

    /// Takes a record out. It must be in this chain. Only for the holder of the commit lock, when it has read the registry
    /// since the last push.
    pub(super) fn unlink(self, version: *const Version, guard: &Guard) {
        let mut at = self.head;
        loop {
            // Relaxed [chain-seek]: only holders of the commit lock store here; the lock orders them.
            let found = at.load(Ordering::Relaxed, guard);
            // SAFETY: records in a chain are not destroyed, and only this thread can take one out now. Not null: the record
            // that is looked for comes at the end at the latest.
            let next = unsafe { &found.deref().next };
            if found.as_raw() == version {
                // Relaxed [chain-after]: as above.
                let after = next.load(Ordering::Relaxed, guard);
                // Relaxed [chain-unlink]: SeqCst [vacuum-fence] comes before it in this thread, and pairs with Acquire
                // [chain-walk]; the content of the record behind.
                at.store(after, Ordering::Relaxed);
                return;
            }
            at = next;
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::graph::NodeId;
    use hnsw_core::sync::epoch;

    #[test]
    fn a_walk_finds_the_version_of_its_list_and_time() {
        let (head, guard) = (Atomic::null(), epoch::pin());
        let chain = |list| Chain::new(&head, list);
        let links = |n: u64| [Link::to(NodeId::new(n as u32))];
        let mut made = Vec::new();
        for stamp in 1..=6 {
            let list = (stamp % 2) as u32;
            let version = Version::new(list as usize, Word::new(stamp, Mark::Live), &links(stamp));
            made.push((list, chain(list).push(version, &guard)));
        }
        let find =
            |list, stamp| chain(list).find(stamp, &guard).map(|r| (r.from(), r.links()[0].node().get()));
        assert_eq!(find(0, 6), Some((6, 6)));
        assert_eq!(find(0, 5), Some((4, 4)));
        assert_eq!(find(1, 5), Some((5, 5)));
        assert_eq!(find(1, 0), None);
        assert_eq!(find(2, 6), None);
        for i in [3, 5, 0] {
            let (list, version) = made[i];
            chain(list).unlink(version.as_raw(), &guard);
        }
        assert_eq!(
            (find(0, 6), find(0, 1), find(1, 2), find(1, 4)),
            (Some((2, 2)), None, None, Some((3, 3)))
        );
        for (_, version) in made {
            // SAFETY: this thread alone knows the records, and uses them no more.
            drop(unsafe { version.into_owned() });
        }
    }
}
