//! The backend for long random schedules: the running backend, with a point before each access at which `shuttle` may switch
//! to another thread.
//!
//! `shuttle` runs the threads of a test in turn on one system thread. So the primitives can be the real ones, and all layouts
//! stay as they are. An access that finds the lock taken lets the others run and tries again, so a deadlock shows as a schedule
//! that does not end.
//!
//! It knows nothing of reorderings: orderings are what `hnsw_loom` is for. Outside of [`explore`] this backend is the running one.
//! A scheduler may ask before which access the running thread is ([`standing`]), and which locks it has given back ([`given_back`]).

pub mod epoch;
mod lock;
pub mod parallel;
mod place;

pub use self::lock::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use self::place::{given_back, standing};
pub use super::hooked::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
pub use super::std::cell;
pub use ::std::sync::Arc;
pub use ::std::sync::atomic::{compiler_fence, fence};

use ::shuttle::scheduler::Scheduler;
use ::std::cell::Cell;
use ::std::panic::Location;

/// Threads: those of `shuttle`, but for scoped ones, which it does not run.
pub mod thread {
    pub use ::shuttle::thread::{JoinHandle, spawn};
    pub use ::std::thread::scope;

    /// Lets the other threads run.
    pub fn yield_now() {
        super::spin_loop();
    }
}

thread_local! {
    /// Inside of [`explore`].
    static EXPLORES: Cell<bool> = const { Cell::new(false) };
}

fn explores() -> bool {
    EXPLORES.get()
}

/// A point at which another thread may run, before the caller does this.
#[track_caller]
fn point(what: &'static str) {
    if explores() {
        place::stand(what, Location::caller(), || {
            ::shuttle::sync::atomic::AtomicBool::new(false).load(::std::sync::atomic::Ordering::SeqCst);
        });
    }
}

/// Before an access: another thread may run.
#[track_caller]
pub(super) fn before(access: super::hooked::Access) {
    point(access.name());
}

/// After an exchange that failed.
pub(super) fn lost(_access: super::hooked::Access) {}

/// Lets the other threads run.
pub fn spin_loop() {
    if explores() {
        ::shuttle::thread::yield_now();
    } else {
        ::std::hint::spin_loop();
    }
}

/// Runs `f` without a point in it, though it is part of a schedule: what comes before that which is to be explored. No other
/// thread may hold a lock that it takes.
pub fn unexplored<R>(f: impl FnOnce() -> R) -> R {
    let explores = EXPLORES.replace(false);
    let result = f();
    EXPLORES.set(explores);
    result
}

/// Runs `f` with the schedules of `scheduler`.
///
/// # Panics
/// When `f` does, or a schedule does not end.
pub fn explore(scheduler: impl Scheduler + 'static, f: impl Fn() + Send + Sync + 'static) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            EXPLORES.set(false);
            epoch::forget();
        }
    }
    let _reset = Reset;
    let mut config = ::shuttle::Config::new();
    config.stack_size = 1 << 19;
    config.max_steps = ::shuttle::MaxSteps::FailAfter(2_000_000);
    ::shuttle::Runner::new(scheduler, config).run(move || {
        EXPLORES.set(true);
        f();
        EXPLORES.set(false);
        epoch::forget();
    });
}

/// A value that is replaced as a whole while others read it: that of the running backend.
#[derive(Debug)]
pub struct Published<T>(super::std::Published<T>);

impl<T> Published<T> {
    /// With this first value.
    pub fn new(value: Arc<T>) -> Self {
        Published(super::std::Published::new(value))
    }

    /// The newest value.
    #[track_caller]
    pub fn load(&self) -> Arc<T> {
        point("load");
        self.0.load()
    }

    /// Reads the newest value.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        point("load");
        self.0.with(f)
    }

    /// Replaces the value.
    #[track_caller]
    pub fn store(&self, value: Arc<T>) {
        point("store");
        self.0.store(value);
    }
}
