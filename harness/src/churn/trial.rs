//! One strategy at one thread count: points come and go, searches run, and everything is logged.
//!
//! A thread of its own looks at the garbage and at the resident set while the window is open; with a reader in the workload another one keeps a read
//! session open for a part of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hnsw_core::error::ConfigError;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Graph, GraphConfig, LinkBuf, MemoryReport, NodeId, NodeState, View};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor, Scratch};
use hnsw_core::sync::{CachePadded, SiteCount, site_counts};
use hnsw_core::vectors::F32;
use std::ops::ControlFlow;

use super::history::{Clock, Life, Lives, Search, Span, Target};
use super::workload::{Pick, Reader, ReaderKind, Supply, Until, Workload};
use crate::data::Dataset;
use crate::footprint::Footprint;
use crate::sweep;
use crate::sweep::log::Tally;
use crate::sweep::workers::{self, Turn};

/// Searches that a worker logs; further ones are counted and timed alone.
const LOGGED: usize = 200_000;
/// Searches whose room in the log is resident before the window opens, so that the log is not what the process grows by.
const ROOM: usize = 50_000;
/// Looks at the memory in a window.
const LOOKS: f64 = 200.0;
/// The least time between two of them.
const LEAST_LOOK: Duration = Duration::from_millis(2);

/// An index, as this workload sees it.
pub(crate) trait Store: Sync {
    /// Inserts rows at once, on the thread pool of the caller; returns the first node, the others follow it.
    fn prefill(&self, rows: &[f32]) -> Result<NodeId>;
    fn insert(&self, vector: &[f32], scratch: &mut Scratch<F32>) -> Result<NodeId>;
    fn remove(&self, node: NodeId) -> Result<()>;
    /// Gives the nodes of the answer to `found`, nearest first, with the number 0.
    fn search(
        &self,
        query: &[f32],
        beam: (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()>;
    /// Searches for each of some queries in one call; `found` gets the number of the query with each node of its answer.
    fn search_each(
        &self,
        queries: &[f32],
        beam: (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()>;
    /// Calls `meanwhile` with a read session open; what it gets reads the next list of level 0 through that session.
    fn with_reader(&self, meanwhile: &mut dyn FnMut(&mut dyn FnMut()));
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
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()> {
        self.search_with(query, k, ef, scratch)?.iter().for_each(|near| found(0, near.node));
        Ok(())
    }

    fn search_each(
        &self,
        queries: &[f32],
        (k, ef): (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()> {
        let each = |query, answer: &[Neighbor]| answer.iter().for_each(|near| found(query, near.node));
        Ok(self.search_each_with(queries, k, ef, scratch, each)?)
    }

    fn with_reader(&self, meanwhile: &mut dyn FnMut(&mut dyn FnMut())) {
        let session = self.graph().read();
        let (mut links, mut node) = (LinkBuf::new(), 0);
        meanwhile(&mut || {
            let count = session.node_count() as u32;
            node = if node + 1 < count { node + 1 } else { 0 };
            // An id that is only reserved has no list yet.
            if matches!(session.state(NodeId::new(node)), NodeState::Live | NodeState::Tombstone) {
                // What the list holds is of no account; that it is read is.
                std::hint::black_box(session.links(At::new(NodeId::new(node), 0), &mut links).len());
            }
        });
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
    pub(super) workload: &'a Workload,
    /// Points that are there when the window opens.
    pub(super) points: usize,
    pub(super) k: usize,
    pub(super) ef: usize,
    pub(super) window: Duration,
    pub(super) seed: u64,
}

/// A look at the memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) seconds: f64,
    /// Replaced and not yet freed, and kept for snapshots.
    pub(super) bytes: usize,
    /// Resident bytes of the process, where the system says so.
    pub(super) resident: Option<u64>,
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

impl Log {
    /// Empty, with room for [`ROOM`] searches of `k` neighbours each that is in memory already.
    fn ready(k: usize) -> Log {
        let span = Span { begin: 0, end: 0 };
        let mut log = Log {
            searches: vec![(Target::Query(0), span, 0..0); ROOM],
            nodes: vec![NodeId::new(0); ROOM * k],
        };
        log.searches.clear();
        log.nodes.clear();
        log
    }
}

/// What all workers share.
struct Field<'a> {
    shape: &'a Shape<'a>,
    store: &'a dyn Store,
    clock: Clock,
    supply: Supply,
    /// The row that each worker inserted last.
    latest: Vec<CachePadded<AtomicU32>>,
    /// The first of the nodes that were there before.
    first: NodeId,
}

/// Fills the store and runs a window on it.
pub(super) fn run(store: &dyn Store, shape: &Shape<'_>, stop: &AtomicBool) -> Result<Happened> {
    let Shape { dataset, workload, points, .. } = *shape;
    let supply = Supply::new(workload, dataset, points, shape.seed);
    let first = match points {
        0 => NodeId::new(0),
        _ => store.prefill(&rows_of(dataset, &supply.first))?,
    };
    let (clock, workers) = (Clock::start(), shape.cpus.len());
    let lately = |worker: usize| supply.first.get(worker).or(supply.first.last()).copied().unwrap_or(0);
    let latest = (0..workers).map(|worker| CachePadded::new(AtomicU32::new(lately(worker)))).collect();
    let field = Field { shape, store, clock, latest, first, supply };
    let mut cpus = shape.cpus.clone();
    cpus.resize(workers + 1 + usize::from(workload.reader.is_some()), None);
    let window = workers::run(
        &cpus,
        (workload.until == Until::Time).then_some(shape.window),
        stop,
        site_counts,
        |worker| (worker < workers).then(|| Worker::new(worker, shape)),
        |turn, worker| match (worker, workload.reader) {
            (Some(worker), _) => field.work(turn, worker),
            (None, Some(reader)) if turn.worker > workers => Ok(field.read(turn, reader)),
            (None, _) => Ok(field.watch(turn)),
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
    for (node, row) in (first.get()..).zip(&field.supply.first) {
        happened.born(NodeId::new(node), Life::from_before(*row))?;
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
            count.amount -= earlier.amount;
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

/// What one worker has to itself.
struct Worker {
    random: fastrand::Rng,
    scratch: Scratch<F32>,
    /// Its points, the oldest first.
    live: VecDeque<NodeId>,
    /// The rows that one call inserts, what one searches for, the vectors of either, and what was found.
    rows: Vec<u32>,
    targets: Vec<Target>,
    vectors: Vec<f32>,
    found: Vec<(usize, NodeId)>,
    worked: Worked,
}

impl Worker {
    fn new(number: usize, shape: &Shape<'_>) -> Worker {
        Worker {
            random: fastrand::Rng::with_seed(shape.seed ^ (number as u64 + 1) << 32),
            scratch: Scratch::new(),
            live: VecDeque::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            vectors: Vec::new(),
            found: Vec::new(),
            worked: Worked { log: Log::ready(shape.k), ..Worked::new() },
        }
    }
}

/// A kind of operation.
#[derive(Clone, Copy)]
enum Kind {
    Search,
    Insert,
    Remove,
    Replace,
}

impl Field<'_> {
    /// Does what the mix says until the window is over; once of each kind that is asked for at least.
    fn work(&self, turn: &Turn<'_>, mut worker: Worker) -> Result<Worked> {
        let (workers, mix) = (self.latest.len(), self.shape.workload.mix);
        let own = (turn.worker..self.shape.points).step_by(workers);
        worker.live = own.map(|point| NodeId::new(self.first.get() + point as u32)).collect();
        // Removals last: there must be something to remove.
        let kinds = [
            (Kind::Search, mix.search),
            (Kind::Insert, mix.insert),
            (Kind::Replace, mix.replace),
            (Kind::Remove, mix.remove),
        ];
        let mut left = kinds.map(|(_, share)| share > 0.0);
        let pool = self.pool()?;
        loop {
            let at = match turn.is_over() {
                true => left.iter().position(|left| *left),
                false => Some(drawn(&kinds.map(|(_, share)| share), worker.random.f64())),
            };
            let Some(at) = at else { return Ok(worker.worked) };
            left[at] = false;
            match kinds[at].0 {
                Kind::Search => self.search(&mut worker)?,
                Kind::Remove => self.remove(&mut worker)?,
                Kind::Insert | Kind::Replace => {
                    let count = self.insert(turn, &mut worker, pool.as_ref())?;
                    if count == 0 {
                        // No row is left: with another mix than was asked for, no one goes on.
                        turn.end();
                        return Ok(worker.worked);
                    }
                    if matches!(kinds[at].0, Kind::Replace) {
                        (0..count).try_for_each(|_| self.remove(&mut worker))?;
                    }
                }
            }
        }
    }

    /// Where rows come in batches: a pool of one thread, so that a call runs on the thread of its worker's share alone.
    fn pool(&self) -> Result<Option<rayon::ThreadPool>> {
        match self.shape.workload.insert.batch {
            1 => Ok(None),
            _ => Ok(Some(rayon::ThreadPoolBuilder::new().num_threads(1).build()?)),
        }
    }

    /// Inserts a row, or a batch of them; returns how many.
    fn insert(
        &self,
        turn: &Turn<'_>,
        worker: &mut Worker,
        pool: Option<&rayon::ThreadPool>,
    ) -> Result<usize> {
        let Worker { random, scratch, live, rows, vectors, worked, .. } = worker;
        let dataset = self.shape.dataset;
        rows.clear();
        rows.extend((0..self.shape.workload.insert.batch).map_while(|_| self.supply.row(random)));
        let Some(last) = rows.last() else { return Ok(0) };
        if pool.is_some() {
            vectors.clear();
            vectors.extend(rows.iter().flat_map(|row| dataset.row(*row as usize)));
        }
        let begin = self.clock.before();
        let first = match pool {
            Some(pool) => pool.install(|| self.store.prefill(vectors)),
            None => self.store.insert(dataset.row(*last as usize), scratch),
        };
        let first = first.context("an insert was refused")?;
        let insert = Span { begin, end: self.clock.after() };
        worked.inserts.add(insert.length(), rows.len() as u64);
        for (node, row) in (first.get()..).map(NodeId::new).zip(rows.iter()) {
            worked.born.push((node, Life { row: *row, insert, remove: None }));
            live.push_back(node);
        }
        // Relaxed [latest-set]: a hint of what to search for; the times tell whether it must be found.
        self.latest[turn.worker].store(*last, Ordering::Relaxed);
        Ok(rows.len())
    }

    fn remove(&self, worker: &mut Worker) -> Result<()> {
        let Worker { random, live, worked, .. } = worker;
        let node = match self.shape.workload.remove.pick {
            Pick::Oldest => live.pop_front(),
            Pick::Newest => live.pop_back(),
            Pick::Random if live.is_empty() => None,
            Pick::Random => live.swap_remove_back(random.usize(..live.len())),
        };
        let Some(node) = node else { return Ok(()) };
        let begin = self.clock.before();
        self.store.remove(node).context("the removal of a live node was refused; this is a bug")?;
        let span = Span { begin, end: self.clock.after() };
        worked.removals.add(span.length(), 1);
        worked.gone.push((node, span));
        Ok(())
    }

    /// Searches for one target, or for a batch of them in one call.
    fn search(&self, worker: &mut Worker) -> Result<()> {
        let Worker { random, scratch, targets, vectors, found, worked, .. } = worker;
        let (searches, beam) = (self.shape.workload.search, (self.shape.k, self.shape.ef));
        targets.clear();
        targets.extend((0..searches.batch).map(|_| self.target(random, searches.fresh)));
        let query = match targets[..] {
            [target] => vector_of(self.shape.dataset, target),
            _ => {
                vectors.clear();
                vectors.extend(targets.iter().flat_map(|target| vector_of(self.shape.dataset, *target)));
                &vectors[..]
            }
        };
        found.clear();
        let begin = self.clock.before();
        let each = &mut |target, node| found.push((target, node));
        let searched = match targets.len() {
            1 => self.store.search(query, beam, scratch, each),
            _ => self.store.search_each(query, beam, scratch, each),
        };
        searched.context("a search was refused")?;
        let span = Span { begin, end: self.clock.after() };
        worked.searches.add(span.length(), targets.len() as u64);
        let Log { searches, nodes } = &mut worked.log;
        if searches.len() + targets.len() > LOGGED {
            return Ok(());
        }
        let mut rest = &found[..];
        for (number, target) in targets.iter().enumerate() {
            let (answer, others) = rest.split_at(rest.partition_point(|(of, _)| *of == number));
            searches.push((*target, span, nodes.len()..nodes.len() + answer.len()));
            nodes.extend(answer.iter().map(|(_, node)| *node));
            rest = others;
        }
        Ok(())
    }

    /// Something to search for.
    fn target(&self, random: &mut fastrand::Rng, fresh: f64) -> Target {
        match random.f64() < fresh {
            // Relaxed [latest-get]: a hint of what to search for; the times tell whether it must be found.
            true => Target::Fresh(self.latest[random.usize(..self.latest.len())].load(Ordering::Relaxed)),
            false => Target::Query(self.supply.query(random)),
        }
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
                resident: Footprint::resident(),
            });
            if turn.is_over() {
                return worked;
            }
            thread::sleep(pause);
        }
    }

    /// Keeps a session open for a part of the window.
    fn read(&self, turn: &Turn<'_>, reader: Reader) -> Worked {
        let (begin, [from, to]) = (Instant::now(), reader.between);
        let until = |share: f64, pass: &mut dyn FnMut()| {
            while !turn.is_over() && begin.elapsed() < self.shape.window.mul_f64(share) {
                pass();
            }
        };
        let sleep = || thread::sleep(LEAST_LOOK);
        until(from, &mut { sleep });
        self.store.with_reader(&mut |read| match reader.kind {
            ReaderKind::Stalled => until(to, &mut { sleep }),
            ReaderKind::Long => until(to, read),
        });
        Worked::new()
    }
}

impl Span {
    fn length(self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.begin))
    }
}

/// Which of some shares, which add up to 1, a number from 0 to 1 falls into.
fn drawn(shares: &[f64], number: f64) -> usize {
    let mut sum = 0.0;
    let reached = |share: &f64| {
        sum += share;
        number < sum
    };
    // Shares add up to 1 but for rounding: what falls beyond them is for the last that there is.
    let last = || shares.iter().rposition(|share| *share > 0.0);
    shares.iter().position(reached).or_else(last).unwrap_or(0)
}

/// Rows, one after another.
fn rows_of(dataset: &Dataset, rows: &[u32]) -> Vec<f32> {
    rows.iter().flat_map(|row| dataset.row(*row as usize)).copied().collect()
}

/// The vector that was searched for.
pub(super) fn vector_of(dataset: &Dataset, target: Target) -> &[f32] {
    match target {
        Target::Query(query) => dataset.query(query as usize),
        Target::Fresh(row) => dataset.row(row as usize),
    }
}
