//! What `capacity` found, as it is written to a file.

use hnsw_core::graph::MemoryReport;
use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::machine::BuildInfo;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 1;

/// How many vectors fit, and from which measurements that is known. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program that measured.
    pub build: BuildInfo,
    /// Threads that filled the indexes.
    pub threads: usize,
    /// The data set.
    pub data: String,
    /// Components of a vector; each is an f32.
    pub dim: usize,
    /// M.
    pub m: usize,
    /// ef_construction.
    pub ef_construction: usize,
    /// Budgets up to this size were filled.
    pub measure_up_to: Size,
    /// How many vectors each budget holds without any index.
    pub raw: Vec<Raw>,
    /// One entry per strategy.
    pub strategies: Vec<Strategy>,
}

/// A budget, and how many bare vectors it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// The budget.
    pub budget: Size,
    /// Vectors.
    pub vectors: u64,
}

/// What was found for one strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// The name of the strategy.
    pub name: String,
    /// The estimate that the project started from, in per cent of the raw count.
    pub estimate_percent: Option<f64>,
    /// Measurements, by rising size.
    pub fills: Vec<Fill>,
    /// One for each budget.
    pub cells: Vec<Cell>,
}

/// One measured index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// The budget that it just about fills.
    pub budget: Size,
    /// Vectors in it.
    pub vectors: u64,
    /// The exact sum of `memory`; scratch is not in it.
    pub total_bytes: u64,
    /// `total_bytes / vectors`, to two decimals.
    pub bytes_per_vector: f64,
    /// By how much the resident memory of the process grew; absent where the system does not say.
    pub rss_growth_bytes: Option<u64>,
    /// By how much more the allocator had handed out; absent where it does not say.
    #[serde(default)]
    pub allocated_growth_bytes: Option<u64>,
    /// By category.
    pub memory: Categories,
}

impl Fill {
    /// How many vectors `budget` holds at the bytes per vector of this fill.
    pub fn vectors_in(&self, budget: Size) -> u64 {
        let vectors =
            u128::from(budget.bytes()) * u128::from(self.vectors) / u128::from(self.total_bytes.max(1));
        u64::try_from(vectors).unwrap_or(u64::MAX)
    }

    /// By how many per cent the growth of the resident memory differs from the exact report.
    pub fn rss_difference_percent(&self) -> Option<f64> {
        self.rss_growth_bytes.map(|grown| self.difference_percent(grown))
    }

    /// By how many per cent the growth of what the allocator handed out differs from it.
    pub fn allocated_difference_percent(&self) -> Option<f64> {
        self.allocated_growth_bytes.map(|grown| self.difference_percent(grown))
    }

    fn difference_percent(&self, grown: u64) -> f64 {
        let exact = self.total_bytes as f64;
        100.0 * (grown as f64 - exact) / exact
    }
}

/// The categories of [`MemoryReport`], all but scratch, which belongs to threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Categories {
    /// Rows in use.
    pub vectors_bytes: u64,
    /// Adjacency lists.
    pub links_bytes: u64,
    /// Allocated and not used.
    pub slack_bytes: u64,
    /// Levels, states, towers.
    pub levels_bytes: u64,
    /// Locks, heads, versions.
    pub sync_bytes: u64,
    /// Ids beside the node number.
    pub ids_bytes: u64,
    /// Replaced and not yet freed.
    pub retired_bytes: u64,
    /// Old versions.
    pub snapshots_bytes: u64,
    /// Spines, roots, registries.
    pub fixed_bytes: u64,
}

impl From<MemoryReport> for Categories {
    fn from(report: MemoryReport) -> Self {
        Categories {
            vectors_bytes: report.vectors_bytes as u64,
            links_bytes: report.links_bytes as u64,
            slack_bytes: report.slack_bytes as u64,
            levels_bytes: report.levels_bytes as u64,
            sync_bytes: report.sync_bytes as u64,
            ids_bytes: report.ids_bytes as u64,
            retired_bytes: report.retired_bytes as u64,
            snapshots_bytes: report.snapshots_bytes as u64,
            fixed_bytes: report.fixed_bytes as u64,
        }
    }
}

/// How many vectors a budget holds under a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The budget.
    pub budget: Size,
    /// Vectors.
    pub vectors: u64,
    /// Of the raw count, to two decimals.
    pub percent_of_raw: f64,
    /// False if no index of this size was filled: then it is computed from the largest one that was.
    pub measured: bool,
}
