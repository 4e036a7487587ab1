//! `slots`: lists in place, in atomic slots that readers just read. No lock, no version, no epoch and no allocation on the way
//! of a search; writers take turns list by list, and only for the stores.
//!
//! A list is a row of slots. It ends at the first `NIL`; its anchors come first. A rewrite copies the list, runs its function
//! on the copy while it holds nothing, then locks the list, checks that it is still as it was copied, stores the slots that
//! differ and unlocks. If it has changed, the function runs again on what it is now.
//!
//! A read that overlaps a rewrite may see some of its stores and not others: a *mixture* of the list before and the list after.
//! What a search needs of it holds nevertheless (contract P1, P3, P6): each link that is read was in the list at some instant
//! of the read or is of a store under way, and *no anchor is missed*. An ordinary link that the rewrite moves to another slot
//! may be missed, or met twice; `list` keeps moves few: links move into slots that pruning freed before the end of the list,
//! and out of the slot that a new anchor takes.
//!
//! # Invariants
//! - I1: slots are written only by the holder of the list's lock, which runs no code of others.
//! - I2: at every instant no link follows a `NIL`, and at most `cap(level)` slots hold links.
//! - I3: a slot that holds an anchor never changes again, and so do the slots before it: they hold anchors. (As long as the
//!   rewrites keep the anchors, as the algorithm's do.)
//! - I4: between two rewrites no link is in a list twice.
//! - I5: rows and locks exist for all lists of a node once its reserve returned.
//!
//! # Synchronisation
//! - `slots-write` (Release) with `slots-read-fence` (Acquire): whoever meets a link sees the row and the lists of its target:
//!   the writer of the link had written them, or had met the target itself. By the same pair it sees the anchors that the
//!   writer had written or seen. With I3: whoever was told of a node, by a link or by the return of its insert, finds in
//!   every list of the path of anchors to it the slots before the anchor filled, and the anchor.
//! - `list-unlock` (Release) with `list-lock` (Acquire): a writer sees what the writers of the list before it stored.
//!
//! The entry point is that of `entry`.
//!
//! # Progress
//! Reading a list is wait-free: one load per link. Writers do not wait for the function of another's rewrite, where lists are
//! pruned, however long it takes: a rewrite is tried again only because another one succeeded. They wait for its stores: a
//! thread that loses its core there, within some tens of nanoseconds, holds up the writers of that one list until it runs
//! again. So writers are not lock-free.
//!
//! # Memory
//! Per node one row of 2M slots, rounded up to whole cache lines, and a byte; per list above level 0 one row of M slots and
//! a byte. Nothing is retired: lists change in place. Neither readers nor writers allocate, but for what a thread keeps.
//! Freed when the graph is dropped.

mod list;

use crate::entry::EntryPoint;
use crate::in_place::{Buffers, InPlace, Own, Session};
use crate::lists::{PerList, Place};
use crate::lock::{self, Held};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Caps, Contention, Graph, GraphConfig, Level, Link, LinkBuf, MemoryReport, NodeId, Nodes, Verdict,
};
use hnsw_core::sync::{AtomicU8, AtomicU32, AtomicU64, CachePadded, Ordering};

/// A graph of atomic slots; see [the module](self).
pub struct Slots {
    nodes: Nodes,
    slots: PerList<AtomicU32>,
    /// Of writers.
    locks: PerList<AtomicU8>,
    entry: EntryPoint,
    waits: CachePadded<AtomicU64>,
    /// Rewrites that ran again.
    losses: AtomicU64,
}

impl InPlace for Slots {
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
        let cap = self.nodes.config().cap(at.level);
        list::read(&self.slots.row(Place::of(&self.nodes, at))[..cap], to);
    }

    fn rewrite(
        &self,
        at: At,
        Buffers { list, out, now, next }: &mut Buffers,
        mut f: impl FnMut(&[Link], &mut LinkBuf) -> Verdict,
    ) -> Verdict {
        let place = Place::of(&self.nodes, at);
        let cap = self.nodes.config().cap(at.level);
        let (row, lock) = (&self.slots.row(place)[..cap], &self.locks.row(place)[0]);
        // Under the lock: a mixture is no list for `f` to decide about.
        let held = Held::take(lock, &self.waits);
        list::read_locked(row, list);
        #[cfg(hnsw_planted)]
        let (held, mut kept) = match hnsw_core::planted!("slots-prune-locked") {
            true => (None, Some(held)),
            false => (Some(held), None),
        };
        drop(held);
        loop {
            out.clear();
            if f(list, out) == Verdict::Keep {
                return Verdict::Keep;
            }
            assert!(out.len() <= cap, "{} links at {at:?}, which holds {cap}", out.len());
            list::arrange(list, out, next);
            #[cfg(hnsw_planted)]
            drop(kept.take());
            let held = Held::take(lock, &self.waits);
            list::read_locked(row, now);
            // The links are all that there is to a list: one that has changed and changed back is the list that `f` saw.
            if now[..] == list[..] {
                list::replace(row, list, next, || ());
                return Verdict::Replace;
            }
            drop(held);
            core::mem::swap(list, now);
            // Relaxed [slots-loss]: counts; nothing is ordered by it.
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn prefetch_base(&self, node: NodeId) {
        self.slots.prefetch_base(node);
    }
}

impl Graph for Slots {
    const NAME: &'static str = "slots";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        wait_free_reads: true,
        lock_free_writes: false,
        snapshots: false,
        whole_lists: false,
        unlocked_rewrites: true,
        deterministic_batch: false,
    };

    type Read<'g> = Session<'g, Self, ()>;
    type Write<'g> = Session<'g, Self, Own>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Slots {
            nodes: Nodes::new(config),
            slots: PerList::slots(config, list::empty),
            locks: PerList::single(config, lock::free),
            entry: EntryPoint::none(),
            waits: CachePadded::new(AtomicU64::new(0)),
            losses: AtomicU64::new(0),
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
        Contention {
            // Relaxed [slots-waits]: a count for a report.
            lock_waits: self.waits.load(Ordering::Relaxed),
            // Relaxed [slots-losses]: a count for a report.
            cas_failures: self.losses.load(Ordering::Relaxed),
            ..Contention::default()
        }
    }

    fn quiesce(&self) {}
}
