//! Lock-free: immutable blocks of links, replaced by compare-and-swap, reused after an epoch has passed.
//!
//! Each list has a *head*: a 32-bit handle of the block that holds its links. A reader loads the head and borrows
//! the block. A writer makes a new block and swaps the head; if another thread was faster, it does the same again
//! with the newer list, so no change is ever lost. Blocks that were replaced are used again when every session that
//! may have met them is over: a session pins the epoch (crossbeam-epoch) once, when it opens.
//!
//! | file | |
//! |---|---|
//! | `blocks` | handles, classes of blocks, their memory |
//! | `slab` | free lists, garbage, counts |
//! | `session` | [`Read`] and [`Write`] |
//!
//! # Invariants
//! - I1: a block never changes between the store of its handle in a head and the end of the last session that was
//!   open when the handle was replaced.
//! - I2: a block is in one list at most. (With I1: a head that has the same value twice within a session has had it
//!   all the time.)
//! - I3: a list holds at most as many links as its class has slots, and the empty list has no block.
//! - I4: the entry point only rises, and is published and linked on all its levels.
//!
//! # Synchronisation
//! - `block-swap` (Release) with `block-read`, `block-edit` and `block-again` (Acquire): whoever loads a head sees
//!   the block.
//! - The same pair orders the *row* and the own lists of every node in the list. The thread that first named the
//!   node had written them. Any other thread that copies the id into a new block has taken it from a list, whose
//!   head it acquired, or from the entry point, which it acquired too: so they happened before its own Release.
//! - `entry-found` and `entry-raise` (Release) with `entry-read` (Acquire): whoever starts at the entry point sees
//!   its row and its lists.
//! - Reuse: the readers of a block unpin, then an epoch passes, then the block is freed: that order is
//!   crossbeam-epoch's; `slab` says what free lists add to it.
//!
//! # Progress
//! Reading a list is wait-free: one Acquire load. Rewriting is lock-free: a try fails only because another
//! succeeded. Opening a session pins: that is wait-free but for every 128th pin of a thread, which also helps to
//! free garbage, lock-free and of bounded amount. Nothing blocks.
//!
//! # Memory
//! Per list: 4 bytes of head and one block of 32, 64, 96 or 128 bytes (M <= 16; blocks grow with M). One graph
//! holds at least 80 million nodes whatever M is; [`Graph::reserve`] says [`Full`] beyond. Neither reading nor,
//! once there are free blocks, rewriting calls an allocator; the collector itself allocates 2 KB for about every 16
//! KB of garbage.
//!
//! Garbage: 16 KB per shard (one shard per core, 16 at most) may wait to be handed to the collector, and what was
//! handed over waits until all sessions then open are over. So it is bounded by what writers replace within about
//! three of the longest sessions; a session that never ends holds back all garbage after it, but no writer. Open
//! sessions hold back their own garbage, uncounted, until they end.
//!
//! Slack: pages are cut into blocks from one place for all threads and classes, so what is allocated and never cut is
//! less than one segment of pages: 16 KB in a small graph, about a 32nd of the pages in a larger one, 2 MB where a
//! large capacity was given. All other slack is free blocks, and there are never more than there once was garbage: one
//! thread leaves about 35 KB of them whatever the size of the graph. A thread that loses its core within a session is
//! the one cause of more; so a writer that finds more than 64 KB of garbage in its shard yields, once and before it
//! opens its session, to let that thread finish. Free blocks are used for the lists to come, before fresh pages.

mod blocks;
mod session;
mod slab;
#[cfg(all(test, not(hnsw_loom)))]
mod tests;

pub use session::{Read, Write};

use blocks::Blocks;
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{Caps, Contention, Entry, Graph, GraphConfig, Level, MemoryReport, NodeId, Nodes};
use hnsw_core::segments::Segments;
use hnsw_core::sync::{Arc, AtomicU32, AtomicU64, CachePadded, epoch};
use slab::Slab;

/// Times that [`Graph::quiesce`] drives the collector before it gives up. Each frees a few hundred KB at least, if
/// no session holds the epoch.
const QUIESCE_ROUNDS: usize = if cfg!(hnsw_loom) { 3 } else { 1 << 10 };

/// A graph of immutable blocks; see [the module](self).
pub struct LockFree {
    nodes: Nodes,
    /// Heads of level 0, by node.
    heads: Segments<AtomicU32>,
    /// Heads of the other levels, by the numbers that [`Nodes::upper`] gives.
    upper_heads: Segments<AtomicU32>,
    entry: CachePadded<AtomicU64>,
    /// Shared with deferred calls, which may outlive the graph.
    slab: Arc<Slab>,
    /// The most nodes.
    most: usize,
}

fn empty_list() -> AtomicU32 {
    AtomicU32::new(blocks::Handle::EMPTY.bits())
}

impl LockFree {
    /// Hands the garbage of every finished session to the collector.
    fn hand_over_all(&self, pin: &epoch::Guard) {
        (0..self.slab.shards()).for_each(|shard| Slab::hand_over(&self.slab, shard, pin));
    }

    /// The same, for models that have reasons for the pin that they use.
    #[cfg(hnsw_loom)]
    #[doc(hidden)]
    pub fn hand_over_with(&self, pin: &epoch::Guard) {
        self.hand_over_all(pin);
    }
}

impl Graph for LockFree {
    const NAME: &'static str = "lockfree";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        wait_free_reads: true,
        lock_free_writes: true,
        snapshots: false,
        whole_lists: true,
        unlocked_rewrites: true,
        deterministic_batch: false,
    };

    type Read<'g> = Read<'g>;
    type Write<'g> = Write<'g>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(LockFree {
            nodes: Nodes::new(config),
            heads: Segments::new(1, config.capacity, empty_list),
            upper_heads: Segments::sized(1, config.max_upper(), config.expected_upper(), empty_list),
            entry: CachePadded::new(AtomicU64::new(Entry::NONE)),
            slab: Arc::new(Slab::new(config)),
            most: config.capacity.min(Blocks::most_nodes(config)),
        })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        // Threads that pass here together can exceed it by what they reserve; handles have an eighth to spare.
        if count > self.most.saturating_sub(self.nodes.count()) {
            return Err(Full { capacity: self.most });
        }
        let first = self.nodes.reserve(count, level_of)?;
        self.heads.grow(self.nodes.count());
        self.upper_heads.grow(self.nodes.upper_lists());
        Ok(first)
    }

    fn read(&self) -> Read<'_> {
        Read::new(self)
    }

    fn write(&self, _attempt: u32) -> Write<'_> {
        Write::new(self)
    }

    fn memory(&self) -> MemoryReport {
        let (levels_bytes, nodes_slack, nodes_fixed) = self.nodes.memory();
        let allocated = self.heads.allocated_bytes() + self.upper_heads.allocated_bytes();
        let sync_bytes = (self.nodes.count() + self.nodes.upper_lists()) * size_of::<AtomicU32>();
        let (links_bytes, retired_bytes) = (self.slab.linked_bytes(), self.slab.retired_bytes());
        let free = self.slab.blocks.allocated_bytes().saturating_sub(links_bytes + retired_bytes);
        MemoryReport {
            links_bytes,
            levels_bytes,
            sync_bytes,
            retired_bytes,
            slack_bytes: nodes_slack + allocated.saturating_sub(sync_bytes) + free,
            fixed_bytes: size_of::<Self>()
                + nodes_fixed
                + self.heads.spine_bytes()
                + self.upper_heads.spine_bytes()
                + self.slab.fixed_bytes(),
            ..MemoryReport::default()
        }
    }

    fn contention(&self) -> Contention {
        Contention { cas_failures: self.slab.losses(), ..Contention::default() }
    }

    /// Reaches the garbage of every finished session of any thread. Does nothing for what an open session, on any
    /// thread and of any graph, may still see: the epoch is one for the whole process.
    fn quiesce(&self) {
        let pin = epoch::pin();
        self.hand_over_all(&pin);
        drop(pin);
        for _ in 0..QUIESCE_ROUNDS {
            if self.slab.retired_bytes() == 0 {
                return;
            }
            epoch::pin().flush();
        }
    }
}
