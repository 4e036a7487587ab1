//! What is to be replayed, and on what.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use hnsw_core::distance::Metric;

use super::steps::Runbook;
use super::tags;
use crate::churn::trial::{self, Subject};
use crate::data::{Dataset, load_or_embedded};
use crate::machine::{Machine, PlaceArgs};
use crate::sweep::{check_beam, check_graph, check_threads, distinct};

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
#[derive(Args, Clone, Debug)]
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
    /// Folder or file of vectors, as `hnsw-lab sweep` reads it [default: the embedded set]
    #[arg(long, value_name = "FILE|DIR")]
    pub dataset: Option<PathBuf>,
    /// How vectors are compared: l2, ip or cosine [default: what the data set says, else l2]
    #[arg(long, value_name = "METRIC", value_parser = crate::data::cmd::metric, requires = "dataset")]
    pub metric: Option<Metric>,
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
    /// Links per node and level; twice as many on level 0
    #[arg(long, value_name = "M", default_value_t = 16)]
    pub m: usize,
    /// Beam width while inserting
    #[arg(long, value_name = "EF", default_value_t = 200)]
    pub ef_construction: usize,
    /// Beam width of searches
    #[arg(long, value_name = "EF", default_value_t = 64)]
    pub ef: usize,
    /// Neighbours to ask for
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub k: usize,
    /// Seed of levels and of the queries of --overlap-search
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Where workers and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Also write what was measured to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// No sign of life
    #[arg(short, long)]
    pub quiet: bool,
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
        check_beam(self.k, self.ef)?;
        check_graph(self.m, self.ef_construction)?;
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        let strategies = trial::named(&self.strategies)?;
        let text = self.text()?;
        let runbook = Runbook::parse(&text, self.set.as_deref()).with_context(|| self.runbook.clone())?;
        let cores = self.place.pin.cpus(machine).len();
        let threads = distinct(self.threads.clone().unwrap_or_else(|| vec![cores]));
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        Ok(Plan { strategies, threads, runbook, digest })
    }

    /// The data, on which every step can be done.
    pub(super) fn data(&self, plan: &Plan) -> Result<Dataset> {
        let dataset = load_or_embedded(self.dataset.as_deref(), self.metric)?;
        tags::check(&plan.runbook, dataset.len()).with_context(|| self.runbook.clone())?;
        Ok(dataset)
    }

    fn text(&self) -> Result<String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == self.runbook) {
            return Ok((*text).to_owned());
        }
        let names = BUILT_IN.map(|(name, _)| name).join(" and ");
        let unreadable =
            || format!("{}: cannot be read; give a YAML file, or a built-in runbook ({names})", self.runbook);
        // A device may have no end.
        let regular = fs::metadata(&self.runbook).with_context(unreadable)?.is_file();
        ensure!(regular, "{}: it is not a regular file", unreadable());
        fs::read_to_string(&self.runbook).with_context(unreadable)
    }
}
