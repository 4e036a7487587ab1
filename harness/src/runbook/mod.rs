//! The `runbook` subcommand: points come and go step by step, as a file says, and answers are scored in between.
//!
//! - `steps`: the file;
//! - `tags`: which tag holds which row after a step, and which steps cannot be done;
//! - `replay`: one strategy does the steps;
//! - `score`: answers against the exact neighbours among the points that are live.

mod args;
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
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;

use crate::blocks::{Blocks, Repeated, Turn, Watch};
use crate::churn::described;
use crate::churn::trial::Store;
use crate::data::{CodedBase, Truth};
use crate::footprint::Footprint;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record::{self, Conditions, Memory};
use crate::sweep::Outcome;
use crate::sweep::log::Tally;
use crate::{output, progress};
use args::Plan;
use replay::{Done, Replay, Shape};
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
    let (document, outcome) = measure(args, &plan, machine, memory, stop)?;
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
    plan: &Plan,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Result<Outcome>)> {
    output::warn_of_debug_build();
    let dataset = args.data(plan)?;
    let spinner = progress::spinner("exact neighbours at each search step".into(), args.output.quiet);
    let truths = score::truths(&plan.runbook, &dataset, args.graph.k, stop)?;
    spinner.finish_and_clear();
    let exact = Exact { truths, base: CodedBase::of(&dataset) };
    let pin = &args.place.pin;
    let (started, canary) = (record::now_rfc3339(), Canary::new(pin.first_cpu(&machine)));
    let mut trials = Vec::new();
    let mut wanted = Vec::new();
    for subject in &plan.strategies {
        wanted.extend(plan.threads.iter().map(|threads| (*subject, *threads)));
    }
    let outcome = Blocks::new(args.blocks, args.seed).all(&wanted, |&(subject, threads), turn| {
        let shape = Shape {
            dataset: &dataset,
            runbook: &plan.runbook,
            cpus: pin.plan(&machine, threads),
            k: args.graph.k,
            ef: args.graph.ef,
            overlap: args.overlap_search,
            seed: args.seed,
        };
        // What an index before left in the heap would pass for what this one takes.
        crate::alloc::trim();
        let store = (subject.make)(args.graph.index(&dataset, args.seed))?;
        let watch = Watch::begin(&canary);
        let spinner = progress::spinner(String::new(), args.output.quiet);
        let tell = |number: usize| {
            let count = plan.runbook.steps.len();
            spinner.set_message(format!("{} x{threads}, step {number} of {count}", subject.name));
        };
        let Some(replayed) = all_steps(store.as_ref(), &shape, &exact, tell, stop)? else { return Ok(None) };
        let (conditions, tainted) =
            watch.end(pin.oversubscribes(&machine, threads + usize::from(args.overlap_search)));
        spinner.finish_and_clear();
        let disturbed = !tainted.is_empty();
        let oversubscribed = pin.oversubscribes(&machine, threads);
        let of = Of { strategy: subject.name, threads, oversubscribed, turn, conditions, tainted };
        trials.push(ended(of, store, replayed));
        Ok(Some(disturbed))
    });
    let place = |trial: &Trial| {
        let (_, strategy, threads, _) = trial.point();
        wanted.iter().position(|own| (own.0.name, own.1) == (strategy, threads))
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
        runbook: Source {
            name: args.runbook.clone(),
            set: plan.runbook.set.clone(),
            max_points: plan.runbook.max_points,
            steps: plan.runbook.steps.len(),
            digest: plan.digest.clone(),
        },
        config: Config {
            overlap_search: args.overlap_search,
            m: args.graph.m,
            ef_construction: args.graph.ef_construction,
            ef: args.graph.ef,
            k: args.graph.k,
            blocks: args.blocks.blocks,
            retries: args.blocks.retries,
            seed: args.seed,
            pin: pin.clone(),
            placement,
            memory_policy: memory,
        },
        trials,
    };
    Ok((document, outcome))
}

/// What answers are scored against.
struct Exact {
    /// At each search step, in turn.
    truths: Vec<Option<Truth>>,
    base: CodedBase,
}

/// All steps, done.
struct Replayed {
    steps: Vec<StepResult>,
    totals: Totals,
    expected_live: usize,
    unpinned: Option<String>,
}

/// Replays on one store; `tell` is told the number of each step before it. `None` if the user stopped it.
fn all_steps(
    store: &dyn Store,
    shape: &Shape<'_>,
    exact: &Exact,
    tell: impl Fn(usize),
    stop: &AtomicBool,
) -> Result<Option<Replayed>> {
    let mut replay = Replay::new(store, shape);
    let (mut steps, mut totals, mut truths) = (Vec::new(), Totals::new(), exact.truths.iter());
    let mut unpinned = None;
    for (number, step) in (1..).zip(&shape.runbook.steps) {
        tell(number);
        let Some(done) = replay.step(step, stop)? else { return Ok(None) };
        totals.add(step.kind(), &done);
        let truth = (step.kind() == Kind::Search).then(|| truths.next()).flatten();
        steps.push(told(number, step.kind(), &done, truth.and_then(Option::as_ref), exact, shape));
        unpinned = unpinned.or(done.unpinned);
    }
    Ok(Some(Replayed { steps, totals, expected_live: replay.live(), unpinned }))
}

/// What a trial was of, and what the machine did meanwhile.
struct Of<'a> {
    strategy: &'a str,
    threads: usize,
    oversubscribed: bool,
    turn: Turn,
    conditions: Conditions,
    tainted: Vec<String>,
}

/// Looks at the index after the last step, and gives it back.
fn ended(of: Of<'_>, store: Box<dyn Store>, replayed: Replayed) -> Trial {
    let Replayed { steps, totals, expected_live, unpinned } = replayed;
    store.quiesce();
    let (health, memory) = (store.health(), store.memory());
    let process = Footprint::now();
    let begin = Instant::now();
    drop(store);
    let teardown = begin.elapsed();
    let recalls: Vec<f64> = steps.iter().filter_map(|step| step.recall).collect();
    Trial {
        strategy: of.strategy.to_owned(),
        threads: of.threads,
        oversubscribed: of.oversubscribed,
        block: of.turn.block,
        attempt: of.turn.attempt,
        number: of.turn.number,
        seconds: totals.seconds.iter().sum(),
        ops: totals.ops(),
        recall: (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64),
        garbage_peak_bytes: steps.iter().map(|step| step.garbage_bytes).max().unwrap_or(0),
        garbage_end_bytes: memory.retired_bytes + memory.snapshots_bytes,
        steps,
        memory: Memory::new(&memory, process),
        live: health.live,
        expected_live,
        unreachable: health.unreachable,
        teardown_ms: teardown.as_secs_f64() * 1e3,
        conditions: of.conditions,
        tainted: of.tainted.into_iter().chain(unpinned).collect(),
    }
}

/// What is written about a step.
fn told(
    number: usize,
    operation: Kind,
    done: &Done,
    truth: Option<&Truth>,
    exact: &Exact,
    shape: &Shape<'_>,
) -> StepResult {
    let due = shape.k.min(done.live);
    StepResult {
        number,
        operation,
        count: done.operations.operations(),
        seconds: done.seconds,
        live: done.live,
        garbage_bytes: done.garbage,
        recall: truth.map(|truth| score::recall(&done.answers, truth, &exact.base, shape.dataset, shape.k)),
        short_answers: done.answers.iter().filter(|answer| answer.points.len() < due).count() as u64,
        ghosts: done.beside_ghosts + done.answers.iter().map(|answer| answer.ghosts).sum::<u64>(),
    }
}

/// Operations and lengths by kind, in the order of [`Kind::ALL`].
struct Totals {
    tallies: [Tally; Kind::ALL.len()],
    seconds: [f64; Kind::ALL.len()],
    beside: Tally,
}

impl Totals {
    fn new() -> Totals {
        Totals {
            tallies: Kind::ALL.map(|_| Tally::new()),
            seconds: [0.0; Kind::ALL.len()],
            beside: Tally::new(),
        }
    }

    fn add(&mut self, kind: Kind, done: &Done) {
        self.tallies[kind as usize].merge(&done.operations);
        self.seconds[kind as usize] += done.seconds;
        self.beside.merge(&done.beside);
    }

    fn ops(&self) -> Ops {
        let op = |kind: Kind| self.tallies[kind as usize].op(self.seconds[kind as usize]);
        let changing = [Kind::Insert, Kind::Delete, Kind::Replace].map(|kind| self.seconds[kind as usize]);
        Ops {
            insert: op(Kind::Insert),
            delete: op(Kind::Delete),
            replace: op(Kind::Replace),
            search: op(Kind::Search),
            beside: self.beside.op(changing.iter().sum()),
        }
    }
}
