//! The backend for running: the real primitives, re-exported or wrapped so thinly that nothing is left of it.

pub use ::std::hint::spin_loop;
pub use ::std::sync::Arc;
pub use ::std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, compiler_fence, fence,
};
pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Threads.
pub mod thread {
    pub use ::std::thread::{JoinHandle, scope, spawn, yield_now};
}

/// Loops over many things at once: `rayon`.
pub mod parallel {
    pub use rayon::prelude::*;
}

/// Cells whose accesses a model checker can see.
pub mod cell {
    /// [`core::cell::UnsafeCell`] with the two-closure interface of `loom`: reads and writes say which they are.
    #[derive(Debug)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell with this content.
        #[inline(always)]
        pub const fn new(value: T) -> Self {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        /// Reads: the pointer is valid for shared access while no `with_mut` runs.
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Writes: the pointer is valid for exclusive access while no other `with` or `with_mut` runs.
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// Tells a model checker of accesses to memory that cannot be made of cells: the elements of an array, say, by their
    /// number. Here nothing is left of it.
    #[derive(Debug, Default)]
    pub struct Watches(());

    impl Watches {
        /// Element `number` is read now.
        #[inline(always)]
        pub fn read(&self, _number: usize) {}

        /// Element `number` is written, or freed, now.
        #[inline(always)]
        pub fn write(&self, _number: usize) {}
    }

    /// A value that is written before it is shared and only read from then on, until it is dropped. Under a model checker
    /// both halves of that are checked; here nothing is left of it.
    #[derive(Debug)]
    #[repr(transparent)]
    pub struct Frozen<T>(T);

    impl<T> Frozen<T> {
        /// With this value for good.
        #[inline(always)]
        pub const fn new(value: T) -> Self {
            Frozen(value)
        }

        /// The value.
        #[inline(always)]
        pub const fn get(&self) -> &T {
            &self.0
        }
    }
}

/// Epoch-based reclamation: `crossbeam-epoch`.
pub mod epoch {
    pub use crossbeam_epoch::{
        Atomic, CompareExchangeError, Guard, Owned, Pointable, Pointer, Shared, pin, unprotected,
    };
}

/// A value that is replaced as a whole while others read it: `arc-swap`.
#[derive(Debug)]
pub struct Published<T>(arc_swap::ArcSwap<T>);

impl<T> Published<T> {
    /// With this first value.
    pub fn new(value: Arc<T>) -> Self {
        Published(arc_swap::ArcSwap::new(value))
    }

    /// The newest value. Wait-free.
    #[inline]
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Reads the newest value without touching its reference count. Wait-free.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.load())
    }

    /// Replaces the value. What the caller did before is visible to whoever loads the new value.
    pub fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }
}
