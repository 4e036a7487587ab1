//! What `limit` found, as it is written to a file.

use serde::{Deserialize, Serialize};

use crate::machine::{BuildInfo, Machine, MemoryInForce, Placement, Seat};
use crate::stats;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 1;

/// What the memory of a machine allows. A GB is 10^9 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The machine that was measured.
    pub machine: Machine,
    /// The program that measured.
    pub build: BuildInfo,
    /// How threads were placed.
    pub pin: Placement,
    /// The CPU of each thread, for the most that a point has; fewer threads have the first of them. Null where threads are not
    /// pinned, absent from documents of before it was recorded.
    #[serde(default)]
    pub placement: Option<Vec<Seat>>,
    /// Where memory came from; absent from documents of before it was recorded.
    #[serde(default)]
    pub memory_policy: Option<MemoryInForce>,
    /// Time for each figure.
    pub seconds: f64,
    /// One per working set and number of threads.
    pub points: Vec<Point>,
}

/// The figures of a working set at a number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Rows.
    pub rows: usize,
    /// Bytes of a row, as asked for.
    pub bytes: usize,
    /// Bytes of the cache lines of a row: what is read.
    pub row_bytes: usize,
    /// Threads that read at the same time.
    pub threads: usize,
    /// More threads than can run at once.
    pub oversubscribed: bool,
    /// Nanoseconds that a thread takes for a random row which was prefetched.
    pub gather_ns: Spread,
    /// The same as GB per second of all threads.
    pub gather_gb_per_second: Spread,
    /// Cache lines that were prefetched ahead: what suits this machine best, of a few.
    pub lines_ahead: usize,
    /// Nanoseconds of a load whose address is the result of the one before.
    pub chase_ns: Spread,
    /// GB per second of all threads, each reading its part of the rows in order.
    pub sequential_gb_per_second: Spread,
    /// Why not to trust the point; empty if nothing is known against it.
    pub tainted: Vec<String>,
}

/// Over windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of at least one window; zeros of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Spread {
        let values: Vec<f64> = values.collect();
        let at = |q: f64| stats::quantile(&values, q).map_or(0.0, thousandths);
        Spread { median: at(0.5), least: at(0.0), most: at(1.0) }
    }
}

/// Rounded to three decimals: more would claim more than was measured.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
