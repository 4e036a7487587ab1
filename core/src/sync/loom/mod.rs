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
pub mod cell;
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

/// Loops over many things at once: `rayon`, which loom does not know. No model has any.
pub mod parallel {
    pub use rayon::prelude::*;
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
