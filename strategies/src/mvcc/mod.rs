//! Multi-version concurrency control: lists in place with the stamp of the commit that wrote them, older versions on undo
//! chains, commits in groups, snapshots that see one commit and nothing after it.
//!
//! - A [write session](Write) prepares its edit in private, in parallel with all others; its commit is checked,
//!   applied and made visible as a whole, or refused.
//! - A [read session](Read) sees the newest version of each list. It never waits for a writer, and costs a writer nothing.
//! - A [`Snapshot`] sees the graph as of one commit, however much is written meanwhile.
//!
//! | file | what it is |
//! |---|---|
//! | `lists` | the newest version of each list, in place, behind its version word |
//! | `version` | undo records and their chains |
//! | `read` | reading the newest versions |
//! | `write` | preparing a commit |
//! | `commit` | committing in groups |
//! | `registry` | which commits live snapshots show |
//! | `snapshot` | reading as of a commit |
//! | `vacuum` | freeing versions that no snapshot needs |
//!
//! # Invariants
//! - I1: only the holder of the commit lock changes lists, chains, node states and entry point.
//! - I2: for a list with the version word `stamp`, and any commit `s` that a live snapshot shows: if `stamp <= s` the list in
//!   place is its version as of `s`; else that version is in the chain, or the list was not yet written as of `s`.
//! - I3: the stamp of the root is that of the newest commit that is stored completely.
//! - I4: a node is live as of `s` if the version of its level 0 list as of `s` says so; a removal is a new version.
//!
//! # Synchronisation
//! Three protocols, each described and proved where it lives: the sequence lock with an escape of `lists` (readers
//! against the commit that writes a list), the publication of records in `version` (walks against commits and
//! reclamation), and the store-buffering pair of `registry` (new snapshots against vacuum).
//!
//! # Progress
//! Reads of the newest version are lock-free and never wait for a suspended writer (see `read`); reads of a snapshot are
//! wait-free. Commits take turns under one lock, and an edit that was refused three times holds that lock from its
//! beginning, so that it gets through.
//!
//! # Memory
//! Beside its links a list costs 8 bytes for the version word and 2 for its share of a chain. Undo records cost memory only
//! while a snapshot needs them.

mod commit;
mod counters;
mod lists;
mod read;
mod registry;
mod snapshot;
mod vacuum;
mod version;
mod write;

pub use read::Read;
pub use snapshot::Snapshot;
pub use write::{Conflict, Write};

use commit::{Committer, Request};
use counters::Counters;
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Caps, Contention, Entry, Graph, GraphConfig, Level, MemoryReport, NodeId, Nodes, Snapshots, Stamp,
    arc_bytes,
};
use hnsw_core::sync::{Arc, AtomicU64, AtomicUsize, CachePadded, Mutex, Ordering, Published, epoch};
use lists::{List, Lists};
use registry::Registry;
use vacuum::Vacuum;

/// Refusals after which an edit gets the commit lock from the beginning.
const PATIENCE: u32 = 3;

/// Times that `quiesce` asks the epoch to go on before it gives up. It takes three until what was retired last is destroyed,
/// and each destroys eight hand-overs of the vacuum, if no walk holds the epoch.
const EPOCH_STEPS: usize = if cfg!(hnsw_loom) { 8 } else { 1 << 10 };

/// An HNSW graph under multi-version concurrency control; see [the module](self).
pub struct Mvcc {
    shared: Arc<Shared>,
}

/// What a commit made visible, beside the lists.
struct Root {
    stamp: u64,
    entry: Option<Entry>,
    node_count: usize,
    tombstones: usize,
}

/// Names a list: which of the two arrays it is in, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ListId {
    upper: bool,
    number: usize,
}

impl ListId {
    #[inline(always)]
    fn base(node: NodeId) -> Self {
        ListId { upper: false, number: node.index() }
    }

    /// The node of a list on level 0.
    fn base_node(self) -> NodeId {
        debug_assert!(!self.upper, "only lists on level 0 say what state a node is in");
        NodeId::new(self.number as u32)
    }
}

/// The graph, as sessions and snapshots share it.
struct Shared {
    nodes: Nodes,
    base: Lists,
    upper: Lists,
    registry: Registry,
    counters: Counters,
    root: Published<Root>,
    /// The newest entry point, packed.
    entry: CachePadded<AtomicU64>,
    /// Sets that wait for a holder of the commit lock. Locked for a moment only, and last.
    pending: CachePadded<Mutex<Vec<Request>>>,
    /// The commit lock.
    commit: CachePadded<Mutex<Committer>>,
    /// Bytes of records that were taken out and are not destroyed.
    retired: Arc<AtomicUsize>,
    /// Bytes of records that snapshots keep, as of the last vacuum.
    kept: AtomicUsize,
    /// Bytes of what the vacuum itself allocated, as of the last time.
    vacuum: AtomicUsize,
}

impl Shared {
    #[inline(always)]
    fn id(&self, at: At) -> ListId {
        match at.level {
            0 => ListId::base(at.node),
            level => ListId { upper: true, number: self.nodes.upper(at.node, level) },
        }
    }

    #[inline(always)]
    fn lists(&self, id: ListId) -> &Lists {
        if id.upper { &self.upper } else { &self.base }
    }

    #[inline(always)]
    fn list(&self, id: ListId) -> List<'_> {
        self.lists(id).list(id.number)
    }

    /// Takes out the versions that a snapshot of the commit `stamp` was the last to need, unless a commit is under way: then
    /// the next one does it.
    fn vacuum_after(&self, stamp: u64) {
        // Without a commit since then it had no older version to keep, and must not keep writers from the lock either.
        if self.root.with(|root| root.stamp) > stamp
            && let Some(mut committer) = self.commit.try_lock()
        {
            self.lead(&mut committer, None, &mut || ());
        }
    }

    /// Writes down what the vacuum holds, so that a report needs no lock.
    fn gauge(&self, (kept, vacuum): (usize, usize)) {
        // Relaxed [kept-set]: a number for a report.
        self.kept.store(kept, Ordering::Relaxed);
        // Relaxed [vacuum-set]: a number for a report.
        self.vacuum.store(vacuum, Ordering::Relaxed);
    }

    fn retired_bytes(&self) -> usize {
        // Relaxed [version-retired-read]: a number for a report.
        self.retired.load(Ordering::Relaxed)
    }
}

impl Graph for Mvcc {
    const NAME: &'static str = "mvcc";
    const CAPS: Caps = Caps {
        parallel_reads: true,
        parallel_writes: true,
        // Snapshots read in a bounded number of steps. A read of the newest version looks again if a commit ends meanwhile.
        wait_free_reads: false,
        lock_free_writes: false,
        snapshots: true,
        whole_lists: true,
        unlocked_rewrites: false,
        deterministic_batch: false,
    };

    type Read<'g> = Read<'g>;
    type Write<'g> = Write<'g>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let retired = Arc::new(AtomicUsize::new(0));
        let empty = Root { stamp: Stamp::NONE.0, entry: None, node_count: 0, tombstones: 0 };
        let shared = Shared {
            nodes: Nodes::new(config),
            base: Lists::new(config.cap(0), config.capacity, config.expected_nodes()),
            upper: Lists::new(config.cap(1), config.max_upper(), config.expected_upper()),
            registry: Registry::new(),
            counters: Counters::default(),
            root: Published::new(Arc::new(empty)),
            entry: CachePadded::new(AtomicU64::new(Entry::NONE)),
            pending: CachePadded::new(Mutex::new(Vec::new())),
            commit: CachePadded::new(Mutex::new(Committer::new(Vacuum::new(Arc::clone(&retired))))),
            retired,
            kept: AtomicUsize::new(0),
            vacuum: AtomicUsize::new(0),
        };
        Ok(Mvcc { shared: Arc::new(shared) })
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        let shared = &*self.shared;
        let first = shared.nodes.reserve(count, level_of)?;
        shared.base.grow(shared.nodes.count());
        shared.upper.grow(shared.nodes.upper_lists());
        Ok(first)
    }

    fn read(&self) -> Read<'_> {
        Read { shared: &self.shared }
    }

    fn write(&self, attempt: u32) -> Write<'_> {
        Write::new(&self.shared, (attempt >= PATIENCE).then(|| self.shared.commit.lock()))
    }

    fn memory(&self) -> MemoryReport {
        let shared = &*self.shared;
        let (levels, nodes_slack, nodes_fixed) = shared.nodes.memory();
        let (base_links, base_sync) = shared.base.used_bytes(shared.nodes.count());
        let (upper_links, upper_sync) = shared.upper.used_bytes(shared.nodes.upper_lists());
        let (links, sync) = (base_links + upper_links, base_sync + upper_sync);
        let allocated = shared.base.allocated_bytes() + shared.upper.allocated_bytes();
        // Relaxed [kept-read]: a number for a report.
        let kept = shared.kept.load(Ordering::Relaxed);
        // Relaxed [vacuum-read]: a number for a report.
        let vacuum = shared.vacuum.load(Ordering::Relaxed);
        MemoryReport {
            links_bytes: links,
            // Another thread may have taken ids and not yet made room for their lists.
            slack_bytes: allocated.saturating_sub(links + sync) + nodes_slack,
            levels_bytes: levels,
            sync_bytes: sync,
            retired_bytes: shared.retired_bytes(),
            snapshots_bytes: kept,
            fixed_bytes: size_of::<Self>()
                + arc_bytes::<Shared>()
                + arc_bytes::<Root>()
                + arc_bytes::<AtomicUsize>()
                + shared.base.spine_bytes()
                + shared.upper.spine_bytes()
                + shared.registry.bytes()
                + nodes_fixed
                + vacuum,
            ..MemoryReport::default()
        }
    }

    fn contention(&self) -> Contention {
        self.shared.counters.report()
    }

    fn quiesce(&self) {
        let mut committer = self.shared.commit.lock();
        let guard = epoch::pin();
        committer.vacuum.run(&self.shared, &guard);
        committer.vacuum.give_to_epoch(&guard);
        self.shared.gauge(committer.vacuum.bytes());
        drop((guard, committer));
        for _ in 0..EPOCH_STEPS {
            if self.shared.retired_bytes() == 0 {
                break;
            }
            epoch::pin().flush();
        }
    }
}

impl Snapshots for Mvcc {
    type Snapshot = Snapshot;

    fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.shared)
    }

    fn stamp(snapshot: &Snapshot) -> Stamp {
        Stamp(snapshot.stamp())
    }
}
