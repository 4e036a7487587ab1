//! Sessions of strategies whose lists change in place, one by one: a session holds nothing between two calls, and what it
//! does takes effect as it is done.

use crate::entry::EntryPoint;
use core::cell::Cell;
use core::convert::Infallible;
use hnsw_core::graph::{
    At, Edit, Entry, Level, Link, LinkBuf, NodeId, NodeState, Nodes, Stage, Stamp, Verdict, View,
};
use hnsw_core::sync::{Cost, charge};

/// A graph with lists in place.
pub trait InPlace {
    fn nodes(&self) -> &Nodes;

    fn entry_point(&self) -> &EntryPoint;

    /// Copies the list at `at`.
    fn copy(&self, at: At, to: &mut LinkBuf);

    /// See [`Edit::rewrite`].
    fn rewrite(
        &self,
        at: At,
        buffers: &mut Buffers,
        f: impl FnMut(&[Link], &mut LinkBuf) -> Verdict,
    ) -> Verdict;

    /// Hints that the list of `node` on level 0 will be read.
    fn prefetch_base(&self, node: NodeId);
}

thread_local! {
    /// The buffers of this thread's last write session.
    static KEPT: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// Where a rewrite keeps lists. They stay with the thread, so a write session allocates nothing.
#[derive(Default)]
pub struct Buffers {
    /// As it was.
    pub(crate) list: LinkBuf,
    /// As it should be.
    pub(crate) out: LinkBuf,
    /// As it is by now.
    pub(crate) now: LinkBuf,
    /// As it should be, in the order in which it is stored.
    pub(crate) next: LinkBuf,
}

/// Buffers that go back to their thread when they are dropped.
pub struct Own(Option<Box<Buffers>>);

impl Own {
    pub(crate) fn take() -> Self {
        Own(Some(KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default()))
    }

    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        self.0.as_mut().expect("they are there until the session is dropped")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // On a thread that is past its thread-locals they are freed.
        let _ = KEPT.try_with(|kept| kept.set(self.0.take()));
    }
}

/// A session: for reading with `B = ()`, for changing with `B =` [`Own`].
pub struct Session<'g, G, B> {
    graph: &'g G,
    buffers: B,
}

impl<'g, G, B> Session<'g, G, B> {
    #[inline(always)]
    pub(crate) fn new(graph: &'g G, buffers: B) -> Self {
        Session { graph, buffers }
    }
}

impl<G: InPlace, B> View for Session<'_, G, B> {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        self.graph.entry_point().get()
    }

    #[inline]
    fn node_count(&self) -> usize {
        self.graph.nodes().count()
    }

    #[inline]
    fn state(&self, node: NodeId) -> NodeState {
        self.graph.nodes().state(node)
    }

    #[inline]
    fn level(&self, node: NodeId) -> Level {
        self.graph.nodes().level(node)
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.graph.nodes().may_have_tombstones()
    }

    #[inline]
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        self.graph.copy(at, buf);
        charge(Cost::BytesCopied, size_of_val(&buf[..]));
        buf
    }

    #[inline]
    fn prefetch(&self, at: At, stage: Stage) {
        // Lists above level 0 are found by a walk that is itself what one waits for.
        if at.level == 0 && stage == Stage::Near {
            self.graph.prefetch_base(at.node);
        }
    }
}

impl<G: InPlace> Edit for Session<'_, G, Own> {
    type Conflict = Infallible;

    fn rewrite<F>(&mut self, at: At, f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        self.graph.rewrite(at, self.buffers.buffers(), f)
    }

    fn publish(&mut self, node: NodeId) {
        self.graph.nodes().publish(node);
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        self.graph.nodes().tombstone(node)
    }

    fn found(&mut self, entry: Entry) -> bool {
        self.graph.entry_point().found(entry)
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        self.graph.entry_point().raise(entry)
    }

    fn commit(self) -> Result<Stamp, Infallible> {
        Ok(Stamp::NONE)
    }
}
