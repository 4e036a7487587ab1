//! Four bits per component, with a scale for each vector.

use super::codec::{check_dim, scale};
use super::{Codec, Line, Lossy, check_vector};
use crate::distance::nibbles::{Factors, Layout, NibbleKernels, Query, Terms};
use crate::distance::{LANES, Metric};
use crate::error::ConfigError;

/// The code of the centre: half-way between 0 and 15.
const MIDDLE: f32 = 7.5;

/// How much of the range between the least and the greatest component the codes cover; the best is kept.
const CLIPS: [f32; 3] = [1.0, 0.85, 0.7];

/// Codes of 4 bits per component, with a scale and a centre for each vector, after Aguerrebere et al., "Similarity search in
/// the blink of an eye with compressed indices", 2023 (locally-adaptive vector quantisation): the mean of a sample is
/// subtracted from each vector (the zero vector if there is no sample), and what remains is rounded to 16 evenly spaced values.
///
/// Other than there, the values need not span all components: scale and centre are those of least squared error, found in a
/// few steps from several starts. Queries are rounded to 8 bits.
///
/// A row takes half a byte per component and 12 bytes.
#[derive(Clone)]
pub struct Lvq4 {
    metric: Metric,
    kernels: NibbleKernels,
    /// The mean of the sample.
    mean: Box<[f32]>,
    /// Its squared length.
    mean_norm: f32,
    /// What two rows are compared with; see [`crate::distance::nibbles`].
    masks: Box<[Line]>,
}

/// A query of signed bytes.
pub struct Lvq4Query {
    bytes: Box<[Line]>,
    query: Query,
    /// What the bytes are rounded from.
    components: Vec<f32>,
}

impl Lvq4 {
    /// What is subtracted from each vector before it is quantised.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    fn layout(&self) -> Layout {
        self.kernels.layout()
    }

    /// How a distance comes from an inner product with what a row is beside the mean. `base` is what the metric adds for the
    /// vector on the left, and `bias` the weight of what it adds for the row.
    fn terms(metric: Metric, base: f32, bias: f32) -> Terms {
        match metric {
            // Rounding of the query could bring an estimate below zero.
            Metric::L2 => Terms { base, bias, weight: -2.0, floor: 0.0 },
            Metric::InnerProduct => Terms { base: -base, bias: -bias, weight: -1.0, floor: f32::MIN },
            Metric::Cosine => Terms { base: 1.0 - base, bias: -bias, weight: -1.0, floor: f32::MIN },
        }
    }

    /// What the metric adds to distances for a row that stands for the mean plus `vector`: its squared length, or its inner
    /// product with the mean.
    fn bias(&self, vector: impl Iterator<Item = f32>) -> f32 {
        let terms = vector.zip(&self.mean).map(|(x, mean)| match self.metric {
            Metric::L2 => f64::from(x) * f64::from(x),
            Metric::InnerProduct | Metric::Cosine => f64::from(x) * f64::from(*mean),
        });
        terms.sum::<f64>() as f32
    }
}

/// A vector, scaled to unit length if the metric wants it, less `mean`, into `out`.
fn centre(vector: &[f32], metric: Metric, mean: &[f32], out: &mut Vec<f32>) {
    let scale = scale(vector, metric);
    out.clear();
    match scale == 1.0 {
        true => out.extend(vector.iter().zip(mean).map(|(x, mean)| x - mean)),
        false => out.extend(vector.iter().zip(mean).map(|(x, mean)| (f64::from(*x) * scale) as f32 - mean)),
    }
}

impl Codec for Lvq4 {
    type Query = Lvq4Query;
    const NAME: &'static str = "lvq4";
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, sample: &[f32]) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        let zero = vec![0.0; dim];
        let (mut sums, mut count, mut vector) = (vec![0.0f64; dim], 0, Vec::new());
        for usable in sample.chunks_exact(dim).filter(|row| check_vector(row, dim, metric).is_ok()) {
            centre(usable, metric, &zero, &mut vector);
            sums.iter_mut().zip(&vector).for_each(|(sum, x)| *sum += f64::from(*x));
            count += 1;
        }
        let mean: Box<[f32]> = sums.iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect();
        let kernels = NibbleKernels::new(dim);
        let layout = kernels.layout();
        let mut masks = vec![Line([0.0; LANES]); 2 * layout.code_lines()].into_boxed_slice();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut masks);
        (0..dim).for_each(|i| bytes[layout.place(i)] = 15);
        Ok(Lvq4 { metric, kernels, mean_norm: dot(&mean, &mean), mean, masks })
    }

    fn dim(&self) -> usize {
        self.mean.len()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn lines(&self) -> usize {
        self.layout().lines()
    }

    fn lookahead(&self) -> usize {
        self.kernels.lookahead()
    }

    fn vector_bytes(&self) -> usize {
        self.layout().bytes()
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.mean) + size_of_val(&*self.masks)
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], _rest: &mut [Line]) {
        let mut centred = Vec::with_capacity(self.dim());
        centre(vector, self.metric, &self.mean, &mut centred);
        let fit = Fit::of(&centred);
        let codes: Vec<u8> = centred.iter().map(|x| fit.code(*x) as u8).collect();
        let bias = self.bias(codes.iter().map(|code| fit.value(*code)));
        self.layout().write(&codes, Factors { scale: fit.scale, centre: fit.centre, bias }, row);
    }

    fn decode(&self, row: &[Line], _rest: &[Line]) -> Vec<f32> {
        let Factors { scale, centre, .. } = self.layout().factors(row);
        let fit = Fit { scale, centre };
        self.layout().codes(row).zip(&self.mean).map(|(code, mean)| mean + fit.value(code)).collect()
    }

    fn query(&self) -> Self::Query {
        Lvq4Query {
            bytes: vec![Line([0.0; LANES]); self.masks.len()].into_boxed_slice(),
            query: Query::default(),
            components: Vec::with_capacity(self.dim()),
        }
    }

    fn prepare(&self, vector: &[f32], query: &mut Self::Query) {
        if query.bytes.len() != self.masks.len() {
            *query = self.query();
        }
        let Lvq4Query { bytes, query, components } = query;
        let base = if self.metric == Metric::L2 {
            centre(vector, self.metric, &self.mean, components);
            dot(components, components)
        } else {
            components.clear();
            let scale = scale(vector, self.metric);
            components.extend(vector.iter().map(|x| (f64::from(*x) * scale) as f32));
            dot(components, &self.mean)
        };
        let bias = if self.metric == Metric::L2 { 1.0 } else { 0.0 };
        let greatest = components.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs()));
        let scale = greatest / f32::from(i8::MAX);
        let reciprocal = reciprocal(scale);
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(bytes);
        bytes.fill(0);
        let (low, high) = components.split_at(self.layout().half());
        let mut sum = 0;
        for (half, part) in [low, high].into_iter().enumerate() {
            for (line, chunk) in part.chunks(size_of::<Line>()).enumerate() {
                let bytes = &mut bytes[(2 * line + half) * size_of::<Line>()..];
                for (byte, x) in bytes.iter_mut().zip(chunk) {
                    // The cast takes off the fraction; of a number above zero, so that half more makes it round to nearest.
                    let rounded = (x * reciprocal + 128.5) as i32 - 128;
                    *byte = rounded as i8;
                    sum += rounded;
                }
            }
        }
        let terms = Self::terms(self.metric, base, bias);
        *query = Query { terms, scale, shift: MIDDLE * sum as f32, total: total(components) };
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise; the query has two lines for each line of codes.
        unsafe { self.kernels.to_query(query.bytes.as_ptr(), &query.query, rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        let base = if self.metric == Metric::L2 { 0.0 } else { self.mean_norm };
        let terms = Self::terms(self.metric, base, 1.0);
        // SAFETY: the caller's promise; there are two lines of masks for each line of codes.
        unsafe { self.kernels.to_row(self.masks.as_ptr(), &terms, from, rows, out) }
    }

    fn shortlist(&self, k: usize, ef: usize) -> usize {
        (2 * k + 10).min(ef)
    }
}

impl Lossy for Lvq4 {
    const RERANKED: &'static str = "lvq4+f32";
}

/// The 16 values of a vector: those from `centre - 7.5 * scale` to `centre + 7.5 * scale`, `scale` apart.
#[derive(Clone, Copy)]
struct Fit {
    scale: f32,
    centre: f32,
}

impl Fit {
    /// The best of some: from each start, values are rounded, and scale and centre then fitted to the codes by linear
    /// regression; the one with the least squared error is improved by another such step.
    fn of(vector: &[f32]) -> Fit {
        let (low, high) = vector.iter().fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
        let (width, centre) = (high - low, low + (high - low) / 2.0);
        let tried = CLIPS.map(|clip| Fit { scale: width * clip / 15.0, centre }.improved(vector));
        let best = tried.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(Fit { scale: 0.0, centre }, |best| best.0.improved(vector).0)
    }

    /// The scale and centre that suit the codes of `vector` best, and the squared error that remains.
    fn improved(self, vector: &[f32]) -> (Fit, f32) {
        let codes: Vec<f32> = vector.iter().map(|x| self.code(*x) as f32 - MIDDLE).collect();
        // From the centre, so that little cancels.
        let mut offsets: Vec<f32> = vector.iter().map(|x| x - self.centre).collect();
        let dim = vector.len() as f32;
        let (mean, mean_code) = (total(&offsets) / dim, total(&codes) / dim);
        let spread = dot(&codes, &codes) - mean_code * mean_code * dim;
        // All have one code, so all are one value: the centre.
        if spread <= 0.0 {
            return (self, 0.0);
        }
        let scale = (dot(&offsets, &codes) - mean * mean_code * dim) / spread;
        let shift = mean - scale * mean_code;
        offsets.iter_mut().zip(&codes).for_each(|(x, code)| *x -= shift + scale * code);
        (Fit { scale, centre: self.centre + shift }, dot(&offsets, &offsets))
    }

    /// The nearest code.
    #[inline(always)]
    fn code(self, x: f32) -> i32 {
        // The cast takes off the fraction of a number that is not below zero, so half more makes it round to nearest.
        ((x - self.centre) * reciprocal(self.scale) + (MIDDLE + 0.5)).clamp(0.0, 15.0) as i32
    }

    /// What a code stands for, less the mean.
    #[inline(always)]
    fn value(self, code: u8) -> f32 {
        self.centre + self.scale * (f32::from(code) - MIDDLE)
    }
}

/// 1 / x, or 0 if that is out of range: then what is multiplied by it is too small to matter.
#[inline(always)]
fn reciprocal(x: f32) -> f32 {
    let reciprocal = 1.0 / x;
    if reciprocal.is_finite() { reciprocal } else { 0.0 }
}

/// The inner product, in several lanes so that it can be vectorised.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// The sum, likewise.
fn total(a: &[f32]) -> f32 {
    let (chunks, rest) = a.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
