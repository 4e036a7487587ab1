//! What `latency` found, as it is written to a file.

use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Arrivals, timing};
use crate::blocks::{Gathered, Repeated};
use crate::churn::Dataset;
use crate::machine::{BuildInfo, Machine, MemoryInForce, Placement, Seat};
use crate::output;
use crate::record::{Conditions, Isolation, Latency};
use crate::report::micros;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 2;

/// How long operations take that come at a given rate, and which rate can be served.
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
    /// What was searched in.
    pub dataset: Dataset,
    /// What was done.
    pub config: Config,
    /// One for each strategy, thread count, rate and block, and one more for each time it was tried again. After a search for a
    /// rate, a further window at the rate that was found. By point, then in the order of time.
    pub points: Vec<Point>,
    /// Searches for the highest rate, one for each strategy, thread count and block; empty if rates were given.
    pub searches: Vec<RateSearch>,
}

/// The flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Operations per second of all threads; empty if the rate was searched for.
    pub rates: Vec<f64>,
    /// What p99 was to be within, in microseconds, if the rate was searched for.
    pub p99_us: Option<f64>,
    /// How operations arrive.
    pub arrivals: Arrivals,
    /// Each point was measured in a closed loop too.
    pub closed: bool,
    /// Share of the operations that insert.
    pub writes: f64,
    /// Rows that are in the index when a window opens.
    pub filled: usize,
    /// Row format.
    pub codec: String,
    /// M.
    pub m: usize,
    /// Beam width of inserts.
    pub ef_construction: usize,
    /// Beam width of searches.
    pub ef: usize,
    /// Neighbours asked for.
    pub k: usize,
    /// Length of a window, in seconds.
    pub seconds: f64,
    /// How often every point was measured.
    pub blocks: usize,
    /// How often a disturbed window at a given rate was tried again at most.
    pub retries: usize,
    /// What measured the trials. Documents without it are of one process.
    #[serde(default)]
    pub isolation: Isolation,
    /// Seed of levels, arrivals and operation mixes.
    pub seed: u64,
    /// How threads were placed.
    pub pin: Placement,
    /// The CPU of each thread, for the most that a trial has; fewer threads have the first of them. Null where threads are not
    /// pinned.
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from.
    pub memory_policy: MemoryInForce,
}

/// One strategy at one thread count and rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The strategy.
    pub strategy: String,
    /// Threads, each with a schedule and a queue of its own.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Operations per second that were asked for, of all threads.
    pub rate: f64,
    /// Repetition. Points come in another order, and operations at other times, in each.
    pub block: usize,
    /// How often it was tried before in this block.
    pub attempt: usize,
    /// Trials of any point that ended before it.
    pub number: usize,
    /// Length of the window: shorter than asked for if there were not rows enough to insert.
    pub seconds: f64,
    /// Operations that were meant to begin in the window.
    pub offered: u64,
    /// Those that had not begun when it ended.
    pub backlog: u64,
    /// Operations that began in the window, per second.
    pub achieved_per_second: f64,
    /// The rate was not kept up with: more than 1 % of the operations, and more than one per thread, had not begun when the
    /// window ended. The response times are then no latencies: they grow with the length of the window, and those of the
    /// backlog are not among them.
    pub saturated: bool,
    /// Searches; `null` if there were none.
    pub search: Option<Timed>,
    /// Inserts; `null` if there were none.
    pub insert: Option<Timed>,
    /// The same in a closed loop; `null` if it was not asked for.
    pub closed: Option<Closed>,
    /// Mean recall@k over all queries, in the index with all rows.
    pub recall_at_k: f64,
    /// Answers with fewer points than k, though the index held as many. The contract promises 0.
    pub short_answers: u64,
    /// Live nodes that are not reachable from the entry point on level 0. The contract promises 0.
    pub unreachable: usize,
    /// What the machine did while the open loop ran.
    pub conditions: Conditions,
    /// Why not to trust the point; empty if nothing is known against it.
    pub tainted: Vec<String>,
}

/// Operations of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// How many were done.
    pub count: u64,
    /// From the actual start to the end.
    pub service: Spread,
    /// From the intended start to the end.
    pub response: Spread,
}

/// How times are distributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Quantiles in microseconds, to three significant digits.
    pub us: Latency,
    /// All counts, in nanoseconds: an HdrHistogram in its compressed form, version 2, in Base64.
    pub histogram: String,
}

/// A closed loop at the same gaps: an operation begins when the last one has ended, at the earliest the gap after that one
/// began, and its time counts from then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Operations per second.
    pub per_second: f64,
    /// Searches; `null` if there were none.
    pub search: Option<Spread>,
    /// Inserts; `null` if there were none.
    pub insert: Option<Spread>,
}

/// The highest rate that meets the bound, of one strategy at one thread count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSearch {
    /// The strategy.
    pub strategy: String,
    /// Threads.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Repetition.
    pub block: usize,
    /// What a closed loop without gaps does in a second; the search begins at half of that.
    pub closed_per_second: f64,
    /// Operations per second at which p99 was within the bound; `null` if it was at none.
    pub rate: Option<f64>,
    /// p99 at it, in microseconds: the median of the three windows that confirmed it.
    pub p99_us: Option<f64>,
    /// The lowest rate at which p99 was not within the bound, or operations were left; `null` if there was none.
    pub failed_rate: Option<f64>,
    /// Windows that were opened.
    pub windows: usize,
    /// What they said, in the order of time.
    pub steps: Vec<Step>,
    /// Why not to trust the rate; empty if nothing is known against it.
    pub tainted: Vec<String>,
}

/// Windows at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Operations per second.
    pub rate: f64,
    /// p99 of each window, in microseconds; `null` where the rate was not kept up with.
    pub p99_us: Vec<Option<f64>>,
    /// The bound was met in most of them.
    pub met: bool,
}

/// Reads a document that `hnsw-lab latency` wrote.
///
/// # Errors
/// One line that says what is wrong with the file.
pub(crate) fn read(path: &Path) -> Result<Document> {
    parse(&output::read_bytes(path, "latency")?, path)
}

/// Reads a document from `bytes`; `path` is only for messages.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Document> {
    let document: Document = output::parse_json(bytes, path, "latency", SCHEMA_VERSION)?;
    let kinds = document.points.iter().flat_map(|point| [&point.search, &point.insert]).flatten();
    for spread in kinds.flat_map(|timed| [&timed.service, &timed.response]) {
        spread
            .times()
            .with_context(|| format!("{}: measure again with `hnsw-lab latency`", path.display()))?;
    }
    Ok(document)
}

impl Spread {
    /// All counts, in nanoseconds.
    ///
    /// # Errors
    /// It is no histogram.
    pub(crate) fn times(&self) -> Result<Histogram<u64>> {
        timing::histogram(&self.histogram)
    }
}

/// A kind of operation: its name, and where its times are.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Point) -> Option<&Timed>,
    pub(crate) closed: fn(&Closed) -> Option<&Spread>,
}

/// All of them.
pub(crate) const KINDS: [Kind; 2] = [
    Kind { name: "search", open: |point| point.search.as_ref(), closed: |closed| closed.search.as_ref() },
    Kind { name: "insert", open: |point| point.insert.as_ref(), closed: |closed| closed.insert.as_ref() },
];

impl Kind {
    /// Whether there was any of it.
    pub(crate) fn is_of<'a>(&self, points: impl IntoIterator<Item = &'a Point>) -> bool {
        points.into_iter().any(|point| (self.open)(point).is_some())
    }

    /// A quantile of the service time, for people: the median of the windows that count.
    pub(crate) fn service(&self, windows: &Gathered<'_, Point>, of: fn(&Latency) -> f64) -> String {
        let median = windows.median(|window| Some(of(&(self.open)(window)?.service.us)));
        median.map_or("–".into(), micros)
    }

    /// The same of the response time, where the rate was kept up with.
    pub(crate) fn response(&self, windows: &Gathered<'_, Point>, of: fn(&Latency) -> f64) -> String {
        let median = windows.median(|window| Some(of(&(self.open)(window)?.response.us)));
        median.filter(|_| !Point::saturated_mostly(windows)).map_or("–".into(), micros)
    }
}

impl Document {
    /// The windows of each point.
    pub(crate) fn gathered(&self) -> Vec<Gathered<'_, Point>> {
        Gathered::of(&self.points)
    }
}

impl Repeated for Point {
    fn point(&self) -> (&str, &str, usize, u64) {
        (&self.strategy, "", self.threads, self.rate.to_bits())
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

    /// The rate is given, so it is how long operations took.
    fn speed(&self) -> f64 {
        -self.search.as_ref().or(self.insert.as_ref()).map_or(0.0, |timed| timed.response.us.p99)
    }
}

impl Repeated for RateSearch {
    fn point(&self) -> (&str, &str, usize, u64) {
        (&self.strategy, "", self.threads, 0)
    }

    fn block(&self) -> usize {
        self.block
    }

    fn attempt(&self) -> usize {
        0
    }

    fn tainted(&self) -> &[String] {
        &self.tainted
    }

    fn speed(&self) -> f64 {
        self.rate.unwrap_or(0.0)
    }
}

impl Point {
    /// Whether the rate was not kept up with in half of the windows that count, or more: there is then no latency to tell.
    pub(crate) fn saturated_mostly(windows: &Gathered<'_, Point>) -> bool {
        2 * windows.counted.iter().filter(|window| window.saturated).count() >= windows.counted.len()
    }

    /// What the contract forbids; empty if nothing was found.
    pub fn faults(&self) -> Vec<String> {
        let unreachable =
            (self.unreachable > 0).then(|| format!("{} points are unreachable", self.unreachable));
        let short =
            (self.short_answers > 0).then(|| format!("{} answers had too few points", self.short_answers));
        [unreachable, short].into_iter().flatten().collect()
    }
}
