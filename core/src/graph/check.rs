//! Invariants of any graph.
