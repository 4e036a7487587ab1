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

use crate::apart::{Processes, Setting};
use crate::blocks::Blocks;
use crate::churn::described;
use crate::data::{self, TruthCache, TruthSource};
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record::Isolation;
use crate::sweep::Outcome;
use crate::{output, progress, record};
use bench::{Asked as Wanted, Bench, Found, Task};
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
    let canary = Canary::new(args.place.pin.first_cpu(&machine));
    let (mut sets, mut outcome) = (Vec::new(), Ok(Outcome::Complete));
    for (set, (dataset, source)) in chosen.into_iter().zip(datasets) {
        let of = Of { args: &LadderArgs { sets: vec![set], ..args.clone() }, machine: &machine, stop };
        let dataset_is = described(&dataset);
        let reference = Canary::after(canary.reference(), args.place.pin.first_cpu(&machine));
        let mut measure = of.measurer(dataset, &source, reference)?;
        let (mut samples, mut contests) = (Vec::new(), Vec::new());
        let name = &dataset_is.name;
        outcome = match args.queue {
            false => climb(&of, name, (&rungs, &threads), &mut measure, &mut samples),
            true => contend(&of, name, &mut measure, &mut contests),
        };
        if !samples.is_empty() || !contests.is_empty() {
            let (points, queue) = (document::points(&samples), contest::ways(&contests));
            sets.push(Climb { dataset: dataset_is, points, queue });
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

/// Does one task, and hands what it finds to the other.
type Measure<'a> = dyn FnMut(&Task, &mut dyn FnMut(Found) -> bool) -> Result<Outcome> + 'a;

/// What is measured on one set.
struct Of<'a> {
    args: &'a LadderArgs,
    machine: &'a Machine,
    stop: &'a AtomicBool,
}

impl<'a> Of<'a> {
    /// What measures on a set that has its exact neighbours from there.
    fn measurer(
        &self,
        dataset: data::Dataset,
        truth: &TruthSource,
        canary: Canary,
    ) -> Result<Box<Measure<'a>>> {
        let Of { args, machine, stop } = *self;
        Ok(match args.apart.isolation() {
            Isolation::Process => {
                let brought = *truth == TruthSource::Given;
                let setting = Setting::new(args, machine, &dataset, brought, canary.reference());
                let processes = Processes::new(&setting, stop)?;
                // The processes have vectors of their own: no copy is needed here.
                drop(dataset);
                Box::new(move |task, push| processes.run(task, task, push))
            }
            Isolation::None => {
                let bench = Bench::new(args, machine, dataset, canary, stop);
                Box::new(move |task, push| bench.task(task, &mut |found| Ok(push(found))))
            }
        })
    }
}

/// Measures all rungs, block by block, into `samples`.
fn climb(
    of: &Of<'_>,
    set: &str,
    (rungs, threads): (&[&'static Rung], &[usize]),
    measure: &mut Measure<'_>,
    samples: &mut Vec<Sample>,
) -> Result<Outcome> {
    let wanted: Vec<(usize, usize)> =
        (0..rungs.len()).flat_map(|rung| threads.iter().map(move |threads| (rung, *threads))).collect();
    Blocks::new(of.args.blocks, of.args.seed).all(&wanted, |&(place, threads), turn| {
        let Rung { name, adds, .. } = *rungs[place];
        let task = Task { set: set.to_owned(), asked: Wanted::Rung(name.to_owned(), threads), turn };
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
    set: &str,
    measure: &mut Measure<'_>,
    samples: &mut Vec<contest::Sample>,
) -> Result<Outcome> {
    Blocks::new(of.args.blocks, of.args.seed).all(&[()], |(), turn| {
        let task = Task { set: set.to_owned(), asked: Wanted::Queue, turn };
        let spinner = progress::spinner(task.to_string(), of.args.output.quiet);
        let outcome = measure(&task, &mut |found| {
            if let Found::Way(sample) = found {
                samples.push(*sample);
            }
            true
        })?;
        spinner.finish_and_clear();
        // Those that were disturbed were tried again on the same graph.
        Ok((outcome == Outcome::Complete).then_some(false))
    })
}
