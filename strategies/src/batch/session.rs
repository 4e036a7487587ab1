//! Sessions of `batch`: one for changing lists keeps the graph thawed; none holds a lock between two calls.

use super::Batch;
use super::phase::Phase;
use crate::in_place::{Buffers, Own};
use crate::lists::Place;
use crate::lock::Held;
use core::convert::Infallible;
use hnsw_core::graph::{
    At, Edit, Entry, Level, Link, LinkBuf, NodeId, NodeState, Stage, Stamp, Verdict, View,
};
use hnsw_core::sync::{AtomicU32, Cost, Ordering, charge};

/// A session: for reading with `B = ()`, for changing with `B =` [`Thawed`].
pub struct Session<'g, B> {
    graph: &'g Batch,
    buffers: B,
}

/// Where a rewrite keeps lists. The graph is thawed while it lives.
pub struct Thawed<'g> {
    phase: &'g Phase,
    own: Own,
}

impl<'g> Thawed<'g> {
    pub(super) fn new(phase: &'g Phase) -> Self {
        phase.thaw();
        Thawed { phase, own: Own::take() }
    }
}

impl Drop for Thawed<'_> {
    fn drop(&mut self) {
        self.phase.freeze();
    }
}

impl<'g, B> Session<'g, B> {
    #[inline(always)]
    pub(super) fn new(graph: &'g Batch, buffers: B) -> Self {
        Session { graph, buffers }
    }
}

/// Copies a list whose lock the caller holds, or that is frozen; if it is neither, the copy means nothing.
#[inline(always)]
fn copy_list(slots: &[AtomicU32], to: &mut LinkBuf) {
    // Relaxed [batch-slot-read]: ordered by the lock of the list, or by the word that says whether it is frozen.
    to.fill(slots, |slot| Link::from_bits(slot.load(Ordering::Relaxed)));
}

impl Batch {
    /// Copies a list that is, or may be, changing.
    #[cold]
    fn copy_locked(&self, place: Place, row: &[AtomicU32], to: &mut LinkBuf) {
        let _held = Held::take(&self.locks.row(place)[0], &self.waits);
        copy_list(row, to);
    }
}

impl<B> View for Session<'_, B> {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        self.graph.entry.get()
    }

    #[inline]
    fn node_count(&self) -> usize {
        self.graph.nodes.count()
    }

    #[inline]
    fn state(&self, node: NodeId) -> NodeState {
        self.graph.nodes.state(node)
    }

    #[inline]
    fn level(&self, node: NodeId) -> Level {
        self.graph.nodes.level(node)
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.graph.nodes.may_have_tombstones()
    }

    #[inline]
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        let Batch { nodes, slots, phase, retries, .. } = self.graph;
        let place = Place::of(nodes, at);
        let cap = nodes.config().cap(at.level);
        let row = &slots.row(place)[..cap];
        if let Some(frozen) = phase.frozen() {
            copy_list(row, buf);
            charge(Cost::BytesCopied, size_of_val(&buf[..]));
            if phase.still(frozen) || hnsw_core::planted!("batch-read-unchecked") {
                return buf;
            }
            // Relaxed [batch-retry]: counts; nothing is ordered by it.
            retries.fetch_add(1, Ordering::Relaxed);
        }
        self.graph.copy_locked(place, row, buf);
        charge(Cost::BytesCopied, size_of_val(&buf[..]));
        buf
    }

    #[inline]
    fn prefetch(&self, at: At, stage: Stage) {
        if at.level == 0 && stage == Stage::Near {
            self.graph.slots.prefetch_base(at.node);
        }
    }
}

impl Edit for Session<'_, Thawed<'_>> {
    type Conflict = Infallible;

    fn rewrite<F>(&mut self, at: At, mut f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        let Batch { nodes, slots, locks, waits, .. } = self.graph;
        let Buffers { list, out, .. } = self.buffers.own.buffers();
        let place = Place::of(nodes, at);
        let cap = nodes.config().cap(at.level);
        let row = &slots.row(place)[..cap];
        out.clear();
        // Unlocks when it goes out of scope, also if `f` panics; nothing is written before `f` has returned.
        let _held = Held::take(&locks.row(place)[0], waits);
        copy_list(row, list);
        let verdict = f(list, out);
        if verdict == Verdict::Replace {
            assert!(out.len() <= cap, "{} links at {at:?}, which holds {cap}", out.len());
            // What is behind the first NIL means nothing, so one is enough.
            for (slot, link) in row.iter().zip(out.iter().chain([&Link::NIL])) {
                // Relaxed [batch-slot-write]: ordered by the lock of the list, and after the thaw by its fence.
                slot.store(link.to_bits(), Ordering::Relaxed);
            }
        }
        verdict
    }

    fn publish(&mut self, node: NodeId) {
        self.graph.nodes.publish(node);
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        self.graph.nodes.tombstone(node)
    }

    fn found(&mut self, entry: Entry) -> bool {
        self.graph.entry.found(entry)
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        self.graph.entry.raise(entry)
    }

    fn commit(self) -> Result<Stamp, Infallible> {
        Ok(Stamp::NONE)
    }
}
