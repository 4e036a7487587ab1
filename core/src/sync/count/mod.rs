//! The backend for counting: the running one, with a count of every access, fence and lock by the place that it is called from.
//!
//! The counts do not depend on how fast the machine is. The times that threads wait for locks and hold them do; all other timings
//! of such a build mean nothing. Each thread counts in a table of its own, behind a lock that only [`sites`] takes besides.

mod lock;

pub use self::lock::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use super::hooked::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
pub use super::std::{Arc, Published, cell, compiler_fence, parallel, spin_loop, thread};

use super::counted::{Cost, SiteCount};
use super::hooked::Access;
use super::scan::{Site, workspace};
use ::std::collections::{BTreeMap, HashMap};
use ::std::panic::Location;
use ::std::sync::atomic::Ordering;
use ::std::sync::{LazyLock, Mutex as PlainMutex, MutexGuard as PlainGuard, PoisonError};
use ::std::time::Duration;

/// Epoch-based reclamation: `crossbeam-epoch`, its pointers counted.
pub mod epoch {
    pub use super::super::hooked::epoch::Atomic;
    pub use crossbeam_epoch::{
        CompareExchangeError, Guard, Owned, Pointable, Pointer, Shared, pin, unprotected,
    };
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Atomic(Access),
    Fence,
    Lock,
    ReadLock,
    WriteLock,
    Cost(Cost),
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Atomic(access) => access.name(),
            Kind::Fence => "fence",
            Kind::Lock => "lock",
            Kind::ReadLock => "read lock",
            Kind::WriteLock => "write lock",
            Kind::Cost(what) => what.name(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    count: u64,
    lost: u64,
    waited: Duration,
    held: Duration,
    amount: u64,
}

type Place = &'static Location<'static>;
type Table = HashMap<(Place, Kind), Count>;

/// The tables of all threads that ever counted. They stay when their threads end.
static TABLES: PlainMutex<Vec<Arc<PlainMutex<Table>>>> = PlainMutex::new(Vec::new());

thread_local! {
    static TABLE: Arc<PlainMutex<Table>> = {
        let table = Arc::default();
        open(&TABLES).push(Arc::clone(&table));
        table
    };
}

fn open<T>(lock: &PlainMutex<T>) -> PlainGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(place: Place, kind: Kind, change: impl FnOnce(&mut Count)) {
    // A thread that is about to end, and has given back its table, counts no more.
    let _ = TABLE.try_with(|table| change(open(table).entry((place, kind)).or_default()));
}

/// Before an access.
#[track_caller]
pub(super) fn before(access: Access) {
    note(Location::caller(), Kind::Atomic(access), |count| count.count += 1);
}

/// After an exchange that failed.
#[track_caller]
pub(super) fn lost(access: Access) {
    note(Location::caller(), Kind::Atomic(access), |count| count.lost += 1);
}

/// See [`super::charge`]. What is nothing is not counted.
#[track_caller]
pub(super) fn charge(what: Cost, amount: usize) {
    if amount > 0 || what == Cost::EpochLag {
        note(Location::caller(), Kind::Cost(what), |count| {
            count.count += 1;
            count.amount += amount as u64;
        });
    }
}

/// Write sessions that have ended.
static SESSIONS: ::std::sync::atomic::AtomicU64 = ::std::sync::atomic::AtomicU64::new(0);

pub(super) fn sessions() -> u64 {
    // Relaxed [count-sessions]: a number for reports.
    SESSIONS.load(Ordering::Relaxed)
}

pub(super) fn session_ended() {
    // Relaxed [count-session]: a number for reports.
    SESSIONS.fetch_add(1, Ordering::Relaxed);
}

/// As in `std`.
#[track_caller]
pub fn fence(order: Ordering) {
    note(Location::caller(), Kind::Fence, |count| count.count += 1);
    ::std::sync::atomic::fence(order);
}

/// All counts, added up over threads, by site.
pub(super) fn sites() -> Vec<SiteCount> {
    static SITES: LazyLock<Vec<Site>> = LazyLock::new(workspace);
    let mut total: BTreeMap<(String, String, Kind), Count> = BTreeMap::new();
    for table in open(&TABLES).iter() {
        for ((place, kind), count) in open(table).iter() {
            let file = place.file().replace('\\', "/");
            let (site, file) = match SITES.iter().find(|site| !site.on_failure && site.is_at(place)) {
                Some(site) => (site.name.clone(), site.file.clone()),
                None => (format!("{file}:{}", place.line()), file),
            };
            let sum = total.entry((site, file, *kind)).or_default();
            sum.count += count.count;
            sum.lost += count.lost;
            sum.waited += count.waited;
            sum.held += count.held;
            sum.amount += count.amount;
        }
    }
    let told = |((site, file, kind), count): ((String, String, Kind), Count)| SiteCount {
        site,
        file,
        access: kind.name(),
        count: count.count,
        lost: count.lost,
        waited_ns: count.waited.as_nanos() as u64,
        held_ns: count.held.as_nanos() as u64,
        amount: count.amount,
    };
    total.into_iter().map(told).collect()
}
