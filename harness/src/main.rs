//! `hnsw-lab`: measure how many cores share one HNSW graph.

fn main() {}
