//! The allocator of programs that check memory: the system's, which counts for the whole process, and for each thread what that
//! asked for and gave back. Such a program has one test; the thread that started it may allocate beside it.

use core::cell::Cell;
use hnsw_core::sync::{AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Above 0 by far: a thread may give back what another has asked for.
    static OWN: Cell<usize> = const { Cell::new(1 << 40) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed [test-bytes-allocated]: a count, read when no other thread is at work.
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        OWN.set(OWN.get().wrapping_add(layout.size()));
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // Relaxed [test-bytes-freed]: as above.
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        OWN.set(OWN.get().wrapping_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread has asked for, less those that it has given back, above a number that means nothing.
#[allow(dead_code, reason = "some programs ask")]
pub fn own() -> usize {
    OWN.get()
}

/// Bytes that are allocated and not freed.
#[allow(dead_code, reason = "some programs ask")]
pub fn live() -> usize {
    // Relaxed [test-bytes-live]: as above.
    LIVE.load(Ordering::Relaxed)
}

/// How often this thread has asked for memory.
#[allow(dead_code, reason = "some programs ask")]
pub fn calls() -> usize {
    CALLS.get()
}
