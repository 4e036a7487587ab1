//! HNSW Lab measures how many cores can share one HNSW graph, and under which concurrency strategy.
//!
//! This is the library behind the `hnsw-lab` binary, so that tests can reach its parts:
//! - [`cli`]: the command line.
//! - [`sweep`]: measures strategies over thread counts and workloads.
//! - [`data`]: data sets: the embedded one, files, generators, exact ground truth; a crate of its own.
//! - [`machine`]: what this machine is, where threads run, when a trial cannot be trusted.
//! - [`counters`]: what the CPU and the kernel count while a window runs.
//! - [`capacity`]: how many vectors fit in how much memory.
//! - [`churn`]: recall, freshness and garbage while points come and go.
//! - [`runbook`]: recall and rates while a file says which points come and go.
//! - [`ladder`]: what each step of optimisation gives, from a textbook index upwards.
//! - [`latency`]: how long operations take that come at a given rate, and which rate can be served.
//! - [`limit`]: how fast memory can be read, which no search can beat.
//! - [`alloc`]: bytes allocated, bytes resident.
//! - `apart`, `blocks`: trials in processes of their own, and in blocks.
//! - [`record`]: the result document: what a sweep writes and everything else reads.
//! - [`stats`]: medians, intervals, paired ratios and tests over blocks.
//! - [`fit`]: laws of scaling, fitted to rates over thread counts.
//! - [`summary`]: rows of a document gathered into points, blocks into estimates.
//! - [`noise`]: how small a difference this machine can show.
//! - [`report`], [`plot`], [`compare`], [`verify`]: the commands that read result documents.
#![deny(missing_docs)]

pub mod alloc;
mod apart;
mod blocks;
mod builtin;
pub mod capacity;
pub mod churn;
pub mod cli;
pub mod compare;
pub mod counters;
pub mod fit;
mod flags;
pub mod footprint;
pub mod ladder;
pub mod latency;
pub mod limit;
pub mod machine;
pub mod noise;
mod output;
pub mod plot;
mod progress;
pub mod record;
pub mod report;
pub mod runbook;
pub mod stats;
pub mod summary;
pub mod sweep;
pub mod verify;

pub use hnsw_data as data;
