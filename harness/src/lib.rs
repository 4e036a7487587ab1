//! HNSW Lab measures how many cores can share one HNSW graph, and under which concurrency strategy.
//!
//! - [`data`]: data sets: the embedded one, files, generators, exact ground truth.
#![deny(missing_docs)]

pub mod data;
