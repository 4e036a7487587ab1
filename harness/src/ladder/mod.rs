//! The `ladder` subcommand: what each step of optimisation gives, from a textbook index behind one mutex upwards.
//!
//! - `naive`: that index;
//! - `rungs`: the steps, each of which adds one thing;
//! - `trial`: a build and a window of searches on one of them;
//! - `bench`: that, or all ways to share a query, in this process or in one of its own.
//!
//! With `--queue` another question: whether several threads should work on one query.
//!
//! - `queue`: how they do it;
//! - `contest`: beside a query for each thread.

mod args;
mod bench;
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

use anyhow::{Result, ensure};

use crate::apart::{self, Ground, Measure};
use crate::blocks::Blocks;
use crate::churn::described;
use crate::data::{TruthCache, TruthSource};
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::sweep::{Outcome, Patience};
use crate::{output, progress, record};
use bench::{Found, Task, Work};
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
        let outcome = outcome?;
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
    outcome.map_err(|error| output::cut_short(&error, args.output.out.as_deref()))
}

/// What was measured, and how it ended.
fn measure(
    args: &LadderArgs,
    machine: Machine,
    memory: MemoryInForce,
    cache: Option<&TruthCache>,
    stop: &AtomicBool,
) -> Result<(Document, Result<Outcome>)> {
    output::warn_of_debug_build();
    let (rungs, threads) = (args.chosen()?, args.thread_counts(&machine));
    // All of them first: what cannot be read is told before the time is spent.
    let chosen = args.distinct_sets();
    let datasets: Vec<_> = chosen.iter().map(|set| args.data(*set, cache, stop)).collect::<Result<_>>()?;
    let started = record::now_rfc3339();
    let first = args.place.pin.first_cpu(&machine);
    let reference = Canary::new(first).reference();
    let (mut sets, mut outcome) = (Vec::new(), Ok(Outcome::Complete));
    for (set, (dataset, truth)) in chosen.into_iter().zip(datasets) {
        let own = LadderArgs { sets: vec![set], ..args.clone() };
        let of = Of { args: &own, machine: &machine, name: dataset.name().to_owned() };
        let about = described(&dataset);
        let (machine, memory) = (machine.clone(), memory.clone());
        let ground = Ground { machine, memory, dataset, canary: Canary::after(reference, first) };
        let brought = truth == TruthSource::Given;
        let (mut samples, mut contests) = (Vec::new(), Vec::new());
        // What an earlier set gave is kept, whatever becomes of this one.
        outcome =
            apart::measurer(&own, args.apart.isolation(), ground, brought, stop).and_then(|mut measure| {
                match args.queue {
                    false => climb(&of, (&rungs, &threads), &mut measure, &mut samples),
                    true => contend(&of, &mut measure, &mut contests),
                }
            });
        if !samples.is_empty() || !contests.is_empty() {
            let (points, queue) = (document::points(&samples), contest::ways(&contests));
            sets.push(Climb { dataset: about, points, queue });
        }
        if !matches!(outcome, Ok(Outcome::Complete)) {
            break;
        }
    }
    let placement = args.place.pin.seats(&machine, threads.iter().copied().max().unwrap_or(1));
    let rung_names = rungs.iter().map(|rung| rung.name.to_owned()).collect();
    let document = Document {
        schema_version: SCHEMA_VERSION,
        started,
        command: std::env::args().collect(),
        machine,
        build: build_info(),
        config: Config {
            rungs: if args.queue { Vec::new() } else { rung_names },
            pops: if args.queue { args.pops.clone() } else { Vec::new() },
            threads,
            m: args.graph.m,
            ef_construction: args.graph.ef_construction,
            ef: args.graph.ef,
            k: args.graph.k,
            seconds: args.seconds,
            blocks: args.blocks.blocks,
            retries: args.blocks.retries,
            isolation: args.apart.isolation(),
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

/// What is measured on one set.
struct Of<'a> {
    args: &'a LadderArgs,
    machine: &'a Machine,
    /// Of the set.
    name: String,
}

/// Measures all rungs, block by block, into `samples`.
fn climb(
    of: &Of<'_>,
    (rungs, threads): (&[&'static Rung], &[usize]),
    measure: &mut Measure<'_, LadderArgs>,
    samples: &mut Vec<Sample>,
) -> Result<Outcome> {
    let wanted: Vec<(usize, usize)> =
        (0..rungs.len()).flat_map(|rung| threads.iter().map(move |threads| (rung, *threads))).collect();
    Blocks::new(of.args.blocks, of.args.seed).all(&wanted, |&(place, threads), turn| {
        let Rung { name, adds, .. } = *rungs[place];
        let task = Task { set: of.name.clone(), work: Work::Rung(name.to_owned(), threads), turn };
        let spinner = progress::spinner(task.to_string(), of.args.output.quiet);
        let oversubscribed = of.args.place.pin.oversubscribes(of.machine, threads);
        let mut again = false;
        let outcome = measure(&task, &mut |found| {
            if let Found::Rung { block, disturbed } = found {
                again = disturbed;
                samples.push(Sample { rung: place, name, adds, threads, oversubscribed, block });
            }
            true
        })?;
        spinner.finish_and_clear();
        Ok((outcome == Outcome::Complete).then_some(again))
    })
}

/// Measures the ways to answer queries, block by block, into `samples`.
fn contend(
    of: &Of<'_>,
    measure: &mut Measure<'_, LadderArgs>,
    samples: &mut Vec<contest::Sample>,
) -> Result<Outcome> {
    let mut patience = Patience::new(of.args.blocks.retries);
    Blocks::new(of.args.blocks, of.args.seed).all(&[()], |(), turn| {
        let task = Task { set: of.name.clone(), work: Work::Queue(patience), turn };
        let spinner = progress::spinner(task.to_string(), of.args.output.quiet);
        let outcome = measure(&task, &mut |found| {
            if let Found::Way(sample) = found {
                patience.count(sample.block.attempt);
                samples.push(*sample);
            }
            true
        })?;
        spinner.finish_and_clear();
        // Those that were disturbed were tried again on the same graph.
        Ok((outcome == Outcome::Complete).then_some(false))
    })
}
