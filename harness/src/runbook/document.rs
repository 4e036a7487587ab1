//! What `runbook` found, as it is written to a file.

use serde::{Deserialize, Serialize};

use super::steps::Kind;
use crate::blocks::{Gathered, Repeated};
use crate::churn::Dataset;
use crate::machine::{BuildInfo, Machine, MemoryInForce, Placement, Seat};
use crate::record::{Conditions, Isolation, Memory, Op};

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 2;

/// A runbook, replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When the measurement began: UTC, RFC 3339.
    pub started: String,
    /// The command line, program name first.
    pub command: Vec<String>,
    /// The machine that was measured.
    pub machine: Machine,
    /// The program that measured.
    pub build: BuildInfo,
    /// What was inserted and searched in.
    pub dataset: Dataset,
    /// What was done, step by step.
    pub runbook: Source,
    /// The flags.
    pub config: Config,
    /// One for each strategy, thread count and block, and one more for each time it was tried again. By point, then in the order
    /// of time.
    pub trials: Vec<Trial>,
}

/// Where the steps come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// File, or name of a built-in runbook.
    pub name: String,
    /// The data set that it was written for.
    pub set: String,
    /// The most points that it has live at once, as it says.
    pub max_points: usize,
    /// How many steps it has.
    pub steps: usize,
    /// BLAKE3 of the whole text.
    pub digest: String,
}

/// The flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// One more thread searched while points were changed.
    pub overlap_search: bool,
    /// M.
    pub m: usize,
    /// Beam width of inserts.
    pub ef_construction: usize,
    /// Beam width of searches.
    pub ef: usize,
    /// Neighbours asked for.
    pub k: usize,
    /// How often every point was measured.
    pub blocks: usize,
    /// How often a disturbed trial was tried again at most.
    pub retries: usize,
    /// What measured the trials. Documents without it are of one process.
    #[serde(default)]
    pub isolation: Isolation,
    /// Seed of levels and of queries beside the steps.
    pub seed: u64,
    /// How threads were placed.
    pub pin: Placement,
    /// The CPU of each thread, for the most that a trial has; fewer threads have the first of them. Null where threads are not pinned.
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from.
    pub memory_policy: MemoryInForce,
}

/// All steps by one strategy at one thread count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The strategy.
    pub strategy: String,
    /// Threads that do a step.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Repetition. Points come in another order in each.
    pub block: usize,
    /// How often it was tried before in this block.
    pub attempt: usize,
    /// Trials of any point that ended before it.
    pub number: usize,
    /// Length of all steps together.
    pub seconds: f64,
    /// What was done, by kind; rates are over the length of the steps of that kind.
    pub ops: Ops,
    /// Recall@k, the mean over search steps with live points; `null` if there were none.
    pub recall: Option<f64>,
    /// In turn.
    pub steps: Vec<StepResult>,
    /// Garbage: replaced and not yet freed, and kept for snapshots: the most after a step, in bytes.
    pub garbage_peak_bytes: usize,
    /// The same after the last step, when all that no one needs was freed.
    pub garbage_end_bytes: usize,
    /// Memory at that time.
    pub memory: Memory,
    /// Live nodes at the end.
    pub live: usize,
    /// Those that there should be.
    pub expected_live: usize,
    /// Live nodes that are not reachable from the entry point on level 0. The contract promises 0.
    pub unreachable: usize,
    /// Time to give the index back, in milliseconds.
    pub teardown_ms: f64,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
    /// Why not to trust the rates; empty if nothing is known against them.
    pub tainted: Vec<String>,
}

/// Operations by kind; `null` where there were none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Inserts.
    pub insert: Option<Op>,
    /// Removals of steps that delete.
    pub delete: Option<Op>,
    /// Replacements: a removal and an insert each.
    pub replace: Option<Op>,
    /// Searches of search steps.
    pub search: Option<Op>,
    /// Searches beside other steps.
    pub beside: Option<Op>,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// From 1.
    pub number: usize,
    /// What it does.
    pub operation: Kind,
    /// Rows or queries.
    pub count: u64,
    /// How long it took.
    pub seconds: f64,
    /// Points that are live after it, by the runbook.
    pub live: usize,
    /// Garbage after it.
    pub garbage_bytes: usize,
    /// Mean recall@k; `null` unless it searches, and there is something to find.
    pub recall: Option<f64>,
    /// Answers with fewer points than k and than are live. The contract promises 0 if `ef` permits.
    pub short_answers: u64,
    /// Returned points that were not there: of a search step, that are not live; beside another step, that were dead before it
    /// began, each counted once. The contract promises 0.
    pub ghosts: u64,
}

impl Document {
    /// The trials of each point.
    pub(super) fn points(&self) -> Vec<Gathered<'_, Trial>> {
        Gathered::of(&self.trials)
    }
}

impl Repeated for Trial {
    fn point(&self) -> (&str, &str, usize, u64) {
        ("", &self.strategy, self.threads, 0)
    }

    fn block(&self) -> usize {
        self.block
    }

    fn attempt(&self) -> usize {
        self.attempt
    }

    fn tainted(&self) -> &[String] {
        &self.tainted
    }

    /// Steps are the same in all trials.
    fn speed(&self) -> f64 {
        1.0 / self.seconds
    }
}

impl Trial {
    /// Returned points that were not there.
    pub fn ghosts(&self) -> u64 {
        self.steps.iter().map(|step| step.ghosts).sum()
    }

    /// What the contract forbids; empty if nothing was found.
    pub fn faults(&self) -> Vec<String> {
        let ghosts = self.steps.iter().find(|step| step.ghosts > 0).map(|step| {
            format!("{} returned points were not there, the first in step {}", self.ghosts(), step.number)
        });
        let unreachable =
            (self.unreachable > 0).then(|| format!("{} points are unreachable", self.unreachable));
        let live = (self.live != self.expected_live)
            .then(|| format!("{} points are live, and {} should be", self.live, self.expected_live));
        [ghosts, unreachable, live].into_iter().flatten().collect()
    }
}
