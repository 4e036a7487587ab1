//! The backend for model checking: the same names as the running backend, on top of `loom`.
//!
//! It differs from plain `loom` in three ways:
//! - Atomics are wrapped so that loom's search misses no interleaving that it should see ([`atomic`] says which hole of
//!   loom 0.7 this closes), and so that the ordering of one named site can be weakened at run time
//!   ([`site`](super::site)).
//! - Locks have the shape of `parking_lot`: no poisoning.
//! - [`Published`] and the [`RwLock`] are written here, because `arc-swap` does not know loom and loom's own `RwLock` of
//!   that version writes debugging output at every read.
//!
//! [`Arc`] is loom's. The drop of its content then happens after the drops of all other handles, as in reality; with the
//! standard one, which loom cannot see, every tracked content would look as if it were freed under its readers.
//!
//! Everything here must be made inside a model. Threads are few (loom allows 5, the main one included), and there is no
//! `thread::scope`.

mod atomic;
pub mod epoch;
mod published;
mod rwlock;

pub use self::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, compiler_fence, fence,
};
pub use self::published::Published;
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use ::loom::hint::spin_loop;
pub use ::loom::sync::{Arc, MutexGuard};

/// Threads.
pub mod thread {
    pub use ::loom::thread::{JoinHandle, spawn, yield_now};
}

/// Cells whose accesses the model checker sees.
pub mod cell {
    pub use ::loom::cell::UnsafeCell;

    /// A value that is written before it is shared and only read from then on, until it is dropped. The model fails when
    /// a read is not ordered after the making, or the drop not after all reads.
    #[derive(Debug)]
    pub struct Frozen<T>(UnsafeCell<T>);

    // SAFETY: shared access is `&T` only; the cell is there to be watched, not for mutation.
    unsafe impl<T: Send + Sync> Sync for Frozen<T> {}

    impl<T> Frozen<T> {
        /// With this value for good.
        #[track_caller]
        pub fn new(value: T) -> Self {
            let cell = UnsafeCell::new(value);
            cell.with_mut(|_| ());
            Frozen(cell)
        }

        /// The value.
        #[track_caller]
        pub fn get(&self) -> &T {
            // SAFETY: nothing writes the cell between `new` and `drop`, and the borrow of `self` excludes both.
            self.0.with(|value| unsafe { &*value })
        }
    }

    impl<T> Drop for Frozen<T> {
        fn drop(&mut self) {
            // A second panic would abort the process and hide the first.
            if !::std::thread::panicking() {
                self.0.with_mut(|_| ());
            }
        }
    }
}

/// Mutual exclusion in the shape of `parking_lot`.
#[derive(Debug, Default)]
pub struct Mutex<T>(::loom::sync::Mutex<T>);

/// `loom` never poisons; its signatures only look as if it did.
const NO_POISON: &str = "loom poisons no lock";

impl<T> Mutex<T> {
    /// Unlocked.
    pub fn new(value: T) -> Self {
        Mutex(::loom::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect(NO_POISON)
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    /// The content; the exclusive borrow is lock enough.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().expect(NO_POISON)
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.0.into_inner().expect(NO_POISON)
    }
}
