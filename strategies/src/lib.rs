//! Concurrency strategies for one HNSW graph. Each is a folder that implements [`hnsw_core::graph::Graph`]; none knows
//! another.
#![deny(missing_docs)]

pub mod mvcc;

pub use mvcc::Mvcc;
