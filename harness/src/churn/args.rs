//! What is to be measured.

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::trial::{self, Subject};
use super::workload::{Mix, Points, Reader, ReaderKind, Workload};
use crate::apart::ApartArgs;
use crate::blocks::BlockArgs;
use crate::data::Dataset;
use crate::flags::{DataArgs, GraphArgs, OutArgs};
use crate::machine::{Machine, PlaceArgs};
use crate::sweep::{check_graph, check_seconds, check_threads, distinct, powers_of_two};

/// Measure recall, freshness and garbage while points come and go
///
/// A workload says what operations there are; by default the index holds a constant number of points, and each write inserts one and removes the oldest
/// of its thread. Searches run in between, and their intervals are logged, so that each answer can be scored afterwards against what must, may and cannot
/// have been there: recall has bounds, points that were removed before a search began are ghosts, and points that were just inserted are found or not, by
/// their age.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(
    after_help = "Examples:\n  hnsw-lab churn\n  hnsw-lab churn --workload hot-hub,entry-point-storm --strategies lockfree,mvcc --threads 2,8 --out churn.json\n  hnsw-lab churn --workload my.toml\n\n`hnsw-lab workload` lists the workloads that come with the program, and shows them."
)]
pub struct ChurnArgs {
    /// Which vectors.
    #[command(flatten)]
    pub data: DataArgs,
    /// Strategies, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Thread counts [default: 1, 2, 4, … up to the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// Workloads: names of those that come with the program, or files of the same form
    #[arg(long, value_name = "NAME|FILE,…", value_delimiter = ',', default_value = "churn")]
    pub workload: Vec<String>,
    /// Points that the index holds when the window opens [default: what the workload says]
    #[arg(long, value_name = "N")]
    pub occupancy: Option<usize>,
    /// Share of the operations that replace a point, from 0 to 1; the others search [default: what the workload says]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub writes: Option<f64>,
    /// Share of the searches that are for a point which was just inserted, from 0 to 1 [default: what the workload says]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub fresh: Option<f64>,
    /// Keep a read session open from one quarter of the window to three quarters: what it holds back shows up as garbage, and
    /// whom it holds up as throughput
    #[arg(long)]
    pub stalled_reader: bool,
    /// How the graph is built and searched.
    #[command(flatten)]
    pub graph: GraphArgs,
    /// How often.
    #[command(flatten)]
    pub blocks: BlockArgs,
    /// Where.
    #[command(flatten)]
    pub apart: ApartArgs,
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
    /// What becomes of what was measured.
    #[command(flatten)]
    pub output: OutArgs,
}

/// [`ChurnArgs`], checked.
pub(super) struct Plan {
    pub(super) strategies: Vec<&'static Subject>,
    pub(super) threads: Vec<usize>,
    pub(super) workloads: Vec<Planned>,
}

/// A workload on the data.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) workload: Workload,
    /// Points that are there when the window opens.
    pub(super) points: usize,
}

impl ChurnArgs {
    /// Checks what can be checked without the data.
    pub(super) fn check(&self) -> Result<()> {
        for (flag, share) in [("--writes", self.writes), ("--fresh", self.fresh)] {
            let share = share.unwrap_or(0.0);
            ensure!((0.0..=1.0).contains(&share), "{flag} is {share}; a share is from 0 to 1");
        }
        check_seconds(self.seconds)?;
        self.blocks.check()?;
        self.graph.check()?;
        ensure!(self.sample > 0, "--sample is 0; at least one search must be scored");
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        self.workloads()?;
        trial::named(&self.strategies).map(drop)
    }

    /// The workloads, with what other flags change about them.
    fn workloads(&self) -> Result<Vec<(String, Workload)>> {
        let changed = |name: &String| {
            let (name, mut workload) = Workload::named(name)?;
            if let Some(count) = self.occupancy {
                workload.start.points = Points::Count(count);
            }
            if let Some(writes) = self.writes {
                workload.mix = Mix { search: 1.0 - writes, replace: writes, ..Mix::default() };
            }
            if let Some(fresh) = self.fresh {
                workload.search.fresh = fresh;
            }
            if self.stalled_reader {
                workload.reader = Some(Reader { kind: ReaderKind::Stalled, between: [0.25, 0.75] });
            }
            if let Some(m) = workload.start.m {
                check_graph(m, self.graph.ef_construction)?;
            }
            workload.check(&name)?;
            Ok((name, workload))
        };
        self.workload.iter().map(changed).collect()
    }

    /// The data to choose rows and queries from.
    pub(super) fn data(&self) -> Result<Dataset> {
        Ok(self.data.load()?)
    }

    /// What is measured on these data.
    pub(super) fn plan(&self, machine: &Machine, dataset: &Dataset) -> Result<Plan> {
        let cores = self.place.pin.cpus(machine).len();
        let threads = distinct(self.threads.clone().unwrap_or_else(|| powers_of_two(cores)));
        let (rows, most) = (dataset.len(), threads.last().copied().unwrap_or(1));
        let planned = |(name, workload): (String, Workload)| {
            let points = workload.points(rows);
            // Searches want answers, removals something to remove, and inserts something that is left.
            let least = if workload.mix.insert == 1.0 { 0 } else { most.max(self.graph.k) };
            let largest = if workload.mix.search == 1.0 { rows } else { rows.saturating_sub(1) };
            ensure!(
                (least..=largest).contains(&points),
                "{name} begins with {points} points; with {rows} rows, {most} threads and k = {} it must be from {least} to {largest}: \
                 give --occupancy",
                self.graph.k
            );
            Ok(Planned { name, workload, points })
        };
        Ok(Plan {
            strategies: trial::named(&self.strategies)?,
            threads,
            workloads: self.workloads()?.into_iter().map(planned).collect::<Result<_>>()?,
        })
    }
}
