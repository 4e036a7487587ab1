//! Which commits live snapshots show.
//!
//! A snapshot holds a slot for as long as it lives. Committers read all slots to learn which old versions are needed.
//!
//! # Invariants
//! - I1: from before it looks for the newest root until it has written the stamp of what it found, the slot of a new
//!   snapshot says [`KEEP`]: keep everything.
//! - I2: then the slot says that stamp until the snapshot is gone.
//!
//! # Synchronisation
//! Registration and vacuum are the store-buffering pattern: the snapshot stores into its slot and then loads the root, the
//! committer stores the root and then loads the slots. The fences `snapshot-fence` and `vacuum-fence` (SeqCst) forbid that
//! both miss the other's store: either the snapshot finds the new root and needs nothing older, or the committer finds
//! the slot taken. Slots carry numbers only, so nothing else about them needs an order.
//!
//! # Progress
//! Taking a slot is lock-free, giving it back and reading the slots is wait-free.
//!
//! # Memory
//! Chunks of [`CHUNK`] slots, as many as snapshots were ever alive together. Freed with the graph.

use hnsw_core::sync::{AtomicPtr, AtomicU64, CachePadded, Ordering, fence};

const CHUNK: usize = if cfg!(hnsw_loom) { 2 } else { 8 };

/// The slot is no one's.
const FREE: u64 = u64::MAX;
/// The slot is that of a snapshot that has not said yet what it shows.
const KEEP: u64 = u64::MAX - 1;

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

    /// Takes a slot, runs `load`, which loads the newest root, and writes the stamp that it returns into the slot.
    pub(super) fn register<R>(&self, load: impl FnOnce() -> (u64, R)) -> (Ticket, R) {
        let (number, slot) = self.take();
        // SeqCst [snapshot-fence]: pairs with SeqCst [vacuum-fence]; the slot is taken before the root is loaded.
        fence(Ordering::SeqCst);
        let (stamp, root) = load();
        // Relaxed [slot-set]: a committer that still sees KEEP keeps more than is needed.
        slot.store(stamp, Ordering::Relaxed);
        (Ticket(number), root)
    }

    fn take(&self) -> (usize, &AtomicU64) {
        let mut chunk = &*self.0;
        let mut number = 0;
        loop {
            for slot in &chunk.slots {
                // Relaxed [slot-take]: `snapshot-fence` orders it before the load of the root.
                // Relaxed on failure [slot-taken]: nothing is read; the next slot is tried.
                let taken = slot.compare_exchange(FREE, KEEP, Ordering::Relaxed, Ordering::Relaxed);
                if taken.is_ok() {
                    return (number, slot);
                }
                number += 1;
            }
            chunk = match chunk.next() {
                Some(next) => next,
                None => match Self::grow(chunk) {
                    Ok(new) => return (number, &new.slots[0]),
                    Err(next) => next,
                },
            };
        }
    }

    /// Adds a chunk behind `last`, its first slot taken by the caller. `Err` with the chunk that another thread added.
    fn grow(last: &Chunk) -> Result<&Chunk, &Chunk> {
        let new = Box::into_raw(Chunk::new(KEEP));
        // Release [registry-grow]: pairs with Acquire [registry-next]; the slots of the chunk.
        // Acquire on failure [registry-lost]: pairs with the same; the slots of the winner's chunk are read next.
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

    /// The stamps of all live snapshots, sorted, into `live`. A root must have been published before. False if a snapshot is
    /// being made and it is not known what it will show.
    pub(super) fn live(&self, live: &mut Vec<u64>) -> bool {
        live.clear();
        // SeqCst [vacuum-fence]: pairs with SeqCst [snapshot-fence]; the root is published before the slots are read.
        fence(Ordering::SeqCst);
        for slot in self.chunks().flat_map(|chunk| &chunk.slots) {
            // Relaxed [slot-read]: a number; `vacuum-fence` orders it after the root.
            match slot.load(Ordering::Relaxed) {
                FREE => {}
                KEEP => return false,
                stamp => live.push(stamp),
            }
        }
        live.sort_unstable();
        live.dedup();
        true
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

    #[test]
    fn live_stamps_are_those_of_held_slots() {
        let (registry, mut live) = (Registry::new(), Vec::new());
        assert!(registry.live(&mut live) && live.is_empty());
        let mut tickets: Vec<_> =
            (0..3 * CHUNK as u64).map(|i| Some(registry.register(|| (i / 2, ())).0)).collect();
        assert_eq!(registry.bytes(), 3 * size_of::<Chunk>());
        assert!(registry.live(&mut live));
        assert_eq!(live, (0..3 * CHUNK as u64 / 2).collect::<Vec<_>>());
        registry.release(tickets[2].take().unwrap());
        assert!(registry.live(&mut live) && live.contains(&1), "another snapshot shows the same commit");
        registry.release(tickets[3].take().unwrap());
        assert!(registry.live(&mut live) && !live.contains(&1));
        let (ticket, ()) = registry.register(|| (99, ()));
        assert_eq!(ticket, Ticket(2), "slots are used again");
        assert!(registry.live(&mut live) && live.contains(&99));
    }

    #[test]
    fn a_snapshot_in_the_making_keeps_everything() {
        let (registry, mut live) = (Registry::new(), Vec::new());
        let (_, seen) = registry.register(|| (7, registry.live(&mut live)));
        assert!(!seen);
        assert!(registry.live(&mut live));
        assert_eq!(live, [7]);
    }
}
