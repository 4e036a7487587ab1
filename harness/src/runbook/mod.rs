//! The `runbook` subcommand: points come and go step by step, as a file says, and answers are scored in between.
//!
//! - `steps`: the file;
//! - `tags`: which tag holds which row after a step, and which steps cannot be done;
//! - `bench`: one trial from its beginning to what is written of it, in this process or in one of its own;
//! - `replay`: one strategy does the steps;
//! - `score`: answers against the exact neighbours among the points that are live.

mod args;
mod bench;
mod document;
mod replay;
mod score;
mod steps;
mod table;
mod tags;
#[cfg(test)]
mod tests;

pub use args::RunbookArgs;
pub use document::{Config, Document, Ops, SCHEMA_VERSION, Source, StepResult, Trial};
pub use steps::Kind;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::apart::{self, Ground};
use crate::blocks::{Blocks, Repeated};
use crate::churn::described;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record;
use crate::sweep::Outcome;
use crate::{output, progress};
use args::Plan;
use bench::{Found, Script, Task};
use steps::Runbook;

/// Replays, and prints the tables to `out`. `stop` ends it early, as does a trial that fails; those that were finished until then are kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer, or the index, was not what the contract promises.
pub fn run(args: &RunbookArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    let machine = Machine::detect();
    let plan = args.plan(&machine)?;
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, plan, machine, memory, stop)?;
    if document.trials.is_empty() {
        let outcome = outcome?;
        eprintln!("stopped before the first trial had ended; nothing was written");
        return Ok(outcome);
    }
    table::print(&document, out)?;
    output::write_file(&document, args.output.out.as_deref(), out)?;
    let told = |trial: &Trial| {
        let name = format!("{} x{} in block {}", trial.strategy, trial.threads, trial.block);
        trial.faults().into_iter().map(move |fault| format!("{name}: {fault}")).collect::<Vec<_>>()
    };
    let faults: Vec<String> = document.trials.iter().flat_map(told).collect();
    output::check_contract(&faults)?;
    outcome.map_err(|error| output::cut_short(&error, args.output.out.as_deref()))
}

/// Reads a runbook as [`run`] does, for the data set of this name or the only one, and checks that its steps can be done on so
/// many rows. Returns how many there are. Replays nothing.
///
/// # Errors
/// One line that names the step and the cure.
pub fn check(text: &str, set: Option<&str>, rows: usize) -> Result<usize> {
    let runbook = Runbook::parse(text, set)?;
    tags::check(&runbook, rows)?;
    Ok(runbook.steps.len())
}

/// What was measured, and how it ended.
fn measure(
    args: &RunbookArgs,
    plan: Plan,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Result<Outcome>)> {
    output::warn_of_debug_build();
    let dataset = args.data(&plan)?;
    let spinner = progress::spinner("exact neighbours at each search step".into(), args.output.quiet);
    let truths = score::truths(&plan.runbook, &dataset, args.graph.k, stop)?;
    spinner.finish_and_clear();
    let pin = &args.place.pin;
    let (started, canary) = (record::now_rfc3339(), Canary::new(pin.first_cpu(&machine)));
    let mut wanted = Vec::new();
    for subject in &plan.strategies {
        wanted.extend(plan.threads.iter().map(|threads| (*subject, *threads)));
    }
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        started,
        command: std::env::args().collect(),
        machine: machine.clone(),
        build: build_info(),
        dataset: described(&dataset),
        runbook: Source {
            name: args.runbook.clone(),
            set: plan.runbook.set.clone(),
            max_points: plan.runbook.max_points,
            steps: plan.runbook.steps.len(),
            digest: plan.digest,
        },
        config: Config {
            overlap_search: args.overlap_search,
            m: args.graph.m,
            ef_construction: args.graph.ef_construction,
            ef: args.graph.ef,
            k: args.graph.k,
            blocks: args.blocks.blocks,
            retries: args.blocks.retries,
            isolation: args.apart.isolation(),
            seed: args.seed,
            pin: pin.clone(),
            placement: pin.seats(&machine, plan.threads.last().copied().unwrap_or(1)),
            memory_policy: memory.clone(),
        },
        trials: Vec::new(),
    };
    let script = Arc::new(Script { runbook: plan.runbook, truths });
    let ground = Ground { machine, memory, dataset, canary };
    let mut measure = apart::measurer(args, args.apart.isolation(), ground, true, stop)?;
    let outcome = Blocks::new(args.blocks, args.seed).all(&wanted, |&(subject, threads), turn| {
        let strategy = subject.name.to_owned();
        let task = Task { strategy, threads, turn, script: Arc::clone(&script) };
        let spinner = progress::spinner(task.to_string(), args.output.quiet);
        let mut again = false;
        let outcome = measure(&task, &mut |found| {
            match found {
                Found::Step(number) => {
                    spinner.set_message(format!("{task}, step {number} of {}", document.runbook.steps));
                }
                Found::Trial { trial, disturbed } => {
                    again = disturbed;
                    document.trials.push(*trial);
                }
            }
            true
        })?;
        spinner.finish_and_clear();
        Ok((outcome == Outcome::Complete).then_some(again))
    });
    let place = |trial: &Trial| {
        let (_, strategy, threads, _) = trial.point();
        wanted.iter().position(|own| (own.0.name, own.1) == (strategy, threads))
    };
    document.trials.sort_by_cached_key(place);
    Ok((document, outcome))
}
