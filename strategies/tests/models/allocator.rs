//! The allocator of programs that check memory: the system's, which counts for the whole process. So such a program has one test.

use hnsw_core::sync::{AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed [test-bytes-allocated]: a count, read when no other thread is at work.
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // Relaxed [test-allocations]: as above.
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // Relaxed [test-bytes-freed]: as above.
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are allocated and not freed.
pub fn live() -> usize {
    // Relaxed [test-bytes-live]: as above.
    LIVE.load(Ordering::Relaxed)
}

/// How often memory was allocated.
#[allow(dead_code, reason = "some programs ask")]
pub fn calls() -> usize {
    // Relaxed [test-allocations-counted]: as above.
    CALLS.load(Ordering::Relaxed)
}
