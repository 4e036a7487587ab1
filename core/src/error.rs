//! What can go wrong, one enum per kind of call.

use crate::graph::{MAX_M, MAX_NODES, NodeId};
use thiserror::Error;

/// The graph or the vector store has no room for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the index is full: it was made for {capacity} nodes; make it with a larger capacity")]
pub struct Full {
    /// The capacity that was given when it was made.
    pub capacity: usize,
}

/// A parameter of an index is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// M.
    #[error("M is {0}; it must be from 2 to {MAX_M} (16 suits most data)")]
    M(usize),
    /// Capacity.
    #[error("the capacity is {0}; it must be from 1 to {MAX_NODES}")]
    Capacity(usize),
    /// ef_construction.
    #[error("ef_construction is {0}; it must be from 1 to {max} (200 suits most data)", max = MAX_EF)]
    EfConstruction(usize),
    /// Dimension.
    #[error("the dimension is {0}; it must be from 1 to {max}", max = MAX_DIM)]
    Dim(usize),
    /// alpha.
    #[error("alpha is {0}; it must be from 1 to 2 (1 is the rule of the HNSW paper)")]
    Alpha(f32),
    /// The codec learns from data and was given none that it can use.
    #[error(
        "the codec {0} learns its scale from data: make the index with a sample of vectors like those to come"
    )]
    Sample(&'static str),
}

/// The largest ef and ef_construction.
pub const MAX_EF: usize = 1 << 16;
/// The largest dimension.
pub const MAX_DIM: usize = 1 << 16;
/// The largest magnitude of a component of a vector.
///
/// It keeps every distance finite, so that distances have a total order. With at most [`MAX_DIM`] = 65,536 components, a
/// squared Euclidean distance is at most 65,536 x (2 x 10^15)^2 = 2.7 x 10^35 and an inner product at most 65,536 x 10^30 =
/// 6.6 x 10^34; `f32::MAX` is 3.4 x 10^38. No partial sum overflows to infinity, so none is a NaN.
pub const MAX_COMPONENT: f32 = 1e15;

/// The largest number that is a half float.
pub const MAX_HALF: f32 = 65_504.0;

/// A vector cannot be stored or searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VectorError {
    /// Wrong length.
    #[error("the vector has {found} components; this index holds vectors of {expected}")]
    Dim {
        /// The dimension of the index.
        expected: usize,
        /// The length of the vector.
        found: usize,
    },
    /// A component is NaN or infinite.
    #[error("component {position} of the vector is not a finite number")]
    NotFinite {
        /// The first such component.
        position: usize,
    },
    /// The magnitude of a component is above [`MAX_COMPONENT`]: a distance could overflow.
    #[error("component {position} of the vector is above {max:e} in magnitude, so distances could overflow", max = MAX_COMPONENT)]
    TooLarge {
        /// The first such component.
        position: usize,
    },
    /// The magnitude of a component is above [`MAX_HALF`], and the codec keeps half floats.
    #[error("component {position} of the vector is above {max} in magnitude, the most that a half float holds", max = MAX_HALF)]
    TooLargeForHalf {
        /// The first such component.
        position: usize,
    },
    /// The zero vector has no direction.
    #[error("the vector is zero (or too small to have a direction), which the cosine metric cannot compare")]
    Zero,
}

/// An insert did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// No room.
    #[error(transparent)]
    Full(#[from] Full),
    /// The vector is not usable.
    #[error(transparent)]
    Vector(#[from] VectorError),
}

/// A batch insert stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// No room for the batch; nothing of it was inserted.
    #[error(transparent)]
    Full(#[from] Full),
    /// The data are not whole rows; nothing was inserted.
    #[error("{values} values are not a whole number of rows of {dim}")]
    Ragged {
        /// Length of the data.
        values: usize,
        /// Dimension of the index.
        dim: usize,
    },
    /// A row is not usable; nothing was inserted.
    #[error("row {row}: {error}")]
    Vector {
        /// The first such row.
        row: usize,
        /// What is wrong with it.
        error: VectorError,
    },
    /// The progress callback asked to stop; the rows that were reported done are in the index.
    #[error("stopped on request after {done} rows")]
    Stopped {
        /// Rows inserted.
        done: usize,
    },
}

/// A search did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// k.
    #[error("k is {0}; it must be at least 1 and at most {max}", max = MAX_EF)]
    K(usize),
    /// ef.
    #[error("ef is {ef}; it must be from k ({k}) to {max}", max = MAX_EF)]
    Ef {
        /// The ef given.
        ef: usize,
        /// The k given.
        k: usize,
    },
    /// The query is not usable.
    #[error(transparent)]
    Vector(#[from] VectorError),
}

/// A removal did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("node {0} is not in the index (never inserted, or removed already)")]
pub struct NotFound(pub NodeId);
