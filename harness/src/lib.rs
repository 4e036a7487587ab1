//! The parts of the `hnsw-lab` binary, as a library so that tests can reach them.
//!
//! - [`data`]: data sets: the embedded one, files, generators, exact ground truth.
//! - [`machine`]: what this machine is, where threads run, when a trial cannot be trusted.
//! - [`capacity`]: how many vectors fit in how much memory.
//! - [`alloc`]: bytes allocated, bytes resident.
#![deny(missing_docs)]

pub mod alloc;
pub mod capacity;
pub mod data;
pub mod machine;
