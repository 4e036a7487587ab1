//! The library behind the `hnsw-lab` binary.
#![deny(missing_docs)]

pub mod alloc;
pub mod machine;
