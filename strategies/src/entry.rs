//! The entry point of a graph in one word, for strategies whose lists change one by one.
//!
//! # Invariants
//! - I1: the level only rises.
//!
//! # Synchronisation
//! - `start-found` and `start-raise` (Release) with `start-read` (Acquire): whoever starts at the entry point sees its lists,
//!   rows and vector, and those of all entry points before it (both writes are read-modify-writes, so each continues the
//!   release sequence of those before).
//!
//! # Progress
//! Reading and founding are wait-free. Raising is lock-free: it is tried again only because another thread raised.
//!
//! # Memory
//! One cache line (two on x86-64, which fetches them in pairs).

use hnsw_core::graph::Entry;
use hnsw_core::sync::{AtomicU64, CachePadded, Ordering};

/// Where searches start.
pub struct EntryPoint(CachePadded<AtomicU64>);

impl EntryPoint {
    /// That of an empty graph.
    pub(crate) fn none() -> Self {
        EntryPoint(CachePadded::new(AtomicU64::new(Entry::NONE)))
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Entry> {
        // Acquire [start-read]: pairs with Release [start-found] and [start-raise]; the lists and the row of the entry
        // point.
        Entry::unpack(self.0.load(Ordering::Acquire))
    }

    /// See [`hnsw_core::graph::Edit::found`].
    pub(crate) fn found(&self, entry: Entry) -> bool {
        let new = Entry::pack(Some(entry));
        // Release [start-found]: pairs with Acquire [start-read]; the lists and the row of the node.
        // Relaxed on failure [start-founded]: only its being there matters.
        self.0.compare_exchange(Entry::NONE, new, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// See [`hnsw_core::graph::Edit::raise_entry`].
    pub(crate) fn raise(&self, entry: Entry) -> bool {
        let new = Entry::pack(Some(entry));
        // Relaxed [start-guess]: the compare-and-swap below checks it; nothing is read through it.
        let mut present = self.0.load(Ordering::Relaxed);
        while Entry::unpack(present).is_none_or(|present| present.level < entry.level) {
            // Release [start-raise]: pairs with Acquire [start-read]; the lists and the row of the node.
            // Relaxed on failure [start-lost]: only the level is compared.
            match self.0.compare_exchange(present, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => present = now,
            }
        }
        false
    }
}
