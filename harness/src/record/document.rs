//! The result document as types. Field names here are the names in the JSON.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use hnsw_core::graph::{Contention as GraphContention, MemoryReport};
use hnsw_core::hnsw::Phase;
use serde::{Deserialize, Serialize};

use super::{Counters, RecordError};
use crate::footprint::Footprint;
use crate::machine::{MemoryInForce, Seat};
use crate::sweep::Workload;

/// The version that this program writes. A reader accepts this one and all before it.
pub const SCHEMA_VERSION: u32 = 1;

/// One sweep: how it was run, and one row for each trial that has finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Version of the format; see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What was run, where and on what.
    pub run: Run,
    /// One row per trial, in the order in which they finished.
    pub rows: Vec<Row>,
}

impl Document {
    /// A document of the present version without rows.
    pub fn new(run: Run) -> Document {
        Document { schema_version: SCHEMA_VERSION, run, rows: Vec::new() }
    }
}

/// What was run, where and on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of this run, unique among the results of one place.
    pub id: String,
    /// When it began: RFC 3339, UTC. See [`now_rfc3339`].
    pub started: String,
    /// The command line, program name first.
    pub command: Vec<String>,
    /// What is known of the machine. Readers use `cpu.model` (or `cpu_model`) and keep the rest as it is.
    pub machine: serde_json::Value,
    /// What was compiled, from what and how.
    pub build: Build,
    /// What was indexed and asked.
    pub dataset: Dataset,
    /// What was swept.
    pub config: Config,
    /// Numbers of the CPUs that workers may get, as many as can run at once.
    pub allowed_cpus: Vec<usize>,
}

impl Run {
    /// The model name of the CPU, where the machine description has one.
    pub fn cpu_model(&self) -> Option<&str> {
        ["/cpu/model", "/cpu_model"].iter().find_map(|at| self.machine.pointer(at)?.as_str())
    }
}

/// What was compiled, from what and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Version of this program.
    pub version: String,
    /// Commit that it was built from, where known.
    pub git_commit: Option<String>,
    /// Whether the sources differed from that commit, where known.
    pub git_dirty: Option<bool>,
    /// `rustc --version`.
    pub rustc: String,
    /// Cargo profile.
    pub profile: String,
    /// Target triple.
    pub target: String,
    /// Instruction set of the distance kernels that ran.
    pub isa: String,
    /// Memory allocator.
    pub allocator: String,
}

/// What was indexed and asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Name for people.
    pub name: String,
    /// Distance: `l2`, `ip` or `cosine`.
    pub metric: String,
    /// Components of a vector.
    pub dim: usize,
    /// Vectors in the index.
    pub base_count: usize,
    /// Distinct queries.
    pub query_count: usize,
    /// Digest of the contents.
    pub digest: String,
    /// Neighbours per query in the ground truth.
    pub truth_k: usize,
}

/// What was swept: every combination of strategy, workload and thread count, `blocks` times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Strategies, in the order of tables and legends.
    pub strategies: Vec<String>,
    /// Thread counts.
    pub threads: Vec<usize>,
    /// Workloads.
    pub workloads: Vec<String>,
    /// Links that a new node chooses per level.
    pub m: usize,
    /// Beam width while inserting.
    pub ef_construction: usize,
    /// Beam widths of the `search` workload.
    pub efs: Vec<usize>,
    /// Neighbours asked for.
    pub k: usize,
    /// How vectors are stored: `f32`, `f16`, …; several are apart by commas.
    pub codec: String,
    /// How much nearer to a chosen neighbour a candidate must be to be left out. Documents without it are of 1.
    #[serde(default = "one")]
    pub alpha: f64,
    /// Rows that codecs learned from. Documents without it have codecs that learn nothing.
    #[serde(default)]
    pub sample_rows: usize,
    /// Length of a timed window.
    pub seconds: f64,
    /// Lists per second that the writer beside `search-writer` is to change; null where that is not run.
    #[serde(default)]
    pub update_rate: Option<f64>,
    /// How often each point is measured.
    pub blocks: usize,
    /// Whether indexes were built in the first block only, and searched in all. Documents without it built in each.
    #[serde(default)]
    pub keep_indexes: bool,
    /// How often a tainted trial was tried again. Documents without it never did.
    #[serde(default)]
    pub retries: usize,
    /// Blocks end when every 95 % interval is as tight as this ratio of its ends; then `blocks` is the most. Null where they do not.
    #[serde(default)]
    pub until_ratio: Option<f64>,
    /// What measures the sessions. Documents without it are of one process.
    #[serde(default)]
    pub isolation: Isolation,
    /// Seed of levels, orders and operation mixes.
    pub seed: u64,
    /// How workers are placed on CPUs.
    pub pin: String,
    /// The CPU of each worker, for the most that a trial has; fewer workers have the first of them. Null where workers are not
    /// pinned, absent from documents of before it was recorded.
    #[serde(default)]
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from; absent from documents of before it was recorded.
    #[serde(default)]
    pub memory_policy: Option<MemoryInForce>,
}

impl Config {
    /// The codecs, in the order of tables.
    pub fn codecs(&self) -> impl Iterator<Item = &str> {
        self.codec.split(',')
    }

    /// Whether two of so many workers have one CPU, as far as the document tells.
    pub fn shares_cpus(&self, threads: usize) -> bool {
        let mut seen = BTreeSet::new();
        let seats = self.placement.as_deref().unwrap_or_default();
        seats.iter().take(threads).any(|seat| !seen.insert(seat.cpu))
    }

    /// The blocks in which a workload is measured.
    pub fn blocks_of(&self, workload: &str) -> core::ops::Range<usize> {
        let first_only = self.keep_indexes && Workload::by_name(workload).is_some_and(Workload::builds);
        0..if first_only { self.blocks.min(1) } else { self.blocks }
    }
}

fn one() -> f64 {
    1.0
}

/// What measures the sessions of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Each of them a fresh process.
    Process,
    /// One process, all of them in turn.
    #[default]
    None,
}

impl Isolation {
    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Isolation::Process => "process",
            Isolation::None => "none",
        }
    }
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Concurrency strategy.
    pub strategy: String,
    /// How vectors are stored. Documents without it have one codec, that of [`Config::codec`].
    #[serde(default)]
    pub codec: String,
    /// `build`, `search`, `mixed`, `write-heavy`, …
    pub workload: String,
    /// Worker threads.
    pub threads: usize,
    /// Which repetition, from 0.
    pub block: usize,
    /// How often the trial was tried before in this block, because it was tainted. Documents without it tried once.
    #[serde(default)]
    pub attempt: usize,
    /// More threads than allowed CPUs: kept out of fits and claims.
    pub oversubscribed: bool,
    /// Length of the measured window.
    pub seconds: f64,
    /// Neighbours asked for.
    pub k: usize,
    /// Beam width of searches; null where nothing searched.
    pub ef: Option<usize>,
    /// Links that a new node chooses per level.
    pub m: usize,
    /// Beam width while inserting.
    pub ef_construction: usize,
    /// What was done in the window; null for kinds of operation that the workload has not.
    pub ops: Ops,
    /// Share of the true `k` nearest that were returned, 0 to 1; null where nothing searched.
    pub recall_at_k: Option<f64>,
    /// Answers with fewer than `k` neighbours, though the index held as many; null where nothing searched.
    #[serde(default)]
    pub short_answers: Option<u64>,
    /// What inserts spent their time on; null where that was not asked.
    #[serde(default)]
    pub phases: Option<Phases>,
    /// Lists per second that the writer beside `search-writer` did change; null elsewhere.
    #[serde(default)]
    pub updates_per_second: Option<f64>,
    /// Memory after the trial: of a mixed workload, when the vectors that its window left are in too.
    pub memory: Memory,
    /// Health of the graph at the end.
    pub graph: Graph,
    /// What threads waited for.
    pub contention: Contention,
    /// What CPU and kernel counted for one operation; null where that was not asked.
    #[serde(default)]
    pub counters: Option<Counters>,
    /// What the machine did meanwhile; documents without it do not say.
    #[serde(default)]
    pub conditions: Option<Conditions>,
    /// Why the trial should not be trusted; empty if nothing is known against it.
    pub tainted: Vec<String>,
}

impl Row {
    /// Refuses what would not be read again.
    ///
    /// # Errors
    /// [`RecordError::NotANumber`].
    pub fn check(&self) -> Result<(), RecordError> {
        // JSON has no NaN and no infinity: they would be written as null and make the document unreadable.
        let readable = serde_json::to_string(self).and_then(|text| serde_json::from_str::<Row>(&text));
        readable.map(drop).map_err(|error| RecordError::NotANumber {
            key: self.key().to_string(),
            detail: error.to_string(),
        })
    }

    /// What tells the point and block of this row from all others. With [`Row::attempt`] it is unique in a document.
    pub fn key(&self) -> Key {
        Key {
            strategy: self.strategy.clone(),
            codec: self.codec.clone(),
            workload: self.workload.clone(),
            threads: self.threads,
            ef: self.ef,
            block: self.block,
        }
    }
}

/// What tells one row of a document from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Concurrency strategy.
    pub strategy: String,
    /// How vectors are stored.
    pub codec: String,
    /// Workload.
    pub workload: String,
    /// Worker threads.
    pub threads: usize,
    /// Beam width of searches, where the workload searches.
    pub ef: Option<usize>,
    /// Repetition.
    pub block: usize,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} threads={}", self.strategy, self.codec, self.workload, self.threads)?;
        if let Some(ef) = self.ef {
            write!(f, " ef={ef}")?;
        }
        write!(f, " block={}", self.block)
    }
}

/// What the machine did during a trial, and how fast it was before and after it; null is "not visible".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// The canary before the trial.
    pub canary_before: Option<Canary>,
    /// The canary after the trial.
    pub canary_after: Option<Canary>,
    /// Cores that everything else kept busy on average.
    pub other_cores: Option<f64>,
    /// The part of the CPU time that someone wanted and the hypervisor gave to another machine.
    pub steal_share: Option<f64>,
    /// Involuntary context switches per second of own CPU time.
    pub preemptions_per_cpu_second: Option<f64>,
    /// The part of the time in which some runnable thread of the machine waited for a CPU.
    pub pressure: Option<f64>,
    /// Seconds for which the CPU quota stopped this process.
    pub throttled_seconds: Option<f64>,
}

/// How long a fixed piece of work took, over what it took before the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// Dependent arithmetic in registers: the speed of the core.
    pub arithmetic: f64,
    /// A walk through memory in an order that cannot be foreseen: caches and memory.
    pub memory: f64,
}

/// Operations by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ops {
    /// Searches.
    pub search: Option<Op>,
    /// Inserts.
    pub insert: Option<Op>,
    /// Removals.
    pub remove: Option<Op>,
}

impl Ops {
    /// The kinds that the workload has, by name, searches first.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Op)> {
        [("search", &self.search), ("insert", &self.insert), ("remove", &self.remove)]
            .into_iter()
            .filter_map(|(name, op)| Some((name, op.as_ref()?)))
    }

    /// Operations of all kinds per second.
    pub fn per_second(&self) -> f64 {
        self.named().map(|(_, op)| op.per_second).sum()
    }
}

/// Shares of operations, for [`Op::tail_us`].
pub const TAIL: [f64; 18] =
    [0.99, 0.9, 0.8, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 1e-5];

/// One kind of operation in the measured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// How many finished.
    pub count: u64,
    /// `count` over the length of the window.
    pub per_second: f64,
    /// How long one took.
    pub latency_us: Latency,
    /// Microseconds that a share of them took longer than: one for each share of [`TAIL`], down to the last that is one operation
    /// at least; of calls where many go into one. Documents without it, and rows of one call, know the quantiles alone.
    #[serde(default)]
    pub tail_us: Vec<f64>,
    /// Distances computed by one, on average; null where they were not counted.
    #[serde(default)]
    pub evaluations_per_op: Option<f64>,
    /// Lists read by one, on average; null where they were not counted.
    #[serde(default)]
    pub hops_per_op: Option<f64>,
}

/// What an insert spends its time on, in microseconds on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// Looking for candidates.
    pub search_us: f64,
    /// Choosing among them, and what stays in full lists.
    pub select_us: f64,
    /// Writing lists.
    pub link_us: f64,
    /// Opening and committing sessions, getting at lists, changes that were lost to other threads.
    pub wait_us: f64,
}

impl Phases {
    /// The average of what so many inserts spent, in the order of [`Phase::ALL`].
    pub fn per_insert(spent: &[Duration; Phase::ALL.len()], inserts: u64) -> Phases {
        let each = |phase: Phase| spent[phase as usize].as_secs_f64() * 1e6 / inserts.max(1) as f64;
        Phases {
            search_us: each(Phase::Search),
            select_us: each(Phase::Select),
            link_us: each(Phase::Link),
            wait_us: each(Phase::Wait),
        }
    }

    /// All of them, in the order of [`Phase::ALL`].
    pub fn all(&self) -> [f64; Phase::ALL.len()] {
        [self.search_us, self.select_us, self.link_us, self.wait_us]
    }
}

/// Quantiles of latency, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Bytes by category, as [`MemoryReport`] defines them, with totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Vector rows in use.
    pub vectors_bytes: u64,
    /// Codes that repeat vectors in short. Documents without it have no such codec.
    #[serde(default)]
    pub codes_bytes: u64,
    /// Adjacency storage of nodes in use.
    pub links_bytes: u64,
    /// Allocated for growth and not yet used.
    pub slack_bytes: u64,
    /// Node levels and states.
    pub levels_bytes: u64,
    /// Locks, versions and pointers of concurrency control.
    pub sync_bytes: u64,
    /// Ids kept beside node numbers.
    pub ids_bytes: u64,
    /// Replaced and not yet freed.
    pub retired_bytes: u64,
    /// Old versions that a live snapshot may need.
    pub snapshots_bytes: u64,
    /// Search and insert scratch.
    pub scratch_bytes: u64,
    /// Costs that do not grow with the number of nodes.
    pub fixed_bytes: u64,
    /// The sum of all categories.
    pub total_bytes: u64,
    /// What is above `vectors_bytes`, as a percentage of it.
    pub overhead_percent: f64,
    /// Resident set of the process.
    pub rss_bytes: u64,
    /// The process as its allocator and the kernel count it, program and data set included. Documents from before it have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Footprint>,
}

impl Memory {
    /// The record of a graph's report, beside the process.
    pub fn new(report: &MemoryReport, process: Footprint) -> Memory {
        Memory {
            vectors_bytes: report.vectors_bytes as u64,
            codes_bytes: report.codes_bytes as u64,
            links_bytes: report.links_bytes as u64,
            slack_bytes: report.slack_bytes as u64,
            levels_bytes: report.levels_bytes as u64,
            sync_bytes: report.sync_bytes as u64,
            ids_bytes: report.ids_bytes as u64,
            retired_bytes: report.retired_bytes as u64,
            snapshots_bytes: report.snapshots_bytes as u64,
            scratch_bytes: report.scratch_bytes as u64,
            fixed_bytes: report.fixed_bytes as u64,
            total_bytes: report.total() as u64,
            overhead_percent: report.overhead_percent(report.vectors_bytes),
            rss_bytes: process.rss_bytes.unwrap_or(0),
            process: Some(process),
        }
    }

    /// Every category but the vectors, by name, in the order of figures.
    pub fn overhead(&self) -> [(&'static str, u64); 10] {
        [
            ("codes", self.codes_bytes),
            ("links", self.links_bytes),
            ("slack", self.slack_bytes),
            ("levels", self.levels_bytes),
            ("sync", self.sync_bytes),
            ("ids", self.ids_bytes),
            ("retired", self.retired_bytes),
            ("snapshots", self.snapshots_bytes),
            ("scratch", self.scratch_bytes),
            ("fixed", self.fixed_bytes),
        ]
    }
}

/// Health of the graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Points that a search may return.
    pub live: u64,
    /// Live points that no path from the entry point reaches at level 0. The contract promises 0.
    pub unreachable: u64,
    /// Live points that nothing links to.
    pub zero_in_degree: u64,
    /// Longest list.
    pub max_degree: u64,
    /// Digest of the adjacency.
    pub digest: String,
}

/// What threads waited for or did again in the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contention {
    /// Times a lock was found taken.
    pub lock_waits: u64,
    /// Compare-and-swap operations that lost.
    pub cas_failures: u64,
    /// Commits refused and repeated.
    pub commit_conflicts: u64,
    /// Times a reader had to look again.
    pub read_retries: u64,
    /// Reads answered from an older version.
    pub versions_walked: u64,
}

impl From<GraphContention> for Contention {
    fn from(counts: GraphContention) -> Contention {
        Contention {
            lock_waits: counts.lock_waits,
            cas_failures: counts.cas_failures,
            commit_conflicts: counts.commit_conflicts,
            read_retries: counts.read_retries,
            versions_walked: counts.versions_walked,
        }
    }
}

/// The present moment in the form of [`Run::started`].
pub fn now_rfc3339() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
