//! `seqlock`: lists in place, each behind a version. Readers copy a list and look whether its version is still the same;
//! writers make the version odd, store the list, and make it even.
//!
//! The function of a rewrite runs on a copy, while nothing is held; then the writer claims the version of that copy, by one
//! compare-and-swap, and stores. If the list has a later version, the function runs again.
//!
//! # Invariants
//! - I1: a list that is read is one that some rewrite wrote, whole.
//! - I2: a thread claims at most one list, and runs no code of others while it does; so there is no deadlock.
//! - I3: rows exist for all lists of a node once its reserve returned.
//!
//! # Synchronisation
//! That of `list`: who reads a list sees the rows and the lists of the nodes that it leads to. A writer of a link had written
//! them, or had met the node itself.
//!
//! The entry point is that of `entry`.
//!
//! # Progress
//! Readers wait while a list is being stored, some tens of nanoseconds, and copy it again if it was. They never wait for the
//! function of a rewrite, where lists are pruned. A writer that loses its core between claim and end holds up all who want
//! that one list until it runs again; they spin for a while and then yield their cores. A rewrite is tried again only because
//! another one succeeded. Neither readers nor writers are lock-free.
//!
//! A version has 32 bits: a reader could be deceived if it lost its core in the middle of a copy and just 2^31 rewrites of that
//! list were made meanwhile.
//!
//! # Memory
//! Per list a row of a version and 2M slots, or M above level 0, 4 bytes each. Nothing is retired: lists change in place.
//! Neither readers nor writers allocate, but for what a thread keeps. Freed when the graph is dropped.

mod list;

use crate::entry::EntryPoint;
use crate::in_place::{Buffers, InPlace, Own, Session};
use crate::lists::{PerList, Place};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Caps, Contention, Graph, GraphConfig, Level, Link, LinkBuf, MemoryReport, NodeId, Nodes, Verdict,
};
use hnsw_core::sync::{AtomicU32, AtomicU64, CachePadded, Ordering, spin_loop, thread};
use list::{HEAD, List, Version};

/// Tries before a reader gives up its core: a list is stored in tens of nanoseconds, so after some microseconds its writer
/// is not running.
const SPINS: u32 = 128;

/// A graph with one version per list; see [the module](self).
pub struct SeqLock {
    nodes: Nodes,
    rows: PerList<AtomicU32>,
    entry: EntryPoint,
    retries: CachePadded<AtomicU64>,
    /// Rewrites that ran again.
    losses: AtomicU64,
}

impl SeqLock {
    #[inline(always)]
    fn list(&self, at: At) -> List<'_> {
        List::new(self.rows.row(Place::of(&self.nodes, at)), self.nodes.config().cap(at.level))
    }

    #[inline(always)]
    fn read_list(&self, list: List<'_>, to: &mut LinkBuf) -> Version {
        list.read(to).unwrap_or_else(|| self.read_again(list, to))
    }

    #[cold]
    fn read_again(&self, list: List<'_>, to: &mut LinkBuf) -> Version {
        let mut tries = 0;
        loop {
            // Relaxed [seqlock-retry]: counts; nothing is ordered by it.
            self.retries.fetch_add(1, Ordering::Relaxed);
            if tries < SPINS {
                tries += 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
            if let Some(version) = list.read(to) {
                return version;
            }
        }
    }
}

impl InPlace for SeqLock {
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
        self.read_list(self.list(at), to);
    }

    fn rewrite(
        &self,
        at: At,
        Buffers { list: links, out, .. }: &mut Buffers,
        mut f: impl FnMut(&[Link], &mut LinkBuf) -> Verdict,
    ) -> Verdict {
        let list = self.list(at);
        let cap = self.nodes.config().cap(at.level);
        loop {
            let version = self.read_list(list, links);
            out.clear();
            if f(links, out) == Verdict::Keep {
                return Verdict::Keep;
            }
            assert!(out.len() <= cap, "{} links at {at:?}, which holds {cap}", out.len());
            if list.replace(version, out, || ()) {
                return Verdict::Replace;
            }
            // Relaxed [seqlock-loss]: counts; nothing is ordered by it.
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn prefetch_base(&self, node: NodeId) {
        self.rows.prefetch_base(node);
    }
}

impl Graph for SeqLock {
    const NAME: &'static str = "seqlock";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: false,
        whole_lists: true,
        unlocked_rewrites: true,
        deterministic_batch: false,
    };

    type Read<'g> = Session<'g, Self, ()>;
    type Write<'g> = Session<'g, Self, Own>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(SeqLock {
            nodes: Nodes::new(config),
            rows: PerList::with_head(config, HEAD, list::word),
            entry: EntryPoint::none(),
            retries: CachePadded::new(AtomicU64::new(0)),
            losses: AtomicU64::new(0),
        })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        let first = self.nodes.reserve(count, level_of)?;
        self.rows.grow(&self.nodes);
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
        let rows = self.rows.bytes(&self.nodes);
        let versions = (self.nodes.count() + self.nodes.upper_lists()) * HEAD * size_of::<AtomicU32>();
        MemoryReport {
            links_bytes: rows.used.saturating_sub(versions),
            slack_bytes: rows.slack + slack,
            levels_bytes: levels,
            sync_bytes: versions,
            fixed_bytes: rows.fixed + fixed + size_of::<Self>(),
            ..MemoryReport::default()
        }
    }

    fn contention(&self) -> Contention {
        Contention {
            // Relaxed [seqlock-retries]: a count for a report.
            read_retries: self.retries.load(Ordering::Relaxed),
            // Relaxed [seqlock-losses]: a count for a report.
            cas_failures: self.losses.load(Ordering::Relaxed),
            ..Contention::default()
        }
    }

    fn quiesce(&self) {}
}
