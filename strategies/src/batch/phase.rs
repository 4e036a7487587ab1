//! Whether lists are *frozen*, as they are while no one has a session for changing them: one word for the whole graph.

use hnsw_core::sync::{AtomicU64, CachePadded, Ordering, fence};

/// One open session for changing lists, counted in the low bits.
const WRITER: u64 = 1;
/// One session that was ever opened, counted in the high bits.
const EPISODE: u64 = 1 << 20;
/// The bits that count open sessions: more than there can be threads.
const WRITERS: u64 = EPISODE - 1;

/// See [the module](self).
pub(super) struct Phase(CachePadded<AtomicU64>);

/// That lists were frozen at some instant.
#[derive(Clone, Copy)]
pub(super) struct Frozen(u64);

impl Phase {
    pub(super) fn new() -> Self {
        Phase(CachePadded::new(AtomicU64::new(0)))
    }

    /// From here on lists may change. Any number of threads can have thawed them at a time.
    pub(super) fn thaw(&self) {
        // Relaxed [batch-thaw]: the fence below orders it before the slots that its session writes.
        self.0.fetch_add(EPISODE + WRITER, Ordering::Relaxed);
        // Release [batch-thaw-fence]: pairs with Acquire [batch-still-fence]; whoever reads a slot that the session writes
        // finds that lists are no longer as frozen as they were.
        fence(Ordering::Release);
    }

    /// The caller, who has thawed lists, changes no more of them.
    pub(super) fn freeze(&self) {
        // Release [batch-freeze]: pairs with Acquire [batch-frozen]; the slots that the session wrote, and all that its
        // thread knew of the targets: their rows and vectors.
        self.0.fetch_sub(WRITER, Ordering::Release);
    }

    /// Whether lists are frozen.
    #[inline(always)]
    pub(super) fn frozen(&self) -> Option<Frozen> {
        // Acquire [batch-frozen]: pairs with Release [batch-freeze]; the slots as the sessions before left them (all changes
        // of the word are read-modify-writes, so each continues the release sequences of those before).
        let word = self.0.load(Ordering::Acquire);
        (word & WRITERS == 0).then_some(Frozen(word))
    }

    /// Whether no one has thawed lists since.
    #[inline(always)]
    pub(super) fn still(&self, frozen: Frozen) -> bool {
        // Acquire [batch-still-fence]: pairs with Release [batch-thaw-fence]; the thaw before a slot that was read.
        fence(Ordering::Acquire);
        // Relaxed [batch-still]: the fence above orders it after the slots that were read.
        self.0.load(Ordering::Relaxed) == frozen.0
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn lists_are_frozen_while_no_one_has_thawed_them_and_as_they_were_if_no_one_ever_has() {
        let phase = Phase::new();
        let first = phase.frozen().expect("no one has thawed them yet");
        assert!(phase.still(first));
        for writers in 1..=5 {
            let before = phase.frozen().unwrap();
            for writer in 0..writers {
                phase.thaw();
                assert!(phase.frozen().is_none(), "{writers} writers, of whom {} are there", writer + 1);
                assert!(!phase.still(before));
            }
            for writer in 0..writers {
                assert!(phase.frozen().is_none(), "{writers} writers, of whom {writer} are gone");
                phase.freeze();
            }
            let after = phase.frozen().expect("all are gone");
            assert!(phase.still(after) && !phase.still(before) && !phase.still(first));
        }
    }
}
