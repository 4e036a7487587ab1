//! Sessions: an epoch pin, and for writers the garbage that the session has made.

use super::LockFree;
use super::blocks::Handle;
use super::slab::{Retired, Slab};
use core::cell::Cell;
use core::convert::Infallible;
use core::mem::ManuallyDrop;
use hnsw_core::graph::{
    At, Edit, Entry, Level, Link, LinkBuf, NodeId, NodeState, Stage, Stamp, Verdict, View,
};
use hnsw_core::planted;
use hnsw_core::sync::epoch::{self, Guard};
use hnsw_core::sync::{AtomicU32, Cost, Ordering, charge, spin_loop, thread};

thread_local! {
    /// The buffer of this thread's last write session.
    static BUFFER: Cell<Option<LinkBuf>> = const { Cell::new(None) };
}

/// The most that a writer waits between two tries, as a power of two of [`spin_loop`]s.
const MAX_SPIN: u32 = 6;

/// Reads a [`LockFree`] graph. Pins the epoch while it lives: no block that it has met is used again before it
/// ends.
pub struct Read<'g> {
    graph: &'g LockFree,
    pin: Guard,
}

impl<'g> Read<'g> {
    pub(super) fn new(graph: &'g LockFree) -> Self {
        Read { graph, pin: epoch::pin() }
    }

    #[inline(always)]
    fn head(&self, at: At) -> &'g AtomicU32 {
        let graph = self.graph;
        if at.level == 0 {
            graph.heads.get(at.node.index())
        } else {
            graph.upper_heads.get(graph.nodes.upper(at.node, at.level))
        }
    }
}

impl View for Read<'_> {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        // Acquire [entry-read]: pairs with Release [entry-found] and [entry-raise]; the lists and the row of the
        // node.
        Entry::unpack(self.graph.entry.load(Ordering::Acquire))
    }

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

    #[inline(always)]
    fn links<'s>(&'s self, at: At, _buf: &'s mut LinkBuf) -> &'s [Link] {
        // Acquire [block-read]: pairs with Release [block-swap]; the links, and the row and the lists of every node
        // they lead to.
        let block = Handle::from_bits(self.head(at).load(Ordering::Acquire));
        // SAFETY: the block was filled before its handle was stored, which the load has acquired. It was in a list
        // while this session was pinned, so it is not written to before the session ends; the answer borrows the
        // session.
        unsafe { self.graph.slab.blocks.links(block) }
    }

    #[inline(always)]
    fn prefetch(&self, at: At, stage: Stage) {
        if cfg!(hnsw_loom) {
            return;
        }
        match stage {
            Stage::Far if at.level == 0 => self.graph.heads.prefetch(at.node.index(), 1),
            // What leads to a list above level 0 is itself a walk; a search reads few of them.
            Stage::Far => {}
            Stage::Near => {
                // Relaxed [block-hint]: the handle is used as a hint for the cache; nothing is read through it.
                let block = Handle::from_bits(self.head(at).load(Ordering::Relaxed));
                self.graph.slab.blocks.prefetch(block);
            }
        }
    }
}

/// Changes a [`LockFree`] graph. The changes take effect one by one, as they are made.
pub struct Write<'g> {
    read: Read<'g>,
    shard: usize,
    /// What the rewrite function writes to.
    buffer: ManuallyDrop<LinkBuf>,
    /// The block with which this session lost its last race: it is used for the next try. It must not go back to a
    /// free list before a grace period (see [`super::slab`]).
    spare: Handle,
    /// Blocks taken out of lists.
    retired: Retired,
    /// Units put into lists less units taken out of them.
    linked: isize,
}

impl<'g> Write<'g> {
    pub(super) fn new(graph: &'g LockFree) -> Self {
        let shard = graph.slab.my_shard();
        if graph.slab.crowded(shard) {
            // Not pinned yet. Whoever holds the epoch back may be waiting for this core.
            thread::yield_now();
        }
        Write {
            read: Read::new(graph),
            shard,
            buffer: ManuallyDrop::new(BUFFER.try_with(Cell::take).ok().flatten().unwrap_or_default()),
            spare: Handle::EMPTY,
            retired: Retired::NONE,
            linked: 0,
        }
    }

    /// A block with the links that are in the buffer, known to no one.
    fn build(&mut self) -> Handle {
        if self.buffer.is_empty() {
            return Handle::EMPTY;
        }
        charge(Cost::BytesCopied, size_of_val(&self.buffer[..]));
        let slab = &self.read.graph.slab;
        let class = slab.blocks.class_for(self.buffer.len());
        let block = if self.spare != Handle::EMPTY && self.spare.class() == class {
            core::mem::replace(&mut self.spare, Handle::EMPTY)
        } else {
            slab.take(class, self.shard, &self.read.pin)
        };
        // SAFETY: taken off the slab by this session, and in no list.
        unsafe { slab.blocks.fill(block, &self.buffer) };
        block
    }

    fn retire(&mut self, block: Handle) {
        if block != Handle::EMPTY {
            self.read.graph.slab.retire(block, &mut self.retired, self.shard, &self.read.pin);
        }
    }

    /// Keeps a block that no one has seen for the next try.
    fn keep(&mut self, block: Handle) {
        if block != Handle::EMPTY {
            let before = core::mem::replace(&mut self.spare, block);
            self.retire(before);
        }
    }
}

/// Length of a list in units.
fn units(block: Handle) -> isize {
    if block == Handle::EMPTY { 0 } else { block.units() as isize }
}

impl Edit for Write<'_> {
    type Conflict = Infallible;

    fn rewrite<F>(&mut self, at: At, mut f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        let graph = self.read.graph;
        let head = self.read.head(at);
        // Acquire [block-edit]: pairs with Release [block-swap]; as for a reader. It is also what lets this thread
        // name the nodes of the old list in a new one: their rows happened before.
        let mut old = Handle::from_bits(head.load(Ordering::Acquire));
        let mut tries = 0;
        loop {
            self.buffer.clear();
            // SAFETY: as in `links`.
            if f(unsafe { graph.slab.blocks.links(old) }, &mut self.buffer) == Verdict::Keep {
                return Verdict::Keep;
            }
            let new = self.build();
            // Release [block-swap]: pairs with Acquire [block-read], [block-edit] and [block-again]; the new block,
            // and the rows and lists of all nodes that it leads to, which this thread wrote or acquired. The value
            // is `old` only if no one changed the list: `old` is not used again while this session is pinned.
            // Acquire on failure [block-again]: pairs with Release [block-swap], as `block-edit` does.
            match head.compare_exchange(old.bits(), new.bits(), Ordering::Release, Ordering::Acquire) {
                Ok(_) => {
                    self.linked += units(new) - units(old);
                    self.retire(old);
                    if planted!("lockfree-double-retire") {
                        self.retire(old);
                    }
                    return Verdict::Replace;
                }
                Err(now) => {
                    graph.slab.count_loss(self.shard);
                    self.keep(new);
                    old = Handle::from_bits(now);
                    (0..1u32 << tries.min(MAX_SPIN)).for_each(|_| spin_loop());
                    tries += 1;
                }
            }
        }
    }

    fn publish(&mut self, node: NodeId) {
        self.read.graph.nodes.publish(node);
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        self.read.graph.nodes.tombstone(node)
    }

    fn found(&mut self, entry: Entry) -> bool {
        let new = Entry::pack(Some(entry));
        // Release [entry-found]: pairs with Acquire [entry-read]; the row and the lists of the node.
        // Relaxed on failure [entry-taken]: nothing is read.
        self.read.graph.entry.compare_exchange(Entry::NONE, new, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        let (cell, new) = (&self.read.graph.entry, Entry::pack(Some(entry)));
        // Relaxed [entry-probe]: only the level is compared.
        let mut now = cell.load(Ordering::Relaxed);
        while Entry::unpack(now).is_none_or(|present| present.level < entry.level) {
            // Release [entry-raise]: pairs with Acquire [entry-read]; the row and the lists of the node.
            // Relaxed on failure [entry-lost]: only the level is compared.
            match cell.compare_exchange(now, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    fn commit(self) -> Result<Stamp, Infallible> {
        Ok(Stamp::NONE)
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.retire(self.spare);
        let retired = core::mem::replace(&mut self.retired, Retired::NONE);
        Slab::settle(&self.read.graph.slab, retired, self.linked, self.shard, &self.read.pin);
        // SAFETY: the session is being dropped, so the buffer is not used again.
        let buffer = unsafe { ManuallyDrop::take(&mut self.buffer) };
        // On a thread that is past its thread-locals the buffer is dropped.
        let _ = BUFFER.try_with(|kept| kept.set(Some(buffer)));
    }
}

impl View for Write<'_> {
    fn entry(&self) -> Option<Entry> {
        self.read.entry()
    }

    fn node_count(&self) -> usize {
        self.read.node_count()
    }

    fn state(&self, node: NodeId) -> NodeState {
        self.read.state(node)
    }

    fn level(&self, node: NodeId) -> Level {
        self.read.level(node)
    }

    fn may_have_tombstones(&self) -> bool {
        self.read.may_have_tombstones()
    }

    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        self.read.links(at, buf)
    }

    fn prefetch(&self, at: At, stage: Stage) {
        self.read.prefetch(at, stage);
    }
}
