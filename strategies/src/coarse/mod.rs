//! `coarse`: one reader-writer lock over everything. Searches share it; an edit has the graph for itself.
//!
//! # Invariants
//! - I1: whoever reads the [`Table`] holds the lock, and whoever changes it holds the lock alone, from the beginning of a
//!   session to its end. Reserving adds ids and rows that no one knows yet, which the table allows under a shared lock.
//!
//! The invariants of the lists are those of [`Table`].
//!
//! # Synchronisation
//! The lock orders everything. A hop of a search touches no lock and no shared word that anyone writes; the word of the
//! lock itself is written twice per search, by all threads.
//!
//! # Progress
//! Blocking: readers wait for an edit and edits wait for all. The lock is fair enough to starve neither: a waiting edit
//! holds back new readers. For this reason a thread that holds a session must not open another one, reserve, or ask for
//! the memory report.
//!
//! # Memory
//! That of the table; the lock is a word.

use crate::table::{Session, Table};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{Caps, Contention, Graph, GraphConfig, Level, MemoryReport, NodeId};
use hnsw_core::sync::{AtomicU64, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One plain table behind one reader-writer lock; see [the module](self).
pub struct Coarse {
    table: RwLock<Table>,
    waits: AtomicU64,
}

impl Coarse {
    #[inline]
    fn share(&self) -> RwLockReadGuard<'_, Table> {
        self.table.try_read().unwrap_or_else(|| {
            self.count_wait();
            self.table.read()
        })
    }

    #[inline]
    fn exclude(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.try_write().unwrap_or_else(|| {
            self.count_wait();
            self.table.write()
        })
    }

    #[cold]
    fn count_wait(&self) {
        // Relaxed [coarse-wait]: counts; nothing is ordered by it.
        self.waits.fetch_add(1, Ordering::Relaxed);
    }
}

impl Graph for Coarse {
    const NAME: &'static str = "coarse";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: false,
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: false,
        whole_lists: true,
        unlocked_rewrites: false,
        deterministic_batch: false,
    };

    type Read<'g> = Session<RwLockReadGuard<'g, Table>>;
    type Write<'g> = Session<RwLockWriteGuard<'g, Table>>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        Ok(Coarse { table: RwLock::new(Table::with_config(config)?), waits: AtomicU64::new(0) })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        self.share().reserve(count, level_of)
    }

    #[inline]
    fn read(&self) -> Self::Read<'_> {
        Session(self.share())
    }

    #[inline]
    fn write(&self, _attempt: u32) -> Self::Write<'_> {
        Session(self.exclude())
    }

    fn memory(&self) -> MemoryReport {
        self.share().memory(size_of::<Self>())
    }

    fn contention(&self) -> Contention {
        // Relaxed [coarse-waits]: a count for a report.
        Contention { lock_waits: self.waits.load(Ordering::Relaxed), ..Contention::default() }
    }

    fn quiesce(&self) {}
}
