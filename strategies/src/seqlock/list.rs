//! One list behind a sequence lock: a row of 32-bit words, the version before the slots.
//!
//! # Invariants
//! - I1: the version grows by two with each rewrite; it is odd while the slots are being stored.
//! - I2: slots are stored only by the thread that made the version odd.
//!
//! # Synchronisation
//! - `version-end` (Release) with `version-begin` (Acquire): whoever sees a version sees its links.
//! - `version-claim-fence` (Release) with `version-check-fence` (Acquire): whoever copied a link of a later version sees, when
//!   it looks again, that the version has changed. By both pairs, whoever copied a link sees the row and the lists of its target:
//!   its writer had written them before the claim, or had met the target itself.
//!
//! The recipe is that of Boehm, *Can seqlocks get along with programming language memory models?* (MSPC 2012).

use hnsw_core::graph::{Link, LinkBuf};
use hnsw_core::planted;
use hnsw_core::sync::{AtomicU32, Ordering, fence};

/// Words of a row before the slots.
pub(super) const HEAD: usize = 1;

/// A word of a new list. Links are stored inverted, so that zero is the first version and an empty slot.
pub(super) fn word() -> AtomicU32 {
    AtomicU32::new(0)
}

/// The version of a list that is not being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(u32);

/// One list, in place.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    version: &'a AtomicU32,
    slots: &'a [AtomicU32],
}

impl<'a> List<'a> {
    /// The list in a row, of at most `cap` links.
    #[inline(always)]
    pub(super) fn new(row: &'a [AtomicU32], cap: usize) -> Self {
        let (version, slots) = row.split_first().expect("a row has a version");
        List { version, slots: &slots[..cap] }
    }

    /// Copies the list and returns its version. None if a rewrite was under way; then `to` holds nothing of use.
    #[inline(always)]
    pub(super) fn read(self, to: &mut LinkBuf) -> Option<Version> {
        // Acquire [version-begin]: pairs with Release [version-end]; the links of the version.
        let version = self.version.load(Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return None;
        }
        // Relaxed [version-slot]: `version-begin` orders it after the version, `version-check-fence` shows whether it is of a
        // later one.
        to.fill(self.slots, |slot| Link::from_bits(!slot.load(Ordering::Relaxed)));
        // Acquire [version-check-fence]: pairs with Release [version-claim-fence]; if a link above is of a later version, the
        // load below sees that the version has changed.
        fence(Ordering::Acquire);
        // Relaxed [version-check]: compared only; the fence above orders it after the links.
        let now = self.version.load(Ordering::Relaxed);
        (now == version || planted!("seqlock-read-unchecked")).then_some(Version(version))
    }

    /// Replaces the list if it is still of `version`. False if it is not.
    pub(super) fn replace(self, version: Version, links: &[Link], midway: impl FnOnce()) -> bool {
        let writing = version.0.wrapping_add(1);
        // Relaxed [version-claim]: whoever read `version` has acquired it; the fence below is for the readers.
        // Relaxed on failure [version-lost]: nothing is read.
        let claim = self.version.compare_exchange(version.0, writing, Ordering::Relaxed, Ordering::Relaxed);
        if claim.is_err() {
            return false;
        }
        // Release [version-claim-fence]: pairs with Acquire [version-check-fence]; the odd version comes before all links below.
        fence(Ordering::Release);
        let store = |(slot, link): (&AtomicU32, &Link)| {
            // Relaxed [version-store]: published by `version-end`; a reader that meets it earlier finds out by `version-check`.
            slot.store(!link.to_bits(), Ordering::Relaxed);
        };
        // What is behind the first NIL means nothing, so one is enough.
        let mut stores = self.slots.iter().zip(links.iter().chain([&Link::NIL]));
        stores.next().into_iter().for_each(store);
        midway();
        stores.for_each(store);
        // Release [version-end]: pairs with Acquire [version-begin]; the links.
        self.version.store(writing.wrapping_add(1), Ordering::Release);
        true
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::graph::NodeId;

    const CAP: usize = 8;

    fn row(version: u32) -> Vec<AtomicU32> {
        let row: Vec<_> = (0..HEAD + CAP).map(|_| word()).collect();
        row[0].store(version, Ordering::Relaxed);
        row
    }

    #[test]
    fn lists_of_every_length_survive() {
        // Also where the version wraps around.
        for first in [0, u32::MAX - 5] {
            let row = row(first);
            let list = List::new(&row, CAP);
            let mut buf = LinkBuf::new();
            let mut before = list.read(&mut buf).unwrap();
            assert!(buf.is_empty(), "a new list is empty");
            for len in (0..=CAP as u32).chain((0..CAP as u32).rev()) {
                let links: Vec<Link> = (0..len).map(|i| Link::anchor(NodeId::new(i))).collect();
                assert!(list.replace(before, &links, || {
                    assert_eq!(list.read(&mut LinkBuf::new()), None, "while it is written");
                }));
                let now = list.read(&mut buf).unwrap();
                assert_eq!(&buf[..], &links, "{len} links");
                assert!(!list.replace(before, &[], || unreachable!()), "an older version is not there");
                before = now;
            }
        }
    }
}
