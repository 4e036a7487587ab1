//! What was done at each site, in builds that count: `--cfg hnsw_count`, which `scripts/sites` sets.
//!
//! In all other builds nothing is left of it: [`charge`] and [`Moment`] are empty, and atomics and locks are those of the libraries.

/// What one place of the source did to atomics and locks, since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteCount {
    /// The name of the site, or `file:line` where a place has none: locks, and accesses that have no ordering to name.
    pub site: String,
    /// From the root of the workspace.
    pub file: String,
    /// `load`, `store`, `update`, `exchange`, `fence`, `lock`, `read lock`, `write lock`, or the name of a [`Cost`].
    pub access: &'static str,
    /// How often.
    pub count: u64,
    /// Of these: exchanges that failed; locks that were not free at once.
    pub lost: u64,
    /// Time that threads waited for a lock.
    pub waited_ns: u64,
    /// Time that threads held it.
    pub held_ns: u64,
    /// What a [`Cost`] adds up; 0 for all else.
    pub amount: u64,
}

/// What work under contention costs, added up beside accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cost {
    /// Bytes of links that were copied: by a reader out of a list that may change under it, by a writer for who still reads.
    BytesCopied,
    /// Distances that were computed for a change which another thread made void.
    WastedDistances,
    /// Write sessions that ended from when garbage was given to the epoch until the epoch let go of it.
    EpochLag,
}

impl Cost {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Cost::BytesCopied => "bytes copied",
            Cost::WastedDistances => "distances wasted",
            Cost::EpochLag => "epoch lag, in write sessions",
        }
    }
}

/// Adds up what the work at the place it is called from has cost.
#[inline(always)]
#[cfg_attr(hnsw_count, track_caller)]
pub fn charge(what: Cost, amount: usize) {
    #[cfg(hnsw_count)]
    super::count::charge(what, amount);
    #[cfg(not(hnsw_count))]
    let _ = (what, amount);
}

/// How many write sessions had ended at a moment, of all graphs of the process that give garbage to an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    #[cfg(hnsw_count)]
    sessions: u64,
}

impl Moment {
    /// Now.
    #[inline(always)]
    pub fn now() -> Moment {
        Moment {
            #[cfg(hnsw_count)]
            sessions: super::count::sessions(),
        }
    }

    /// A write session ends.
    #[inline(always)]
    pub fn pass() {
        #[cfg(hnsw_count)]
        super::count::session_ended();
    }

    /// Adds up the sessions that have ended since, as [`Cost::EpochLag`].
    #[inline(always)]
    #[cfg_attr(hnsw_count, track_caller)]
    pub fn charge_lag(self) {
        #[cfg(hnsw_count)]
        charge(Cost::EpochLag, (Moment::now().sessions - self.sessions) as usize);
    }
}

/// What all sites did since the process began, by name and kind; `None` in a build that does not count.
pub fn site_counts() -> Option<Vec<SiteCount>> {
    #[cfg(hnsw_count)]
    return Some(super::count::sites());
    #[cfg(not(hnsw_count))]
    None
}

#[cfg(all(test, not(any(hnsw_loom, hnsw_shuttle, hnsw_count))))]
mod tests {
    use super::super::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Mutex, RwLock, epoch};
    use super::*;
    use core::any::TypeId;

    #[test]
    fn an_ordinary_build_has_the_types_of_the_libraries_and_nothing_beside() {
        let same = [
            TypeId::of::<AtomicBool>() == TypeId::of::<::std::sync::atomic::AtomicBool>(),
            TypeId::of::<AtomicU32>() == TypeId::of::<::std::sync::atomic::AtomicU32>(),
            TypeId::of::<AtomicU64>() == TypeId::of::<::std::sync::atomic::AtomicU64>(),
            TypeId::of::<AtomicUsize>() == TypeId::of::<::std::sync::atomic::AtomicUsize>(),
            TypeId::of::<AtomicPtr<u8>>() == TypeId::of::<::std::sync::atomic::AtomicPtr<u8>>(),
            TypeId::of::<Mutex<u8>>() == TypeId::of::<parking_lot::Mutex<u8>>(),
            TypeId::of::<RwLock<u8>>() == TypeId::of::<parking_lot::RwLock<u8>>(),
            TypeId::of::<epoch::Atomic<u8>>() == TypeId::of::<crossbeam_epoch::Atomic<u8>>(),
        ];
        assert_eq!(same, [true; 8]);
        assert_eq!((size_of::<Moment>(), site_counts()), (0, None));
    }
}
