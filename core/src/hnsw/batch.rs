//! Many inserts or searches at once, on the work-stealing pool of `rayon`.

use super::scratch::with_local;
use super::search::Neighbor;
use super::{Index, check_k_ef};
use crate::error::{BatchError, InsertError, SearchError, VectorError};
use crate::graph::{Graph, NodeId};
use crate::sync::parallel::*;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::vectors::Codec;
use core::ops::{ControlFlow, Range};

/// Rows that one thread takes at a time, at least: enough to make stealing rare, few enough to balance the end.
const GRAIN: usize = 16;
/// Queries that one thread takes at a time: enough to make stealing rare, few enough to balance the end.
const QUERIES: usize = 32;
/// Rows at the start of an empty index that are inserted one after another. Points that are inserted at the same time do not
/// see each other, and while the graph is smaller than this that would be a large part of it.
const SERIAL_START: usize = 256;

/// The answers of a batch of searches.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    k: usize,
    counts: Vec<u32>,
    neighbors: Vec<Neighbor>,
}

impl Answers {
    /// The answers to query `i`, nearest first; at most k.
    ///
    /// # Panics
    /// When there is no query `i`.
    pub fn get(&self, i: usize) -> &[Neighbor] {
        &self.neighbors[i * self.k..][..self.counts[i] as usize]
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// True if there was no query.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The answers to each query, in the order of the queries.
    pub fn iter(&self) -> impl Iterator<Item = &[Neighbor]> {
        (0..self.len()).map(|i| self.get(i))
    }
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts the rows of a row-major `n x dim` array in parallel. Row `i` becomes node `first + i`, where `first` is
    /// returned. If the strategy has [`Caps::deterministic_batch`](crate::graph::Caps), the graph does not depend on the
    /// number of threads.
    ///
    /// `progress` is called with the number of rows done so far, from any thread and in no particular order; when it breaks,
    /// rows that no thread has begun are left out. If it panics, or the codec does, the panic goes on to the caller: rows done
    /// are in the index, the others are not.
    ///
    /// # Errors
    /// When the rows do not fit, are not whole, or one of them is not usable: then nothing was inserted. When `progress`
    /// broke: then the rows done are in the index, and the ids of the others stay unused.
    pub fn insert_batch(
        &self,
        rows: &[f32],
        progress: impl Fn(usize) -> ControlFlow<()> + Sync,
    ) -> Result<NodeId, BatchError> {
        let (dim, first) = (self.config.dim, self.reserve_rows(rows)?);
        let count = rows.len() / dim;
        let done = Tally::new();
        let insert = |row: usize| {
            if done.stopped() {
                return;
            }
            let node = NodeId::new(first.get() + row as u32);
            with_local(|scratch| self.insert_reserved(node, &rows[row * dim..][..dim], scratch, &mut ()));
            done.add(&progress);
        };
        if G::CAPS.deterministic_batch {
            self.insert_rounds(first, rows, |finished| {
                (0..finished).for_each(|_| done.add(&progress));
                !done.stopped()
            });
        } else {
            let serial = SERIAL_START.saturating_sub(first.index()).min(count);
            (0..serial).for_each(insert);
            each(serial..count, &insert);
        }
        match done.finished() {
            rows if rows == count => Ok(first),
            rows => Err(BatchError::Stopped { done: rows }),
        }
    }

    /// Checks rows, takes a node for each of them, and makes room for them. Returns the first node.
    pub(super) fn reserve_rows(&self, rows: &[f32]) -> Result<NodeId, BatchError> {
        let dim = self.config.dim;
        if !rows.len().is_multiple_of(dim) {
            return Err(BatchError::Ragged { values: rows.len(), dim });
        }
        if let Some((row, error)) = first_bad(rows, dim, &|vector| self.vectors.codec().check(vector)) {
            return Err(BatchError::Vector { row, error });
        }
        let count = rows.len() / dim;
        match self.reserve(count) {
            Ok(first) => Ok(first),
            Err(InsertError::Full(full)) => Err(full.into()),
            Err(InsertError::Vector(error)) => Err(BatchError::Vector { row: 0, error }),
        }
    }

    /// Searches for the `k` nearest nodes of each row of a row-major `n x dim` array, in parallel.
    ///
    /// # Errors
    /// As [`Index::search`]; a query array that is not whole rows counts as a query of the wrong dimension.
    pub fn search_batch(&self, queries: &[f32], k: usize, ef: usize) -> Result<Answers, SearchError> {
        check_k_ef(k, ef)?;
        let dim = self.config.dim;
        let count = queries.len().div_ceil(dim);
        let nothing = Neighbor { node: NodeId::new(0), distance: f32::INFINITY };
        let mut answers = Answers { k, counts: vec![0; count], neighbors: vec![nothing; count * k] };
        let search = |queries: &[f32], counts: &mut [u32], to: &mut [Neighbor]| {
            with_local(|scratch| {
                self.search_each_with(queries, k, ef, scratch, |query, neighbors| {
                    counts[query] = neighbors.len() as u32;
                    to[query * k..][..neighbors.len()].copy_from_slice(neighbors);
                })
            })
        };
        answer(&mut answers, queries, dim, &search).map(|()| answers)
    }
}

// What follows is compiled once and not for each pair of a strategy and a codec: what rayon makes of a loop is many times as
// long as the loop, and a call through a pointer is nothing beside a search.

/// The first row that does not pass.
fn first_bad(
    rows: &[f32],
    dim: usize,
    check: &(dyn Fn(&[f32]) -> Result<(), VectorError> + Sync),
) -> Option<(usize, VectorError)> {
    let checked = rows.par_chunks_exact(dim).enumerate();
    checked.find_map_first(|(row, vector)| check(vector).err().map(|error| (row, error)))
}

/// Calls `f` with each row, in parallel.
fn each(rows: Range<usize>, f: &(dyn Fn(usize) + Sync)) {
    rows.into_par_iter().with_min_len(GRAIN).for_each(f);
}

/// Answers one part of a batch: queries, where the numbers of answers go, where the answers go.
type Part<'a> = dyn Fn(&[f32], &mut [u32], &mut [Neighbor]) -> Result<(), SearchError> + Sync + 'a;

/// Answers all queries, in parallel.
fn answer(answers: &mut Answers, queries: &[f32], dim: usize, part: &Part<'_>) -> Result<(), SearchError> {
    answers
        .neighbors
        .par_chunks_mut(answers.k * QUERIES)
        .zip(answers.counts.par_chunks_mut(QUERIES))
        .zip(queries.par_chunks(dim * QUERIES))
        .try_for_each(|((to, counts), queries)| part(queries, counts, to))
}

/// Counts finished rows and remembers a request to stop. One shared write per inserted row, a thousandth of its cost.
#[derive(Default)]
pub struct Tally {
    done: AtomicUsize,
    stopped: AtomicBool,
}

impl Tally {
    /// Nothing done.
    pub fn new() -> Self {
        Tally::default()
    }

    fn add(&self, progress: &impl Fn(usize) -> ControlFlow<()>) {
        self.add_many(1, progress);
    }

    /// Counts `rows` more and tells `progress` the sum.
    pub fn add_many(&self, rows: usize, progress: &impl Fn(usize) -> ControlFlow<()>) {
        // Relaxed [tally-done]: a number to show; the pool's join orders the rows themselves before the caller.
        let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
        if progress(done).is_break() {
            // Relaxed [tally-stop]: a hint; whoever sees it late inserts one row more.
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether `progress` broke, as far as this thread was told.
    pub fn stopped(&self) -> bool {
        // Relaxed [tally-stopped]: see [tally-stop].
        self.stopped.load(Ordering::Relaxed)
    }

    /// The rows that were counted. Not before the tasks that count are joined.
    pub fn finished(&self) -> usize {
        // Relaxed [tally-read]: after the pool's join, which orders all additions before it.
        self.done.load(Ordering::Relaxed)
    }
}
