//! Rows of IEEE half floats.

use super::codec::{check_dim, check_vector, scale};
use super::{Codec, Line, Lossy};
use crate::distance::codes::{Codes, Sum};
use crate::distance::half::LANES;
use crate::distance::{Isa, Metric};
use crate::error::{ConfigError, MAX_HALF, VectorError};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Rows of half floats (of vectors of unit length for [`Metric::Cosine`]): half the bytes of f32, and 11 bits of precision,
/// less for components below 6 x 10^-5 in magnitude. Queries are rounded as rows are.
#[derive(Clone, Copy)]
pub struct F16 {
    dim: usize,
    metric: Metric,
    kernel: Codes,
}

impl F16 {
    /// Rows of `dim` components.
    ///
    /// # Errors
    /// When the dimension is out of range.
    pub fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        // Half the squared distance of vectors of unit length is one minus their inner product, with less rounding.
        let (sum, scale) = match metric {
            Metric::L2 => (Sum::Squares, 1.0),
            Metric::Cosine => (Sum::Squares, 0.5),
            Metric::InnerProduct => (Sum::Products, -1.0),
        };
        let kernel = Codes::half(sum, dim.div_ceil(LANES), scale, Isa::in_use());
        Ok(F16 { dim, metric, kernel })
    }

    /// The kernel in use.
    pub fn kernel(&self) -> &Codes {
        &self.kernel
    }
}

impl Codec for F16 {
    type Query = Box<[Line]>;
    const NAME: &'static str = "f16";
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, _sample: &[f32]) -> Result<Self, ConfigError> {
        F16::new(dim, metric)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn lines(&self) -> usize {
        self.kernel.lines()
    }

    fn lookahead(&self) -> usize {
        self.kernel.lookahead()
    }

    fn vector_bytes(&self) -> usize {
        self.dim * size_of::<f16>()
    }

    fn check(&self, vector: &[f32]) -> Result<(), VectorError> {
        check_vector(vector, self.dim, self.metric)?;
        if self.metric != Metric::Cosine && vector.iter().fold(false, |any, x| any | (x.abs() > MAX_HALF)) {
            let position = vector.iter().position(|x| x.abs() > MAX_HALF).unwrap_or(0);
            return Err(VectorError::TooLargeForHalf { position });
        }
        Ok(())
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], _rest: &mut [Line]) {
        let scale = scale(vector, self.metric);
        let halves: &mut [u16] = bytemuck::cast_slice_mut(row);
        let mut scaled = [0.0; LANES];
        for (vector, halves) in vector.chunks(LANES).zip(halves.as_chunks_mut::<LANES>().0) {
            for (x, y) in vector.iter().zip(&mut scaled) {
                *y = if scale == 1.0 { *x } else { (f64::from(*x) * scale) as f32 };
            }
            scaled[vector.len()..].fill(0.0);
            halves.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&scaled);
        }
    }

    fn decode(&self, row: &[Line], _rest: &[Line]) -> Vec<f32> {
        let halves: &[u16] = bytemuck::cast_slice(row);
        halves[..self.dim].iter().map(|bits| f16::from_bits(*bits).to_f32()).collect()
    }

    fn query(&self) -> Self::Query {
        vec![Line([0.0; 16]); self.lines()].into_boxed_slice()
    }

    fn prepare(&self, vector: &[f32], query: &mut Self::Query) {
        if query.len() != self.lines() {
            *query = self.query();
        }
        self.encode(vector, query, &mut []);
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { self.distances_between(query.as_ptr(), rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise: rows are written, constant, and of as many lines as the kernel is for.
        unsafe { self.kernel.many(from.cast(), super::bytes_of(rows), out) }
    }

    fn shortlist(&self, k: usize, ef: usize) -> usize {
        (k + k.div_ceil(4)).min(ef)
    }
}

impl Lossy for F16 {
    const RERANKED: &'static str = "f16+f32";
}
