//! Weakening one ordering at a time, to show that a model would notice.
//!
//! A site has a name in the source ([`scan`](super::scan) says how it is written). [`weaken`] makes the
//! facade use a weaker ordering at that site, in this process, until the guard is dropped; no code has to be changed and
//! nothing compiled anew. The same can be set from outside, for all models of a test program:
//! `HNSW_WEAKEN=segment-install=Relaxed`.
//!
//! An access belongs to a site by the line that it is called from. So one statement can have one site, or two if it is a
//! compare-and-swap; accesses inside macros, and in functions that are `#[track_caller]` themselves, have none.

pub use super::scan::{Site, workspace};

use super::scan;
use std::collections::{BTreeSet, HashSet};
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Which of the orderings of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    Main,
    /// Of a compare-and-swap that fails.
    Failure,
}

/// What this process has seen and does to its orderings. The locks are the real ones: no model sees them.
#[derive(Default)]
struct State {
    reached: HashSet<(&'static Location<'static>, Slot)>,
    weakened: Option<Weakening>,
}

struct Weakening {
    site: Site,
    to: Ordering,
    reached: bool,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| {
    let weakened = std::env::var("HNSW_WEAKEN").ok().map(|wish| {
        let (name, to) = wish.split_once('=').expect("HNSW_WEAKEN is SITE=ORDERING");
        weakening(name, scan::ordering(to).expect("HNSW_WEAKEN names an ordering"))
    });
    Mutex::new(State { weakened, ..State::default() })
});

/// All sites of the workspace.
static SITES: LazyLock<Vec<Site>> = LazyLock::new(workspace);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    fn covers(&self, at: &Location<'_>, slot: Slot) -> bool {
        self.on_failure == (slot == Slot::Failure) && self.is_at(at)
    }
}

/// The ordering to use for the access at `at`, which asks for `given`.
pub(super) fn apply(at: &'static Location<'static>, slot: Slot, given: Ordering) -> Ordering {
    let mut state = state();
    state.reached.insert((at, slot));
    match &mut state.weakened {
        Some(weakening) if given == weakening.site.ordering && weakening.site.covers(at, slot) => {
            if !weakening.reached {
                weakening.reached = true;
                eprintln!("{}{}", super::model::REACHED, weakening.site.name);
            }
            weakening.to
        }
        _ => given,
    }
}

/// The names of all sites that some model of this process has reached so far.
pub fn reached() -> BTreeSet<String> {
    let reached = state().reached.clone();
    let seen = |site: &&Site| reached.iter().any(|&(at, slot)| site.covers(at, slot));
    SITES.iter().filter(seen).map(|site| site.name.clone()).collect()
}

/// The orderings that are weaker than this one. For a fence, `Relaxed` is none at all.
pub fn weaker(than: Ordering) -> &'static [Ordering] {
    use Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
    match than {
        SeqCst => &[AcqRel, Acquire, Release, Relaxed],
        AcqRel => &[Acquire, Release, Relaxed],
        Acquire | Release => &[Relaxed],
        _ => &[],
    }
}

fn weakening(name: &str, to: Ordering) -> Weakening {
    let found: Vec<&Site> = SITES.iter().filter(|site| site.name == name).collect();
    let &[site] = found.as_slice() else {
        panic!("{} sites are named [{name}], not one", found.len());
    };
    assert!(weaker(site.ordering).contains(&to), "{to:?} is not weaker than {site}");
    let twins = |other: &&Site| {
        other.file == site.file && other.last_line == site.last_line && other.on_failure == site.on_failure
    };
    assert_eq!(SITES.iter().filter(twins).count(), 1, "{site}: give each access its own statement");
    Weakening { site: site.clone(), to, reached: false }
}

/// Makes the facade use the ordering `to` at the site of this name, in the whole process, while the guard lives. For use
/// inside [`expect_failure`](super::model::expect_failure), which gives each weakening a process of its own.
///
/// # Panics
/// When not exactly one site has the name, or `to` is not weaker than what it has, or another site is being weakened.
pub fn weaken(name: &str, to: Ordering) -> Weakened {
    let new = weakening(name, to);
    eprintln!("{}{name}", super::model::WEAKENS);
    let before = state().weakened.replace(new);
    assert!(before.is_none(), "one site is weakened at a time");
    Weakened(())
}

/// Restores the ordering when it is dropped; see [`weaken`].
#[derive(Debug)]
#[must_use = "the ordering is restored when this is dropped"]
pub struct Weakened(());

impl Weakened {
    /// Whether the weaker ordering was ever used.
    pub fn reached(&self) -> bool {
        state().weakened.as_ref().is_some_and(|weakening| weakening.reached)
    }
}

impl Drop for Weakened {
    fn drop(&mut self) {
        state().weakened = None;
    }
}
