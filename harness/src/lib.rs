//! The parts of the `hnsw-lab` binary, as a library so that tests can reach them.
//!
//! - [`record`]: the result document: what a sweep writes and everything else reads.
//! - [`stats`]: medians, intervals and paired ratios over blocks.
//! - [`summary`]: rows of a document gathered into points, blocks into estimates.
//! - [`report`], [`plot`], [`verify`]: the commands that read a result document.
#![deny(missing_docs)]

mod output;
pub mod plot;
pub mod record;
pub mod report;
pub mod stats;
pub mod summary;
pub mod verify;
