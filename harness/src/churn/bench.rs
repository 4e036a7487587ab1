//! One trial, from its beginning to what is written of it: in the process of the command, or in one of its own.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use hnsw_core::hnsw::IndexConfig;
use hnsw_core::sync::SiteCount;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::args::ChurnArgs;
use super::document::{Freshness, Garbage, Site, Trial};
use super::history::{Search, Target};
use super::score::{self, AGES, Ages, Score};
use super::trial::{self, Happened, Shape, Store};
use super::workload::Workload;
use crate::apart::{Apart, Ground, Measure};
use crate::blocks::{Turn, Watch};
use crate::data::{CodedBase, Dataset};
use crate::flags::OutArgs;
use crate::footprint::Footprint;
use crate::machine::{Canary, Machine, PlaceArgs};
use crate::record::{Conditions, Memory};
use crate::sweep::Outcome;

/// A trial.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    /// Of the workload.
    pub(super) name: String,
    pub(super) workload: Workload,
    /// Points that are there when the window opens.
    pub(super) points: usize,
    pub(super) strategy: String,
    pub(super) threads: usize,
    pub(super) turn: Turn,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Found {
    pub(super) trial: Trial,
    /// Whether the machine disturbed it.
    pub(super) disturbed: bool,
}

impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} x{} in block {}", self.name, self.strategy, self.threads, self.turn.block)
    }
}

impl Apart for ChurnArgs {
    const COMMAND: &'static str = "churn";
    type Task = Task;
    type Found = Found;

    fn silent(self) -> ChurnArgs {
        ChurnArgs { output: OutArgs::NONE, ..self }
    }

    fn place(&self) -> &PlaceArgs {
        &self.place
    }

    fn load(&self) -> Result<Dataset> {
        self.data()
    }

    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, ChurnArgs>>> {
        let bench = Bench::new(self, ground, stop);
        Ok(Box::new(move |task, push| {
            let Some(found) = bench.trial(task)? else { return Ok(Outcome::Interrupted) };
            push(found);
            Ok(Outcome::Complete)
        }))
    }
}

/// What all trials of a process share.
struct Bench<'a> {
    args: &'a ChurnArgs,
    machine: Machine,
    dataset: Dataset,
    base: CodedBase,
    canary: Canary,
    stop: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    fn new(args: &'a ChurnArgs, ground: Ground, stop: &'a AtomicBool) -> Bench<'a> {
        let Ground { machine, dataset, canary, .. } = ground;
        let base = CodedBase::of(&dataset);
        Bench { args, machine, dataset, base, canary, stop }
    }

    /// Does one trial; `None` if the user stopped it.
    fn trial(&self, task: &Task) -> Result<Option<Found>> {
        let Bench { args, machine, dataset, base, canary, stop } = self;
        let Task { workload, points, threads, .. } = task;
        let pin = &args.place.pin;
        let config = IndexConfig {
            m: workload.start.m.unwrap_or(args.graph.m),
            ..args.graph.index(dataset, args.seed)
        };
        let shape = Shape {
            dataset,
            cpus: pin.plan(machine, *threads),
            workload,
            points: *points,
            k: args.graph.k,
            ef: args.graph.ef,
            window: Duration::from_secs_f64(args.seconds),
            seed: args.seed,
        };
        let make = trial::named(std::slice::from_ref(&task.strategy))?[0].make;
        // What an index before left in the heap would pass for what this one takes.
        crate::alloc::trim();
        let before = Footprint::now();
        let (store, watch) = (make(config)?, Watch::begin(canary));
        let happened = trial::run(store.as_ref(), &shape, stop)?;
        // The thread that looks takes a CPU from a worker for a moment, and so does a reader, where there is none left.
        let others = 1 + usize::from(workload.reader.is_some());
        let (conditions, mut tainted) = watch.end(pin.oversubscribes(machine, threads + others));
        let disturbed = !tainted.is_empty();
        tainted.extend(happened.unpinned.clone());
        if happened.interrupted {
            return Ok(None);
        }
        let judged = judge(&happened, &shape, base, args.sample);
        let oversubscribed = pin.oversubscribes(machine, *threads);
        let of = Of { task, oversubscribed, before, conditions };
        Ok(Some(Found { trial: told(&of, store, happened, judged, tainted), disturbed }))
    }
}

/// What the answers of a window are worth.
pub(super) struct Judged {
    /// Of searches for queries.
    scored: usize,
    recall: Option<[f64; 2]>,
    ages: Ages,
    ghosts: u64,
    short: u64,
}

/// Scores a sample of the searches, and looks for ghosts in all.
pub(super) fn judge(happened: &Happened, shape: &Shape<'_>, base: &CodedBase, sample: usize) -> Judged {
    let mut order: Vec<usize> = (0..happened.log.len()).collect();
    fastrand::Rng::with_seed(shape.seed).shuffle(&mut order);
    order.truncate(sample);
    let of = |search: &Search| {
        let distances = base.distances(trial::vector_of(shape.dataset, search.target));
        score::score(search, shape.k, &happened.lives, &distances)
    };
    let scores: Vec<(Target, Score)> =
        order.par_iter().map(|&search| (happened.log[search].target, of(&happened.log[search]))).collect();
    let asked: Vec<[f64; 2]> = scores
        .iter()
        .filter(|(target, _)| matches!(target, Target::Query(_)))
        .map(|(_, score)| score.recall)
        .collect();
    let mean = |bound: usize| asked.iter().map(|recall| recall[bound]).sum::<f64>() / asked.len() as f64;
    let mut ages = Ages::default();
    for (_, score) in &scores {
        for (sum, age) in ages.iter_mut().zip(score.ages) {
            sum.due += age.due;
            sum.found += age.found;
        }
    }
    let ghosts = |search: &Search| score::ghosts(search, &happened.lives).count() as u64;
    Judged {
        scored: asked.len(),
        recall: (!asked.is_empty()).then(|| [mean(0), mean(1)]),
        ages,
        ghosts: happened.log.par_iter().map(ghosts).sum(),
        short: scores.iter().filter(|(_, score)| score.short).count() as u64,
    }
}

/// What a trial was of.
pub(super) struct Of<'a> {
    pub(super) task: &'a Task,
    pub(super) oversubscribed: bool,
    /// The process when there was no index yet.
    pub(super) before: Footprint,
    pub(super) conditions: Conditions,
}

pub(super) fn told(
    of: &Of<'_>,
    store: Box<dyn Store>,
    mut happened: Happened,
    judged: Judged,
    tainted: Vec<String>,
) -> Trial {
    let operations = [&happened.searches, &happened.inserts, &happened.removals]
        .map(|tally| tally.operations())
        .iter()
        .sum();
    store.quiesce();
    let (health, memory) = (store.health(), store.memory());
    // The log is the harness's, and goes first.
    let logged = std::mem::take(&mut happened.log).len();
    crate::alloc::trim();
    let process = Footprint::now();
    let begin = Instant::now();
    drop(store);
    let teardown = begin.elapsed();
    Trial {
        strategy: of.task.strategy.clone(),
        workload: of.task.name.clone(),
        points: of.task.points,
        threads: of.task.threads,
        oversubscribed: of.oversubscribed,
        block: of.task.turn.block,
        attempt: of.task.turn.attempt,
        number: of.task.turn.number,
        seconds: happened.seconds,
        search: happened.searches.op(happened.seconds),
        insert: happened.inserts.op(happened.seconds),
        remove: happened.removals.op(happened.seconds),
        logged,
        scored: judged.scored,
        recall: judged.recall,
        freshness: AGES
            .iter()
            .zip(judged.ages)
            .map(|((_, age), count)| Freshness { age: (*age).to_owned(), due: count.due, found: count.found })
            .collect(),
        ghosts: judged.ghosts,
        short_answers: judged.short,
        garbage: Garbage {
            peak_bytes: happened.looks.iter().map(|look| look.bytes).max().unwrap_or(0),
            end_bytes: memory.retired_bytes + memory.snapshots_bytes,
            series: happened.looks.iter().map(|look| (look.seconds, look.bytes)).collect(),
        },
        memory: Memory::new(&memory, process),
        process_before: of.before,
        process_after: Footprint::now(),
        rss_series: happened.looks.iter().filter_map(|look| Some((look.seconds, look.resident?))).collect(),
        live: health.live,
        expected_live: happened.lives.live(),
        unreachable: health.unreachable,
        teardown_ms: teardown.as_secs_f64() * 1e3,
        sites: happened.sites.as_deref().map(|sites| per_thousand(sites, operations)),
        conditions: of.conditions,
        tainted,
    }
}

/// Counts for each thousand operations, the most frequent first.
pub(super) fn per_thousand(sites: &[SiteCount], operations: u64) -> Vec<Site> {
    let each = |count: u64| 1e3 * count as f64 / operations.max(1) as f64;
    let mut told: Vec<Site> = sites
        .iter()
        .map(|site| Site {
            site: site.site.clone(),
            file: site.file.clone(),
            access: site.access.to_owned(),
            count: each(site.count),
            lost: each(site.lost),
            waited_us: each(site.waited_ns) / 1e3,
            held_us: each(site.held_ns) / 1e3,
            amount: each(site.amount),
        })
        .collect();
    told.sort_by(|a, b| b.count.total_cmp(&a.count));
    told
}
