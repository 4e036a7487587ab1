//! Trials in processes of their own.
//!
//! What a trial does to its process is there for the next one: free memory that the allocator keeps, where things lie in the address
//! space, which pages are huge. So each task of a measurement gets a fresh process, which is this program with the hidden command
//! `session`. What shares an index is one task: a session of a sweep, because searches need the index that was built before them, a search for a
//! rate, the ways to share a query.
//!
//! # What is said
//! All of it is lines. On standard input the process gets the name of a command, what all of its tasks share ([`Setting`]),
//! and its task; on standard output it says each thing that it found as soon as there is one, and at last how it ended ([`Said`]). After each
//! of them it waits for a line: while it measures, nothing else of the measurement runs, such as the writing of a document. Where its input
//! ends, it stops as it does at Ctrl-C: it is wanted no more, or who wanted it is gone. Its standard error is that of who started
//! it, and a signal to the group of both reaches it too.
//!
//! - `parent`: what the command does, which a user has started.
//! - `child`: what the process of a task does.

mod child;
mod parent;

pub use child::serve;
pub(crate) use parent::measurer;

use crate::data::Dataset;
use crate::machine::{Canary, Machine, MemoryInForce, PlaceArgs, canary};
use crate::record::Isolation;
use crate::sweep::Outcome;
use anyhow::{Result, ensure};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// The flags of a command whose tasks can have processes of their own.
pub(crate) trait Apart: Clone + Serialize + DeserializeOwned {
    /// The command.
    const COMMAND: &'static str;
    /// What one process does.
    type Task: Serialize + DeserializeOwned;
    /// What it finds.
    type Found: Serialize + DeserializeOwned;

    /// Shows and writes nothing: that is for the process which a user has started.
    fn silent(self) -> Self;

    /// Where threads and memory go.
    fn place(&self) -> &PlaceArgs;

    /// The data, with the exact neighbours that they came with, if any.
    fn load(&self) -> Result<Dataset>;

    /// What does tasks on this ground, in this process.
    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, Self>>>;
}

/// Does a task, and hands what it finds to the function beside it, which returns false to stop.
pub(crate) type Measure<'a, A> =
    dyn FnMut(&<A as Apart>::Task, &mut dyn FnMut(<A as Apart>::Found) -> bool) -> Result<Outcome> + 'a;

/// What a process has before its first task.
pub(crate) struct Ground {
    pub(crate) machine: Machine,
    pub(crate) memory: MemoryInForce,
    pub(crate) dataset: Dataset,
    pub(crate) canary: Canary,
}

/// The flag of commands other than a sweep.
#[derive(Args, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ApartArgs {
    /// Measure everything in one process, instead of each trial, or all that share an index, in a fresh one: for debuggers and profilers, and for data that
    /// take long to load
    #[arg(long)]
    pub in_process: bool,
}

impl ApartArgs {
    /// What measures the trials.
    pub(crate) const fn isolation(self) -> Isolation {
        if self.in_process { Isolation::None } else { Isolation::Process }
    }
}

/// What all tasks of a command share.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setting<A> {
    args: A,
    /// As it was found, so that all mean the same CPUs.
    machine: Machine,
    /// What all canaries are compared with.
    canary: canary::Seconds,
    /// Of the data set, which is loaded again.
    digest: String,
    /// The exact neighbours, if the data set does not bring them: they are never computed twice.
    truth: Option<Truth>,
}

/// Rows of the base, as many for each query.
#[derive(Serialize, Deserialize)]
struct Truth {
    k: usize,
    ids: Vec<u32>,
}

impl<A: Apart> Setting<A> {
    /// For tasks on `dataset`, which `brought` its exact neighbours or not, if it has any.
    pub(crate) fn new(
        args: &A,
        machine: &Machine,
        dataset: &Dataset,
        brought: bool,
        canary: canary::Seconds,
    ) -> Setting<A> {
        let truth = dataset.truth().filter(|_| !brought);
        Setting {
            args: args.clone().silent(),
            machine: machine.clone(),
            canary,
            digest: dataset.digest().to_hex().to_string(),
            truth: truth.map(|truth| Truth { k: truth.k, ids: truth.ids.clone() }),
        }
    }

    /// Gives this process its memory policy, and loads the data set, which must be what it was.
    fn ground(&self) -> Result<Ground> {
        let Setting { args, machine, canary, digest, truth } = self;
        let memory = args.place().settle(machine)?;
        let mut dataset = args.load()?;
        ensure!(
            dataset.digest().to_hex().as_str() == digest,
            "{} has changed since the measurement began; put it back as it was, or start over",
            dataset.name()
        );
        if let Some(Truth { k, ids }) = truth {
            dataset = dataset.with_truth(ids.clone(), *k)?;
        }
        let canary = Canary::after(*canary, args.place().pin.first_cpu(machine));
        Ok(Ground { machine: machine.clone(), memory, dataset, canary })
    }
}

/// What the process of a task says.
#[derive(Serialize, Deserialize)]
enum Said<F> {
    Found(F),
    Ended(Outcome),
    /// Why it could not go on.
    Failed(String),
}
