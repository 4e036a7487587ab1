//! How a vector becomes a row, and how rows are compared.

use super::Line;
use crate::distance::{Kernels, LANES, Metric};
use crate::error::{ConfigError, MAX_DIM, VectorError};

/// A way to store vectors in rows of cache lines and to compare them.
///
/// The codec is a type parameter of the index, so its calls are direct. Pointers to rows come from
/// [`Vectors::row`](super::Vectors::row).
pub trait Codec: Send + Sync + Sized + 'static {
    /// A query, made ready to be compared with rows; kept per thread and overwritten by each query.
    type Query: Send + 'static;

    /// The name in flags and result documents.
    const NAME: &'static str;

    /// A codec for vectors of `dim` components.
    ///
    /// # Errors
    /// When the dimension is out of range.
    fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError>;

    /// Components of a vector.
    fn dim(&self) -> usize;

    /// The metric.
    fn metric(&self) -> Metric;

    /// Cache lines of a row.
    fn lines(&self) -> usize;

    /// Whether `vector` can be stored and searched for.
    ///
    /// # Errors
    /// Names what is wrong with it.
    fn check(&self, vector: &[f32]) -> Result<(), VectorError>;

    /// Writes a checked vector into a row that is all zeros.
    fn encode(&self, vector: &[f32], row: &mut [Line]);

    /// The vector that a row stands for.
    fn decode(&self, row: &[Line]) -> Vec<f32>;

    /// A query that [`Codec::prepare`] can overwrite.
    fn query(&self) -> Self::Query;

    /// Makes a checked vector ready to be compared. `query` may have served another codec of this type, of any dimension.
    fn prepare(&self, vector: &[f32], query: &mut Self::Query);

    /// The distances from a query to each row, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// Each pointer leads to a row of this codec that is written and constant (see [`Vectors::row`](super::Vectors::row)),
    /// `query` was prepared by this codec, and `out` is at least as long as `rows`.
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]);

    /// The distances from one stored row to each of others, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// As [`Codec::distances`], for `from` too.
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]);
}

/// Rows of f32 as they are (unit length for [`Metric::Cosine`]), padded with zeros to whole cache lines.
#[derive(Clone, Copy)]
pub struct F32 {
    dim: usize,
    kernels: Kernels,
}

impl F32 {
    /// The kernels in use.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Copies `vector` into `to`, scaled to unit length if the metric wants it.
    fn copy(&self, vector: &[f32], to: &mut [Line]) {
        let scale = match self.kernels.metric() {
            Metric::Cosine => 1.0 / norm(vector),
            Metric::L2 | Metric::InnerProduct => 1.0,
        };
        for (chunk, line) in vector.chunks(LANES).zip(to) {
            for (x, y) in chunk.iter().zip(&mut line.0) {
                *y = if scale == 1.0 { *x } else { (f64::from(*x) * scale) as f32 };
            }
            line.0[chunk.len()..].fill(0.0);
        }
    }

    #[inline(always)]
    fn padded(&self) -> usize {
        self.dim.next_multiple_of(LANES)
    }
}

/// Euclidean length, in f64 so that no f32 vector overflows it.
fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

impl Codec for F32 {
    type Query = Box<[Line]>;
    const NAME: &'static str = "f32";

    fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError> {
        if dim == 0 || dim > MAX_DIM {
            return Err(ConfigError::Dim(dim));
        }
        Ok(F32 { dim, kernels: Kernels::new(metric) })
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.kernels.metric()
    }

    fn lines(&self) -> usize {
        self.dim.div_ceil(LANES)
    }

    fn check(&self, vector: &[f32]) -> Result<(), VectorError> {
        if vector.len() != self.dim {
            return Err(VectorError::Dim { expected: self.dim, found: vector.len() });
        }
        // One pass without branches; the position is looked for only when there is something to report.
        let sum = vector.iter().fold(0.0f32, |acc, x| acc + x * 0.0);
        if sum != 0.0 {
            let position = vector.iter().position(|x| !x.is_finite()).unwrap_or(0);
            return Err(VectorError::NotFinite { position });
        }
        if self.metric() == Metric::Cosine && norm(vector) < 1e-30 {
            return Err(VectorError::Zero);
        }
        Ok(())
    }

    fn encode(&self, vector: &[f32], row: &mut [Line]) {
        self.copy(vector, row);
    }

    fn decode(&self, row: &[Line]) -> Vec<f32> {
        let mut all: Vec<f32> = row.iter().flat_map(|line| line.0).collect();
        all.truncate(self.dim);
        all
    }

    fn query(&self) -> Self::Query {
        vec![Line([0.0; LANES]); self.lines()].into_boxed_slice()
    }

    fn prepare(&self, vector: &[f32], query: &mut Self::Query) {
        if query.len() != self.lines() {
            *query = self.query();
        }
        self.copy(vector, query);
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise: rows are written, constant, of `padded` floats and aligned as `Line` is.
        unsafe { self.distances_between(query.as_ptr(), rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: `*const Line` and `*const f32` have the same layout, a `Line` is its floats, and the rest is the caller's
        // promise.
        unsafe {
            let rows = core::slice::from_raw_parts(rows.as_ptr().cast::<*const f32>(), rows.len());
            self.kernels.many(from.cast(), rows, self.padded(), out);
        }
    }
}
