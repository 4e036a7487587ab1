//! What `ladder` found, as it is written to a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::churn::Dataset;
use crate::limit::Spread;
use crate::machine::{BuildInfo, Machine, MemoryInForce, Placement, Seat};
use crate::record::{Conditions, Isolation};
use crate::stats;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 3;

/// What each step of optimisation gives.
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
    /// What was done.
    pub config: Config,
    /// What was asked of this project at its beginning: told, not measured.
    pub asked: Asked,
    /// One for each set of vectors.
    pub sets: Vec<Climb>,
}

/// The flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Rungs that were asked for, from the ground up; none with `--queue`.
    pub rungs: Vec<String>,
    /// Candidates that a thread of a team takes at a time; empty unless `--queue` was given.
    pub pops: Vec<usize>,
    /// Thread counts.
    pub threads: Vec<usize>,
    /// M.
    pub m: usize,
    /// Beam width of inserts.
    pub ef_construction: usize,
    /// Beam width of searches.
    pub ef: usize,
    /// Neighbours asked for.
    pub k: usize,
    /// Length of a window of searches, in seconds.
    pub seconds: f64,
    /// How often each rung was to be measured.
    pub blocks: usize,
    /// How often a disturbed trial was tried again at most.
    pub retries: usize,
    /// What measured the rungs, or with `--queue` the blocks.
    pub isolation: Isolation,
    /// Seed of levels, orders and generated data.
    pub seed: u64,
    /// How threads were placed.
    pub pin: Placement,
    /// The CPU of each thread, for the most that a trial has; fewer threads have the first of them. Null where threads are not
    /// pinned.
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from.
    pub memory_policy: MemoryInForce,
}

/// Figures that this project was given when it began. No one says on which machine they were taken, with which parameters, or at which recall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Rows of the set that they are about.
    pub rows: usize,
    /// Its components.
    pub dim: usize,
    /// Inserts per second on one core, to begin with.
    pub start_inserts_per_second: f64,
    /// Queries per second on one core, to begin with.
    pub start_queries_per_second: f64,
    /// The gain that is wanted on one core, least and most.
    pub gain_on_one_core: [f64; 2],
    /// Cores that the following are about.
    pub cores: usize,
    /// The gain that is wanted of all of them over one, least and most.
    pub gain_of_cores: [f64; 2],
    /// Inserts per second that are wanted of all of them, least and most.
    pub inserts_per_second: [f64; 2],
    /// Queries per second that are wanted of all of them, least and most.
    pub queries_per_second: [f64; 2],
}

/// See [`Asked`].
pub const ASKED: Asked = Asked {
    rows: 100_000,
    dim: 128,
    start_inserts_per_second: 8_392.0,
    start_queries_per_second: 2_678.0,
    gain_on_one_core: [2.0, 4.0],
    cores: 8,
    gain_of_cores: [5.0, 7.0],
    inserts_per_second: [80_000.0, 200_000.0],
    queries_per_second: [50_000.0, 150_000.0],
};

/// All rungs on one set of vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Climb {
    /// The set.
    pub dataset: Dataset,
    /// One for each rung and thread count; none with `--queue`.
    pub points: Vec<Point>,
    /// With `--queue`: one for each way to answer queries and thread count.
    pub queue: Vec<Way>,
}

/// One rung at one thread count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The rung.
    pub rung: String,
    /// What it adds to the one before it.
    pub adds: String,
    /// Threads.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Builds: rows per second, from the first to the last.
    pub inserts: Rate,
    /// Searches.
    pub queries: Rate,
    /// Mean recall@k over all queries.
    pub recall: Spread,
    /// What was measured, block by block. Of those of one block the last one counts.
    pub blocks: Vec<Block>,
}

/// Operations per second over blocks, and beside others in the same block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// All threads together.
    pub per_second: Spread,
    /// Times the rung before, at the same thread count; `null` for the first.
    pub x_before: Option<Spread>,
    /// Times the first rung, at the same thread count; `null` for that one.
    pub x_first: Option<Spread>,
    /// Times the same rung on one thread; `null` for one thread, or if that was not measured.
    pub x_one_thread: Option<Spread>,
}

/// One block of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Number of the block.
    pub block: usize,
    /// How often it was tried before in this block: a trial that the machine disturbed is tried again.
    pub attempt: usize,
    /// Inserts per second.
    pub inserts_per_second: f64,
    /// Searches per second.
    pub queries_per_second: f64,
    /// Mean recall@k.
    pub recall: f64,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
    /// Why not to trust the rates; empty if nothing is known against them.
    pub tainted: Vec<String>,
}

/// A way to answer queries, at one thread count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Candidates that a thread of a team takes at a time; `null` if each thread answers queries of its own.
    pub pops: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// All threads together.
    pub queries_per_second: Spread,
    /// Half of the queries took no longer, in microseconds.
    pub p50_us: Spread,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: Spread,
    /// Mean recall@k over all queries.
    pub recall: Spread,
    /// Distances that all threads together computed for a query.
    pub distances_per_query: Spread,
    /// Queries per second, times those of as many threads that answer queries of their own, in the same block; `null` for these.
    pub x_queries: Option<Spread>,
    /// `p50_us`, times that of one thread alone; `null` for this one.
    pub x_p50: Option<Spread>,
    /// Distances per query, times those of a team of one, which expands candidates strictly in order; `null` for this one.
    pub x_distances: Option<Spread>,
    /// Answers that name a node twice or are not in order. There must be none.
    pub faulty_answers: usize,
    /// What was measured, block by block. Of those of one block the last one counts.
    pub blocks: Vec<WayBlock>,
}

/// One block of a way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WayBlock {
    /// Number of the block.
    pub block: usize,
    /// How often it was tried before in this block: a trial that the machine disturbed is tried again.
    pub attempt: usize,
    /// Searches per second.
    pub queries_per_second: f64,
    /// Half of the queries took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: f64,
    /// Mean recall@k.
    pub recall: f64,
    /// Distances that all threads together computed for a query.
    pub distances_per_query: f64,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
    /// Why not to trust the rates; empty if nothing is known against them.
    pub tainted: Vec<String>,
}

/// A trial of a block.
pub(super) trait Tried {
    /// The number of its block.
    fn block(&self) -> usize;
    /// Why not to trust it.
    fn tainted(&self) -> &[String];
}

impl Tried for Block {
    fn block(&self) -> usize {
        self.block
    }

    fn tainted(&self) -> &[String] {
        &self.tainted
    }
}

impl Tried for WayBlock {
    fn block(&self) -> usize {
        self.block
    }

    fn tainted(&self) -> &[String] {
        &self.tainted
    }
}

/// Of trials in the order of time, the last one of each block: only what was disturbed is tried again, so no earlier one is clean.
pub(super) fn counted<'a, T: Tried + 'a>(
    trials: impl IntoIterator<Item = &'a T>,
) -> impl Iterator<Item = &'a T> {
    let last: BTreeMap<usize, &T> = trials.into_iter().map(|trial| (trial.block(), trial)).collect();
    last.into_values()
}

/// A block of a rung at a thread count, before it is put together with others.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The place of the rung among those that are measured, from the ground up.
    pub(super) rung: usize,
    pub(super) name: &'static str,
    pub(super) adds: &'static str,
    pub(super) threads: usize,
    pub(super) oversubscribed: bool,
    pub(super) block: Block,
}

/// Puts samples together, by rung and then by thread count.
pub(super) fn points(samples: &[Sample]) -> Vec<Point> {
    let mut gathered: BTreeMap<(usize, usize), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        gathered.entry((sample.rung, sample.threads)).or_default().push(sample);
    }
    let rate = |(rung, threads): (usize, usize), of: fn(&Block) -> f64| {
        let by_block = |key: (usize, usize)| -> BTreeMap<usize, f64> {
            let samples = gathered.get(&key).into_iter().flatten();
            counted(samples.map(|sample| &sample.block)).map(|block| (block.block, of(block))).collect()
        };
        let own = by_block((rung, threads));
        let beside = |other: (usize, usize)| {
            let ratios = stats::paired_ratios(&own, &by_block(other));
            (!ratios.is_empty()).then(|| Spread::of(ratios.into_iter()))
        };
        Rate {
            per_second: Spread::of(own.values().copied()),
            x_before: rung.checked_sub(1).and_then(|before| beside((before, threads))),
            x_first: (rung > 0).then(|| beside((0, threads))).flatten(),
            x_one_thread: (threads > 1).then(|| beside((rung, 1))).flatten(),
        }
    };
    let point = |(key, samples): (&(usize, usize), &Vec<&Sample>)| {
        let mut blocks: Vec<Block> = samples.iter().map(|sample| sample.block.clone()).collect();
        blocks.sort_by_key(|block| (block.block, block.attempt));
        Point {
            rung: samples[0].name.to_owned(),
            adds: samples[0].adds.to_owned(),
            threads: samples[0].threads,
            oversubscribed: samples[0].oversubscribed,
            inserts: rate(*key, |block| block.inserts_per_second),
            queries: rate(*key, |block| block.queries_per_second),
            recall: Spread::of(counted(&blocks).map(|block| block.recall)),
            blocks,
        }
    };
    gathered.iter().map(point).collect()
}
