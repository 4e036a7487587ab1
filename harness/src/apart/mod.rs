//! Trials in processes of their own.
//!
//! What a trial does to its process is there for the next one: free memory that the allocator keeps, where things lie in the address
//! space, which pages are huge. So each task of a measurement gets a fresh process, which is this program with the hidden command
//! `session`. A task of a sweep is a session and not a single trial, because searches need the index that was built before them.
//!
//! # What is said
//! All of it is lines. On standard input the process gets the name of a command, what all of its tasks share (a type that is [`Apart`]),
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
pub(crate) use parent::Processes;

use crate::data::Dataset;
use crate::machine::{Machine, canary};
use crate::record::Isolation;
use crate::sweep::Outcome;
use anyhow::{Result, ensure};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// A command whose tasks can have processes of their own; the value is what all of its tasks share.
pub(crate) trait Apart: Serialize + DeserializeOwned {
    /// Tells the process what it is for.
    const COMMAND: &'static str;
    /// What one process does.
    type Task: Serialize + DeserializeOwned;
    /// What it finds.
    type Found: Serialize + DeserializeOwned;

    /// Does a task, and hands what it finds to `push`, which returns false to stop. Runs in the process of the task.
    fn measure(
        &self,
        task: Self::Task,
        push: &mut dyn FnMut(Self::Found) -> Result<bool>,
        stop: &'static AtomicBool,
    ) -> Result<Outcome>;
}

/// The flag of commands other than a sweep.
#[derive(Args, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ApartArgs {
    /// Measure everything in one process, instead of each trial in a fresh one: for debuggers and profilers, and for data that
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

/// What the processes of any command need to know.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shared {
    /// As it was found, so that all mean the same CPUs.
    pub(crate) machine: Machine,
    /// What all canaries are compared with.
    pub(crate) canary: canary::Seconds,
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

impl Shared {
    /// For trials on `dataset`, which `brought` its exact neighbours or not.
    pub(crate) fn new(
        machine: &Machine,
        dataset: &Dataset,
        brought: bool,
        canary: canary::Seconds,
    ) -> Shared {
        let truth = dataset.truth().filter(|_| !brought);
        Shared {
            machine: machine.clone(),
            canary,
            digest: dataset.digest().to_hex().to_string(),
            truth: truth.map(|truth| Truth { k: truth.k, ids: truth.ids.clone() }),
        }
    }

    /// The data set, loaded again, with its neighbours. It must be what it was.
    pub(crate) fn completed(&self, dataset: Dataset) -> Result<Dataset> {
        ensure!(
            dataset.digest().to_hex().as_str() == self.digest,
            "{} has changed since the measurement began; put it back as it was, or start over",
            dataset.name()
        );
        Ok(match &self.truth {
            Some(Truth { k, ids }) => dataset.with_truth(ids.clone(), *k)?,
            None => dataset,
        })
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
