//! What threads waited for and did again.

use hnsw_core::graph::{Contention, LinkBuf};
use hnsw_core::sync::{AtomicU64, CachePadded, Ordering};

/// Readers count in this many places, so that they do not meet on one cache line.
const STRIPES: usize = if cfg!(hnsw_loom) { 1 } else { 16 };

/// Counts since the graph was made. A model checker would try all orders of them for nothing, so there they stand still.
#[derive(Default)]
pub(super) struct Counters {
    readers: [CachePadded<Readers>; STRIPES],
    lock_waits: AtomicU64,
    commit_conflicts: AtomicU64,
}

#[derive(Default)]
struct Readers {
    retries: AtomicU64,
    walks: AtomicU64,
}

impl Counters {
    /// The place for the thread that owns `buf`: buffers of different threads are at different addresses.
    fn stripe(&self, buf: &LinkBuf) -> &Readers {
        let address = core::ptr::from_ref(buf).addr();
        &self.readers[(address >> 7 ^ address >> 12) % self.readers.len()]
    }

    #[cold]
    pub(super) fn read_retried(&self, buf: &LinkBuf) {
        count(&self.stripe(buf).retries);
    }

    pub(super) fn version_walked(&self, buf: &LinkBuf) {
        count(&self.stripe(buf).walks);
    }

    pub(super) fn lock_waited(&self) {
        count(&self.lock_waits);
    }

    pub(super) fn commit_refused(&self) {
        count(&self.commit_conflicts);
    }

    pub(super) fn report(&self) -> Contention {
        // Relaxed [mvcc-count-read]: numbers for a report.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Contention {
            lock_waits: read(&self.lock_waits),
            cas_failures: 0,
            commit_conflicts: read(&self.commit_conflicts),
            read_retries: self.readers.iter().map(|stripe| read(&stripe.retries)).sum(),
            versions_walked: self.readers.iter().map(|stripe| read(&stripe.walks)).sum(),
        }
    }
}

fn count(counter: &AtomicU64) {
    if !cfg!(hnsw_loom) {
        // Relaxed [mvcc-count]: a number for a report.
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
