//! The parts of HNSW Lab that every concurrency strategy shares.
//!
//! - [`graph`]: the [`Graph`](graph::Graph) trait. A strategy implements it; the algorithm is generic over it.
//! - [`hnsw`]: the HNSW algorithm, written once: [`Index`](hnsw::Index).
//! - [`vectors`]: append-only vector storage and the row codecs.
//! - [`distance`]: SIMD kernels, chosen once at run time.
//! - [`segments`]: arrays that grow while others read them, and whose elements never move.
//! - [`sync`]: the only door to atomics, locks, cells, epochs and threads; a model checker can stand behind it.
//!
//! This crate knows no strategy, so it cannot make an [`Index`](hnsw::Index): the strategies, and examples that run, are in
//! `hnsw-strategies`. `docs/architecture.md` walks through all crates.
#![deny(missing_docs)]

pub mod distance;
pub mod error;
pub mod graph;
pub mod hnsw;
mod huge;
mod mix;
#[doc(hidden)]
pub mod planted;
pub mod segments;
pub mod sync;
pub mod vectors;
