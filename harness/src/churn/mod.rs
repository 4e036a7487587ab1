//! The `churn` subcommand: what answers are worth, and what garbage there is, while points come and go.
//!
//! - [`workload`]: what operations there are, and on what;
//! - `trial`: the window, which logs the interval of every operation;
//! - `history`: those intervals, and what they say about a node and a search;
//! - `score`: an answer against what must, may and cannot have been there.

mod args;
mod document;
mod history;
mod score;
mod table;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod trial;
pub mod workload;

pub use args::ChurnArgs;
pub use document::{Config, Dataset, Document, Freshness, Garbage, SCHEMA_VERSION, Site, Trial, parse};
pub(crate) use document::{Told, read};
pub(crate) use history::Clock;

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use hnsw_core::hnsw::IndexConfig;
use hnsw_core::sync::SiteCount;
use rayon::prelude::*;

use crate::blocks::{Blocks, Repeated, Turn, Watch};
use crate::data::{self, CodedBase};
use crate::footprint::Footprint;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record::{self, Conditions, Memory};
use crate::sweep::Outcome;
use crate::{output, progress};
use args::Planned;
use history::{Search, Target};
use score::{AGES, Ages, Score};
use trial::{Happened, Shape, Store};

/// Measures, and prints the table to `out`. `stop` ends it early; what was measured until then is kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer, or the index, was not what the contract promises.
pub fn run(args: &ChurnArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    args.check()?;
    let machine = Machine::detect();
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, machine, memory, stop)?;
    if outcome == Outcome::Interrupted && document.trials.is_empty() {
        eprintln!("stopped before the first trial had ended; nothing was written");
        return Ok(outcome);
    }
    table::print(&document, out)?;
    output::write_file(&document, args.output.out.as_deref(), out)?;
    let faults: Vec<String> = document
        .trials
        .iter()
        .flat_map(|trial| {
            trial.faults().into_iter().map(move |fault| {
                format!("{}: {} x{}: {fault}", trial.workload, trial.strategy, trial.threads)
            })
        })
        .collect();
    output::check_contract(&faults)?;
    Ok(outcome)
}

fn measure(
    args: &ChurnArgs,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Outcome)> {
    output::warn_of_debug_build();
    let dataset = args.data()?;
    let plan = args.plan(&machine, &dataset)?;
    let base = CodedBase::of(&dataset);
    let pin = &args.place.pin;
    let (started, canary) = (record::now_rfc3339(), Canary::new(pin.first_cpu(&machine)));
    let mut trials = Vec::new();
    let mut wanted = Vec::new();
    for planned in &plan.workloads {
        for subject in &plan.strategies {
            wanted.extend(plan.threads.iter().map(|threads| (planned, *subject, *threads)));
        }
    }
    let outcome =
        Blocks::new(args.blocks, args.seed).all(&wanted, |&(planned, subject, threads), turn| {
            let Planned { name, workload, points } = planned;
            let spinner =
                progress::spinner(format!("{name}: {} x{threads}", subject.name), args.output.quiet);
            let config = IndexConfig {
                m: workload.start.m.unwrap_or(args.graph.m),
                ..args.graph.index(&dataset, args.seed)
            };
            let shape = Shape {
                dataset: &dataset,
                cpus: pin.plan(&machine, threads),
                workload,
                points: *points,
                k: args.graph.k,
                ef: args.graph.ef,
                window: Duration::from_secs_f64(args.seconds),
                seed: args.seed,
            };
            let oversubscribed = pin.oversubscribes(&machine, threads);
            // What an index before left in the heap would pass for what this one takes.
            crate::alloc::trim();
            let before = Footprint::now();
            let (store, watch) = ((subject.make)(config)?, Watch::begin(&canary));
            let happened = trial::run(store.as_ref(), &shape, stop)?;
            // The thread that looks takes a CPU from a worker for a moment, and so does a reader, where there is none left.
            let others = 1 + usize::from(workload.reader.is_some());
            let crowded = pin.oversubscribes(&machine, threads + others);
            let (conditions, mut tainted) = watch.end(crowded);
            let disturbed = !tainted.is_empty();
            tainted.extend(happened.unpinned.clone());
            spinner.finish_and_clear();
            if happened.interrupted {
                return Ok(None);
            }
            let judged = judge(&happened, &shape, &base, args.sample);
            let of = Of {
                strategy: subject.name,
                workload: name,
                points: *points,
                threads,
                oversubscribed,
                turn,
                before,
                conditions,
            };
            trials.push(told(&of, store, happened, judged, tainted));
            Ok(Some(disturbed))
        })?;
    let place = |trial: &Trial| {
        let (workload, strategy, threads, _) = trial.point();
        wanted
            .iter()
            .position(|own| (own.0.name.as_str(), own.1.name, own.2) == (workload, strategy, threads))
    };
    trials.sort_by_cached_key(place);
    let placement = pin.seats(&machine, plan.threads.last().copied().unwrap_or(1));
    let document = Document {
        schema_version: SCHEMA_VERSION,
        started,
        command: std::env::args().collect(),
        machine,
        build: build_info(),
        dataset: described(&dataset),
        config: Config {
            workloads: plan.workloads.iter().map(|it| (it.name.clone(), it.workload.clone())).collect(),
            m: args.graph.m,
            ef_construction: args.graph.ef_construction,
            ef: args.graph.ef,
            k: args.graph.k,
            seconds: args.seconds,
            blocks: args.blocks.blocks,
            retries: args.blocks.retries,
            sample: args.sample,
            seed: args.seed,
            pin: pin.clone(),
            placement,
            memory_policy: Some(memory),
        },
        trials,
    };
    Ok((document, outcome))
}

/// What a document says about the data.
pub(crate) fn described(dataset: &data::Dataset) -> Dataset {
    Dataset {
        name: dataset.name().to_owned(),
        metric: dataset.metric().name().to_owned(),
        dim: dataset.dim(),
        rows: dataset.len(),
        queries: dataset.query_count(),
        digest: dataset.digest().to_hex().to_string(),
    }
}

/// What the answers of a window are worth.
struct Judged {
    /// Of searches for queries.
    scored: usize,
    recall: Option<[f64; 2]>,
    ages: Ages,
    ghosts: u64,
    short: u64,
}

/// Scores a sample of the searches, and looks for ghosts in all.
fn judge(happened: &Happened, shape: &Shape<'_>, base: &CodedBase, sample: usize) -> Judged {
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
struct Of<'a> {
    strategy: &'a str,
    workload: &'a str,
    points: usize,
    threads: usize,
    oversubscribed: bool,
    turn: Turn,
    /// The process when there was no index yet.
    before: Footprint,
    conditions: Conditions,
}

fn told(
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
        strategy: of.strategy.to_owned(),
        workload: of.workload.to_owned(),
        points: of.points,
        threads: of.threads,
        oversubscribed: of.oversubscribed,
        block: of.turn.block,
        attempt: of.turn.attempt,
        number: of.turn.number,
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
fn per_thousand(sites: &[SiteCount], operations: u64) -> Vec<Site> {
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
