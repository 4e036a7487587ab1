//! A spin lock in one byte.

use hnsw_core::sync::{AtomicU8, AtomicU64, Ordering, spin_loop, thread};

const FREE: u8 = 0;
const TAKEN: u8 = 1;

/// Looks at a taken lock before the thread gives up its core: a few microseconds. Readers hold a list for tens of
/// nanoseconds and writers for as long as their closure takes, so a list that stays taken for longer is being pruned or
/// belongs to a thread that is not running.
const SPINS: u32 = 128;

/// A free lock.
pub(crate) fn free() -> AtomicU8 {
    AtomicU8::new(FREE)
}

/// Holds a lock until dropped.
pub(crate) struct Held<'a>(&'a AtomicU8);

impl<'a> Held<'a> {
    /// Waits until `lock` is free and takes it. Adds 1 to `waits` if it was not free.
    #[inline(always)]
    pub(crate) fn take(lock: &'a AtomicU8, waits: &AtomicU64) -> Held<'a> {
        if !try_take(lock) {
            wait(lock, waits);
        }
        Held(lock)
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release [list-unlock]: pairs with Acquire [list-lock]; the slots written while the lock was held, and, because a
        // link was written after it, everything that its writer knew: the rows and the vector of the link's target.
        self.0.store(FREE, Ordering::Release);
    }
}

#[inline(always)]
fn try_take(lock: &AtomicU8) -> bool {
    // Acquire [list-lock]: pairs with Release [list-unlock]; the slots as the last holder left them.
    // Relaxed on failure [list-lock-taken]: nothing is read without the lock.
    lock.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

#[cold]
fn wait(lock: &AtomicU8, waits: &AtomicU64) {
    // Relaxed [list-wait]: counts; nothing is ordered by it.
    waits.fetch_add(1, Ordering::Relaxed);
    let mut spins = 0;
    loop {
        if spins < SPINS {
            spins += 1;
            spin_loop();
        } else {
            thread::yield_now();
        }
        // Relaxed [list-look]: looking does not take the cache line from the holder; `try_take` orders.
        if lock.load(Ordering::Relaxed) == FREE && try_take(lock) {
            return;
        }
    }
}
