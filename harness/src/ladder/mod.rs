//! The `ladder` subcommand: what each step of optimisation gives, from a textbook index behind one mutex upwards.
//!
//! - `naive`: that index;
//! - `rungs`: the steps, each of which adds one thing;
//! - `trial`: a build and a window of searches on one of them.
//!
//! With `--queue` another question: whether several threads should work on one query.
//!
//! - `queue`: how they do it;
//! - `contest`: beside a query for each thread.

mod args;
mod contest;
mod document;
mod naive;
mod queue;
mod rungs;
mod table;
#[cfg(test)]
mod tests;
mod trial;

pub use args::{LadderArgs, Set};
pub use document::{
    ASKED, Asked, Block, Climb, Config, Document, Point, Rate, SCHEMA_VERSION, Way, WayBlock,
};

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::blocks::{self, Watch};
use crate::churn::described;
use crate::data::{self, TruthCache};
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::sweep::{Outcome, sample};
use crate::{output, progress, record};
use document::Sample;
use rungs::Rung;

/// Measures, and prints the tables to `out`. `stop` ends it early; what was measured until then is kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer of the shared queue was not what it must be.
pub fn run(args: &LadderArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    run_with(args, TruthCache::of_user().as_ref(), stop, out)
}

fn run_with(
    args: &LadderArgs,
    cache: Option<&TruthCache>,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<Outcome> {
    args.check()?;
    let machine = Machine::detect();
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, machine, memory, cache, stop)?;
    if document.sets.is_empty() {
        eprintln!("stopped before the first rung was measured; nothing was written");
        return Ok(outcome);
    }
    table::print(&document, out)?;
    output::write_file(&document, args.output.out.as_deref(), out)?;
    let ways = || document.sets.iter().flat_map(|set| &set.queue);
    let faulty: usize = ways().map(|way| way.faulty_answers).sum();
    ensure!(
        faulty == 0,
        "{faulty} answers name a node twice or are not in order; please report this with the command"
    );
    Ok(outcome)
}

fn measure(
    args: &LadderArgs,
    machine: Machine,
    memory: MemoryInForce,
    cache: Option<&TruthCache>,
    stop: &AtomicBool,
) -> Result<(Document, Outcome)> {
    output::warn_of_debug_build();
    let (rungs, threads) = (args.chosen()?, args.thread_counts(&machine));
    let (mut sets, mut outcome) = (Vec::new(), Outcome::Complete);
    // All of them first: what cannot be read is told before the time is spent.
    let datasets: Vec<_> =
        args.distinct_sets().into_iter().map(|set| args.data(set, cache, stop)).collect::<Result<_>>()?;
    let (started, canary) = (record::now_rfc3339(), Canary::new(args.place.pin.first_cpu(&machine)));
    let bench = Bench { args, machine: &machine, canary: &canary, stop };
    for dataset in &datasets {
        let (mut samples, mut contests) = (Vec::new(), Vec::new());
        outcome = match args.queue {
            false => climb(&bench, dataset, (&rungs, &threads), &mut samples)?,
            true => contend(&bench, dataset, &mut contests)?,
        };
        if !samples.is_empty() || !contests.is_empty() {
            let (points, queue) = (document::points(&samples), contest::ways(&contests));
            sets.push(Climb { dataset: described(dataset), points, queue });
        }
        if outcome == Outcome::Interrupted {
            break;
        }
    }
    let placement = args.place.pin.seats(&machine, threads.iter().copied().max().unwrap_or(1));
    let document = Document {
        schema_version: SCHEMA_VERSION,
        started,
        command: std::env::args().collect(),
        machine,
        build: build_info(),
        config: Config {
            rungs: if args.queue {
                Vec::new()
            } else {
                rungs.iter().map(|rung| rung.name.to_owned()).collect()
            },
            pops: if args.queue { args.pops.clone() } else { Vec::new() },
            threads,
            m: args.graph.m,
            ef_construction: args.graph.ef_construction,
            ef: args.graph.ef,
            k: args.graph.k,
            seconds: args.seconds,
            blocks: args.blocks,
            seed: args.seed,
            pin: args.place.pin.clone(),
            placement,
            memory_policy: memory,
        },
        asked: ASKED,
        sets,
    };
    Ok((document, outcome))
}

/// What all sets share.
struct Bench<'a> {
    args: &'a LadderArgs,
    machine: &'a Machine,
    canary: &'a Canary,
    stop: &'a AtomicBool,
}

/// Measures all rungs on a set, block by block, into `samples`.
fn climb(
    bench: &Bench<'_>,
    dataset: &data::Dataset,
    (rungs, threads): (&[&'static Rung], &[usize]),
    samples: &mut Vec<Sample>,
) -> Result<Outcome> {
    let Bench { args, machine, canary, stop } = *bench;
    let learnt = sample(dataset);
    for block in 0..args.blocks {
        let mut all: Vec<(usize, usize)> =
            (0..rungs.len()).flat_map(|rung| threads.iter().map(move |threads| (rung, *threads))).collect();
        blocks::shuffle(args.seed, block, &mut all);
        for (place, threads) in all {
            let rung = rungs[place];
            let what =
                format!("{}: block {}/{}, {} x{threads}", dataset.name(), block + 1, args.blocks, rung.name);
            let spinner = progress::spinner(what, args.output.quiet);
            let shape = trial::Shape {
                dataset,
                config: args.config(dataset),
                sample: &learnt,
                cpus: args.place.pin.plan(machine, threads),
                k: args.graph.k,
                ef: args.graph.ef,
                window: Duration::from_secs_f64(args.seconds),
                stop,
            };
            let (oversubscribed, watch) =
                (args.place.pin.oversubscribes(machine, threads), Watch::begin(canary));
            let measured = trial::run(rung.make, &shape)?;
            let (conditions, mut tainted) = watch.end(oversubscribed);
            spinner.finish_and_clear();
            let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
            tainted.extend(measured.unpinned);
            samples.push(Sample {
                rung: place,
                name: rung.name,
                adds: rung.adds,
                threads,
                oversubscribed,
                block: Block {
                    block,
                    inserts_per_second: measured.inserts_per_second,
                    queries_per_second: measured.queries_per_second,
                    recall: measured.recall,
                    conditions,
                    tainted,
                },
            });
        }
    }
    Ok(Outcome::Complete)
}

/// Measures the ways to answer queries on a set, block by block, into `samples`.
fn contend(
    bench: &Bench<'_>,
    dataset: &data::Dataset,
    samples: &mut Vec<contest::Sample>,
) -> Result<Outcome> {
    let Bench { args, machine, canary, stop } = *bench;
    let spinner = progress::spinner(format!("{}: the graph", dataset.name()), args.output.quiet);
    let ground = contest::Ground::new(dataset, args.config(dataset), stop)?;
    spinner.finish_and_clear();
    let Some(ground) = ground else { return Ok(Outcome::Interrupted) };
    for block in 0..args.blocks {
        let mut ways = args.ways(machine);
        blocks::shuffle(args.seed, block, &mut ways);
        for (kind, threads) in ways {
            let what =
                format!("{}: block {}/{}, {kind:?} x{threads}", dataset.name(), block + 1, args.blocks);
            let spinner = progress::spinner(what, args.output.quiet);
            let shape = contest::Shape {
                dataset,
                cpus: args.place.pin.plan(machine, threads),
                k: args.graph.k,
                ef: args.graph.ef,
                window: Duration::from_secs_f64(args.seconds),
                stop,
            };
            let (oversubscribed, watch) =
                (args.place.pin.oversubscribes(machine, threads), Watch::begin(canary));
            let measured = contest::run(&ground, kind, &shape)?;
            let seen = watch.end(oversubscribed);
            spinner.finish_and_clear();
            let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
            let which = (kind, threads, block);
            samples.push(contest::Sample::of(which, oversubscribed, dataset, args.graph.k, &measured, seen)?);
        }
    }
    Ok(Outcome::Complete)
}
