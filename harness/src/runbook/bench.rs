//! One trial, from its beginning to what is written of it: in the process of the command, or in one of its own.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::args::RunbookArgs;
use super::document::{Ops, StepResult, Trial};
use super::replay::{Done, Replay, Shape};
use super::score;
use super::steps::{Kind, Runbook};
use crate::apart::{Apart, Ground, Measure};
use crate::blocks::{Turn, Watch};
use crate::churn::trial::{self, Store};
use crate::data::{CodedBase, Dataset, Truth};
use crate::flags::OutArgs;
use crate::footprint::Footprint;
use crate::machine::{Canary, Machine, PlaceArgs};
use crate::record::{Conditions, Memory};
use crate::sweep::Outcome;
use crate::sweep::log::Tally;

/// A trial.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    pub(super) strategy: String,
    pub(super) threads: usize,
    pub(super) turn: Turn,
    pub(super) script: Arc<Script>,
}

/// What is the same for all trials: read and computed once, so that a file which changes meanwhile matters to none.
#[derive(Serialize, Deserialize)]
pub(super) struct Script {
    pub(super) runbook: Runbook,
    /// The exact neighbours at each search step, in turn.
    pub(super) truths: Vec<Option<Truth>>,
}

/// What is said of it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Found {
    /// The number of the step that begins.
    Step(usize),
    /// What came of it.
    Trial {
        trial: Box<Trial>,
        /// Whether the machine disturbed it.
        disturbed: bool,
    },
}

impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} x{} in block {}", self.strategy, self.threads, self.turn.block)
    }
}

impl Apart for RunbookArgs {
    const COMMAND: &'static str = "runbook";
    type Task = Task;
    type Found = Found;

    fn silent(self) -> RunbookArgs {
        RunbookArgs { output: OutArgs::NONE, ..self }
    }

    fn place(&self) -> &PlaceArgs {
        &self.place
    }

    fn load(&self) -> Result<Dataset> {
        Ok(self.data.load()?)
    }

    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, RunbookArgs>>> {
        let bench = Bench::new(self, ground, stop);
        Ok(Box::new(move |task, push| bench.trial(task, push)))
    }
}

/// What all trials of a process share.
struct Bench<'a> {
    args: &'a RunbookArgs,
    machine: Machine,
    dataset: Dataset,
    base: CodedBase,
    canary: Canary,
    stop: &'a AtomicBool,
}

impl<'a> Bench<'a> {
    fn new(args: &'a RunbookArgs, ground: Ground, stop: &'a AtomicBool) -> Bench<'a> {
        let Ground { machine, dataset, canary, .. } = ground;
        let base = CodedBase::of(&dataset);
        Bench { args, machine, dataset, base, canary, stop }
    }

    /// Does one trial, and tells `push` of it, which returns false to stop.
    fn trial(&self, task: &Task, push: &mut dyn FnMut(Found) -> bool) -> Result<Outcome> {
        let Bench { args, machine, dataset, base, canary, stop } = self;
        let Script { runbook, truths } = &*task.script;
        let (pin, threads) = (&args.place.pin, task.threads);
        let shape = Shape {
            dataset,
            runbook,
            cpus: pin.plan(machine, threads),
            k: args.graph.k,
            ef: args.graph.ef,
            overlap: args.overlap_search,
            seed: args.seed,
        };
        let make = trial::named(std::slice::from_ref(&task.strategy))?[0].make;
        // What an index before left in the heap would pass for what this one takes.
        crate::alloc::trim();
        let store = make(args.graph.index(dataset, args.seed))?;
        let (exact, watch) = (Exact { truths, base }, Watch::begin(canary));
        let mut tell = |number| push(Found::Step(number));
        let Some(replayed) = all_steps(store.as_ref(), &shape, &exact, &mut tell, stop)? else {
            return Ok(Outcome::Interrupted);
        };
        let beside = usize::from(args.overlap_search);
        let (conditions, tainted) = watch.end(pin.oversubscribes(machine, threads + beside));
        let (disturbed, oversubscribed) = (!tainted.is_empty(), pin.oversubscribes(machine, threads));
        let trial = Box::new(ended(Of { task, oversubscribed, conditions, tainted }, store, replayed));
        push(Found::Trial { trial, disturbed });
        Ok(Outcome::Complete)
    }
}

/// What answers are scored against.
pub(super) struct Exact<'a> {
    /// At each search step, in turn.
    pub(super) truths: &'a [Option<Truth>],
    pub(super) base: &'a CodedBase,
}

/// All steps, done.
pub(super) struct Replayed {
    steps: Vec<StepResult>,
    totals: Totals,
    expected_live: usize,
    unpinned: Option<String>,
}

/// Replays on one store; `tell` is told the number of each step before it, and returns false to stop. `None` if it was stopped.
pub(super) fn all_steps(
    store: &dyn Store,
    shape: &Shape<'_>,
    exact: &Exact<'_>,
    tell: &mut dyn FnMut(usize) -> bool,
    stop: &AtomicBool,
) -> Result<Option<Replayed>> {
    let mut replay = Replay::new(store, shape);
    let (mut steps, mut totals, mut truths) = (Vec::new(), Totals::new(), exact.truths.iter());
    let mut unpinned = None;
    for (number, step) in (1..).zip(&shape.runbook.steps) {
        if !tell(number) {
            return Ok(None);
        }
        let Some(done) = replay.step(step, stop)? else { return Ok(None) };
        totals.add(step.kind(), &done);
        let truth = (step.kind() == Kind::Search).then(|| truths.next()).flatten();
        steps.push(told(number, step.kind(), &done, truth.and_then(Option::as_ref), exact, shape));
        unpinned = unpinned.or(done.unpinned);
    }
    Ok(Some(Replayed { steps, totals, expected_live: replay.live(), unpinned }))
}

/// What a trial was of, and what the machine did meanwhile.
pub(super) struct Of<'a> {
    pub(super) task: &'a Task,
    pub(super) oversubscribed: bool,
    pub(super) conditions: Conditions,
    pub(super) tainted: Vec<String>,
}

/// Looks at the index after the last step, and gives it back.
pub(super) fn ended(of: Of<'_>, store: Box<dyn Store>, replayed: Replayed) -> Trial {
    let Replayed { steps, totals, expected_live, unpinned } = replayed;
    store.quiesce();
    let (health, memory) = (store.health(), store.memory());
    let process = Footprint::now();
    let begin = Instant::now();
    drop(store);
    let teardown = begin.elapsed();
    let recalls: Vec<f64> = steps.iter().filter_map(|step| step.recall).collect();
    Trial {
        strategy: of.task.strategy.clone(),
        threads: of.task.threads,
        oversubscribed: of.oversubscribed,
        block: of.task.turn.block,
        attempt: of.task.turn.attempt,
        number: of.task.turn.number,
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
    exact: &Exact<'_>,
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
        recall: truth.map(|truth| score::recall(&done.answers, truth, exact.base, shape.dataset, shape.k)),
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
