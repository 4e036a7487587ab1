//! What the process has allocated, exactly: a counting allocator. What costs nothing while time is taken is in [`crate::footprint`].
//!
//! [`Counting`] keeps two atomics that every allocation of every thread writes. That is exact and simple, and far too
//! dear for a timing run. So nothing installs it unless asked: the feature `count-alloc` makes it the global allocator
//! of the binary ([`counted`] then answers), and a test that needs it installs its own:
//!
//! ```standalone_crate
//! use hnsw_lab::alloc::Counting;
//! use std::alloc::System;
//!
//! #[cfg_attr(not(feature = "count-alloc"), global_allocator)]
//! static ALLOC: Counting<System> = Counting::new(System);
//!
//! let before = ALLOC.live_bytes();
//! let _buffer = vec![0_u8; 1 << 20];
//! # #[cfg(not(feature = "count-alloc"))]
//! assert!(ALLOC.live_bytes() - before >= 1 << 20);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
// Not from the facade: a global allocator is built in a constant and runs underneath any model checker.
use std::sync::atomic::{AtomicUsize, Ordering};

/// The name of the allocator of this build, for result documents.
pub const ALLOCATOR: &str = if cfg!(feature = "count-alloc") { "system, counting" } else { "system" };

#[cfg(feature = "count-alloc")]
#[global_allocator]
static GLOBAL: Counting<System> = Counting::new(System);

/// The counting global allocator of this build, if it was built with the feature `count-alloc`.
pub fn counted() -> Option<&'static Counting<System>> {
    #[cfg(feature = "count-alloc")]
    return Some(&GLOBAL);
    #[cfg(not(feature = "count-alloc"))]
    None
}

/// An allocator that counts the bytes asked of `A`. Bytes are those of the layouts: rounding and headers inside `A` are
/// not in them, nor is the second copy that exists for a moment while a block is moved to grow.
#[derive(Debug)]
pub struct Counting<A> {
    inner: A,
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl<A> Counting<A> {
    /// Counts from zero, over `inner`.
    pub const fn new(inner: A) -> Self {
        Counting { inner, live: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes allocated and not freed. Exact when no other thread allocates meanwhile.
    pub fn live_bytes(&self) -> usize {
        // Relaxed [alloc-live-read]: a statistic; it orders nothing.
        self.live.load(Ordering::Relaxed)
    }

    /// The most bytes that were live at once since the start or the last [`Counting::reset_peak`].
    pub fn peak_bytes(&self) -> usize {
        // Relaxed [alloc-peak-read]: a statistic; it orders nothing.
        self.peak.load(Ordering::Relaxed)
    }

    /// Makes what is live now the peak. Not to be raced with allocations that must count.
    pub fn reset_peak(&self) {
        // Relaxed [alloc-peak-reset]: a statistic; it orders nothing.
        self.peak.store(self.live_bytes(), Ordering::Relaxed);
    }

    fn grow(&self, bytes: usize) {
        // Relaxed [alloc-live-add]: the sum is exact in the modification order of `live` alone, and so is the maximum
        // over the values that the additions return.
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Relaxed [alloc-peak-raise]: a maximum needs no order among its candidates.
        self.peak.fetch_max(live, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: usize) {
        // Relaxed [alloc-live-sub]: as for alloc-live-add. Freeing happens after allocating, so the sum stays >= 0.
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to `A` unchanged and its answer returned unchanged; counting touches two atomics only,
// and neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `A` asks for.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            self.grow(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `A` asks for.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        if !block.is_null() {
            self.grow(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Counted before the block is free, so that no one can have counted its next use already.
        self.shrink(layout.size());
        // SAFETY: the caller's promises are those that `A` asks for; `block` came from `A`.
        unsafe { self.inner.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are those that `A` asks for; `block` came from `A`.
        let moved = unsafe { self.inner.realloc(block, layout, new_size) };
        if !moved.is_null() {
            if new_size >= layout.size() {
                self.grow(new_size - layout.size());
            } else {
                self.shrink(layout.size() - new_size);
            }
        }
        moved
    }
}

/// Makes the resident size show what the next index takes.
///
/// glibc takes even large blocks from its heap once blocks of that size were freed. What is left between aligned blocks
/// there then lies in ranges that an index before had asked to be backed by huge pages, and a touch of its 16-byte header
/// makes 2 MB of it resident. With a fixed threshold every large block is a mapping of its own, and gone when it is freed.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the calls take no pointer, set a number, and touch free memory only.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::malloc_trim(0);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 16).expect("a valid layout")
    }

    #[test]
    fn counts_allocate_grow_shrink_and_free() {
        let counting = Counting::new(System);
        // SAFETY: the layouts are not empty, each block is used with the layout that it has then, and freed once.
        unsafe {
            let a = counting.alloc(layout(1000));
            let b = counting.alloc_zeroed(layout(500));
            assert_eq!(counting.live_bytes(), 1500);
            let a = counting.realloc(a, layout(1000), 3000);
            assert_eq!((counting.live_bytes(), counting.peak_bytes()), (3500, 3500));
            let a = counting.realloc(a, layout(3000), 100);
            assert_eq!((counting.live_bytes(), counting.peak_bytes()), (600, 3500));
            counting.reset_peak();
            assert_eq!(counting.peak_bytes(), 600);
            counting.dealloc(a, layout(100));
            counting.dealloc(b, layout(500));
        }
        assert_eq!((counting.live_bytes(), counting.peak_bytes()), (0, 600));
    }

    #[test]
    fn is_exact_over_threads() {
        let counting = Counting::new(System);
        let kept = 100 * (1..=8).sum::<usize>();
        std::thread::scope(|scope| {
            for thread in 1..=8 {
                let counting = &counting;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        // SAFETY: not empty, freed at once with the same layout.
                        unsafe { counting.dealloc(counting.alloc(layout(64)), layout(64)) }
                    }
                    counting.grow(100 * thread);
                });
            }
        });
        assert_eq!(counting.live_bytes(), kept);
        assert!((kept..=kept + 8 * 64).contains(&counting.peak_bytes()));
    }

    #[test]
    fn the_counting_allocator_is_there_only_on_request() {
        assert_eq!(counted().is_some(), cfg!(feature = "count-alloc"));
        assert_eq!(ALLOCATOR.contains("counting"), counted().is_some());
    }
}
