//! `fine`: lists in place, and one byte of lock for each of them. Readers lock a list, copy it and unlock; writers lock a
//! list, change it and unlock.
//!
//! # Invariants
//! - I1: the slots of a list are read and written only by the holder of its lock.
//! - I2: when a lock is free, the links of its list are those before the first `NIL`, at most `cap(level)`.
//! - I3: a thread holds at most one lock, and takes nothing else while it does; so there is no deadlock.
//! - I4: rows and locks exist for all lists of a node once its reserve returned.
//! - I5: the level of the entry point only rises.
//!
//! # Synchronisation
//! - `list-unlock` (Release) with `list-lock` (Acquire): whoever locks a list sees what the holders before it wrote. Who
//!   finds a link in it also sees the rows and the vector of the target: they were written before the link was.
//! - `fine-entry-found` and `fine-entry-raise` (Release) with `fine-entry` (Acquire): whoever starts at the entry point sees
//!   its lists, rows and vector, and those of all entry points before it (both writes are read-modify-writes, so each
//!   continues the release sequence of those before).
//! - Slots are accessed Relaxed: the lock orders them.
//!
//! # Progress
//! Blocking, list by list: a reader or writer waits while another thread holds the same list. A holder runs a bounded
//! number of steps, but if it loses its core, those who want its list spin for a while and then yield theirs. `entry` is
//! wait-free; raising it is lock-free.
//!
//! # Memory
//! Per node one row of 2M slots, rounded up to whole cache lines, and a byte; per list above level 0 one row of M slots and
//! a byte. Nothing is retired: lists change in place. Freed when the graph is dropped.

mod session;

pub use session::{Buffers, Session};

use crate::lists::PerList;
use crate::lock;
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    Caps, Contention, Entry, Graph, GraphConfig, Level, Link, MemoryReport, NodeId, Nodes,
};
use hnsw_core::sync::{AtomicU8, AtomicU32, AtomicU64, CachePadded, Ordering};

/// A graph with one lock per list; see [the module](self).
pub struct Fine {
    nodes: Nodes,
    slots: PerList<AtomicU32>,
    locks: PerList<AtomicU8>,
    /// [`Entry::pack`]ed.
    entry: CachePadded<AtomicU64>,
    waits: CachePadded<AtomicU64>,
}

impl Fine {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        // Acquire [fine-entry]: pairs with Release [fine-entry-found] and [fine-entry-raise]; the lists and the row of the
        // entry point.
        Entry::unpack(self.entry.load(Ordering::Acquire))
    }

    fn found(&self, entry: Entry) -> bool {
        let new = Entry::pack(Some(entry));
        // Release [fine-entry-found]: pairs with Acquire [fine-entry]; the lists and the row of the node.
        // Relaxed on failure [fine-entry-founded]: only its being there matters.
        self.entry.compare_exchange(Entry::NONE, new, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn raise_entry(&self, entry: Entry) -> bool {
        let new = Entry::pack(Some(entry));
        // Relaxed [fine-entry-guess]: the compare-and-swap below checks it; nothing is read through it.
        let mut present = self.entry.load(Ordering::Relaxed);
        while Entry::unpack(present).is_none_or(|present| present.level < entry.level) {
            // Release [fine-entry-raise]: pairs with Acquire [fine-entry]; the lists and the row of the node.
            // Relaxed on failure [fine-entry-lost]: only the level is compared.
            match self.entry.compare_exchange(present, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => present = now,
            }
        }
        false
    }
}

impl Graph for Fine {
    const NAME: &'static str = "fine";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: false,
        deterministic_batch: false,
    };

    type Read<'g> = Session<'g, ()>;
    type Write<'g> = Session<'g, Buffers>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Fine {
            nodes: Nodes::new(config),
            slots: PerList::slots(config, || AtomicU32::new(Link::NIL.to_bits())),
            locks: PerList::single(config, lock::free),
            entry: CachePadded::new(AtomicU64::new(Entry::NONE)),
            waits: CachePadded::new(AtomicU64::new(0)),
        })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        let first = self.nodes.reserve(count, level_of)?;
        self.slots.grow(&self.nodes);
        self.locks.grow(&self.nodes);
        Ok(first)
    }

    #[inline]
    fn read(&self) -> Session<'_, ()> {
        Session::new(self, ())
    }

    #[inline]
    fn write(&self, _attempt: u32) -> Session<'_, Buffers> {
        Session::new(self, Buffers::default())
    }

    fn memory(&self) -> MemoryReport {
        let (levels, slack, fixed) = self.nodes.memory();
        let (slots, locks) = (self.slots.bytes(&self.nodes), self.locks.bytes(&self.nodes));
        MemoryReport {
            links_bytes: slots.used,
            slack_bytes: slots.slack + locks.slack + slack,
            levels_bytes: levels,
            sync_bytes: locks.used,
            fixed_bytes: slots.fixed + locks.fixed + fixed + size_of::<Self>(),
            ..MemoryReport::default()
        }
    }

    fn contention(&self) -> Contention {
        // Relaxed [fine-waits]: a count for a report.
        Contention { lock_waits: self.waits.load(Ordering::Relaxed), ..Contention::default() }
    }

    fn quiesce(&self) {}
}
