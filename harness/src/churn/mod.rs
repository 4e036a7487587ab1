//! The `churn` subcommand: what answers are worth, and what garbage there is, while points come and go.
//!
//! - [`workload`]: what operations there are, and on what;
//! - `bench`: one trial from its beginning to what is written of it, in this process or in one of its own;
//! - `trial`: the window, which logs the interval of every operation;
//! - `history`: those intervals, and what they say about a node and a search;
//! - `score`: an answer against what must, may and cannot have been there.

mod args;
mod bench;
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

use anyhow::Result;

use crate::apart::{self, Ground};
use crate::blocks::{Blocks, Repeated};
use crate::data;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record;
use crate::sweep::Outcome;
use crate::{output, progress};
use args::Planned;
use bench::Task;

/// Measures, and prints the table to `out`. `stop` ends it early, as does a trial that fails; what was measured until then is kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer, or the index, was not what the contract promises.
pub fn run(args: &ChurnArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    args.check()?;
    let machine = Machine::detect();
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, machine, memory, stop)?;
    if document.trials.is_empty() {
        let outcome = outcome?;
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
    outcome.map_err(|error| output::cut_short(&error, args.output.out.as_deref()))
}

/// What was measured, and how it ended.
fn measure(
    args: &ChurnArgs,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Result<Outcome>)> {
    output::warn_of_debug_build();
    let dataset = args.data()?;
    let plan = args.plan(&machine, &dataset)?;
    let pin = &args.place.pin;
    let (started, canary) = (record::now_rfc3339(), Canary::new(pin.first_cpu(&machine)));
    let mut wanted = Vec::new();
    for planned in &plan.workloads {
        for subject in &plan.strategies {
            wanted.extend(plan.threads.iter().map(|threads| (planned, *subject, *threads)));
        }
    }
    let placement = pin.seats(&machine, plan.threads.last().copied().unwrap_or(1));
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        started,
        command: std::env::args().collect(),
        machine: machine.clone(),
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
            isolation: args.apart.isolation(),
            sample: args.sample,
            seed: args.seed,
            pin: pin.clone(),
            placement,
            memory_policy: Some(memory.clone()),
        },
        trials: Vec::new(),
    };
    let ground = Ground { machine, memory, dataset, canary };
    let mut measure = apart::measurer(args, args.apart.isolation(), ground, true, stop)?;
    let outcome = Blocks::new(args.blocks, args.seed).all(&wanted, |&(planned, subject, threads), turn| {
        let Planned { name, workload, points } = planned.clone();
        let spinner = progress::spinner(format!("{name}: {} x{threads}", subject.name), args.output.quiet);
        let task = Task { name, workload, points, strategy: subject.name.to_owned(), threads, turn };
        let mut disturbed = false;
        let outcome = measure(&task, &mut |found| {
            disturbed = found.disturbed;
            document.trials.push(found.trial);
            true
        })?;
        spinner.finish_and_clear();
        Ok((outcome == Outcome::Complete).then_some(disturbed))
    });
    let place = |trial: &Trial| {
        let (workload, strategy, threads, _) = trial.point();
        wanted
            .iter()
            .position(|own| (own.0.name.as_str(), own.1.name, own.2) == (workload, strategy, threads))
    };
    document.trials.sort_by_cached_key(place);
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
