//! Sessions in processes of their own.
//!
//! What a trial does to its process is there for the next one: free memory that the allocator keeps, where things lie in the address
//! space, which pages are huge. So each session gets a fresh process, which is this program with the hidden command `session`. A process is
//! not for a single trial, because searches need the index that was built before them.
//!
//! # What is said
//! All of it is lines. On standard input the process gets a [`Setting`] and a [`Task`]; on standard output it says each row as soon as there
//! is one, and at last how it ended ([`Said`]). After each row it waits for a line: while it measures, nothing else of the sweep runs, such as
//! the writing of the document. Where its input ends, it stops as it does at Ctrl-C: the sweep wants it to, or is no longer there. Its
//! standard error is that of the sweep, and a signal to the group of both reaches it too.
//!
//! - `parent`: what the sweep does.
//! - `child`: what the process of a session does.

mod child;
mod parent;

pub use child::serve;
pub(super) use parent::Apart;

use super::patience::Patience;
use super::{Outcome, SweepArgs};
use crate::data::Dataset;
use crate::machine::Machine;
use crate::machine::canary;
use crate::record::{Key, Row};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What all sessions of a sweep share.
#[derive(Serialize, Deserialize)]
struct Setting {
    args: SweepArgs,
    /// As the sweep found it, so that both mean the same CPUs.
    machine: Machine,
    /// Of the data set, which is loaded again.
    digest: String,
    /// The exact neighbours, if the data set does not bring them: they are never computed twice.
    truth: Option<Truth>,
    /// What all canaries are compared with.
    canary: canary::Seconds,
}

/// Rows of the base, as many for each query.
#[derive(Serialize, Deserialize)]
struct Truth {
    k: usize,
    ids: Vec<u32>,
}

/// One session.
#[derive(Serialize, Deserialize)]
struct Task {
    strategy: String,
    codec: String,
    threads: usize,
    block: usize,
    /// The rows to measure.
    wanted: BTreeSet<Key>,
    patience: Patience,
}

/// What the process of a session says.
#[derive(Serialize, Deserialize)]
enum Said {
    Row(Box<Row>),
    Ended(Outcome),
    /// Why it could not go on.
    Failed(String),
}

impl Setting {
    /// The data set, which must be that of the sweep.
    fn dataset(&self) -> Result<Dataset> {
        let mut dataset = self.args.dataset()?;
        ensure!(
            dataset.digest().to_hex().as_str() == self.digest,
            "{} has changed since the sweep began; put it back as it was, or start over with --fresh",
            dataset.name()
        );
        if let Some(Truth { k, ids }) = &self.truth {
            dataset = dataset.with_truth(ids.clone(), *k)?;
        }
        Ok(dataset)
    }
}
