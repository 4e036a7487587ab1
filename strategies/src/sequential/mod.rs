//! `sequential`: one thread at a time, with nothing to pay but one lock per session. The zero line of every comparison.
//!
//! # Invariants
//! - I1: whoever reads or changes the [`Table`] holds the mutex, from the beginning of a session to its end.
//!
//! The invariants of the lists are those of [`Table`].
//!
//! # Synchronisation
//! The mutex orders everything. A hop of a search touches no lock and no shared word that anyone writes.
//!
//! # Progress
//! Blocking: sessions wait for each other, readers too. A thread that holds a session must not open another one, reserve,
//! or ask for the memory report.
//!
//! # Memory
//! That of the table; the lock is a byte.

use crate::table::{Session, Table};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{Caps, Contention, Graph, GraphConfig, Level, MemoryReport, NodeId};
use hnsw_core::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// One plain table behind one mutex; see [the module](self).
pub struct Sequential {
    table: Mutex<Table>,
    waits: AtomicU64,
}

impl Sequential {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.try_lock().unwrap_or_else(|| self.wait())
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, Table> {
        // Relaxed [sequential-wait]: counts; nothing is ordered by it.
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.table.lock()
    }
}

impl Graph for Sequential {
    const NAME: &'static str = "sequential";
    const CAPS: Caps = Caps {
        parallel_reads: false,
        parallel_writes: false,
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: false,
        whole_lists: true,
        unlocked_rewrites: false,
        deterministic_batch: false,
    };

    type Read<'g> = Session<MutexGuard<'g, Table>>;
    type Write<'g> = Session<MutexGuard<'g, Table>>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        Ok(Sequential { table: Mutex::new(Table::with_config(config)?), waits: AtomicU64::new(0) })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        self.lock().reserve(count, level_of)
    }

    #[inline]
    fn read(&self) -> Self::Read<'_> {
        Session(self.lock())
    }

    #[inline]
    fn write(&self, _attempt: u32) -> Self::Write<'_> {
        Session(self.lock())
    }

    fn memory(&self) -> MemoryReport {
        self.lock().memory(size_of::<Self>())
    }

    fn contention(&self) -> Contention {
        // Relaxed [sequential-waits]: a count for a report.
        Contention { lock_waits: self.waits.load(Ordering::Relaxed), ..Contention::default() }
    }

    fn quiesce(&self) {}
}
