//! The HNSW algorithm, written once.
