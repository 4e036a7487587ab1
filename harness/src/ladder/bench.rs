//! What is measured in one turn, on indexes of its own: in the process of the command, or in one of its own.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::args::LadderArgs;
use super::document::Block;
use super::{contest, rungs, trial};
use crate::apart::{Apart, Ground, Measure};
use crate::blocks::{self, Turn, Watch};
use crate::data::Dataset;
use crate::flags::OutArgs;
use crate::machine::{Canary, Machine, PlaceArgs};
use crate::sweep::{Outcome, Patience, sample};

/// A turn.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    /// The name of the set, for people.
    pub(super) set: String,
    pub(super) work: Work,
    pub(super) turn: Turn,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Work {
    /// A build and searches on this rung, with so many threads.
    Rung(String, usize),
    /// All ways to answer queries, on one graph, because graphs differ a little; how often trials may be made again.
    Queue(Patience),
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Found {
    Rung {
        block: Block,
        /// Whether the machine disturbed it.
        disturbed: bool,
    },
    Way(Box<contest::Sample>),
}

impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Task { set, work, turn } = self;
        match work {
            Work::Rung(name, threads) => write!(f, "{set}: {name} x{threads} in block {}", turn.block),
            Work::Queue(_) => write!(f, "{set}: a queue for one query, block {}", turn.block),
        }
    }
}

impl Apart for LadderArgs {
    const COMMAND: &'static str = "ladder";
    type Task = Task;
    type Found = Found;

    fn silent(self) -> LadderArgs {
        LadderArgs { output: OutArgs::NONE, ..self }
    }

    fn place(&self) -> &PlaceArgs {
        &self.place
    }

    /// Of the one set that the processes of a setting have.
    fn load(&self) -> Result<Dataset> {
        self.load(*self.sets.first().context("there is no set; this is a bug")?)
    }

    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, LadderArgs>>> {
        let bench = Bench::new(self, ground, stop);
        Ok(Box::new(move |task, push| bench.task(task, push)))
    }
}

/// What all turns of a process share.
struct Bench<'a> {
    args: &'a LadderArgs,
    machine: Machine,
    dataset: Dataset,
    /// What codecs learn from.
    learnt: Vec<f32>,
    canary: Canary,
    stop: &'a AtomicBool,
}

/// `Interrupted` from any of these means that the user wants to stop.
impl<'a> Bench<'a> {
    /// On a set that knows its exact neighbours.
    fn new(args: &'a LadderArgs, ground: Ground, stop: &'a AtomicBool) -> Bench<'a> {
        let Ground { machine, dataset, canary, .. } = ground;
        let learnt = sample(&dataset);
        Bench { args, machine, dataset, learnt, canary, stop }
    }

    /// Does what is asked, and hands what it finds to `push`, which returns false to stop.
    fn task(&self, task: &Task, push: &mut dyn FnMut(Found) -> bool) -> Result<Outcome> {
        // What an index before left in the heap would be there for the next one.
        crate::alloc::trim();
        match &task.work {
            Work::Rung(name, threads) => self.rung(name, *threads, task.turn, push),
            Work::Queue(patience) => self.queue(*patience, task.turn, push),
        }
    }

    fn rung(
        &self,
        name: &String,
        threads: usize,
        Turn { block, attempt, .. }: Turn,
        push: &mut dyn FnMut(Found) -> bool,
    ) -> Result<Outcome> {
        let Bench { args, machine, dataset, learnt, canary, stop } = self;
        let pin = &args.place.pin;
        let shape = trial::Shape {
            dataset,
            config: args.config(dataset),
            sample: learnt,
            cpus: pin.plan(machine, threads),
            k: args.graph.k,
            ef: args.graph.ef,
            window: Duration::from_secs_f64(args.seconds),
            stop,
        };
        let make = rungs::named(std::slice::from_ref(name))?[0].make;
        let watch = Watch::begin(canary);
        let measured = trial::run(make, &shape)?;
        let (conditions, mut tainted) = watch.end(pin.oversubscribes(machine, threads));
        let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
        let disturbed = !tainted.is_empty();
        tainted.extend(measured.unpinned);
        let block = Block {
            block,
            attempt,
            inserts_per_second: measured.inserts_per_second,
            queries_per_second: measured.queries_per_second,
            recall: measured.recall,
            conditions,
            tainted,
        };
        push(Found::Rung { block, disturbed });
        Ok(Outcome::Complete)
    }

    fn queue(
        &self,
        mut patience: Patience,
        turn: Turn,
        push: &mut dyn FnMut(Found) -> bool,
    ) -> Result<Outcome> {
        let Bench { args, machine, dataset, canary, stop, .. } = self;
        let pin = &args.place.pin;
        let Some(ground) = contest::Ground::new(dataset, args.config(dataset), stop)? else {
            return Ok(Outcome::Interrupted);
        };
        let mut ways = args.ways(machine);
        blocks::shuffle(args.seed, turn.block, &mut ways);
        for (kind, threads) in ways {
            let shape = contest::Shape {
                dataset,
                cpus: pin.plan(machine, threads),
                k: args.graph.k,
                ef: args.graph.ef,
                window: Duration::from_secs_f64(args.seconds),
                stop,
            };
            let oversubscribed = pin.oversubscribes(machine, threads);
            for attempt in 0.. {
                let watch = Watch::begin(canary);
                let measured = contest::run(&ground, kind, &shape)?;
                let seen = watch.end(oversubscribed);
                let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
                let disturbed = !seen.1.is_empty();
                let which = contest::Which { kind, threads, oversubscribed };
                let tried = (turn.block, attempt);
                let sample = contest::Sample::of(which, tried, dataset, args.graph.k, &measured, seen)?;
                if !push(Found::Way(Box::new(sample))) {
                    return Ok(Outcome::Interrupted);
                }
                if !patience.again(disturbed, attempt) {
                    break;
                }
            }
        }
        Ok(Outcome::Complete)
    }
}
