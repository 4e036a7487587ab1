//! A session as a task, for a process of its own or for that of the sweep ([`crate::apart`]).

use super::patience::Patience;
use super::session::{Bench, session};
use super::standing::Kept;
use super::{Outcome, Plan, Session, SweepArgs, sample};
use crate::apart::{Apart, Ground, Measure};
use crate::data::Dataset;
use crate::machine::PlaceArgs;
use crate::record::{Key, Row};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::AtomicBool;

/// One session.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    strategy: String,
    codec: String,
    threads: usize,
    block: usize,
    /// The rows to measure.
    wanted: BTreeSet<Key>,
    patience: Patience,
}

impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Task { strategy, codec, threads, block, .. } = self;
        write!(f, "{strategy} {codec} x{threads} in block {}", block + 1)
    }
}

impl Apart for SweepArgs {
    const COMMAND: &'static str = "sweep";
    type Task = Task;
    type Found = Box<Row>;

    fn silent(self) -> SweepArgs {
        SweepArgs { quiet: true, ..self }
    }

    fn place(&self) -> &PlaceArgs {
        &self.place
    }

    fn load(&self) -> Result<Dataset> {
        self.dataset()
    }

    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, SweepArgs>>> {
        let Ground { machine, memory, dataset, canary } = ground;
        let plan = Plan::new(self, &machine, memory, &dataset)?;
        let (learnt, mut kept) = (sample(&dataset), Kept::default());
        Ok(Box::new(move |task, push| {
            let own = |which: &Session| {
                (which.strategy.name(), which.codec, which.threads)
                    == (&*task.strategy, &*task.codec, task.threads)
            };
            let which = plan.sessions(task.block).find(own).context("there is no such session")?;
            let bench = Bench::new(&plan, &machine, &dataset, &learnt, &canary, stop);
            let (mut patience, mut failed) = (task.patience, None);
            let mut checked = |row: Row| match row.check() {
                Ok(()) => push(Box::new(row)),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            };
            let outcome = session(&bench, &mut kept, &mut patience, &which, &task.wanted, &mut checked);
            failed.map_or(Ok(outcome), |error| Err(error.into()))
        }))
    }
}

/// Measures the rows `wanted` of one session, and hands each to `push`, which returns false to stop.
pub(super) fn measured(
    measure: &mut Measure<'_, SweepArgs>,
    which: &Session,
    wanted: &BTreeSet<Key>,
    patience: &mut Patience,
    push: &mut dyn FnMut(Row) -> bool,
) -> Result<Outcome> {
    let task = Task {
        strategy: which.strategy.name().into(),
        codec: which.codec.into(),
        threads: which.threads,
        block: which.block,
        wanted: wanted.clone(),
        patience: *patience,
    };
    measure(&task, &mut |row| {
        patience.count(row.attempt);
        push(*row)
    })
}
