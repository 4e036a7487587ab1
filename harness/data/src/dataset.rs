//! A checked data set.

use super::cache::TruthCache;
use super::truth::{Space, Truth, TruthError, Watch, slack_of};
use hnsw_core::distance::Metric;
use hnsw_core::error::{MAX_DIM, VectorError};
use hnsw_core::graph::MAX_NODES;
use hnsw_core::vectors::{Codec, F32};
use rayon::prelude::*;
use thiserror::Error;

/// Vectors to index, queries to ask, and what is known about them.
///
/// Made only from data that were checked: rows and queries have the same dimension, every component is finite, every
/// vector has a direction if the metric is the cosine, and there is at least one row and one query.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    metric: Metric,
    dim: usize,
    base: Vec<f32>,
    queries: Vec<f32>,
    truth: Option<Truth>,
    provenance: String,
    digest: blake3::Hash,
}

/// Vectors and queries do not make a data set.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A dimension out of range.
    #[error("the dimension is {0}; it must be from 1 to {MAX_DIM}")]
    Dim(usize),
    /// No rows, too many, or a part of a row.
    #[error("{values} values are not from 1 to {MAX_NODES} whole {what} rows of {dim}")]
    Rows {
        /// `base` or `query`.
        what: &'static str,
        /// Number of values.
        values: usize,
        /// Values of a row.
        dim: usize,
    },
    /// A vector that cannot be indexed or searched for.
    #[error("row {row} of the {what} vectors: {error}; remove or repair it")]
    Vector {
        /// `base` or `query`.
        what: &'static str,
        /// The first such row.
        row: usize,
        /// What is wrong with it.
        error: VectorError,
    },
    /// Ground truth for other queries.
    #[error("the truth has {truth} rows but there are {queries} queries; give the truth of these queries")]
    TruthRows {
        /// Rows of the truth.
        truth: usize,
        /// Number of queries.
        queries: usize,
    },
    /// Ground truth for another base.
    #[error(
        "row {row} of the truth names base row {id}, but the base has {rows} rows; give the truth of this base"
    )]
    TruthId {
        /// The first such row.
        row: usize,
        /// What it names.
        id: u32,
        /// Rows of the base.
        rows: usize,
    },
    /// Ground truth that is not ordered by distance.
    #[error(
        "row {row} of the truth is not ordered by {metric} distance (entry {entry} is nearer than the one before); it \
         was made for another base or metric: compute it again (`data truth`)"
    )]
    TruthOrder {
        /// The first such row.
        row: usize,
        /// The first entry that is nearer than the one before it.
        entry: usize,
        /// The metric of the data set.
        metric: Metric,
    },
}

/// Where the ground truth of a data set came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TruthSource {
    /// It was there.
    Given,
    /// Read from the cache.
    Cached,
    /// Computed; with the reason, in one line, if it could not be kept for the next time.
    Computed {
        /// Why the cache was not written.
        not_cached: Option<String>,
    },
}

impl Dataset {
    /// A data set without ground truth. `base` and `queries` are rows of `dim`, one after the other; `provenance` says
    /// where they come from and under which licence.
    ///
    /// # Errors
    /// Names the first row that is not usable.
    pub fn new(
        name: String,
        metric: Metric,
        dim: usize,
        base: Vec<f32>,
        queries: Vec<f32>,
        provenance: String,
    ) -> Result<Dataset, DatasetError> {
        let codec = F32::new(dim, metric).map_err(|_| DatasetError::Dim(dim))?;
        for (what, vectors) in [("base", &base), ("query", &queries)] {
            let values = vectors.len();
            if values == 0 || values % dim != 0 || values / dim > MAX_NODES {
                return Err(DatasetError::Rows { what, values, dim });
            }
            let bad = |(row, vector)| codec.check(vector).err().map(|error| (row, error));
            let first = vectors.par_chunks_exact(dim).enumerate().find_map_first(bad);
            if let Some((row, error)) = first {
                return Err(DatasetError::Vector { what, row, error });
            }
        }
        let digest = digest(metric, dim, &base, &queries);
        Ok(Dataset { name, metric, dim, base, queries, truth: None, provenance, digest })
    }

    /// The same data set with the ground truth `ids`: per query its `k` nearest base rows, nearest first.
    ///
    /// # Errors
    /// When these cannot be the nearest rows of these queries.
    pub fn with_truth(mut self, ids: Vec<u32>, k: usize) -> Result<Dataset, DatasetError> {
        let rows = ids.len().checked_div(k).unwrap_or(0);
        if rows != self.query_count() || !ids.len().is_multiple_of(k) {
            return Err(DatasetError::TruthRows { truth: rows, queries: self.query_count() });
        }
        if let Some(at) = ids.iter().position(|&id| id as usize >= self.len()) {
            return Err(DatasetError::TruthId { row: at / k, id: ids[at], rows: self.len() });
        }
        let distances = self.space().distances_to(&ids, k);
        let disorder = |(row, distances): (usize, &[f32])| {
            let slack = order_slack(self.metric, self.query(row), distances);
            let entry = distances.windows(2).position(|pair| pair[1] < pair[0] - slack)? + 1;
            Some(DatasetError::TruthOrder { row, entry, metric: self.metric })
        };
        if let Some(error) = distances.par_chunks_exact(k).enumerate().find_map_first(disorder) {
            return Err(error);
        }
        let slack = slack_of(self.metric, &distances);
        self.truth = Some(Truth { k, ids, distances, slack });
        Ok(self)
    }

    /// Makes sure that the ground truth knows the `k` nearest of each query (or all rows, if there are fewer): uses what is
    /// there, else the cache, else computes it and writes the cache.
    ///
    /// # Errors
    /// When `k` is 0 or the computation was cancelled. A cache that cannot be read or written is no error.
    pub fn ensure_truth(
        &mut self,
        k: usize,
        cache: Option<&TruthCache>,
        watch: Watch<'_>,
    ) -> Result<TruthSource, TruthError> {
        if self.truth.as_ref().is_some_and(|truth| k > 0 && truth.k >= k.min(self.len())) {
            return Ok(TruthSource::Given);
        }
        if let Some(truth) = cache.and_then(|cache| cache.get(self, k)) {
            self.truth = Some(truth);
            return Ok(TruthSource::Cached);
        }
        let truth = Truth::exact(self, k, watch)?;
        let not_cached = cache.and_then(|cache| cache.put(self, k, &truth).err());
        self.truth = Some(truth);
        Ok(TruthSource::Computed { not_cached: not_cached.map(|e| e.to_string()) })
    }

    /// The name in result documents.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metric.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of base rows, at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.base.len() / self.dim
    }

    /// All base rows, one after the other.
    pub fn base(&self) -> &[f32] {
        &self.base
    }

    /// A base row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.base[row * self.dim..][..self.dim]
    }

    /// Number of queries, at least 1.
    pub fn query_count(&self) -> usize {
        self.queries.len() / self.dim
    }

    /// All queries, one after the other.
    pub fn queries(&self) -> &[f32] {
        &self.queries
    }

    /// A query.
    ///
    /// # Panics
    /// When there is no such query.
    pub fn query(&self, query: usize) -> &[f32] {
        &self.queries[query * self.dim..][..self.dim]
    }

    /// The exact nearest neighbours, if known.
    pub fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }

    /// Where the vectors come from and under which licence.
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    /// BLAKE3 of metric, dimension, base and queries.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }

    pub(super) fn space(&self) -> Space<'_> {
        Space { metric: self.metric, dim: self.dim, base: &self.base, queries: &self.queries }
    }
}

/// How much nearer an entry of a correct truth may seem than the one before it: rounding of the two programs.
fn order_slack(metric: Metric, query: &[f32], distances: &[f32]) -> f32 {
    let largest = distances.iter().fold(0.0f32, |max, d| max.max(d.abs()));
    match metric {
        Metric::Cosine => 1e-5,
        // Others may compute L2 as |q|² - 2qb + |b|², which rounds at the size of |q|².
        Metric::L2 | Metric::InnerProduct => 1e-4 * largest + 1e-5 * query.iter().map(|x| x * x).sum::<f32>(),
    }
}

/// The digest of raw f32 values does not depend on the byte order of the machine.
pub(super) fn hash_values(hasher: &mut blake3::Hasher, values: &[f32]) {
    let mut block = Vec::with_capacity(1 << 16);
    for values in values.chunks(1 << 14) {
        block.clear();
        block.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        hasher.update(&block);
    }
}

fn digest(metric: Metric, dim: usize, base: &[f32], queries: &[f32]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("hnsw-lab data set, version 1");
    for number in [dim, base.len(), queries.len()] {
        hasher.update(&(number as u64).to_le_bytes());
    }
    hasher.update(metric.name().as_bytes());
    hash_values(&mut hasher, base);
    hash_values(&mut hasher, queries);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(metric: Metric, base: &[f32], queries: &[f32]) -> Result<Dataset, DatasetError> {
        Dataset::new("t".into(), metric, 2, base.to_vec(), queries.to_vec(), String::new())
    }

    #[test]
    fn unusable_rows_are_named() {
        let message = |r: Result<Dataset, DatasetError>| r.unwrap_err().to_string();
        assert!(message(set(Metric::L2, &[0.0; 4], &[0.0, f32::NAN])).contains("row 0 of the query vectors"));
        assert!(
            message(set(Metric::Cosine, &[1.0, 0.0, 0.0, 0.0], &[1.0, 1.0])).contains("row 1 of the base")
        );
        assert!(message(set(Metric::L2, &[], &[1.0, 1.0])).contains("0 values are not"));
        assert!(message(set(Metric::L2, &[1.0; 3], &[1.0, 1.0])).contains("3 values are not"));
        let no_dim = Dataset::new("t".into(), Metric::L2, 0, vec![], vec![], String::new());
        assert!(message(no_dim).contains("the dimension is 0"));
    }

    #[test]
    fn a_truth_that_cannot_be_right_is_refused() {
        let set = set(Metric::L2, &[0.0, 0.0, 10.0, 0.0, 20.0, 0.0], &[1.0, 0.0, 19.0, 0.0]).unwrap();
        let message = |ids: &[u32], k| set.clone().with_truth(ids.to_vec(), k).unwrap_err().to_string();
        assert!(message(&[0, 1, 2], 1).contains("has 3 rows but there are 2 queries"));
        assert!(message(&[0, 1, 2, 1, 0], 2).contains("has 2 rows but"));
        assert!(message(&[], 0).contains("has 0 rows but"));
        assert!(message(&[0, 1, 2, 3], 2).contains("row 1 of the truth names base row 3"));
        assert!(message(&[0, 1, 0, 2], 2).contains("row 1 of the truth is not ordered by l2"));
        let good = set.with_truth(vec![0, 1, 2, 1], 2).unwrap();
        assert_eq!(good.truth().unwrap().distances, [1.0, 81.0, 1.0, 81.0]);
    }

    #[test]
    fn the_digest_tells_data_sets_apart() {
        let a = set(Metric::L2, &[0.0, 1.0], &[1.0, 0.0]).unwrap();
        assert_eq!(a.digest(), set(Metric::L2, &[0.0, 1.0], &[1.0, 0.0]).unwrap().digest());
        for other in [
            set(Metric::InnerProduct, &[0.0, 1.0], &[1.0, 0.0]),
            set(Metric::L2, &[0.0, 2.0], &[1.0, 0.0]),
            set(Metric::L2, &[0.0, 1.0], &[1.0, 2.0]),
            set(Metric::L2, &[0.0, 1.0, 1.0, 0.0], &[1.0, 0.0]),
        ] {
            assert_ne!(a.digest(), other.unwrap().digest());
        }
    }
}
