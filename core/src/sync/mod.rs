//! The only door to atomics, locks, tracked cells, epochs and threads.
//!
//! All code of this workspace that threads can race on takes its primitives from here. One private cfg decides what
//! stands behind the door:
//!
//! | cfg | backend | used for |
//! |---|---|---|
//! | none | `std`, `parking_lot`, `crossbeam-epoch`, `arc-swap` | running |
//! | `hnsw_loom` | `loom` | exhausting the interleavings and reorderings of small models |
//! | `hnsw_shuttle` | those for running, and `shuttle` | many schedules of a whole index |
//! | `hnsw_count` | those for running, each access and lock counted by its place | contention by site ([`site_counts`]) |
//!
//! The cfg is set through `RUSTFLAGS` by `scripts/{loom,shuttle,sites}`, never by a cargo feature.
//!
//! Every atomic access is preceded by a comment of the form `// Release [site-name]: …`, which names the ordering, the
//! site, its partner and what is ordered. Site names are unique in the workspace; `docs/orderings.md` lists them and the
//! model that fails when the ordering is weakened.
//!
//! Under `hnsw_loom` there are two modules more: `model` runs models and expects failures, `site` weakens one ordering by
//! the name of its site. `core/tests/loom.rs` shows how they are used.

#[cfg(hnsw_count)]
mod count;
mod counted;
#[cfg(test)]
mod gate;
#[cfg(any(hnsw_shuttle, hnsw_count))]
mod hooked;
#[cfg(hnsw_loom)]
mod loom;
#[cfg(any(test, hnsw_loom, hnsw_shuttle, hnsw_count))]
mod scan;
#[cfg(hnsw_shuttle)]
mod shuttle;
// The others take parts of it.
#[cfg(not(hnsw_loom))]
#[cfg_attr(any(hnsw_shuttle, hnsw_count), allow(unused_imports))]
mod std;

#[cfg(hnsw_loom)]
pub mod model;
#[cfg(hnsw_loom)]
pub mod site;

#[cfg(hnsw_count)]
pub use self::count::*;
pub use self::counted::{Cost, Moment, SiteCount, charge, site_counts};
#[cfg(hnsw_loom)]
pub use self::loom::*;
#[cfg(hnsw_shuttle)]
pub use self::shuttle::*;
#[cfg(not(any(hnsw_loom, hnsw_shuttle, hnsw_count)))]
pub use self::std::*;

pub use ::std::sync::atomic::Ordering;
pub use crossbeam_utils::CachePadded;

/// Tells ThreadSanitizer, which knows no fences, that an Acquire fence has just acquired what was stored in these words. In all
/// other builds it is nothing.
#[inline(always)]
pub fn acquired_by_fence(words: &[AtomicU32]) {
    if cfg!(crossbeam_sanitize_thread) {
        words.iter().for_each(|word| _ = word.load(Ordering::Acquire));
    }
}
