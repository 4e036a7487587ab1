//! f32 kept as two planes of 16 bits: searches read one half of each vector, and still answer with exact distances.

use super::codec::{check_dim, scale};
use super::{Codec, Line};
use crate::distance::planes::{self, HALVES, PlaneKernels};
use crate::distance::{LANES, Metric, prefetch};
use crate::error::ConfigError;

/// Vectors of f32 (of unit length for [`Metric::Cosine`]) in two planes: see [`planes`].
///
/// The row is the high plane, of bf16; the rest is what it lacks. Together they are the vector, bit by bit, in as many bytes
/// as [`F32`](super::F32) takes, and their distances have the same bits as those of `F32`.
#[derive(Clone, Copy)]
pub struct Split {
    dim: usize,
    kernels: PlaneKernels,
}

impl Split {
    /// Rows of `dim` components.
    ///
    /// # Errors
    /// When the dimension is out of range.
    pub fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        Ok(Split { dim, kernels: PlaneKernels::new(metric, dim) })
    }

    /// The components of a vector, scaled to unit length if the metric wants it.
    fn scaled(&self, vector: &[f32]) -> impl Fn(f32) -> f32 + use<> {
        let scale = scale(vector, self.kernels.metric());
        move |x| if scale == 1.0 { x } else { (f64::from(x) * scale) as f32 }
    }
}

impl Codec for Split {
    type Query = Box<[Line]>;
    const NAME: &'static str = "split";
    const REFINES: bool = true;

    fn train(dim: usize, metric: Metric, _sample: &[f32]) -> Result<Self, ConfigError> {
        Split::new(dim, metric)
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.kernels.metric()
    }

    fn lines(&self) -> usize {
        self.kernels.lines()
    }

    fn rest_lines(&self) -> usize {
        self.kernels.lines()
    }

    fn lookahead(&self) -> usize {
        self.kernels.lookahead()
    }

    fn vector_bytes(&self) -> usize {
        self.dim * size_of::<f32>()
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], rest: &mut [Line]) {
        let scaled = self.scaled(vector);
        let high: &mut [u16] = bytemuck::cast_slice_mut(row);
        let low: &mut [u16] = bytemuck::cast_slice_mut(rest);
        for (i, x) in vector.iter().enumerate() {
            (high[place(i)], low[place(i)]) = planes::split(scaled(*x));
        }
    }

    fn decode(&self, row: &[Line], rest: &[Line]) -> Vec<f32> {
        let high: &[u16] = bytemuck::cast_slice(row);
        let low: &[u16] = bytemuck::cast_slice(rest);
        (0..self.dim).map(|i| planes::join(high[place(i)], low[place(i)])).collect()
    }

    fn query(&self) -> Self::Query {
        vec![Line([0.0; LANES]); 2 * self.lines()].into_boxed_slice()
    }

    fn prepare(&self, vector: &[f32], query: &mut Self::Query) {
        if query.len() != 2 * self.lines() {
            *query = self.query();
        }
        let scaled = self.scaled(vector);
        let floats: &mut [f32] = bytemuck::cast_slice_mut(query);
        floats.iter_mut().zip(vector).for_each(|(y, x)| *y = scaled(*x));
        floats[self.dim..].fill(0.0);
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise; the query has two lines for each of a row.
        unsafe { self.kernels.to_query(query.as_ptr(), rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { self.kernels.to_row(from, rows, out) }
    }

    unsafe fn refined(
        &self,
        query: &Self::Query,
        rows: &[*const Line],
        rests: &[*const Line],
        out: &mut [f32],
    ) {
        for rest in rests.iter().take(self.lookahead()) {
            (0..self.rest_lines()).for_each(|line| prefetch(rest.wrapping_add(line).cast()));
        }
        // SAFETY: the caller's promise; the query has two lines for each of a row.
        unsafe { self.kernels.joined(query.as_ptr(), rows, rests, out) }
    }

    fn shortlist(&self, k: usize, ef: usize) -> usize {
        (k + k / 2 + 5).min(ef)
    }
}

/// Where component `i` is among the halves of a plane: the first 16 of 32 are the low halves of 16 words, on a machine that
/// puts low halves first.
fn place(i: usize) -> usize {
    let (line, lane) = (i / HALVES, i % LANES);
    let second = i % HALVES / LANES;
    let half = if cfg!(target_endian = "little") { second } else { 1 - second };
    line * HALVES + 2 * lane + half
}
