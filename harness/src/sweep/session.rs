//! One strategy with one codec at one thread count: build, search, mix, and what the graph is like afterwards.

use super::log::Log;
use super::pace::Pace;
use super::patience::Patience;
use super::plan::Session as Which;
use super::recall::recall;
use super::script::{Round, Script};
use super::standing::{Kept, Known, Standing};
use super::workers::{self, Turn, Window};
use super::{Outcome, Plan, Workload};
use crate::blocks::judged;
use crate::counters::{self, Counting};
use crate::data::Dataset;
use crate::footprint::Footprint;
use crate::machine::canary::Canary;
use crate::machine::{Machine, Noise, pin_current_thread};
use crate::record::{self, Conditions, Key, Memory, Ops, Phases, Row};
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Contention, MemoryReport};
use hnsw_core::hnsw::Stopwatch;
use hnsw_erased::{Bed, EDIT};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What all sessions of a sweep share.
pub struct Bench<'a> {
    plan: &'a Plan,
    machine: &'a Machine,
    dataset: &'a Dataset,
    /// What codecs learn from.
    sample: &'a [f32],
    /// What tells whether the machine is as it was.
    canary: &'a Canary,
    stop: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    /// Everything that a session needs besides what tells it from others. `sample` is what codecs learn from.
    pub fn new(
        plan: &'a Plan,
        machine: &'a Machine,
        dataset: &'a Dataset,
        sample: &'a [f32],
        canary: &'a Canary,
        stop: &'a AtomicBool,
    ) -> Self {
        Bench { plan, machine, dataset, sample, canary, stop }
    }

    /// Distances and hops of a search, on average over all queries. A window asks some of them once more than others, so what
    /// its searches did depends on how far they came; this does not.
    fn work_of_a_search(&self, index: &dyn Bed, workload: Workload, ef: usize) -> Option<[f64; 2]> {
        let dataset = self.dataset;
        let round = workload.search();
        let all = Round { least: dataset.query_count().div_ceil(round.queries), ..round };
        let (turn, none_left, mut log) = (Turn::ended(0), AtomicUsize::new(dataset.len()), Log::new(0));
        let mut script = Script::new(&turn, 1, dataset, all, &none_left, (self.plan.k, ef));
        index.hands().work(&mut script, &mut log);
        log.searches.work_per_operation()
    }

    /// Mean recall@k over all queries, scored by distance.
    fn recall(&self, index: &dyn Bed, ef: usize) -> f64 {
        recall(index, self.dataset, self.plan.k, ef)
    }

    fn stopped(&self) -> bool {
        // Relaxed [session-stop]: a wish; nothing is read because of it.
        self.stop.load(Ordering::Relaxed)
    }

    fn progress(&self) -> ControlFlow<()> {
        if self.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Measures the rows `wanted` of one session and hands each to `push`, which returns false to stop. Takes indexes from `kept`,
/// and leaves them there if the plan says so. What was disturbed comes again while there is `patience`.
pub fn session(
    bench: &Bench<'_>,
    kept: &mut Kept,
    patience: &mut Patience,
    which: &Which,
    wanted: &BTreeSet<Key>,
    push: &mut dyn FnMut(Row) -> bool,
) -> Outcome {
    let cpus = bench.plan.placement.plan(bench.machine, which.threads);
    let mut session = Session { bench, kept, patience, which, cpus, wanted, push };
    if session.all().is_some() { Outcome::Complete } else { Outcome::Interrupted }
}

struct Session<'a> {
    bench: &'a Bench<'a>,
    kept: &'a mut Kept,
    patience: &'a mut Patience,
    which: &'a Which,
    cpus: Vec<Option<usize>>,
    wanted: &'a BTreeSet<Key>,
    push: &'a mut dyn FnMut(Row) -> bool,
}

/// What is read at either end of a window.
struct Observed {
    noise: Noise,
    contention: Contention,
}

/// One window with what its workers measured.
type Trial = Window<Log, Observed>;

/// The parts of a row that a trial has measured.
struct Measured {
    workload: Workload,
    ef: Option<usize>,
    trial: Trial,
    recall: Option<f64>,
    /// Distances and hops of a search, where every query was asked once to count them.
    work: Option<[f64; 2]>,
    /// At the end of the window, before anything is freed, filled in or asked.
    memory: MemoryReport,
    /// How often it was tried before in this block.
    attempt: usize,
    conditions: Conditions,
    /// What the machine did that makes it worth another try.
    disturbed: Vec<String>,
}

/// `None` from any of these means that the sweep is to end.
impl Session<'_> {
    fn all(&mut self) -> Option<()> {
        // What inserts one by one, and what searches that, comes first: a build is then always the first thing in its process.
        self.built(Workload::Build, &[Workload::Search, Workload::SearchBatch, Workload::SearchWriter])?;
        let mut rest: [fn(&mut Self) -> Option<()>; 6] = [
            |session| session.built(Workload::Bulk, &[Workload::BulkSearch, Workload::BulkSearchBatch]),
            |session| session.mixed(&[Workload::Mixed]),
            |session| session.mixed(&[Workload::WriteHeavy]),
            // Searches leave an index as it is, so the readers can go first and the writers work on the same.
            |session| session.mixed(&[Workload::ReaderAlone, Workload::ReaderWriter]),
            |session| session.mixed(&[Workload::WriterAlone]),
            |session| session.built(Workload::Phases, &[]),
        ];
        self.bench.plan.shuffle(self.which.block, &mut rest);
        rest.into_iter().try_for_each(|part| part(self))
    }

    fn wants(&self, workload: Workload) -> bool {
        self.wanted.iter().any(|key| key.workload == workload.name())
    }

    fn index(&self) -> Box<dyn Bed> {
        crate::alloc::trim();
        let made = self.which.strategy.index(self.which.codec, self.bench.plan.index, self.bench.sample);
        // The plan has checked that the codec exists and fits the data, and every parameter.
        made.and_then(Result::ok).expect("a checked configuration")
    }

    /// Builds, and searches what was built.
    fn built(&mut self, build: Workload, searches: &[Workload]) -> Option<()> {
        let efs = |workload: &Workload| {
            let own = self.wanted.iter().filter(|key| key.workload == workload.name());
            own.filter_map(|key| Some((*workload, key.ef?))).collect::<Vec<_>>()
        };
        let mut searches: Vec<(Workload, usize)> = searches.iter().flat_map(efs).collect();
        self.bench.plan.shuffle(self.which.block, &mut searches);
        // It turns lists around, and a search that meets them in another order may take another way.
        searches.sort_by_key(|(workload, _)| *workload == Workload::SearchWriter);
        if !self.wants(build) && searches.is_empty() {
            return Some(());
        }
        let standing = match self.kept.get(self.which, build) {
            Some(standing) => standing,
            None => Rc::new(self.raise(build)?),
        };
        if self.bench.plan.keep {
            self.kept.put(self.which, build, &standing);
        }
        let Standing { index, health } = &*standing;
        for (workload, ef) in searches {
            let mut known = None;
            for attempt in 0.. {
                let mut measured = self.measure(&**index, workload, Some(ef), attempt)?;
                let learn = || Known {
                    recall: self.bench.recall(&**index, ef),
                    work: self.bench.work_of_a_search(&**index, workload, ef),
                };
                // Of one index it is always the same.
                let known =
                    *known.get_or_insert_with(|| self.kept.known(self.which, build, (workload, ef), learn));
                (measured.recall, measured.work) = (Some(known.recall), known.work);
                let again = self.again(&measured);
                self.push(measured, health)?;
                if !again {
                    break;
                }
            }
        }
        Some(())
    }

    /// An index of all rows; how it was built is a row if one is wanted.
    fn raise(&mut self, build: Workload) -> Option<Standing> {
        if !self.wants(build) {
            let index = self.index();
            self.fill(&*index, 0, self.bench.dataset.len(), build)?;
            let health = health(&*index);
            return Some(Standing { index, health });
        }
        let mut attempt = 0;
        loop {
            let index = self.index();
            let measured = self.measure(&*index, build, None, attempt)?;
            let health = health(&*index);
            let again = self.again(&measured);
            self.push(measured, &health)?;
            if !again {
                return Some(Standing { index, health });
            }
            attempt += 1;
        }
    }

    /// Workloads, one after another, on an index that holds a part of the rows. Only the last one may insert. Those that were
    /// disturbed come again, on an index of their own.
    fn mixed(&mut self, workloads: &[Workload]) -> Option<()> {
        let mut left: Vec<Workload> = workloads.iter().copied().filter(|w| self.wants(*w)).collect();
        for attempt in 0.. {
            if left.is_empty() {
                break;
            }
            left = self.mixed_once(&left, attempt)?;
        }
        Some(())
    }

    /// Returns the workloads that are to be tried again.
    fn mixed_once(&mut self, workloads: &[Workload], attempt: usize) -> Option<Vec<Workload>> {
        let first = *workloads.first()?;
        let index = self.index();
        let base = self.bench.dataset.len();
        let mut there = first.prefill(base);
        self.fill(&*index, 0, there, first)?;
        let ef = self.bench.plan.mixed_ef;
        let mut rows = Vec::new();
        for &workload in workloads {
            let ef = workload.searches().then_some(ef);
            let measured = self.measure(&*index, workload, ef, attempt)?;
            there += measured.trial.results.iter().map(|log| log.inserts.operations()).sum::<u64>() as usize;
            rows.push((measured, health(&*index)));
        }
        // What was not inserted in the window comes in now, so that recall has an exact answer to be scored against.
        self.fill(&*index, there.min(base), base, first)?;
        let recall = self.bench.recall(&*index, ef);
        let mut again = Vec::new();
        for (mut measured, health) in rows {
            measured.recall = measured.ef.map(|_| recall);
            if self.again(&measured) {
                again.push(measured.workload);
            }
            self.push(measured, &health)?;
        }
        Some(again)
    }

    /// Runs one trial and looks at the index at once. A canary sings before and after.
    fn measure(
        &self,
        index: &dyn Bed,
        workload: Workload,
        ef: Option<usize>,
        attempt: usize,
    ) -> Option<Measured> {
        index.quiesce();
        let before = self.bench.canary.sing_or_echo();
        let trial = self.trial(index, workload, ef);
        let memory = index.memory();
        if trial.interrupted || self.bench.stopped() {
            return None;
        }
        let after = self.bench.canary.sing();
        let (conditions, disturbed) = self.disturbances(&trial, workload, before, after);
        Some(Measured {
            workload,
            ef,
            trial,
            recall: None,
            work: None,
            memory,
            attempt,
            conditions,
            disturbed,
        })
    }

    /// What the machine did during a trial, and what of it is beyond what is tolerable.
    fn disturbances(
        &self,
        trial: &Trial,
        workload: Workload,
        before: record::Canary,
        after: record::Canary,
    ) -> (Conditions, Vec<String>) {
        let (first, last) = &trial.observed;
        let seen = last.noise.disturbance(&first.noise);
        let beside = usize::from(workload == Workload::SearchWriter);
        let crowded =
            self.bench.plan.placement.oversubscribes(self.bench.machine, self.which.threads + beside);
        judged(&seen, crowded, before, after)
    }

    fn trial(&self, index: &dyn Bed, workload: Workload, ef: Option<usize>) -> Trial {
        let window = Some(self.bench.plan.window);
        let writers = self.which.threads / 2;
        match workload {
            Workload::Build => self.steps(index, &self.cpus, None, workload, ef, |_| Round::BUILD),
            Workload::Search | Workload::SearchBatch | Workload::BulkSearch | Workload::BulkSearchBatch => {
                self.steps(index, &self.cpus, window, workload, ef, |_| workload.search())
            }
            Workload::SearchWriter => self.beside_a_writer(index, ef.unwrap_or(self.bench.plan.k)),
            Workload::Mixed | Workload::WriteHeavy => {
                let round = workload.mix().unwrap_or(Round::SEARCH);
                self.steps(index, &self.cpus, window, workload, ef, |_| round)
            }
            // Each role has the same CPUs alone as beside the other one.
            Workload::ReaderWriter => self.steps(index, &self.cpus, window, workload, ef, |worker| {
                if worker < writers { Round::WRITE } else { Round::SEARCH }
            }),
            Workload::ReaderAlone => {
                self.steps(index, &self.cpus[writers..], window, workload, ef, |_| Round::SEARCH)
            }
            Workload::WriterAlone => {
                self.steps(index, &self.cpus[..writers], window, workload, ef, |_| Round::WRITE)
            }
            Workload::Phases => self.phases(index),
            Workload::Bulk => self.bulk(index),
        }
    }

    fn observed(&self, index: &dyn Bed) -> Observed {
        Observed { noise: Noise::now(), contention: index.contention() }
    }

    /// Runs a round of operations on each of some workers.
    fn steps(
        &self,
        index: &dyn Bed,
        cpus: &[Option<usize>],
        limit: Option<Duration>,
        workload: Workload,
        ef: Option<usize>,
        round: impl Fn(usize) -> Round + Sync,
    ) -> Trial {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let there = workload.prefill(dataset.len());
        let next_row = AtomicUsize::new(there);
        let (beam, counted) = ((k, ef.unwrap_or(k)), self.bench.plan.counters);
        workers::run_counted(
            cpus,
            limit,
            self.bench.stop,
            || self.observed(index),
            |worker| {
                let mut hands = index.hands();
                if ef.is_some() {
                    // A worker that has searched before does not grow its scratch in the window.
                    let warm_up = match workload.search() {
                        Round::SEARCH => Round { least: WARM_UP, ..Round::SEARCH },
                        calls => calls,
                    };
                    let turn = Turn::ended(worker);
                    let mut script = Script::new(&turn, cpus.len(), dataset, warm_up, &next_row, beam);
                    hands.work(&mut script, &mut Log::new(0));
                }
                (hands, counters::open_if(counted))
            },
            |turn, mut hands| {
                let round = round(turn.worker);
                let mut script = Script::new(turn, cpus.len(), dataset, round, &next_row, beam);
                let mut log = Log::new(k.min(there));
                hands.work(&mut script, &mut log);
                log.scratch_bytes = hands.scratch_bytes();
                log
            },
        )
    }

    /// A build that looks at the clock at each step of an insert.
    fn phases(&self, index: &dyn Bed) -> Trial {
        let (dataset, k) = (self.bench.dataset, self.bench.plan.k);
        let (next_row, threads) = (AtomicUsize::new(0), self.cpus.len());
        let counted = self.bench.plan.counters;
        workers::run_counted(
            &self.cpus,
            None,
            self.bench.stop,
            || self.observed(index),
            |_| (index.hands(), counters::open_if(counted)),
            |turn, mut hands| {
                let mut script = Script::new(turn, threads, dataset, Round::BUILD, &next_row, (k, k));
                let (mut log, mut watch) = (Log::new(0), Stopwatch::new());
                hands.work_in_phases(&mut script, &mut log, &mut watch);
                log.spent(&watch);
                log.scratch_bytes = hands.scratch_bytes();
                log
            },
        )
    }

    /// Searches beside one more thread, which changes lists at a set rate.
    fn beside_a_writer(&self, index: &dyn Bed, ef: usize) -> Trial {
        let (bench, threads) = (self.bench, self.which.threads);
        let (dataset, k, counted) = (bench.dataset, bench.plan.k, bench.plan.counters);
        let cpus = bench.plan.placement.plan(bench.machine, threads + 1);
        let none_left = AtomicUsize::new(dataset.len());
        workers::run_counted(
            &cpus,
            Some(bench.plan.window),
            bench.stop,
            || self.observed(index),
            // What the row tells is of one search, so the writer is left out.
            |worker| (index.hands(), counters::open_if(counted && worker < threads)),
            |turn, mut hands| {
                let mut log = Log::new(k.min(dataset.len()));
                if turn.worker == threads {
                    let mut pace = Pace::new(bench.plan.update_rate / EDIT as f64);
                    // One edit at least, however late the thread gets its CPU.
                    let mut first = true;
                    log.updates = index.churn(&mut || std::mem::take(&mut first) || pace.wait(turn));
                } else {
                    let mut script = Script::new(turn, threads, dataset, Round::SEARCH, &none_left, (k, ef));
                    hands.work(&mut script, &mut log);
                    log.scratch_bytes = hands.scratch_bytes();
                }
                log
            },
        )
    }

    /// One call that inserts all rows, on a thread pool of as many workers as the session has.
    fn bulk(&self, index: &dyn Bed) -> Trial {
        let (dataset, counted) = (self.bench.dataset, self.bench.plan.counters);
        let unpinned = Arc::new(Mutex::new(None));
        let pool = pool(&self.cpus, &unpinned);
        let mut trial = workers::run_counted(
            &[None],
            None,
            self.bench.stop,
            || self.observed(index),
            |_| ((), if counted { pool.broadcast(|_| Counting::open()) } else { Vec::new() }),
            |turn, ()| {
                let mut log = Log::new(0);
                let progress =
                    |_| if turn.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                let start = Instant::now();
                let done = pool.install(|| index.bulk(dataset.base(), &progress));
                log.inserts.add(start.elapsed(), dataset.len() as u64);
                log.refused += u64::from(!done);
                log
            },
        );
        trial.unpinned = unpinned.lock().ok().and_then(|reason| reason.clone());
        trial
    }

    /// Inserts rows without measuring: as the workload that they are for does.
    fn fill(&self, index: &dyn Bed, from: usize, to: usize, workload: Workload) -> Option<()> {
        let dim = self.bench.dataset.dim();
        let rows = &self.bench.dataset.base()[from * dim..to * dim];
        let progress = |_| self.bench.progress();
        // The data set has been checked and the index is large enough, so only a wish to stop can end this early.
        let filled = match workload {
            _ if rows.is_empty() => true,
            Workload::Bulk => index.bulk(rows, &progress),
            _ => index.fill(rows, &progress),
        };
        filled.then_some(())
    }

    /// Whether to try again; asked once of each trial.
    fn again(&mut self, measured: &Measured) -> bool {
        self.patience.again(!measured.disturbed.is_empty(), measured.attempt)
    }

    fn push(&mut self, measured: Measured, health: &Health) -> Option<()> {
        let row = self.row(measured, health);
        (self.push)(row).then_some(())
    }

    fn row(&self, measured: Measured, health: &Health) -> Row {
        let Measured { workload, ef, trial, recall, work, mut memory, attempt, conditions, disturbed } =
            measured;
        let (plan, which) = (self.bench.plan, self.which);
        let oversubscribed = plan.placement.oversubscribes(self.bench.machine, which.threads);
        let mut all = Log::new(0);
        trial.results.iter().for_each(|log| all.merge(log));
        memory.scratch_bytes += all.scratch_bytes;
        let (before, after) = &trial.observed;
        let mut tainted = disturbed;
        tainted.extend(trial.unpinned);
        tainted.extend((all.refused > 0).then(|| format!("the index refused {} operations", all.refused)));
        let inserts = all.inserts.operations();
        let operations = inserts + all.searches.operations();
        let mut search = all.searches.op(trial.seconds);
        if let (Some(op), Some([evaluations, hops])) = (&mut search, work) {
            (op.evaluations_per_op, op.hops_per_op) = (Some(evaluations), Some(hops));
        }
        Row {
            strategy: which.strategy.name().into(),
            codec: which.codec.into(),
            workload: workload.name().into(),
            threads: which.threads,
            block: which.block,
            attempt,
            oversubscribed,
            seconds: trial.seconds,
            k: plan.k,
            ef,
            m: plan.index.m,
            ef_construction: plan.index.ef_construction,
            ops: Ops { search, insert: all.inserts.op(trial.seconds), remove: None },
            recall_at_k: recall,
            short_answers: workload.searches().then_some(all.short),
            phases: (workload == Workload::Phases).then(|| Phases::per_insert(&all.phases, inserts)),
            updates_per_second: (workload == Workload::SearchWriter)
                .then(|| all.updates as f64 / trial.seconds),
            memory: Memory::new(&memory, Footprint::now()),
            graph: record::Graph {
                live: health.live as u64,
                unreachable: health.unreachable as u64,
                zero_in_degree: health.zero_in_degree as u64,
                max_degree: health.max_degree as u64,
                digest: format!("{:016x}", health.digest),
            },
            contention: (after.contention - before.contention).into(),
            counters: plan.counters.then(|| counters::per_operation(&trial.counts, operations)),
            conditions: Some(conditions),
            tainted,
        }
    }
}

fn health(index: &dyn Bed) -> Health {
    index.quiesce();
    index.health()
}

/// A thread pool with a worker on each of these CPUs. Why one could not be pinned goes to `unpinned`.
pub(crate) fn pool(cpus: &[Option<usize>], unpinned: &Arc<Mutex<Option<String>>>) -> rayon::ThreadPool {
    let (cpus, unpinned, threads) = (cpus.to_vec(), Arc::clone(unpinned), cpus.len());
    let pin = move |worker: usize| {
        let failed = cpus[worker].and_then(|cpu| pin_current_thread(cpu).err());
        if let (Some(error), Ok(mut unpinned)) = (failed, unpinned.lock()) {
            *unpinned = Some(error.to_string());
        }
    };
    // It fails where threads cannot be had, as does the start of any other worker.
    rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(pin).build().expect("threads")
}

/// Searches of each worker before the window opens: they size the scratch and fill the caches.
const WARM_UP: usize = 64;
