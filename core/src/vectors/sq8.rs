//! Rows of one byte a component, on a scale that is learnt from a sample.

use super::codec::{check_dim, check_vector, scale};
use super::{Codec, Line, Lossy};
use crate::distance::codes::{Codes, Sum};
use crate::distance::{Isa, Metric, bytes};
use crate::error::ConfigError;

/// Scalar quantisation: a component is a byte from 0 to [`bytes::MAX`], a step apart.
///
/// The step is one for all dimensions, so that differences of codes need no weights. For distances (and for
/// [`Metric::Cosine`], which is half the squared distance of vectors of unit length) each dimension has an origin of its own,
/// which differences cancel. For [`Metric::InnerProduct`] the origin is zero.
///
/// Origins and step are those that hold nearly all components of the sample; what lies outside is clamped.
pub struct Sq8 {
    metric: Metric,
    step: f32,
    /// The component that code 0 stands for, by dimension.
    origins: Box<[f32]>,
    kernel: Codes,
}

/// The share of components of the sample that may be clamped, above and below each.
const CLAMPED: f64 = 0.0003;

/// The most vectors of a sample that are looked at.
const SAMPLE_ROWS: usize = 4096;

/// With fewer vectors than this, all dimensions have one origin.
const MIN_ROWS: usize = 64;

/// The shortest step. Its square is far from the smallest f32 that has full precision.
const MIN_STEP: f32 = 1e-17;

impl Sq8 {
    /// The difference between components that one code apart stand for.
    pub fn step(&self) -> f32 {
        self.step
    }

    /// The kernel in use.
    pub fn kernel(&self) -> &Codes {
        &self.kernel
    }

    /// The middle and half the width of the range that holds all of `values` but a share of [`CLAMPED`] at each end.
    fn range(values: &mut [f32]) -> (f32, f32) {
        let outside = (values.len() as f64 * CLAMPED) as usize;
        let low = *values.select_nth_unstable_by(outside, f32::total_cmp).1;
        let last = values.len() - 1;
        let high = *values.select_nth_unstable_by(last - outside, f32::total_cmp).1;
        (low / 2.0 + high / 2.0, high / 2.0 - low / 2.0)
    }

    /// The usable vectors of a sample, as they are stored, one after another.
    fn usable(dim: usize, metric: Metric, sample: &[f32]) -> Vec<f32> {
        let rows = sample.len() / dim;
        let stride = rows.div_ceil(SAMPLE_ROWS).max(1);
        let vectors = sample.chunks_exact(dim).step_by(stride);
        let usable = vectors.filter(|vector| check_vector(vector, dim, metric).is_ok());
        let scaled = usable.flat_map(|vector| {
            let scale = scale(vector, metric);
            vector.iter().map(move |x| (f64::from(*x) * scale) as f32)
        });
        scaled.collect()
    }
}

impl Codec for Sq8 {
    type Query = Box<[Line]>;
    const NAME: &'static str = "sq8";
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, sample: &[f32]) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        let mut values = Sq8::usable(dim, metric, sample);
        let rows = values.len() / dim;
        if rows == 0 {
            return Err(ConfigError::Sample(Self::NAME));
        }
        let mut middles = vec![0.0; dim].into_boxed_slice();
        if metric != Metric::InnerProduct {
            if rows < MIN_ROWS {
                middles.fill(Sq8::range(&mut values.clone()).0);
            } else {
                for (d, middle) in middles.iter_mut().enumerate() {
                    let mut column: Vec<f32> = values.iter().skip(d).step_by(dim).copied().collect();
                    *middle = Sq8::range(&mut column).0;
                }
            }
        }
        for vector in values.chunks_exact_mut(dim) {
            vector.iter_mut().zip(&middles).for_each(|(x, middle)| *x = (*x - middle).abs());
        }
        let inside = ((values.len() - 1) as f64 * (1.0 - 2.0 * CLAMPED)) as usize;
        let half_width = *values.select_nth_unstable_by(inside, f32::total_cmp).1;
        // A sample without any spread says nothing of the scale.
        let half_width = if half_width > 0.0 { half_width } else { 1.0 };
        let step = (half_width / f32::from(bytes::MAX - bytes::ZERO)).max(MIN_STEP);
        let mut origins = middles;
        origins.iter_mut().for_each(|origin| *origin -= f32::from(bytes::ZERO) * step);
        let (sum, scale) = match metric {
            Metric::L2 => (Sum::Squares, step * step),
            Metric::Cosine => (Sum::Squares, step * step / 2.0),
            Metric::InnerProduct => (Sum::Products, -step * step),
        };
        let kernel = Codes::bytes(sum, dim.div_ceil(size_of::<Line>()), scale, Isa::in_use());
        Ok(Sq8 { metric, step, origins, kernel })
    }

    fn dim(&self) -> usize {
        self.origins.len()
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
        self.dim()
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.origins)
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], _rest: &mut [Line]) {
        let codes: &mut [u8] = bytemuck::cast_slice_mut(row);
        let (scale, inverse) = (scale(vector, self.metric), 1.0 / self.step);
        for ((code, x), origin) in codes.iter_mut().zip(vector).zip(&self.origins) {
            let x = if scale == 1.0 { *x } else { (f64::from(*x) * scale) as f32 };
            // The cast rounds down, and takes what is below zero to zero.
            *code = ((x - origin) * inverse + 0.5).min(f32::from(bytes::MAX)) as u8;
        }
        // Adds nothing to any sum, if all rows have it.
        codes[vector.len()..].fill(bytes::ZERO);
    }

    fn decode(&self, row: &[Line], _rest: &[Line]) -> Vec<f32> {
        let codes: &[u8] = bytemuck::cast_slice(row);
        codes.iter().zip(&self.origins).map(|(code, origin)| origin + f32::from(*code) * self.step).collect()
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
        (k + k.div_ceil(2) + 5).min(ef)
    }
}

impl Lossy for Sq8 {
    const RERANKED: &'static str = "sq8+f32";
}
