//! What a worker is told to do, and whom it tells what it did.

use std::time::Duration;

/// One operation.
pub enum Step<'a> {
    /// Insert this vector.
    Insert(&'a [f32]),
    /// Search for the neighbours of this one.
    Search {
        /// The query.
        query: &'a [f32],
        /// Neighbours to ask for.
        k: usize,
        /// Beam width.
        ef: usize,
    },
    /// Search for the neighbours of all of these in one call.
    SearchEach {
        /// The queries, one after another.
        queries: &'a [f32],
        /// How many they are.
        count: usize,
        /// Neighbours to ask for.
        k: usize,
        /// Beam width.
        ef: usize,
    },
}

/// The operations of one worker, one after another.
pub trait Script {
    /// The next operation; `None` when the worker is to return.
    fn next(&mut self) -> Option<Step<'_>>;
}

/// Is told of each operation when it is done. `before` and `after` are distances and hops so far; nothing here is timed.
pub trait Log {
    /// An insert, or one that the index refused.
    fn inserted(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], done: bool);

    /// A search that found so many neighbours; `None` if it was refused.
    fn searched(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], hits: Option<usize>);

    /// A call that got so many queries, answered some, and answered some of these too briefly.
    fn searched_each(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], counts: [u64; 3]);

    /// Whether an answer of so many neighbours is too brief.
    fn is_short(&self, hits: usize) -> bool;
}
