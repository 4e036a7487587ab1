//! The atomics of the running backend, with a hook before each access: what is called is up to the backend that uses them.

mod atomic;
pub mod epoch;

pub use self::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(hnsw_count)]
use super::count::{before, lost};
#[cfg(all(hnsw_shuttle, not(hnsw_count)))]
use super::shuttle::{before, lost};

/// What is done to an atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Reads it.
    Load,
    /// Writes it.
    Store,
    /// Reads and writes it, whatever it is.
    Update,
    /// Writes it if it is what was expected.
    Exchange,
}

impl Access {
    /// In a word.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Access::Load => "load",
            Access::Store => "store",
            Access::Update => "update",
            Access::Exchange => "exchange",
        }
    }
}
