//! Which commits live snapshots show.
//!
//! A snapshot holds a slot for as long as it lives. Committers read all slots to learn which old versions are needed.
//!
//! # Invariants
//! - I1: from before it looks for the newest root, the slot of a new snapshot holds a stamp. The snapshot is made when the
//!   root that it finds is that of the stamp; else it writes down what it found, and looks again.
//! - I2: then the slot holds that stamp until the snapshot is gone.
//!
//! So a thread that is suspended while it makes a snapshot keeps no more alive than a snapshot does.
//!
//! # Synchronisation
//! Registration and vacuum are the store-buffering pattern: the snapshot stores into its slot and then loads the root, the
//! committer stores the root and then loads the slots. The fences `snapshot-fence` and `vacuum-fence` (SeqCst) forbid that
//! both miss the other's store: either the snapshot finds the new root, and writes that down, or the committer finds the
//! stamp in the slot. Slots carry numbers only, so nothing else about them needs an order.
//!
//! # Progress
//! Registration is lock-free: it looks again only if a commit was published meanwhile. Giving a slot back and reading the
//! slots is wait-free.
//!
//! # Memory
//! Chunks of [`CHUNK`] slots, as many as snapshots were ever alive together. Freed with the graph.

use hnsw_core::planted;
use hnsw_core::sync::{AtomicPtr, AtomicU64, CachePadded, Ordering, fence};

const CHUNK: usize = if cfg!(hnsw_loom) { 2 } else { 8 };

/// The slot is no one's.
const FREE: u64 = u64::MAX;

struct Chunk {
    slots: [CachePadded<AtomicU64>; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    /// Slots that are free, but for the first one.
    fn new(first: u64) -> Box<Self> {
        let slot = |i| CachePadded::new(AtomicU64::new(if i == 0 { first } else { FREE }));
        Box::new(Chunk { slots: core::array::from_fn(slot), next: AtomicPtr::new(core::ptr::null_mut()) })
    }

    fn next(&self) -> Option<&Chunk> {
        // Acquire [registry-next]: pairs with Release [registry-grow]; the slots of the chunk.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that is freed only when the registry is dropped.
        unsafe { next.as_ref() }
    }
}

/// The slots of all snapshots of a graph.
pub(super) struct Registry(Box<Chunk>);

/// A slot that was taken: its number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket(usize);

impl Registry {
    pub(super) fn new() -> Self {
        Registry(Chunk::new(FREE))
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        core::iter::successors(Some(&*self.0), |chunk| chunk.next())
    }

    /// Takes a slot for the snapshot of the newest root, which `load` loads together with its stamp; `stamp` is a guess at that.
    pub(super) fn register<R>(&self, mut stamp: u64, load: impl Fn() -> (u64, R)) -> (Ticket, R) {
        let (number, slot) = self.take(stamp);
        loop {
            // SeqCst [snapshot-fence]: pairs with SeqCst [vacuum-fence]; the stamp is in the slot before the root is loaded.
            fence(Ordering::SeqCst);
            let (now, root) = load();
            if now == stamp || planted!("mvcc-register-once") {
                return (Ticket(number), root);
            }
            stamp = now;
            // Relaxed [slot-set]: `snapshot-fence` orders it before the next load of the root.
            slot.store(stamp, Ordering::Relaxed);
        }
    }

    fn take(&self, stamp: u64) -> (usize, &AtomicU64) {
        let mut chunk = &*self.0;
        let mut number = 0;
        loop {
            for slot in &chunk.slots {
                // Relaxed [slot-take]: `snapshot-fence` orders it before the load of the root.
                // Relaxed on failure [slot-taken]: nothing is read; the next slot is tried.
                let taken = slot.compare_exchange(FREE, stamp, Ordering::Relaxed, Ordering::Relaxed);
                if taken.is_ok() {
                    return (number, slot);
                }
                number += 1;
            }
            chunk = match chunk.next() {
                Some(next) => next,
                None => match Self::grow(chunk, stamp) {
                    Ok(new) => return (number, &new.slots[0]),
                    Err(next) => next,
                },
            };
        }
    }

    /// Adds a chunk behind `last`, its first slot taken for `stamp`. `Err` with the chunk that another thread added.
    fn grow(last: &Chunk, stamp: u64) -> Result<&Chunk, &Chunk> {
        let new = Box::into_raw(Chunk::new(stamp));
        // Release [registry-grow]: pairs with Acquire [registry-next]; the slots of the chunk.
        // Acquire on failure [registry-lost]: pairs with Release [registry-grow]; the slots of the winner's chunk are read next.
        let won =
            last.next.compare_exchange(core::ptr::null_mut(), new, Ordering::Release, Ordering::Acquire);
        match won {
            // SAFETY: made above, and freed only when the registry is dropped.
            Ok(_) => Ok(unsafe { &*new }),
            Err(winner) => {
                // SAFETY: made above and shown to no one.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: in the list, so freed only when the registry is dropped.
                Err(unsafe { &*winner })
            }
        }
    }

    /// Gives a slot back.
    pub(super) fn release(&self, ticket: Ticket) {
        let chunk = self.chunks().nth(ticket.0 / CHUNK).expect("a ticket names a slot");
        // Relaxed [slot-free]: a committer that sees it may take out what the snapshot needed, but what a walk of the
        // snapshot may have read is destroyed by the epoch, which orders that.
        chunk.slots[ticket.0 % CHUNK].store(FREE, Ordering::Relaxed);
    }

    /// The stamps of all live snapshots, sorted, into `live`. A root must have been published before.
    pub(super) fn live(&self, live: &mut Vec<u64>) {
        live.clear();
        // SeqCst [vacuum-fence]: pairs with SeqCst [snapshot-fence]; the root is published before the slots are read. Pairs also
        // with Acquire [chain-walk]: all records so far are written before any is taken out from here on.
        fence(Ordering::SeqCst);
        for slot in self.chunks().flat_map(|chunk| &chunk.slots) {
            // Relaxed [slot-read]: a number; `vacuum-fence` orders it after the root.
            let stamp = slot.load(Ordering::Relaxed);
            if stamp != FREE {
                live.push(stamp);
            }
        }
        live.sort_unstable();
        live.dedup();
    }

    /// Bytes of all chunks.
    pub(super) fn bytes(&self) -> usize {
        self.chunks().count() * size_of::<Chunk>()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let first = &mut *self.0;
        // Relaxed [registry-drop]: `&mut self` means that every other access happened before.
        let mut next = first.next.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `grow` from a box, and no one else knows it any more.
            let chunk = unsafe { Box::from_raw(next) };
            // Relaxed [registry-drop-next]: as above.
            next = chunk.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    fn live(registry: &Registry) -> Vec<u64> {
        let mut live = Vec::new();
        registry.live(&mut live);
        live
    }

    #[test]
    fn live_stamps_are_those_of_held_slots() {
        let registry = Registry::new();
        assert_eq!(live(&registry), []);
        let register = |stamp| Some(registry.register(stamp, || (stamp, ())).0);
        let mut tickets: Vec<_> = (0..3 * CHUNK as u64).map(|i| register(i / 2)).collect();
        assert_eq!(registry.bytes(), 3 * size_of::<Chunk>());
        assert_eq!(live(&registry), (0..3 * CHUNK as u64 / 2).collect::<Vec<_>>());
        registry.release(tickets[2].take().unwrap());
        assert!(live(&registry).contains(&1), "another snapshot shows the same commit");
        registry.release(tickets[3].take().unwrap());
        assert!(!live(&registry).contains(&1));
        assert_eq!(register(99), Some(Ticket(2)), "slots are used again");
        assert!(live(&registry).contains(&99));
    }

    #[test]
    fn a_snapshot_shows_what_its_slot_says() {
        let registry = Registry::new();
        let root = AtomicU64::new(5);
        // Two commits are published while the snapshot is made.
        let load = || {
            let stamp = root.load(Ordering::Relaxed);
            assert_eq!(live(&registry).len(), 1, "the slot is taken before the root is loaded");
            if stamp < 7 {
                root.store(stamp + 1, Ordering::Relaxed);
            }
            (stamp, stamp)
        };
        let (_, shown) = registry.register(4, load);
        assert_eq!((shown, live(&registry)), (7, vec![7]));
    }
}
