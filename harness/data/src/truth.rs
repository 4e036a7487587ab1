//! Exact nearest neighbours, and recall against them.
//!
//! The base is walked in slabs that are coded once into aligned rows; within a slab the queries are shared out to all cores
//! in groups, and a group walks the slab in blocks that stay in the cache while all its queries are compared with them. So
//! memory is one slab and `k` neighbours per query, however large the base.
//!
//! # Synchronisation
//! Groups own disjoint parts of the result. `truth-done` counts for the progress report and `truth-cancel` is a hint to
//! stop; nothing else is read because of either, so both are relaxed.

use super::dataset::Dataset;
use hnsw_core::distance::{LANES, Metric};
use hnsw_core::vectors::{Codec, F32, Line};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use thiserror::Error;

/// Bytes of rows that are coded at once.
const SLAB_BYTES: usize = 64 << 20;
/// Bytes of rows that a group of queries works on before it goes on: half of a small second-level cache.
const BLOCK_BYTES: usize = 128 << 10;
/// Queries that share a block; fewer when that would leave cores idle.
const MAX_GROUP: usize = 16;

/// The exact nearest base rows of every query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Neighbours per query.
    pub k: usize,
    /// Per query its `k` nearest base rows, nearest first, ties by lower row.
    pub ids: Vec<u32>,
    /// Their distances in f32, as the SIMD kernels compute them.
    pub distances: Vec<f32>,
    /// How far apart two computations of one distance near zero may be.
    pub slack: f32,
}

/// The ground truth was not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TruthError {
    /// k.
    #[error("k is 0; ask for at least 1 neighbour")]
    K,
    /// The caller's flag.
    #[error("stopped on request; the ground truth is not complete and was not kept")]
    Cancelled,
}

/// How a caller follows and stops a long computation.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called from worker threads with the work done and all the work (distances); calls may come out of order.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
    /// Set it to stop.
    pub cancel: &'a AtomicBool,
}

impl Watch<'static> {
    /// Neither reports nor stops.
    pub fn none() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Watch { progress: &|_, _| (), cancel: &NEVER }
    }
}

impl Watch<'_> {
    pub(super) fn cancelled(&self) -> bool {
        // Relaxed [truth-cancel]: a hint to stop; nothing is read because of it.
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Truth {
    /// Computes the `k` nearest base rows of every query, or all rows if there are fewer.
    ///
    /// # Errors
    /// When `k` is 0 or the caller cancelled.
    pub fn exact(set: &Dataset, k: usize, watch: Watch<'_>) -> Result<Truth, TruthError> {
        set.space().nearest(k, watch)
    }

    /// The true neighbours of a query, nearest first.
    ///
    /// # Panics
    /// When there is no such query.
    pub fn ids(&self, query: usize) -> &[u32] {
        &self.ids[query * self.k..][..self.k]
    }

    /// Which part of the `k` nearest an answer found, from 0 to 1.
    ///
    /// A hit is an answer at most as far as the `k`-th true neighbour, so that among ties any choice is right; distances
    /// may differ by a relative 1e-5 (near zero by [`Truth::slack`]). At most `k` hits count. A `k` above [`Truth::k`] is
    /// taken as that: make sure of enough with [`Dataset::ensure_truth`].
    ///
    /// # Panics
    /// When there is no such query.
    pub fn recall(&self, query: usize, k: usize, answers: impl Iterator<Item = f32>) -> f64 {
        let k = k.min(self.k);
        let Some(&farthest) = self.distances[query * self.k..][..k].last() else { return 0.0 };
        let limit = farthest + (1e-5 * farthest.abs()).max(self.slack);
        let hits = answers.filter(|&distance| distance <= limit).count().min(k);
        hits as f64 / k as f64
    }
}

/// The rounding of distances near zero, from the size of distances in the set.
pub(super) fn slack_of(metric: Metric, distances: &[f32]) -> f32 {
    let mean = distances.iter().map(|d| f64::from(d.abs())).sum::<f64>() / distances.len().max(1) as f64;
    let cancellation = match metric {
        // 1 - cos is a difference of numbers near 1.
        Metric::Cosine => 1e-6,
        Metric::L2 | Metric::InnerProduct => 0.0,
    };
    (1e-6 * mean) as f32 + cancellation
}

/// Checked vectors that distances are computed between.
#[derive(Clone, Copy)]
pub(super) struct Space<'a> {
    pub metric: Metric,
    pub dim: usize,
    pub base: &'a [f32],
    pub queries: &'a [f32],
}

impl Space<'_> {
    fn codec(&self) -> F32 {
        F32::new(self.dim, self.metric).expect("a space has a dimension that was checked")
    }

    /// The `k` nearest base rows of every query.
    pub(super) fn nearest(&self, k: usize, watch: Watch<'_>) -> Result<Truth, TruthError> {
        if k == 0 {
            return Err(TruthError::K);
        }
        let codec = self.codec();
        let (rows, queries) = (self.base.len() / self.dim, self.queries.len() / self.dim);
        let k = k.min(rows);
        let group = (queries / (4 * rayon::current_num_threads())).clamp(1, MAX_GROUP);
        let slab_rows = (SLAB_BYTES / row_bytes(&codec)).clamp(1, rows);
        let mut slab = Rows::new(&codec, slab_rows);
        let mut nearest: Vec<Nearest> = (0..queries).map(|_| Nearest::new(k)).collect();
        let (done, all) = (AtomicU64::new(0), rows as u64 * queries as u64);
        for (number, vectors) in self.base.chunks(slab_rows * self.dim).enumerate() {
            slab.fill(&codec, vectors);
            let first = (number * slab_rows) as u32;
            let groups = nearest.par_chunks_mut(group).zip(self.queries.par_chunks(group * self.dim));
            groups.for_each(|(nearest, queries)| {
                if compare(&codec, &slab, first, queries, nearest, watch) {
                    let work = (slab.rows() * nearest.len()) as u64;
                    // Relaxed [truth-done]: a count for the progress report.
                    (watch.progress)(done.fetch_add(work, Ordering::Relaxed) + work, all);
                }
            });
            if watch.cancelled() {
                return Err(TruthError::Cancelled);
            }
        }
        let found: Vec<Found> = nearest.into_iter().flat_map(Nearest::into_sorted).collect();
        let distances: Vec<f32> = found.iter().map(|f| f.distance).collect();
        let slack = slack_of(self.metric, &distances);
        Ok(Truth { k, ids: found.iter().map(|f| f.id).collect(), distances, slack })
    }

    /// The distance of each query to each of its `k` base rows in `ids`, which exist.
    pub(super) fn distances_to(&self, ids: &[u32], k: usize) -> Vec<f32> {
        let codec = self.codec();
        let of_query = |(query, ids): (&[f32], &[u32])| {
            let vectors: Vec<f32> = ids
                .iter()
                .flat_map(|&id| &self.base[id as usize * self.dim..][..self.dim])
                .copied()
                .collect();
            let mut rows = Rows::new(&codec, k);
            rows.fill(&codec, &vectors);
            let mut from = Rows::new(&codec, 1);
            from.fill(&codec, query);
            let mut distances = vec![0.0; k];
            rows.distances(&codec, from.at(0), 0..k, &mut Vec::new(), &mut distances);
            distances
        };
        self.queries.par_chunks_exact(self.dim).zip(ids.par_chunks_exact(k)).flat_map_iter(of_query).collect()
    }
}

/// Compares a group of queries with a slab, block by block; false if it was cancelled on the way.
fn compare(
    codec: &F32,
    slab: &Rows,
    first: u32,
    queries: &[f32],
    nearest: &mut [Nearest],
    watch: Watch<'_>,
) -> bool {
    let mut coded = Rows::new(codec, nearest.len());
    coded.fill(codec, queries);
    let block = (BLOCK_BYTES / row_bytes(codec)).clamp(8, 1024);
    let (mut pointers, mut distances) = (Vec::with_capacity(block), vec![0.0; block]);
    for from in (0..slab.rows()).step_by(block) {
        if watch.cancelled() {
            return false;
        }
        let to = slab.rows().min(from + block);
        for (query, nearest) in nearest.iter_mut().enumerate() {
            slab.distances(codec, coded.at(query), from..to, &mut pointers, &mut distances);
            for (row, &distance) in (from..to).zip(&distances) {
                nearest.offer(distance, first + row as u32);
            }
        }
    }
    true
}

fn row_bytes(codec: &F32) -> usize {
    codec.lines() * size_of::<Line>()
}

/// Coded rows, aligned and padded as the kernels want them.
struct Rows {
    lines: Vec<Line>,
    stride: usize,
    filled: usize,
}

impl Rows {
    fn new(codec: &F32, capacity: usize) -> Rows {
        let stride = codec.lines();
        Rows { lines: vec![Line([0.0; LANES]); stride * capacity], stride, filled: 0 }
    }

    /// Replaces the rows by coded vectors. The padding stays zero: every row has the same dimension.
    fn fill(&mut self, codec: &F32, vectors: &[f32]) {
        self.filled = vectors.len() / codec.dim();
        let rows = self.lines.par_chunks_exact_mut(self.stride).zip(vectors.par_chunks_exact(codec.dim()));
        rows.with_min_len(64).for_each(|(row, vector)| codec.encode(vector, row, &mut []));
    }

    fn rows(&self) -> usize {
        self.filled
    }

    fn at(&self, row: usize) -> &[Line] {
        &self.lines[row * self.stride..][..self.stride]
    }

    /// The distances from a coded vector to these rows, into the beginning of `distances`. `pointers` is scratch.
    fn distances(
        &self,
        codec: &F32,
        from: &[Line],
        rows: impl Iterator<Item = usize>,
        pointers: &mut Vec<*const Line>,
        distances: &mut [f32],
    ) {
        pointers.clear();
        pointers.extend(rows.map(|row| self.at(row).as_ptr()));
        let fits = pointers.len() <= distances.len();
        assert!(fits && from.len() == self.stride && self.stride == codec.lines());
        // SAFETY: `at` returned slices of a whole row for each pointer, and `from` is one row (asserted); they are borrowed,
        // so constant; `distances` is long enough (asserted).
        unsafe { codec.distances_between(from.as_ptr(), pointers, distances) };
    }
}

/// Vectors, as a rule the base of a data set, coded once, to compare single ones with all of them.
pub struct CodedBase {
    codec: F32,
    rows: Rows,
}

impl CodedBase {
    /// Codes all rows.
    pub fn of(set: &Dataset) -> CodedBase {
        CodedBase::of_vectors(set, set.base())
    }

    /// Codes whole vectors of the dimension and the metric of a set instead of its base. What is left of a last one that
    /// is not whole is ignored.
    pub fn of_vectors(set: &Dataset, vectors: &[f32]) -> CodedBase {
        let codec = set.space().codec();
        let mut rows = Rows::new(&codec, vectors.len() / set.dim());
        rows.fill(&codec, vectors);
        CodedBase { codec, rows }
    }

    /// The distance of a vector to each row.
    ///
    /// # Panics
    /// If the vector has not the dimension of the base.
    pub fn distances(&self, vector: &[f32]) -> Vec<f32> {
        self.distances_to(vector, 0..self.rows.rows())
    }

    /// The same to each of these rows.
    ///
    /// # Panics
    /// If the vector has not the dimension of the base, or there is no such row.
    pub fn distances_to(&self, vector: &[f32], rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        assert_eq!(vector.len(), self.codec.dim(), "the vector has the dimension of the base");
        let mut from = Rows::new(&self.codec, 1);
        from.fill(&self.codec, vector);
        let mut distances = vec![0.0; rows.len()];
        self.rows.distances(&self.codec, from.at(0), rows, &mut Vec::new(), &mut distances);
        distances
    }
}

/// A neighbour; the order is by distance, then by row.
#[derive(Clone, Copy, PartialEq)]
struct Found {
    distance: f32,
    id: u32,
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}

/// The nearest rows offered so far, at most `k`.
struct Nearest {
    k: usize,
    heap: BinaryHeap<Found>,
    /// The distance that a row must stay below to get in.
    bound: f32,
}

impl Nearest {
    fn new(k: usize) -> Nearest {
        Nearest { k, heap: BinaryHeap::with_capacity(k), bound: f32::INFINITY }
    }

    /// Offers a row. Rows come in ascending order, so one as far as the farthest kept loses the tie.
    #[inline(always)]
    fn offer(&mut self, distance: f32, id: u32) {
        if distance < self.bound || self.heap.len() < self.k {
            // Negative zero becomes zero, so that it ties with it.
            self.insert(Found { distance: distance + 0.0, id });
        }
    }

    #[cold]
    fn insert(&mut self, found: Found) {
        if self.heap.len() == self.k {
            self.heap.pop();
        }
        self.heap.push(found);
        if self.heap.len() == self.k {
            self.bound = self.heap.peek().map_or(f32::INFINITY, |farthest| farthest.distance);
        }
    }

    fn into_sorted(self) -> Vec<Found> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
#[path = "truth_tests.rs"]
mod tests;
