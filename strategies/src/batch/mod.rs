//! `batch`: rounds. A batch alternates between searching a graph that no one changes and changing it without a search, and the
//! graph that it makes does not depend on the number of threads ([`hnsw_core::hnsw`] has the rounds; this is the graph that
//! they work on).
//!
//! One word says whether lists are *frozen*: whether no session for changing them is open. While they are, and in a round that
//! is nearly always, a reader copies a list without a lock and then looks at the word again. While they are not, readers and
//! writers lock the byte of a list, and writers of different lists do not meet.
//!
//! # Invariants
//! - I1: the slots of a list are written only by the holder of its lock, whose session has thawed the graph.
//! - I2: when a lock is free, the links of its list are those before the first `NIL`, at most `cap(level)`.
//! - I3: what a reader uses was copied under the lock, or while the graph was frozen from before the copy until after it.
//! - I4: a thread holds at most one lock, and takes nothing else while it does; so there is no deadlock.
//! - I5: rows and locks exist for all lists of a node once its reserve returned.
//!
//! # Synchronisation
//! - `batch-freeze` (Release) with `batch-frozen` (Acquire): whoever finds the graph frozen sees what the sessions before
//!   wrote, and with each link the rows and the vector of its target.
//! - `batch-thaw-fence` (Release) with `batch-still-fence` (Acquire): whoever copied a slot that a session has written finds
//!   that the graph was thawed, and copies again.
//! - `list-unlock` (Release) with `list-lock` (Acquire): whoever locks a list sees what the holders before it wrote.
//! - The entry point orders itself: see `entry`.
//! - Slots are accessed Relaxed: the lock or the word orders them.
//!
//! # Progress
//! While no one writes, reading is wait-free: two looks at one word that stays in every cache. While someone does, readers
//! and writers wait for whoever holds the same list, and a session that loses its core keeps the graph thawed: others go on,
//! with locks. No one ever waits for a round.
//!
//! # Memory
//! As `fine`: per node one row of 2M slots, rounded up to whole cache lines, and a byte; per list above level 0 one row of M
//! slots and a byte. Nothing is retired: lists change in place. Freed when the graph is dropped. A round keeps the lists of
//! its nodes twice while it lasts.

mod phase;
mod session;

pub use session::{Session, Thawed};

use crate::entry::EntryPoint;
use crate::lists::PerList;
use crate::lock;
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{Caps, Contention, Graph, GraphConfig, Level, Link, MemoryReport, NodeId, Nodes};
use hnsw_core::sync::{AtomicU8, AtomicU32, AtomicU64, CachePadded, Ordering};
use phase::Phase;

/// A graph that is frozen between changes; see [the module](self).
pub struct Batch {
    nodes: Nodes,
    slots: PerList<AtomicU32>,
    locks: PerList<AtomicU8>,
    phase: Phase,
    entry: EntryPoint,
    /// Times a lock was found taken.
    waits: CachePadded<AtomicU64>,
    /// Copies that were made again because the graph was thawed meanwhile.
    retries: CachePadded<AtomicU64>,
}

impl Graph for Batch {
    const NAME: &'static str = "batch";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: false,
        whole_lists: true,
        unlocked_rewrites: false,
        deterministic_batch: true,
    };

    type Read<'g> = Session<'g, ()>;
    type Write<'g> = Session<'g, Thawed<'g>>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Batch {
            nodes: Nodes::new(config),
            slots: PerList::slots(config, || AtomicU32::new(Link::NIL.to_bits())),
            locks: PerList::single(config, lock::free),
            phase: Phase::new(),
            entry: EntryPoint::none(),
            waits: CachePadded::new(AtomicU64::new(0)),
            retries: CachePadded::new(AtomicU64::new(0)),
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
    fn write(&self, _attempt: u32) -> Session<'_, Thawed<'_>> {
        Session::new(self, Thawed::new(&self.phase))
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
        // Relaxed [batch-waits]: a count for a report.
        let lock_waits = self.waits.load(Ordering::Relaxed);
        // Relaxed [batch-retries]: a count for a report.
        let read_retries = self.retries.load(Ordering::Relaxed);
        Contention { lock_waits, read_retries, ..Contention::default() }
    }

    fn quiesce(&self) {}
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use core::ops::ControlFlow;
    use hnsw_core::distance::Metric;
    use hnsw_core::graph::Edit;
    use hnsw_core::graph::check::Health;
    use hnsw_core::hnsw::{Index, IndexConfig};
    use rayon::ThreadPoolBuilder;

    /// The conformance suite asks more of every strategy; this is what `scripts/planted` can build in little time.
    #[test]
    fn a_batch_gives_one_graph_on_any_number_of_threads() {
        const DIM: usize = 4;
        let rows: Vec<f32> =
            (0..2_000 * DIM as u32).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 16) as f32).collect();
        let health = |threads: usize| {
            let config = IndexConfig { m: 4, ef_construction: 10, ..IndexConfig::new(DIM, Metric::L2) };
            let index = Index::<Batch>::new(config).unwrap();
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| index.insert_batch(&rows, |_| ControlFlow::Continue(()))).unwrap();
            Health::of(&index.graph().read(), &GraphConfig::new(4))
        };
        let one = health(1);
        assert!(one.faults.is_empty() && one.unreachable == 0, "{one:?}");
        assert_eq!(one, health(4));
    }

    #[test]
    fn lists_are_thawed_as_long_as_a_session_that_may_change_them_is_open() {
        let graph = Batch::with_config(&GraphConfig::new(4)).unwrap();
        let frozen = || graph.phase.frozen().is_some();
        let _readers = (graph.read(), graph.read());
        assert!(frozen());
        let (first, second) = (graph.write(0), graph.write(0));
        assert!(!frozen());
        drop(first);
        assert!(!frozen());
        second.commit().unwrap();
        assert!(frozen());
    }
}
