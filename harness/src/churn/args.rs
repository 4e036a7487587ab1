//! What is to be measured.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use hnsw_core::distance::Metric;

use super::trial::{self, Subject};
use crate::data::{Dataset, load_or_embedded};
use crate::machine::{Machine, PlaceArgs};
use crate::sweep::{check_beam, check_graph, check_seconds, check_threads, distinct, powers_of_two};

/// Measure recall, freshness and garbage while points come and go
///
/// The index holds a constant number of points: each write inserts one and removes the oldest of its thread. Searches run in between, and their
/// intervals are logged, so that each answer can be scored afterwards against what must, may and cannot have been there: recall has bounds, points that
/// were removed before a search began are ghosts, and points that were just inserted are found or not, by their age.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hnsw-lab churn\n  hnsw-lab churn --strategies lockfree,mvcc --threads 2,8 --stalled-reader --out churn.json"
)]
pub struct ChurnArgs {
    /// Folder or file of vectors, as `hnsw-lab sweep` reads it [default: the embedded set]
    #[arg(long, value_name = "FILE|DIR")]
    pub dataset: Option<PathBuf>,
    /// How vectors are compared: l2, ip or cosine [default: what the data set says, else l2]
    #[arg(long, value_name = "METRIC", value_parser = crate::data::cmd::metric, requires = "dataset")]
    pub metric: Option<Metric>,
    /// Strategies, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Thread counts [default: 1, 2, 4, … up to the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// Points that the index holds [default: half of the rows]
    #[arg(long, value_name = "N")]
    pub occupancy: Option<usize>,
    /// Share of the operations that write, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, allow_negative_numbers = true)]
    pub writes: f64,
    /// Share of the searches that are for a point which was just inserted, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, allow_negative_numbers = true)]
    pub fresh: f64,
    /// Keep a read session open from one quarter of the window to three quarters: what it holds back shows up as garbage, and
    /// whom it holds up as throughput
    #[arg(long)]
    pub stalled_reader: bool,
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
    /// Length of a window in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Searches of a window that are scored, drawn at random; ghosts are looked for in all
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub sample: usize,
    /// Seed of levels, operation mixes and the sample
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

/// [`ChurnArgs`], checked.
pub(super) struct Plan {
    pub(super) strategies: Vec<&'static Subject>,
    pub(super) threads: Vec<usize>,
    pub(super) occupancy: usize,
}

impl ChurnArgs {
    /// Checks what can be checked without the data.
    pub(super) fn check(&self) -> Result<()> {
        for (flag, share) in [("--writes", self.writes), ("--fresh", self.fresh)] {
            ensure!((0.0..=1.0).contains(&share), "{flag} is {share}; a share is from 0 to 1");
        }
        check_seconds(self.seconds)?;
        check_beam(self.k, self.ef)?;
        check_graph(self.m, self.ef_construction)?;
        ensure!(self.sample > 0, "--sample is 0; at least one search must be scored");
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        trial::named(&self.strategies).map(drop)
    }

    /// The data to choose rows and queries from.
    pub(super) fn data(&self) -> Result<Dataset> {
        Ok(load_or_embedded(self.dataset.as_deref(), self.metric)?)
    }

    /// What is measured on these data.
    pub(super) fn plan(&self, machine: &Machine, dataset: &Dataset) -> Result<Plan> {
        let cores = self.place.pin.cpus(machine).len();
        let threads = distinct(self.threads.clone().unwrap_or_else(|| powers_of_two(cores)));
        let (rows, most) = (dataset.len(), threads.last().copied().unwrap_or(1));
        let occupancy = self.occupancy.unwrap_or(rows / 2);
        ensure!(
            (most.max(self.k)..rows).contains(&occupancy),
            "--occupancy is {occupancy}; with {rows} rows, {most} threads and k = {} it must be from {} to {}",
            self.k,
            most.max(self.k),
            rows - 1
        );
        Ok(Plan { strategies: trial::named(&self.strategies)?, threads, occupancy })
    }
}
