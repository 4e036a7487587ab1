//! What is to be measured.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use hnsw_core::distance::Metric;
use hnsw_core::error::MAX_EF;
use hnsw_core::hnsw::IndexConfig;
use serde::{Deserialize, Serialize};

use super::contest::Kind;
use super::rungs::{self, Rung};
use crate::apart::ApartArgs;
use crate::blocks::BlockArgs;
use crate::data::generate::{SEED_WORKLOAD, Shape, uniform};
use crate::data::{Dataset, LoadOptions, TruthCache, TruthSource, embedded, load};
use crate::flags::{GraphArgs, OutArgs, any_path, metric_name};
use crate::machine::{Machine, PlaceArgs};
use crate::progress;
use crate::sweep::{check_seconds, check_threads, distinct};

/// Sets of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub enum Set {
    /// Uniform in the unit cube, 128 dimensions, 100,000 rows: the workload that this project began with
    Seed,
    /// The embedded SIFT vectors, or those of --dataset
    Real,
}

/// Measure what each step of optimisation gives, from a textbook index behind one mutex to quantised, lock-free batches
///
/// Each rung adds one thing to the one before it: SIMD, layout, a lock for each list, batches, lock-free lists, work stealing, codes of one byte. All build
/// the same kind of graph (M, ef_construction) and search with the same ef. A block measures all rungs at all thread counts in a random order; gains are
/// medians of ratios within a block.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(
    after_help = "Examples:\n  hnsw-lab ladder\n  hnsw-lab ladder --n 20000 --sets seed --blocks 5 --out ladder.json\n  hnsw-lab ladder --sets real --dataset sift1m/ --n 100000 --rungs layout,fine,lockfree\n  hnsw-lab ladder --queue --sets real --ef 200 --blocks 5"
)]
pub struct LadderArgs {
    /// Data to climb on
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "seed,real", value_enum)]
    pub sets: Vec<Set>,
    /// Folder or file of vectors for the set `real`, as `hnsw-lab sweep` reads it [default: the embedded set]
    #[arg(long, value_name = "FILE|DIR")]
    #[serde(with = "any_path")]
    pub dataset: Option<PathBuf>,
    /// How vectors of --dataset are compared: l2, ip or cosine [default: what the data set says, else l2]
    #[arg(long, value_name = "METRIC", value_parser = crate::data::cmd::metric, requires = "dataset")]
    #[serde(with = "metric_name")]
    pub metric: Option<Metric>,
    /// Use at most this many base vectors of each set [default: 100000 of `seed`, all of `real`]
    #[arg(long, value_name = "COUNT")]
    pub n: Option<usize>,
    /// Use at most this many queries of each set
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub query_count: usize,
    /// Rungs, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub rungs: Vec<String>,
    /// Instead, measure a shared candidate queue: all threads work on one query, beside a query for each thread
    #[arg(long, conflicts_with = "rungs")]
    pub queue: bool,
    /// With --queue: candidates that a thread takes from the queue at a time
    #[arg(long, value_name = "1,4", value_delimiter = ',', default_value = "1,4", requires = "queue")]
    pub pops: Vec<usize>,
    /// Thread counts [default: 1, and the cores that this process may use; with --queue twice as many, too]
    #[arg(long, value_name = "1,2", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// How the graph is built and searched.
    #[command(flatten)]
    pub graph: GraphArgs,
    /// Length of a window of searches in seconds (a build takes what it takes)
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_negative_numbers = true)]
    pub seconds: f64,
    /// How often.
    #[command(flatten)]
    pub blocks: BlockArgs,
    /// In what process.
    #[command(flatten)]
    pub apart: ApartArgs,
    /// Seed of levels, orders and generated data
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Where threads and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What becomes of what was measured.
    #[command(flatten)]
    pub output: OutArgs,
}

impl LadderArgs {
    /// Checks what can be checked without the data.
    pub(super) fn check(&self) -> Result<()> {
        check_seconds(self.seconds)?;
        self.graph.check()?;
        self.blocks.check()?;
        ensure!(self.n.is_none_or(|n| n > 0), "--n is 0; at least one row is needed");
        ensure!(self.query_count > 0, "--query-count is 0; at least one query is needed");
        for pops in &self.pops {
            ensure!((1..=MAX_EF).contains(pops), "--pops has {pops}; each must be from 1 to {MAX_EF}");
        }
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        rungs::named(&self.rungs).map(drop)
    }

    /// The rungs that are asked for, from the ground up.
    pub(super) fn chosen(&self) -> Result<Vec<&'static Rung>> {
        rungs::named(&self.rungs)
    }

    /// The parameters of all graphs on a set.
    pub(super) fn config(&self, dataset: &Dataset) -> IndexConfig {
        self.graph.index(dataset, self.seed)
    }

    pub(super) fn thread_counts(&self, machine: &Machine) -> Vec<usize> {
        let cores = machine.allowed_cores;
        let usual = || if self.queue { vec![1, cores, 2 * cores] } else { vec![1, cores] };
        distinct(self.threads.clone().unwrap_or_else(usual))
    }

    /// The ways to answer queries that `--queue` compares, with their thread counts. A thread alone and a team of one are there in any
    /// case: others are compared with them.
    pub(super) fn ways(&self, machine: &Machine) -> Vec<(Kind, usize)> {
        let mut ways = vec![(Kind::Alone, 1), (Kind::Shared { pops: 1 }, 1)];
        for threads in self.thread_counts(machine) {
            ways.push((Kind::Alone, threads));
            ways.extend(self.pops.iter().map(|&pops| (Kind::Shared { pops }, threads)));
        }
        distinct(ways)
    }

    /// The sets that are asked for, in order.
    pub(super) fn distinct_sets(&self) -> Vec<Set> {
        distinct(self.sets.clone())
    }

    /// A set, with its exact neighbours if it brings them.
    pub(super) fn load(&self, set: Set) -> Result<Dataset> {
        Ok(match (set, &self.dataset) {
            (Set::Seed, _) => uniform(&Shape {
                rows: self.n.unwrap_or(SEED_WORKLOAD.rows),
                queries: self.query_count,
                seed: self.seed,
                ..SEED_WORKLOAD
            })?,
            (Set::Real, Some(path)) => load(
                path,
                &LoadOptions {
                    metric: self.metric,
                    limit: self.n,
                    query_limit: Some(self.query_count),
                    ..LoadOptions::default()
                },
            )?,
            (Set::Real, None) => first_of(&embedded(), self.n, self.query_count)?,
        })
    }

    /// A set with its exact neighbours, and where they are from.
    pub(super) fn data(
        &self,
        set: Set,
        cache: Option<&TruthCache>,
        stop: &AtomicBool,
    ) -> Result<(Dataset, TruthSource)> {
        let mut dataset = self.load(set)?;
        let source = progress::watched(
            "exact neighbours, kept for the next time",
            self.output.quiet,
            stop,
            |watch| dataset.ensure_truth(self.graph.k, cache, watch),
        )?;
        if let TruthSource::Computed { not_cached: Some(why) } = &source {
            eprintln!("note: the exact neighbours will be computed again the next time: {why}");
        }
        Ok((dataset, source))
    }
}

/// The first rows and queries of a set; the set itself if that is all.
fn first_of(set: &Dataset, rows: Option<usize>, queries: usize) -> Result<Dataset> {
    let (rows, queries) = (rows.unwrap_or(set.len()).min(set.len()), queries.min(set.query_count()));
    if (rows, queries) == (set.len(), set.query_count()) {
        return Ok(set.clone());
    }
    let dim = set.dim();
    let name = if rows < set.len() { format!("{}-{rows}", set.name()) } else { set.name().to_owned() };
    Dataset::new(
        name,
        set.metric(),
        dim,
        set.base()[..rows * dim].to_vec(),
        set.queries()[..queries * dim].to_vec(),
        set.provenance().to_owned(),
    )
    .context("the first rows of a set are no set; this is a bug")
}
