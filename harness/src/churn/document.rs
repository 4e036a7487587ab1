//! What `churn` found, as it is written to a file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::workload::Workload;
use crate::blocks::{Gathered, Repeated, with_interval};
use crate::footprint::Footprint;
use crate::machine::{BuildInfo, Machine, MemoryInForce, Placement, Seat};
use crate::output;
use crate::record::{Conditions, Isolation, Memory, Op};
use crate::report::grouped;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 4;

/// Recall, freshness and garbage under writes.
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
    /// One for each workload, strategy, thread count and block, and one more for each time it was tried again. By point, then in
    /// the order of time.
    pub trials: Vec<Trial>,
}

/// The data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// For people.
    pub name: String,
    /// `l2` (squared), `ip` (negated), `cosine` (one minus).
    pub metric: String,
    /// Components of a vector.
    pub dim: usize,
    /// Rows that points are taken from, in turn.
    pub rows: usize,
    /// Queries.
    pub queries: usize,
    /// BLAKE3 of the contents.
    pub digest: String,
}

/// The flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What was done, by name.
    pub workloads: BTreeMap<String, Workload>,
    /// M, unless a workload has its own.
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
    /// How often a disturbed trial was tried again at most.
    pub retries: usize,
    /// What measured the trials. Documents without it are of one process.
    #[serde(default)]
    pub isolation: Isolation,
    /// Searches that are scored.
    pub sample: usize,
    /// Seed of levels, operation mixes and the sample.
    pub seed: u64,
    /// How threads were placed.
    pub pin: Placement,
    /// The CPU of each thread, for the most that a trial has; fewer threads have the first of them. Null where threads are not
    /// pinned.
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from.
    pub memory_policy: Option<MemoryInForce>,
}

/// One strategy at one thread count with one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The strategy.
    pub strategy: String,
    /// The workload.
    pub workload: String,
    /// Points that were there when the window opened.
    pub points: usize,
    /// Threads that write and search.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Repetition. Points come in another order in each.
    pub block: usize,
    /// How often it was tried before in this block.
    pub attempt: usize,
    /// Trials of any point that ended before it.
    pub number: usize,
    /// Length of the window.
    pub seconds: f64,
    /// Searches; `null` if there were none.
    pub search: Option<Op>,
    /// Inserts; `null` if there were none.
    pub insert: Option<Op>,
    /// Removals; `null` if there were none.
    pub remove: Option<Op>,
    /// Searches that were logged: all, unless a thread made too many.
    pub logged: usize,
    /// Searches for queries of the data set that were scored.
    pub scored: usize,
    /// The least and the most that their mean recall@k may be; `null` if there were none.
    pub recall: Option<[f64; 2]>,
    /// Of all scored searches: points that belong in the answer whatever the search saw, by age when it began.
    pub freshness: Vec<Freshness>,
    /// Returned points, of all logged searches, that were not there at any time of the search. The contract promises 0.
    pub ghosts: u64,
    /// Scored answers with fewer points than k and than must have been there. The contract promises 0 in a quiet index.
    pub short_answers: u64,
    /// Replaced and not yet freed, and kept for snapshots.
    pub garbage: Garbage,
    /// The index after the window, by category, and the process that had it.
    pub memory: Memory,
    /// The process before the index was made.
    pub process_before: Footprint,
    /// The process when the index had been given back.
    pub process_after: Footprint,
    /// The resident set in the window: seconds since it opened, and bytes. Empty where the system does not say.
    pub rss_series: Vec<(f64, u64)>,
    /// Live nodes at the end.
    pub live: usize,
    /// Those that there should be: inserted and not removed.
    pub expected_live: usize,
    /// Live nodes that are not reachable from the entry point on level 0. The contract promises 0.
    pub unreachable: usize,
    /// Time to give the index back, in milliseconds.
    pub teardown_ms: f64,
    /// What was done at each atomic and lock; `null` in a build that does not count.
    #[serde(default)]
    pub sites: Option<Vec<Site>>,
    /// What the machine did meanwhile.
    pub conditions: Conditions,
    /// Why not to trust the rates; empty if nothing is known against them.
    pub tainted: Vec<String>,
}

/// What one place of the source did to atomics or locks in the window, per thousand operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name in `docs/orderings.md`, or file and line.
    pub site: String,
    /// The file.
    pub file: String,
    /// `load`, `store`, `update`, `exchange`, `fence`, `lock`, `read lock` or `write lock`.
    pub access: String,
    /// How often.
    pub count: f64,
    /// Of these: exchanges that failed, locks that were not free at once.
    pub lost: f64,
    /// Microseconds for which threads waited for the lock.
    pub waited_us: f64,
    /// Microseconds for which it was held.
    pub held_us: f64,
    /// What is added up here beside accesses: bytes copied, distances wasted, write sessions that garbage waited for. `access` says
    /// which; 0 for accesses and locks.
    pub amount: f64,
}

/// Points of one class of ages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// The class.
    pub age: String,
    /// Points that belong in an answer.
    pub due: u64,
    /// Those of them that were in it.
    pub found: u64,
}

/// Garbage over the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Garbage {
    /// The most that was seen, in bytes.
    pub peak_bytes: usize,
    /// After the window, when all that no one needs was freed.
    pub end_bytes: usize,
    /// Seconds since the window opened, and bytes.
    pub series: Vec<(f64, usize)>,
}

impl Document {
    /// The trials of each point.
    pub(crate) fn points(&self) -> Vec<Gathered<'_, Trial>> {
        Gathered::of(&self.trials)
    }
}

/// What tables say of a point, for people.
pub(crate) struct Told {
    /// Searches, inserts and removals per second, each with its interval.
    pub(crate) rates: [String; 3],
    /// The least and the most that recall may be.
    pub(crate) recall: String,
    /// Of all trials: a disturbance excuses none. No sum of counts is too large as a float, not even in a damaged document.
    pub(crate) ghosts: f64,
    /// Garbage in KB: its peak, and what is left at the end.
    pub(crate) garbage: [String; 2],
    pub(crate) teardown_ms: String,
}

impl Told {
    pub(crate) fn of(point: &Gathered<'_, Trial>) -> Told {
        let rate = |of: fn(&Trial) -> &Option<Op>| {
            with_interval(point.estimate(|trial| Some(of(trial).as_ref()?.per_second)))
        };
        let bound = |which: usize| point.median(|trial| Some(trial.recall?[which]));
        let middle = |of: fn(&Trial) -> f64| point.median(|trial| Some(of(trial))).unwrap_or(0.0);
        Told {
            rates: [rate(|trial| &trial.search), rate(|trial| &trial.insert), rate(|trial| &trial.remove)],
            recall: bound(0)
                .zip(bound(1))
                .map_or("–".into(), |(least, most)| format!("{least:.4}-{most:.4}")),
            ghosts: point.all.iter().map(|trial| trial.ghosts as f64).sum(),
            garbage: [
                grouped(middle(|trial| trial.garbage.peak_bytes as f64) / 1e3),
                grouped(middle(|trial| trial.garbage.end_bytes as f64) / 1e3),
            ],
            teardown_ms: format!("{:.1}", middle(|trial| trial.teardown_ms)),
        }
    }
}

impl Repeated for Trial {
    fn point(&self) -> (&str, &str, usize, u64) {
        (&self.workload, &self.strategy, self.threads, 0)
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

    fn speed(&self) -> f64 {
        [&self.search, &self.insert, &self.remove].into_iter().flatten().map(|op| op.per_second).sum()
    }
}

impl Trial {
    /// What the contract forbids; empty if nothing was found.
    pub fn faults(&self) -> Vec<String> {
        let ghosts = (self.ghosts > 0).then(|| format!("{} returned points were not there", self.ghosts));
        let unreachable =
            (self.unreachable > 0).then(|| format!("{} points are unreachable", self.unreachable));
        let live = (self.live != self.expected_live)
            .then(|| format!("{} points are live, and {} should be", self.live, self.expected_live));
        [ghosts, unreachable, live].into_iter().flatten().collect()
    }
}

/// Reads a document that `hnsw-lab churn` wrote.
///
/// # Errors
/// One line that says what is wrong with the file.
pub(crate) fn read(path: &Path) -> Result<Document> {
    parse(&output::read_bytes(path, "churn")?, path)
}

/// Reads a document from `bytes`; `path` is only for messages.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Document> {
    output::parse_json(bytes, path, "churn", SCHEMA_VERSION)
}
