//! One strategy at one thread count: build, search, mix, and what the graph is like afterwards.

use super::estimate::Work;
use super::latency::Latencies;
use super::workers::{self, Turn, Window};
use super::{Outcome, Plan, Strategy, Workload};
use crate::alloc::rss_bytes;
use crate::data::Dataset;
use crate::machine::{Machine, Noise};
use crate::record::{self, Key, Memory, Ops, Row};
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Contention, Graph, GraphConfig, MemoryReport};
use hnsw_core::hnsw::{Index, Scratch};
use hnsw_core::vectors::F32;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What all sessions of a sweep share.
pub struct Bench<'a> {
    plan: &'a Plan,
    machine: &'a Machine,
    dataset: &'a Dataset,
    stop: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    /// Everything that a session needs besides its strategy, thread count and block.
    pub fn new(plan: &'a Plan, machine: &'a Machine, dataset: &'a Dataset, stop: &'a AtomicBool) -> Self {
        Bench { plan, machine, dataset, stop }
    }

    /// What measuring `keys`, rows of one session, takes.
    pub fn work(&self, strategy: &dyn Strategy, threads: usize, keys: &BTreeSet<Key>) -> Work {
        let cores = self.machine.allowed_cores;
        let fill = |threads: usize| match strategy.caps().parallel_writes {
            true => 1.0 / threads.min(cores) as f64,
            false => 1.0,
        };
        let has = |workload: Workload| keys.iter().any(|key| key.workload == workload.name());
        let build = match (has(Workload::Build), has(Workload::Search)) {
            (true, _) => fill(threads),
            (false, true) => fill(cores),
            (false, false) => 0.0,
        };
        let mixed =
            [Workload::Mixed, Workload::WriteHeavy].into_iter().filter(|workload| has(*workload)).count();
        let windows = keys.iter().filter(|key| key.workload != Workload::Build.name()).count();
        Work { windows: self.plan.window * windows as u32, fills: build + mixed as f64 * fill(cores) }
    }

    fn stopped(&self) -> bool {
        // Relaxed: a wish; nothing is read because of it.
        self.stop.load(Ordering::Relaxed)
    }
}

/// Rows of the base that a worker takes at a time while building: few, so that all workers end together.
const CHUNK: usize = 8;

/// Measures the rows `wanted` of one session; see [`super::strategies::Strategy::session`].
pub fn session<G: Graph>(
    bench: &Bench<'_>,
    threads: usize,
    block: usize,
    wanted: &BTreeSet<Key>,
    push: &mut dyn FnMut(Row) -> bool,
) -> Outcome {
    let session = Session::<G> {
        bench,
        threads,
        block,
        cpus: bench.plan.placement.plan(bench.machine, threads),
        of: Default::default(),
    };
    let wants = |workload: Workload| wanted.iter().any(|key| key.workload == workload.name());
    let ended = session.built(wants(Workload::Build), wanted, push).and_then(|()| {
        [Workload::Mixed, Workload::WriteHeavy]
            .into_iter()
            .filter(|workload| wants(*workload))
            .try_for_each(|workload| session.mixed(workload, push))
    });
    if ended.is_some() { Outcome::Complete } else { Outcome::Interrupted }
}

struct Session<'a, G> {
    bench: &'a Bench<'a>,
    threads: usize,
    block: usize,
    cpus: Vec<Option<usize>>,
    of: std::marker::PhantomData<fn() -> G>,
}

/// The counters at one end of a window.
struct Counters {
    noise: Noise,
    contention: Contention,
}

/// One window with what its workers measured.
type Trial = Window<Worker, Counters>;

/// The parts of a row that a trial has measured.
struct Measured {
    workload: Workload,
    ef: Option<usize>,
    trial: Trial,
    recall: Option<f64>,
    /// At the end of the window, before anything is freed, filled in or asked.
    memory: MemoryReport,
}

impl<G: Graph> Session<'_, G> {
    fn index(&self) -> Index<G> {
        crate::alloc::trim();
        // The plan has checked every parameter.
        Index::new(self.bench.plan.index).expect("a checked configuration")
    }

    /// Builds, and searches what was built. `None` when the sweep is to end.
    fn built(
        &self,
        wants_build: bool,
        wanted: &BTreeSet<Key>,
        push: &mut dyn FnMut(Row) -> bool,
    ) -> Option<()> {
        let efs: Vec<usize> = wanted
            .iter()
            .filter(|key| key.workload == Workload::Search.name())
            .filter_map(|key| key.ef)
            .collect();
        if !wants_build && efs.is_empty() {
            return Some(());
        }
        let index = self.index();
        let health = if wants_build {
            let measured = self.measure(&index, Workload::Build, None, || self.build(&index))?;
            let health = self.health(&index);
            push(self.row(measured, &health)).then_some(())?;
            health
        } else {
            self.fill(&index, 0, self.bench.dataset.len())?;
            self.health(&index)
        };
        for ef in efs {
            let mut measured =
                self.measure(&index, Workload::Search, Some(ef), || self.search(&index, ef))?;
            measured.recall = Some(self.recall(&index, ef));
            push(self.row(measured, &health)).then_some(())?;
        }
        Some(())
    }

    /// One mixed workload on an index of its own.
    fn mixed(&self, workload: Workload, push: &mut dyn FnMut(Row) -> bool) -> Option<()> {
        let index = self.index();
        let base = self.bench.dataset.len();
        let prefill = workload.prefill(base);
        self.fill(&index, 0, prefill)?;
        let ef = self.bench.plan.mixed_ef;
        let next = AtomicUsize::new(prefill);
        let mut measured =
            self.measure(&index, workload, Some(ef), || self.mix(&index, workload, &next, ef))?;
        let health = self.health(&index);
        // What was not inserted in the window comes in now, so that recall has an exact answer to be scored against.
        self.fill(&index, next.into_inner().min(base), base)?;
        measured.recall = Some(self.recall(&index, ef));
        push(self.row(measured, &health)).then_some(())
    }

    /// Runs one trial and looks at the index at once. `None` when the sweep is to end.
    fn measure(
        &self,
        index: &Index<G>,
        workload: Workload,
        ef: Option<usize>,
        trial: impl FnOnce() -> Trial,
    ) -> Option<Measured> {
        index.graph().quiesce();
        let trial = trial();
        let memory = index.memory();
        (!trial.interrupted && !self.bench.stopped()).then_some(Measured {
            workload,
            ef,
            trial,
            recall: None,
            memory,
        })
    }

    /// Runs `work` on all workers of the session; see [`workers::run`].
    fn trial(
        &self,
        index: &Index<G>,
        limit: Option<Duration>,
        prepare: impl Fn() -> Worker + Sync,
        work: impl Fn(&Turn<'_>, &mut Worker) + Sync,
    ) -> Trial {
        let counters = || Counters { noise: Noise::now(), contention: index.graph().contention() };
        workers::run(
            &self.cpus,
            limit,
            self.bench.stop,
            counters,
            |_| prepare(),
            |turn, mut worker| {
                work(turn, &mut worker);
                worker
            },
        )
    }

    /// Inserts rows without measuring.
    fn fill(&self, index: &Index<G>, from: usize, to: usize) -> Option<()> {
        let dim = self.bench.dataset.dim();
        let progress =
            |_| if self.bench.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        // The data set has been checked and the index is large enough, so only a wish to stop can end this early.
        (from == to || index.insert_batch(&self.bench.dataset.base()[from * dim..to * dim], progress).is_ok())
            .then_some(())
    }

    fn build(&self, index: &Index<G>) -> Trial {
        let dataset = self.bench.dataset;
        let next = AtomicUsize::new(0);
        self.trial(index, None, Worker::new, |turn, worker| {
            loop {
                // Relaxed: hands out numbers; the rows themselves never change.
                let from = next.fetch_add(CHUNK, Ordering::Relaxed);
                if from >= dataset.len() || turn.is_over() {
                    return;
                }
                for row in from..(from + CHUNK).min(dataset.len()) {
                    worker.insert(index, dataset.row(row));
                }
            }
        })
    }

    fn search(&self, index: &Index<G>, ef: usize) -> Trial {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let warm = || Worker::warm(index, dataset, k, ef);
        self.trial(index, Some(self.bench.plan.window), warm, |turn, worker| {
            // Workers start at different queries, so that they do not walk the same paths at the same time.
            let mut query = turn.worker * dataset.query_count() / self.threads;
            // At least one, however late the worker gets its CPU: a row without operations says nothing.
            loop {
                worker.search(index, dataset.query(query), k, ef);
                query = (query + 1) % dataset.query_count();
                if turn.is_over() {
                    return;
                }
            }
        })
    }

    fn mix(&self, index: &Index<G>, workload: Workload, next: &AtomicUsize, ef: usize) -> Trial {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let (round, inserts) = workload.mix().unwrap_or((1, 0));
        let warm = || Worker::warm(index, dataset, k, ef);
        self.trial(index, Some(self.bench.plan.window), warm, |turn, worker| {
            let mut query = turn.worker * dataset.query_count() / self.threads;
            // Each worker enters the round at another step, so that inserts do not come in volleys.
            let first = turn.worker * round / self.threads;
            for step in first.. {
                // One whole round at least, so that each row has searches and inserts.
                if step >= first + round && turn.is_over() {
                    return;
                }
                if step % round < inserts {
                    // Relaxed: hands out numbers; the rows themselves never change.
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= dataset.len() {
                        return turn.end();
                    }
                    worker.insert(index, dataset.row(row));
                } else {
                    worker.search(index, dataset.query(query), k, ef);
                    query = (query + 1) % dataset.query_count();
                }
            }
        })
    }

    /// Mean recall@k over all queries, scored by distance.
    fn recall(&self, index: &Index<G>, ef: usize) -> f64 {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let (Some(truth), Ok(answers)) = (dataset.truth(), index.search_batch(dataset.queries(), k, ef))
        else {
            return 0.0;
        };
        let scores = answers.iter().enumerate().map(|(query, neighbors)| {
            truth.recall(query, k, neighbors.iter().map(|neighbor| neighbor.distance))
        });
        scores.sum::<f64>() / dataset.query_count() as f64
    }

    fn health(&self, index: &Index<G>) -> Health {
        index.graph().quiesce();
        let shape = GraphConfig { m: self.bench.plan.index.m, capacity: self.bench.plan.index.capacity };
        Health::of(&index.graph().read(), &shape)
    }

    fn row(&self, measured: Measured, health: &Health) -> Row {
        let Measured { workload, ef, trial, recall, mut memory } = measured;
        let plan = self.bench.plan;
        let oversubscribed = self.threads > self.bench.machine.allowed_cores;
        let (mut searches, mut inserts, mut refused) = (Latencies::new(), Latencies::new(), 0);
        for worker in &trial.results {
            searches.merge(&worker.searches);
            inserts.merge(&worker.inserts);
            refused += worker.refused;
            memory.scratch_bytes += worker.scratch.bytes();
        }
        let (before, after) = &trial.observed;
        let mut tainted = after.noise.since(&before.noise, oversubscribed);
        tainted.extend(trial.unpinned);
        tainted.extend((refused > 0).then(|| format!("the index refused {refused} operations")));
        Row {
            strategy: G::NAME.into(),
            workload: workload.name().into(),
            threads: self.threads,
            block: self.block,
            oversubscribed,
            seconds: trial.seconds,
            k: plan.k,
            ef,
            m: plan.index.m,
            ef_construction: plan.index.ef_construction,
            ops: Ops { search: searches.op(trial.seconds), insert: inserts.op(trial.seconds), remove: None },
            recall_at_k: recall,
            memory: Memory::new(&memory, rss_bytes().unwrap_or(0)),
            graph: record::Graph {
                live: health.live as u64,
                unreachable: health.unreachable as u64,
                zero_in_degree: health.zero_in_degree as u64,
                max_degree: health.max_degree as u64,
                digest: format!("{:016x}", health.digest),
            },
            contention: (after.contention - before.contention).into(),
            tainted,
        }
    }
}

/// One worker's scratch and measurements.
struct Worker {
    scratch: Scratch<F32>,
    searches: Latencies,
    inserts: Latencies,
    /// Operations that the index refused. There should be none: data and plan were checked.
    refused: u64,
}

/// Searches of each worker before the window opens: they size the scratch and fill the caches.
const WARM_UP: usize = 64;

impl Worker {
    fn new() -> Self {
        Worker { scratch: Scratch::new(), searches: Latencies::new(), inserts: Latencies::new(), refused: 0 }
    }

    /// One that has searched before, so that the window does not see its scratch grow.
    fn warm<G: Graph>(index: &Index<G>, dataset: &Dataset, k: usize, ef: usize) -> Self {
        let mut worker = Worker::new();
        for query in (0..dataset.query_count()).take(WARM_UP) {
            worker.search(index, dataset.query(query), k, ef);
        }
        Worker { scratch: worker.scratch, ..Worker::new() }
    }

    #[inline]
    fn search<G: Graph>(&mut self, index: &Index<G>, query: &[f32], k: usize, ef: usize) {
        let start = Instant::now();
        let found = index.search_with(query, k, ef, &mut self.scratch);
        self.searches.record(start.elapsed());
        self.refused += u64::from(std::hint::black_box(found).is_err());
    }

    #[inline]
    fn insert<G: Graph>(&mut self, index: &Index<G>, vector: &[f32]) {
        let start = Instant::now();
        let node = index.insert_with(vector, &mut self.scratch);
        self.inserts.record(start.elapsed());
        self.refused += u64::from(node.is_err());
    }
}
