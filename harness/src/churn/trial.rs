//! One strategy at one thread count: points come and go, searches run, and everything is logged.
//!
//! A thread of its own looks at the garbage while the window is open; with `--stalled-reader` another one keeps a read session
//! open in the middle half of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hnsw_core::error::ConfigError;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Graph, GraphConfig, MemoryReport, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::sync::{CachePadded, SiteCount, site_counts};
use hnsw_core::vectors::F32;
use std::ops::ControlFlow;

use super::history::{Clock, Life, Lives, Search, Span, Target};
use crate::data::Dataset;
use crate::sweep;
use crate::sweep::log::Tally;
use crate::sweep::workers::{self, Turn};

/// Searches that a worker logs; further ones are counted and timed alone.
const LOGGED: usize = 200_000;
/// Looks at the garbage in a window.
const LOOKS: f64 = 200.0;
/// The least time between two of them.
const LEAST_LOOK: Duration = Duration::from_millis(2);

/// An index, as this workload sees it.
pub(crate) trait Store: Sync {
    /// Inserts rows before the window, on the thread pool of the caller; returns the first node, the others follow it.
    fn prefill(&self, rows: &[f32]) -> Result<NodeId>;
    fn insert(&self, vector: &[f32], scratch: &mut Scratch<F32>) -> Result<NodeId>;
    fn remove(&self, node: NodeId) -> Result<()>;
    /// Puts the nodes of the answer into `found`, nearest first.
    fn search(
        &self,
        query: &[f32],
        beam: (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut Vec<NodeId>,
    ) -> Result<()>;
    /// Calls `meanwhile` with a read session open.
    fn with_reader(&self, meanwhile: &mut dyn FnMut());
    fn memory(&self) -> MemoryReport;
    fn quiesce(&self);
    fn health(&self) -> Health;
}

impl<G: Graph> Store for Index<G, F32> {
    fn prefill(&self, rows: &[f32]) -> Result<NodeId> {
        Ok(self.insert_batch(rows, |_| ControlFlow::Continue(()))?)
    }

    fn insert(&self, vector: &[f32], scratch: &mut Scratch<F32>) -> Result<NodeId> {
        Ok(self.insert_with(vector, scratch)?)
    }

    fn remove(&self, node: NodeId) -> Result<()> {
        Ok(Index::remove(self, node)?)
    }

    fn search(
        &self,
        query: &[f32],
        (k, ef): (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut Vec<NodeId>,
    ) -> Result<()> {
        found.extend(self.search_with(query, k, ef, scratch)?.iter().map(|neighbor| neighbor.node));
        Ok(())
    }

    fn with_reader(&self, meanwhile: &mut dyn FnMut()) {
        let _session = self.graph().read();
        meanwhile();
    }

    fn memory(&self) -> MemoryReport {
        Index::memory(self)
    }

    fn quiesce(&self) {
        self.graph().quiesce();
    }

    fn health(&self) -> Health {
        let IndexConfig { m, capacity, .. } = *self.config();
        Health::of(&self.graph().read(), &GraphConfig { m, capacity })
    }
}

/// A strategy to measure.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) make: fn(IndexConfig) -> Result<Box<dyn Store>, ConfigError>,
}

fn make<G: Graph>(config: IndexConfig) -> Result<Box<dyn Store>, ConfigError> {
    Ok(Box::new(Index::<G, F32>::new(config)?))
}

macro_rules! subjects {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        /// All strategies, in the order of tables.
        static SUBJECTS: &[Subject] =
            &[$(Subject { name: <$graph as Graph>::NAME, make: make::<$graph> }),+];
    };
}

hnsw_strategies::for_each_strategy!(subjects);

/// The strategies of these names.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Subject>> {
    let asked = sweep::named(names)?;
    Ok(SUBJECTS
        .iter()
        .filter(|subject| asked.iter().any(|strategy| strategy.name() == subject.name))
        .collect())
}

/// What a trial does.
pub(super) struct Shape<'a> {
    pub(super) dataset: &'a Dataset,
    /// Where workers run.
    pub(super) cpus: Vec<Option<usize>>,
    pub(super) occupancy: usize,
    pub(super) writes: f64,
    pub(super) fresh: f64,
    pub(super) stalled_reader: bool,
    pub(super) k: usize,
    pub(super) ef: usize,
    pub(super) window: Duration,
    pub(super) seed: u64,
}

/// A look at the garbage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) seconds: f64,
    /// Replaced and not yet freed, and kept for snapshots.
    pub(super) bytes: usize,
}

/// All that happened.
pub(super) struct Happened {
    pub(super) seconds: f64,
    pub(super) searches: Tally,
    pub(super) inserts: Tally,
    pub(super) removals: Tally,
    pub(super) lives: Lives,
    pub(super) log: Vec<Search>,
    pub(super) looks: Vec<Look>,
    /// What was done at each site in the window, in builds that count.
    pub(super) sites: Option<Vec<SiteCount>>,
    pub(super) unpinned: Option<String>,
    pub(super) interrupted: bool,
}

/// What one worker did.
struct Worked {
    searches: Tally,
    inserts: Tally,
    removals: Tally,
    born: Vec<(NodeId, Life)>,
    gone: Vec<(NodeId, Span)>,
    log: Log,
    looks: Vec<Look>,
}

/// Searches with their answers, one after another.
#[derive(Default)]
struct Log {
    searches: Vec<(Target, Span, std::ops::Range<usize>)>,
    nodes: Vec<NodeId>,
}

/// What all workers share.
struct Field<'a> {
    shape: &'a Shape<'a>,
    store: &'a dyn Store,
    clock: Clock,
    next_row: CachePadded<AtomicUsize>,
    /// The row that each worker inserted last.
    latest: Vec<CachePadded<AtomicU32>>,
    /// The nodes that each worker begins with.
    first: NodeId,
}

/// Fills the store and runs a window on it.
pub(super) fn run(store: &dyn Store, shape: &Shape<'_>, stop: &AtomicBool) -> Result<Happened> {
    let Shape { dataset, occupancy, .. } = *shape;
    let first = store.prefill(&dataset.base()[..occupancy * dataset.dim()])?;
    let (clock, workers) = (Clock::start(), shape.cpus.len());
    let field = Field {
        shape,
        store,
        clock,
        next_row: CachePadded::new(AtomicUsize::new(occupancy)),
        latest: (0..workers).map(|worker| CachePadded::new(AtomicU32::new(worker as u32))).collect(),
        first,
    };
    let mut cpus = shape.cpus.clone();
    cpus.resize(workers + 1 + usize::from(shape.stalled_reader), None);
    let window = workers::run(
        &cpus,
        Some(shape.window),
        stop,
        site_counts,
        |_| Scratch::new(),
        |turn, scratch| match turn.worker {
            worker if worker < workers => field.work(turn, scratch),
            watcher if watcher == workers => Ok(field.watch(turn)),
            _ => Ok(field.stall(turn)),
        },
    );
    let mut happened = Happened {
        seconds: window.seconds,
        searches: Tally::new(),
        inserts: Tally::new(),
        removals: Tally::new(),
        lives: Lives::default(),
        log: Vec::new(),
        looks: Vec::new(),
        sites: between(window.observed),
        unpinned: window.unpinned,
        interrupted: window.interrupted,
    };
    for row in 0..occupancy as u32 {
        happened.born(NodeId::new(first.get() + row), Life::from_before(row))?;
    }
    for worked in window.results {
        happened.add(worked?)?;
    }
    Ok(happened)
}

/// What was counted from the first reading to the second.
fn between((before, after): (Option<Vec<SiteCount>>, Option<Vec<SiteCount>>)) -> Option<Vec<SiteCount>> {
    let (before, mut after) = (before?, after?);
    for count in &mut after {
        let same = |other: &&SiteCount| {
            (&other.site, &other.file, other.access) == (&count.site, &count.file, count.access)
        };
        if let Some(earlier) = before.iter().find(same) {
            count.count -= earlier.count;
            count.lost -= earlier.lost;
            count.waited_ns -= earlier.waited_ns;
            count.held_ns -= earlier.held_ns;
        }
    }
    after.retain(|count| count.count > 0);
    Some(after)
}

impl Happened {
    fn born(&mut self, node: NodeId, life: Life) -> Result<()> {
        self.lives
            .add(node, life)
            .map_err(|node| anyhow!("the index gave out node {node} twice; this is a bug"))
    }

    fn add(&mut self, worked: Worked) -> Result<()> {
        self.searches.merge(&worked.searches);
        self.inserts.merge(&worked.inserts);
        self.removals.merge(&worked.removals);
        worked.born.into_iter().try_for_each(|(node, life)| self.born(node, life))?;
        worked.gone.into_iter().for_each(|(node, span)| self.lives.removed(node, span));
        let Log { searches, nodes } = worked.log;
        self.log.extend(searches.into_iter().map(|(target, span, answers)| Search {
            target,
            span,
            answers: nodes[answers].to_vec(),
        }));
        self.looks.extend(worked.looks);
        Ok(())
    }
}

impl Worked {
    fn new() -> Worked {
        Worked {
            searches: Tally::new(),
            inserts: Tally::new(),
            removals: Tally::new(),
            born: Vec::new(),
            gone: Vec::new(),
            log: Log::default(),
            looks: Vec::new(),
        }
    }
}

impl Field<'_> {
    /// Writes and searches until the window is over; once of each kind that is asked for at least.
    fn work(&self, turn: &Turn<'_>, mut scratch: Scratch<F32>) -> Result<Worked> {
        let Shape { dataset, occupancy, writes, fresh, .. } = *self.shape;
        let (workers, worker) = (self.latest.len(), turn.worker);
        let mut random = fastrand::Rng::with_seed(self.shape.seed ^ (worker as u64 + 1) << 32);
        let own = (worker..occupancy).step_by(workers);
        let mut live: VecDeque<_> = own.map(|row| NodeId::new(self.first.get() + row as u32)).collect();
        let (mut worked, mut found) = (Worked::new(), Vec::new());
        let (mut wrote, mut searched) = (writes == 0.0, writes == 1.0);
        while !turn.is_over() || !wrote || !searched {
            let write = if turn.is_over() { !wrote } else { random.f64() < writes };
            if write {
                wrote = true;
                self.insert(worker, &mut live, &mut scratch, &mut worked)?;
                self.remove(&mut live, &mut worked)?;
                continue;
            }
            searched = true;
            let target = match random.f64() < fresh {
                // Relaxed: a hint of what to search for; the times tell whether it must be found.
                true => Target::Fresh(self.latest[random.usize(..workers)].load(Ordering::Relaxed)),
                false => Target::Query(random.u32(..dataset.query_count() as u32)),
            };
            self.search(target, &mut scratch, &mut found, &mut worked)?;
        }
        Ok(worked)
    }

    fn insert(
        &self,
        worker: usize,
        live: &mut VecDeque<NodeId>,
        scratch: &mut Scratch<F32>,
        worked: &mut Worked,
    ) -> Result<()> {
        // Relaxed: hands out numbers; the rows themselves never change.
        let row = self.next_row.fetch_add(1, Ordering::Relaxed) % self.shape.dataset.len();
        let begin = self.clock.before();
        let node =
            self.store.insert(self.shape.dataset.row(row), scratch).context("an insert was refused")?;
        let insert = Span { begin, end: self.clock.after() };
        worked.inserts.add(insert.length(), 1);
        worked.born.push((node, Life { row: row as u32, insert, remove: None }));
        live.push_back(node);
        // Relaxed: see where it is read.
        self.latest[worker].store(row as u32, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, live: &mut VecDeque<NodeId>, worked: &mut Worked) -> Result<()> {
        let Some(node) = live.pop_front() else { return Ok(()) };
        let begin = self.clock.before();
        self.store.remove(node).context("the removal of a live node was refused; this is a bug")?;
        let span = Span { begin, end: self.clock.after() };
        worked.removals.add(span.length(), 1);
        worked.gone.push((node, span));
        Ok(())
    }

    fn search(
        &self,
        target: Target,
        scratch: &mut Scratch<F32>,
        found: &mut Vec<NodeId>,
        worked: &mut Worked,
    ) -> Result<()> {
        let query = vector_of(self.shape.dataset, target);
        found.clear();
        let begin = self.clock.before();
        self.store
            .search(query, (self.shape.k, self.shape.ef), scratch, found)
            .context("a search was refused")?;
        let span = Span { begin, end: self.clock.after() };
        worked.searches.add(span.length(), 1);
        let Log { searches, nodes } = &mut worked.log;
        if searches.len() < LOGGED {
            searches.push((target, span, nodes.len()..nodes.len() + found.len()));
            nodes.extend_from_slice(found);
        }
        Ok(())
    }

    /// Looks at the garbage until the window is over.
    fn watch(&self, turn: &Turn<'_>) -> Worked {
        let mut worked = Worked::new();
        let (begin, pause) = (Instant::now(), self.shape.window.div_f64(LOOKS).max(LEAST_LOOK));
        loop {
            let memory = self.store.memory();
            worked.looks.push(Look {
                seconds: begin.elapsed().as_secs_f64(),
                bytes: memory.retired_bytes + memory.snapshots_bytes,
            });
            if turn.is_over() {
                return worked;
            }
            thread::sleep(pause);
        }
    }

    /// Keeps a session open in the middle half of the window.
    fn stall(&self, turn: &Turn<'_>) -> Worked {
        let begin = Instant::now();
        let wait_until = |share: f64| {
            while !turn.is_over() && begin.elapsed() < self.shape.window.mul_f64(share) {
                thread::sleep(LEAST_LOOK);
            }
        };
        wait_until(0.25);
        self.store.with_reader(&mut || wait_until(0.75));
        Worked::new()
    }
}

impl Span {
    fn length(self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.begin))
    }
}

/// The vector that was searched for.
pub(super) fn vector_of(dataset: &Dataset, target: Target) -> &[f32] {
    match target {
        Target::Query(query) => dataset.query(query as usize),
        Target::Fresh(row) => dataset.row(row as usize),
    }
}
