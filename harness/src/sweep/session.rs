//! One strategy at one thread count: build, search, mix, and what the graph is like afterwards.

use super::latency::Latencies;
use super::workers::{self, Window};
use super::{Outcome, Plan, Workload};
use crate::alloc::rss_bytes;
use crate::data::Dataset;
use crate::machine::{Machine, Noise};
use crate::record::{self, Key, Memory, Ops, Row};
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Contention, Graph, GraphConfig};
use hnsw_core::hnsw::{Index, Scratch};
use hnsw_core::vectors::F32;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

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

/// One worker's measurements.
struct Worked {
    searches: Latencies,
    inserts: Latencies,
    scratch_bytes: usize,
}

/// The parts of a row that a trial has measured.
struct Measured {
    workload: Workload,
    ef: Option<usize>,
    window: Window<Worked>,
    recall: Option<f64>,
    contention: Contention,
    tainted: Vec<String>,
}

impl<G: Graph> Session<'_, G> {
    fn index(&self) -> Index<G> {
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
        if wants_build {
            let measured =
                self.measure(&index, Workload::Build, None, |window_over| self.build(&index, window_over))?;
            let health = self.health(&index);
            push(self.row(&index, measured, &health)).then_some(())?;
        } else {
            self.fill(&index, 0, self.bench.dataset.len())?;
        }
        let health = self.health(&index);
        for ef in efs {
            let mut measured =
                self.measure(&index, Workload::Search, Some(ef), |_| self.search(&index, ef))?;
            measured.recall = Some(self.recall(&index, ef));
            push(self.row(&index, measured, &health)).then_some(())?;
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
            self.measure(&index, workload, Some(ef), |_| self.mix(&index, workload, &next, ef))?;
        // What was not inserted in the window comes in now, so that recall has an exact answer to be scored against.
        self.fill(&index, next.into_inner().min(base), base)?;
        measured.recall = Some(self.recall(&index, ef));
        let health = self.health(&index);
        push(self.row(&index, measured, &health)).then_some(())
    }

    /// Runs one trial between two looks at the machine.
    fn measure(
        &self,
        index: &Index<G>,
        workload: Workload,
        ef: Option<usize>,
        trial: impl FnOnce(&AtomicBool) -> Window<Worked>,
    ) -> Option<Measured> {
        index.graph().quiesce();
        let (noise, contention) = (Noise::now(), index.graph().contention());
        let window = trial(self.bench.stop);
        let mut tainted = Noise::now().since(&noise);
        tainted.extend(window.unpinned.clone());
        let contention = index.graph().contention() - contention;
        let measured = Measured { workload, ef, window, recall: None, contention, tainted };
        (!measured.window.interrupted && !self.bench.stopped()).then_some(measured)
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

    fn build(&self, index: &Index<G>, stop: &AtomicBool) -> Window<Worked> {
        let dataset = self.bench.dataset;
        let next = AtomicUsize::new(0);
        workers::run(
            &self.cpus,
            None,
            stop,
            |_| Worker::new(),
            |turn, mut worker| {
                loop {
                    // Relaxed: hands out numbers; the rows themselves never change.
                    let from = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if from >= dataset.len() || turn.is_over() {
                        return worker.done();
                    }
                    for row in from..(from + CHUNK).min(dataset.len()) {
                        worker.insert(index, dataset.row(row));
                    }
                }
            },
        )
    }

    fn search(&self, index: &Index<G>, ef: usize) -> Window<Worked> {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        workers::run(
            &self.cpus,
            Some(self.bench.plan.window),
            self.bench.stop,
            |_| {
                let mut worker = Worker::new();
                worker.warm(index, dataset, k, ef);
                worker
            },
            |turn, mut worker| {
                // Workers start at different queries, so that they do not walk the same paths at the same time.
                let mut query = turn.worker * dataset.query_count() / self.threads;
                while !turn.is_over() {
                    worker.search(index, dataset.query(query), k, ef);
                    query = (query + 1) % dataset.query_count();
                }
                worker.done()
            },
        )
    }

    fn mix(&self, index: &Index<G>, workload: Workload, next: &AtomicUsize, ef: usize) -> Window<Worked> {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let (round, inserts) = workload.mix().unwrap_or((1, 0));
        workers::run(
            &self.cpus,
            Some(self.bench.plan.window),
            self.bench.stop,
            |_| {
                let mut worker = Worker::new();
                worker.warm(index, dataset, k, ef);
                worker
            },
            |turn, mut worker| {
                let mut query = turn.worker * dataset.query_count() / self.threads;
                // Each worker enters the round at another step, so that inserts do not come in volleys.
                for step in turn.worker * round / self.threads.. {
                    if turn.is_over() {
                        break;
                    }
                    if step % round < inserts {
                        // Relaxed: hands out numbers; the rows themselves never change.
                        let row = next.fetch_add(1, Ordering::Relaxed);
                        if row >= dataset.len() {
                            break;
                        }
                        worker.insert(index, dataset.row(row));
                    } else {
                        worker.search(index, dataset.query(query), k, ef);
                        query = (query + 1) % dataset.query_count();
                    }
                }
                worker.done()
            },
        )
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

    fn row(&self, index: &Index<G>, measured: Measured, health: &Health) -> Row {
        let plan = self.bench.plan;
        let seconds = measured.window.seconds;
        let mut report = index.memory();
        let (mut searches, mut inserts) = (Latencies::new(), Latencies::new());
        for worked in &measured.window.results {
            searches.merge(&worked.searches);
            inserts.merge(&worked.inserts);
            report.scratch_bytes += worked.scratch_bytes;
        }
        Row {
            strategy: G::NAME.into(),
            workload: measured.workload.name().into(),
            threads: self.threads,
            block: self.block,
            oversubscribed: self.threads > self.bench.machine.allowed_cores,
            seconds,
            k: plan.k,
            ef: measured.ef,
            m: plan.index.m,
            ef_construction: plan.index.ef_construction,
            ops: Ops { search: searches.op(seconds), insert: inserts.op(seconds), remove: None },
            recall_at_k: measured.recall,
            memory: Memory::new(&report, rss_bytes().unwrap_or(0)),
            graph: record::Graph {
                live: health.live as u64,
                unreachable: health.unreachable as u64,
                zero_in_degree: health.zero_in_degree as u64,
                max_degree: health.max_degree as u64,
                digest: format!("{:016x}", health.digest),
            },
            contention: measured.contention.into(),
            tainted: measured.tainted,
        }
    }
}

/// One worker's scratch and histograms.
struct Worker {
    scratch: Scratch<F32>,
    searches: Latencies,
    inserts: Latencies,
}

/// Searches of each worker before the window opens: they size the scratch and fill the caches.
const WARM_UP: usize = 64;

impl Worker {
    fn new() -> Self {
        Worker { scratch: Scratch::new(), searches: Latencies::new(), inserts: Latencies::new() }
    }

    fn warm<G: Graph>(&mut self, index: &Index<G>, dataset: &Dataset, k: usize, ef: usize) {
        for query in (0..dataset.query_count()).take(WARM_UP) {
            let found = index.search_with(dataset.query(query), k, ef, &mut self.scratch);
            debug_assert!(found.is_ok());
        }
    }

    #[inline]
    fn search<G: Graph>(&mut self, index: &Index<G>, query: &[f32], k: usize, ef: usize) {
        let start = Instant::now();
        let found = index.search_with(query, k, ef, &mut self.scratch);
        self.searches.record(start.elapsed());
        std::hint::black_box(found.map_or(0, <[_]>::len));
    }

    #[inline]
    fn insert<G: Graph>(&mut self, index: &Index<G>, vector: &[f32]) {
        let start = Instant::now();
        let node = index.insert_with(vector, &mut self.scratch);
        self.inserts.record(start.elapsed());
        debug_assert!(node.is_ok(), "the data set was checked and the index is large enough");
    }

    fn done(self) -> Worked {
        Worked { searches: self.searches, inserts: self.inserts, scratch_bytes: self.scratch.bytes() }
    }
}
