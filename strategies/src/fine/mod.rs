//! `fine`: lists in place, and one byte of lock for each of them. Readers lock a list, copy it and unlock; writers lock a
//! list, change it and unlock.
//!
//! # Invariants
//! - I1: the slots of a list are read and written only by the holder of its lock.
//! - I2: when a lock is free, the links of its list are those before the first `NIL`, at most `cap(level)`.
//! - I3: a thread holds at most one lock, and takes nothing else while it does; so there is no deadlock.
//! - I4: rows and locks exist for all lists of a node once its reserve returned.
//!
//! # Synchronisation
//! - `list-unlock` (Release) with `list-lock` (Acquire): whoever locks a list sees what the holders before it wrote. Who
//!   finds a link in it also sees the rows and the vector of the target: they were written before the link was.
//! - Slots are accessed Relaxed: the lock orders them.
//!
//! The entry point, with its invariant, is that of `entry`.
//!
//! # Progress
//! Blocking, list by list: a reader or writer waits while another thread holds the same list. A holder runs a bounded
//! number of steps, but if it loses its core, those who want its list spin for a while and then yield theirs. `entry` is
//! wait-free; raising it is lock-free.
//!
//! # Memory
//! Per node one row of 2M slots, rounded up to whole cache lines, and a byte; per list above level 0 one row of M slots and
//! a byte. Nothing is retired: lists change in place. Freed when the graph is dropped.

use crate::entry::EntryPoint;
use crate::in_place::{Buffers, InPlace, Own, Session};
use crate::lists::{PerList, Place};
use crate::lock::{self, Held};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Caps, Contention, Graph, GraphConfig, Level, Link, LinkBuf, MemoryReport, NodeId, Nodes, Verdict,
};
use hnsw_core::sync::{AtomicU8, AtomicU32, AtomicU64, CachePadded, Ordering};

/// A graph with one lock per list; see [the module](self).
pub struct Fine {
    nodes: Nodes,
    slots: PerList<AtomicU32>,
    locks: PerList<AtomicU8>,
    entry: EntryPoint,
    waits: CachePadded<AtomicU64>,
}

/// Copies a list whose lock the caller holds.
#[inline(always)]
fn copy_list(slots: &[AtomicU32], to: &mut LinkBuf) {
    // Relaxed [fine-slot-read]: ordered by the lock of the list.
    to.fill(slots, |slot| Link::from_bits(slot.load(Ordering::Relaxed)));
}

impl InPlace for Fine {
    #[inline(always)]
    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    #[inline(always)]
    fn entry_point(&self) -> &EntryPoint {
        &self.entry
    }

    #[inline(always)]
    fn copy(&self, at: At, to: &mut LinkBuf) {
        let place = Place::of(&self.nodes, at);
        let cap = self.nodes.config().cap(at.level);
        // Bounding the row before the lock is taken keeps the checks out of the copy.
        let row = &self.slots.row(place)[..cap];
        let _held = Held::take(&self.locks.row(place)[0], &self.waits);
        #[cfg(hnsw_planted)]
        let _held = (!hnsw_core::planted!("fine-read-unlocked")).then_some(_held);
        copy_list(row, to);
    }

    fn rewrite(
        &self,
        at: At,
        Buffers { list, out, .. }: &mut Buffers,
        mut f: impl FnMut(&[Link], &mut LinkBuf) -> Verdict,
    ) -> Verdict {
        let place = Place::of(&self.nodes, at);
        let cap = self.nodes.config().cap(at.level);
        let row = &self.slots.row(place)[..cap];
        out.clear();
        // Unlocks when it goes out of scope, also if `f` panics; nothing is written before `f` has returned.
        let _held = Held::take(&self.locks.row(place)[0], &self.waits);
        copy_list(row, list);
        let verdict = f(list, out);
        if verdict == Verdict::Replace {
            assert!(out.len() <= cap, "{} links at {at:?}, which holds {cap}", out.len());
            // What is behind the first NIL means nothing, so one is enough.
            for (slot, link) in row.iter().zip(out.iter().chain([&Link::NIL])) {
                // Relaxed [fine-slot-write]: ordered by the lock of the list.
                slot.store(link.to_bits(), Ordering::Relaxed);
            }
        }
        verdict
    }

    #[inline(always)]
    fn prefetch_base(&self, node: NodeId) {
        self.locks.prefetch_base(node);
        self.slots.prefetch_base(node);
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
        whole_lists: true,
        unlocked_rewrites: false,
        deterministic_batch: false,
    };

    type Read<'g> = Session<'g, Self, ()>;
    type Write<'g> = Session<'g, Self, Own>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Fine {
            nodes: Nodes::new(config),
            slots: PerList::slots(config, || AtomicU32::new(Link::NIL.to_bits())),
            locks: PerList::single(config, lock::free),
            entry: EntryPoint::none(),
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
    fn read(&self) -> Session<'_, Self, ()> {
        Session::new(self, ())
    }

    #[inline]
    fn write(&self, _attempt: u32) -> Session<'_, Self, Own> {
        Session::new(self, Own::take())
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
