//! Freeing the versions that no snapshot needs.
//!
//! Every undo record is in one of three places here, by whether it is needed: *fresh* (not looked at yet), *held* by the
//! oldest live snapshot that needs it, or in *limbo* (taken out of its chain, soon given to the epoch). Most go from fresh
//! to limbo in the commit that made them. A held record is looked at again only when its holder is gone; then it passes to
//! another snapshot that needs it, or goes. So the work per record does not depend on how many records there are.
//!
//! # Invariants
//! - I1: every record that is in a chain is fresh or held, once.
//! - I2: a record that was made by commit `from` and replaced by commit `until` is taken out only after the root of `until`
//!   was published, and when no live snapshot shows a commit `s` with `from <= s < until`. By the
//!   [registry](super::registry), no later snapshot will show one either.
//!
//! # Synchronisation
//! All of it belongs to the holder of the commit lock. The epoch orders the last read of a record before its destruction.
//!
//! # Progress
//! A commit does it, and the drop of a snapshot if the commit lock is free, and `quiesce`. Work: the records that the commit
//! made and those that the snapshots gone since the last time held, each with a walk along its chain.
//!
//! # Memory
//! [`Vacuum::bytes`] counts the records that are kept, the shared counter those that are on their way out.

use super::version::Version;
use super::{ListId, Shared};
use hnsw_core::planted;
use hnsw_core::sync::epoch::{Guard, Shared as Pointer};
use hnsw_core::sync::{Arc, AtomicUsize, Moment, Ordering};

/// Records that are given to the epoch together.
const LIMBO: usize = if cfg!(hnsw_loom) { 1 } else { 64 };

/// Scratch space beyond this many records is given back.
const SPARE: usize = 1024;

/// A record in a chain.
struct Kept {
    id: ListId,
    version: *const Version,
    /// The commit that replaced it.
    until: u64,
}

// SAFETY: the pointer is to a record that this owns as a `Box` would: `Vacuum` alone destroys it. `Version` is `Send + Sync`.
unsafe impl Send for Kept {}

impl Kept {
    fn version(&self) -> &Version {
        // SAFETY: not destroyed before it is taken out of its chain (I1), and then there is no `Kept` any more.
        unsafe { &*self.version }
    }
}

/// Records that were taken out of their chains.
#[derive(Default)]
struct Limbo(Vec<*const Version>);

// SAFETY: as for `Kept`.
unsafe impl Send for Limbo {}

impl Limbo {
    /// # Safety
    /// No one can reach the records any more.
    unsafe fn destroy(self) {
        for version in self.0 {
            // SAFETY: made from an owned record by `Chain::push`; the caller says that no one else has it.
            drop(unsafe { Pointer::from(version).into_owned() });
        }
    }
}

/// The undo records of a graph.
pub(super) struct Vacuum {
    fresh: Vec<Kept>,
    /// By the stamp of the snapshot that holds them.
    held: Vec<(u64, Vec<Kept>)>,
    limbo: Limbo,
    limbo_bytes: usize,
    /// Bytes of all records that are fresh or held.
    kept_bytes: usize,
    /// Bytes of all records that are in limbo or with the epoch.
    retired: Arc<AtomicUsize>,
    /// Scratch: the stamps of live snapshots.
    live: Vec<u64>,
}

impl Vacuum {
    /// Nothing yet; counts in `retired` what was taken out and is not destroyed.
    pub(super) fn new(retired: Arc<AtomicUsize>) -> Self {
        Vacuum {
            fresh: Vec::new(),
            held: Vec::new(),
            limbo: Limbo::default(),
            limbo_bytes: 0,
            kept_bytes: 0,
            retired,
            live: Vec::new(),
        }
    }

    /// Takes charge of a record that was just put into the chain of `id`, and is replaced by the commit `until`.
    pub(super) fn add(&mut self, id: ListId, version: Pointer<'_, Version>, until: u64) {
        let kept = Kept { id, version: version.as_raw(), until };
        self.kept_bytes += kept.version().bytes();
        self.fresh.push(kept);
    }

    /// Takes out what no one needs. All commits that made records must be published.
    pub(super) fn run(&mut self, shared: &Shared, guard: &Guard) {
        let mut live = core::mem::take(&mut self.live);
        shared.registry.live(&mut live);
        let mut fresh = core::mem::take(&mut self.fresh);
        // The newest first: that is the first one in its chain.
        fresh.drain(..).rev().for_each(|kept| self.place(kept, &live, shared, guard));
        fresh.shrink_to(SPARE);
        self.fresh = fresh;
        let gone = |(stamp, _): &mut (u64, Vec<Kept>)| live.binary_search(stamp).is_err();
        let gone: Vec<_> = self.held.extract_if(.., gone).collect();
        gone.into_iter().flat_map(|(_, kept)| kept).for_each(|kept| self.place(kept, &live, shared, guard));
        self.live = live;
        if self.limbo.0.len() >= LIMBO {
            self.give_to_epoch(guard);
        }
        shared.gauge(self.bytes());
    }

    /// Gives a record to the oldest live snapshot that needs it, or takes it out.
    fn place(&mut self, kept: Kept, live: &[u64], shared: &Shared, guard: &Guard) {
        let from = kept.version().record().from();
        let holder = live[live.partition_point(|&stamp| stamp < from)..].first();
        match holder.filter(|&&stamp| stamp < kept.until && !planted!("mvcc-vacuum-blind")) {
            Some(&stamp) => match self.held.iter_mut().find(|(holder, _)| *holder == stamp) {
                Some((_, records)) => records.push(kept),
                None => self.held.push((stamp, vec![kept])),
            },
            None => {
                let bytes = kept.version().bytes();
                shared.lists(kept.id).chain(kept.id.number).unlink(kept.version, guard);
                self.limbo.0.push(kept.version);
                self.limbo_bytes += bytes;
                self.kept_bytes -= bytes;
                // Relaxed [version-retired-add]: a number for a report.
                self.retired.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Has everything in limbo destroyed as soon as all walks that are under way are over.
    pub(super) fn give_to_epoch(&mut self, guard: &Guard) {
        if self.limbo.0.is_empty() {
            return;
        }
        let limbo = core::mem::take(&mut self.limbo);
        let list = limbo.0.capacity() * size_of::<*const Version>();
        let bytes = core::mem::take(&mut self.limbo_bytes) + list;
        // Relaxed [version-retired-list]: a number for a report.
        self.retired.fetch_add(list, Ordering::Relaxed);
        let retired = Arc::clone(&self.retired);
        let moment = Moment::now();
        let destroy = move || {
            moment.charge_lag();
            // SAFETY: the epoch calls this when every walk is over that was under way when it was handed over. The records
            // were out of their chains then, so later walks cannot meet them.
            unsafe { limbo.destroy() };
            // Relaxed [version-retired-sub]: a number for a report.
            retired.fetch_sub(bytes, Ordering::Relaxed);
        };
        // SAFETY: the closure owns all that it uses and may run on any thread.
        unsafe { guard.defer_unchecked(destroy) };
        // What one thread defers is otherwise seen by others only after dozens more.
        guard.flush();
    }

    /// Bytes that snapshots keep, and bytes of the lists kept here.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let lists: usize = self.held.iter().map(|(_, kept)| kept.capacity()).sum();
        let own = self.fresh.capacity() * size_of::<Kept>()
            + self.held.capacity() * size_of::<(u64, Vec<Kept>)>()
            + self.limbo.0.capacity() * size_of::<*const Version>()
            + self.live.capacity() * size_of::<u64>();
        (self.kept_bytes + lists * size_of::<Kept>(), own)
    }
}

impl Drop for Vacuum {
    fn drop(&mut self) {
        let held = core::mem::take(&mut self.held).into_iter().flat_map(|(_, kept)| kept);
        let kept = core::mem::take(&mut self.fresh).into_iter().chain(held).map(|kept| kept.version);
        let all = Limbo(core::mem::take(&mut self.limbo).0.into_iter().chain(kept).collect());
        // SAFETY: this is dropped with the graph, so no reader is left. Each record is in one of the three places (I1).
        unsafe { all.destroy() };
    }
}
