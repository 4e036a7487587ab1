//! What is to be replayed, and on what.

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::steps::Runbook;
use super::tags;
use crate::apart::ApartArgs;
use crate::blocks::BlockArgs;
use crate::builtin;
use crate::churn::trial::{self, Subject};
use crate::data::Dataset;
use crate::flags::{DataArgs, GraphArgs, OutArgs};
use crate::machine::{Machine, PlaceArgs};
use crate::sweep::{check_threads, distinct};

/// Runbooks for the embedded data set, by name.
pub(super) const BUILT_IN: [(&str, &str); 2] = [
    ("sliding-window", include_str!("../../runbooks/sliding-window.yaml")),
    ("expiry", include_str!("../../runbooks/expiry.yaml")),
];

/// Replay inserts, deletes, replacements and searches that a file lists step by step
///
/// Reads runbooks of the streaming track of big-ann-benchmarks: YAML with numbered steps, each of which inserts rows of the data set, deletes or
/// replaces points, or searches for all queries. A step is done by all threads together, and the next one begins when it has ended. At each search
/// step the answers are scored against the exact neighbours among the points that are live.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(
    after_help = "Examples:\n  hnsw-lab runbook\n  hnsw-lab runbook expiry --strategies lockfree,mvcc --overlap-search\n  hnsw-lab runbook final_runbook.yaml --dataset msturing30m --set msturing-30M-clustered --out final.json"
)]
pub struct RunbookArgs {
    /// YAML file, or a runbook for the embedded data set: sliding-window or expiry
    #[arg(value_name = "FILE|NAME", default_value = "sliding-window")]
    pub runbook: String,
    /// Which data set of the file the steps are for [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Which vectors.
    #[command(flatten)]
    pub data: DataArgs,
    /// Strategies, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Thread counts [default: the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// Let one more thread search while points are inserted, deleted and replaced, and look for points in its answers that
    /// were deleted before the step began
    #[arg(long)]
    pub overlap_search: bool,
    /// How the graph is built and searched.
    #[command(flatten)]
    pub graph: GraphArgs,
    /// How often.
    #[command(flatten)]
    pub blocks: BlockArgs,
    /// In what process.
    #[command(flatten)]
    pub apart: ApartArgs,
    /// Seed of levels and of the queries of --overlap-search
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Where workers and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What becomes of what was measured.
    #[command(flatten)]
    pub output: OutArgs,
}

/// [`RunbookArgs`], checked.
pub(super) struct Plan {
    pub(super) strategies: Vec<&'static Subject>,
    pub(super) threads: Vec<usize>,
    pub(super) runbook: Runbook,
    /// BLAKE3 of its text.
    pub(super) digest: String,
}

impl RunbookArgs {
    /// Checks what can be checked without the data, and reads the runbook.
    pub(super) fn plan(&self, machine: &Machine) -> Result<Plan> {
        self.graph.check()?;
        self.blocks.check()?;
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        let strategies = trial::named(&self.strategies)?;
        let text = builtin::text(&self.runbook, &BUILT_IN, ("a YAML file", "runbook"))?;
        let runbook = Runbook::parse(&text, self.set.as_deref()).with_context(|| self.runbook.clone())?;
        let cores = self.place.pin.cpus(machine).len();
        let threads = distinct(self.threads.clone().unwrap_or_else(|| vec![cores]));
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        Ok(Plan { strategies, threads, runbook, digest })
    }

    /// The data, on which every step can be done.
    pub(super) fn data(&self, plan: &Plan) -> Result<Dataset> {
        let dataset = self.data.load()?;
        tags::check(&plan.runbook, dataset.len()).with_context(|| self.runbook.clone())?;
        Ok(dataset)
    }
}
