//! How a vector becomes a row, and how rows are compared.

use super::Line;
use crate::distance::{Kernels, LANES, Metric};
use crate::error::{ConfigError, MAX_COMPONENT, MAX_DIM, VectorError};

/// A way to store vectors in rows of cache lines and to compare them.
///
/// A codec keeps a vector in one row or in two. The first, the *row*, is what searches read at every hop, so it is short. A
/// codec that [refines](Codec::REFINES) keeps a second, the *rest*, which is read for the last few candidates of a search
/// only, and makes their distances exact (or better).
///
/// The codec is a type parameter of the index, so its calls are direct. Pointers to rows come from
/// [`Vectors::row`](super::Vectors::row) and [`Vectors::rest`](super::Vectors::rest).
pub trait Codec: Send + Sync + Sized + 'static {
    /// A query, made ready to be compared with rows; kept per thread and overwritten by each query.
    type Query: Send + 'static;

    /// The name in flags and result documents.
    const NAME: &'static str;

    /// Whether there is a rest, and [`Codec::refined`] tells better distances than [`Codec::distances`].
    const REFINES: bool;

    /// Whether rows are too coarse to choose neighbours by: then inserts refine their candidates, and compare rests with
    /// each other instead of rows. Only codecs that refine may be coarse.
    const COARSE: bool = false;

    /// Whether [`Codec::at_least`] tells how far off estimates may be. Then searches refine only candidates that may be among
    /// the answers by that, be they many or few. Only codecs that refine may be bounded.
    const BOUNDED: bool = false;

    /// A codec for vectors of `dim` components. `sample` holds some vectors that are like those to come, one after another;
    /// a codec that learns nothing from data ignores it.
    ///
    /// # Errors
    /// When the dimension is out of range, or the codec needs a sample and gets none that it can use.
    fn train(dim: usize, metric: Metric, sample: &[f32]) -> Result<Self, ConfigError>;

    /// Components of a vector.
    fn dim(&self) -> usize;

    /// The metric.
    fn metric(&self) -> Metric;

    /// Cache lines of a row.
    fn lines(&self) -> usize;

    /// Cache lines of a rest; 0 if there is none.
    fn rest_lines(&self) -> usize {
        0
    }

    /// How many rows, at least, [`Codec::distances`] expects to be on their way to the cache when it is called; it fetches
    /// those behind them itself.
    fn lookahead(&self) -> usize {
        crate::distance::LOOKAHEAD
    }

    /// Bytes that the vector itself takes in row and rest, without padding and without codes that repeat it.
    fn vector_bytes(&self) -> usize;

    /// Bytes of codes per vector that repeat in short what the rest holds; 0 if nothing is held twice.
    fn code_bytes(&self) -> usize {
        0
    }

    /// Bytes that the codec itself has allocated, for what it learnt.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Whether `vector` can be stored and searched for.
    ///
    /// # Errors
    /// Names what is wrong with it.
    fn check(&self, vector: &[f32]) -> Result<(), VectorError> {
        check_vector(vector, self.dim(), self.metric())
    }

    /// Writes a checked vector into a row and a rest that are all zeros.
    fn encode(&self, vector: &[f32], row: &mut [Line], rest: &mut [Line]);

    /// The vector that a row and its rest stand for.
    fn decode(&self, row: &[Line], rest: &[Line]) -> Vec<f32>;

    /// A query that [`Codec::prepare`] can overwrite.
    fn query(&self) -> Self::Query;

    /// Makes a checked vector ready to be compared. `query` may have served another codec of this type, of any dimension.
    fn prepare(&self, vector: &[f32], query: &mut Self::Query);

    /// The distances from a query to each row, into `out[..rows.len()]`. They may be estimates.
    ///
    /// # Safety
    /// Each pointer leads to a row of this codec that is written and constant (see [`Vectors::row`](super::Vectors::row)),
    /// `query` was prepared by this codec, and `out` is at least as long as `rows`.
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]);

    /// The distances from one stored vector to each of others, into `out[..rows.len()]`. Pointers are to rests if the codec
    /// is [coarse](Codec::COARSE), else to rows.
    ///
    /// # Safety
    /// As [`Codec::distances`], for `from` too.
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]);

    /// The best distances that this codec can tell from a query to vectors, given by row and rest, into
    /// `out[..rows.len()]`. Called only if the codec [refines](Codec::REFINES).
    ///
    /// # Safety
    /// As [`Codec::distances`], for `rests` too, which are as many as `rows` and belong to the same nodes.
    unsafe fn refined(
        &self,
        query: &Self::Query,
        rows: &[*const Line],
        _rests: &[*const Line],
        out: &mut [f32],
    ) {
        // SAFETY: the caller's promise. Without rests there is nothing better to tell.
        unsafe { self.distances(query, rows, out) }
    }

    /// What the exact distance of a row is not below, in all likelihood, if [`Codec::distances`] tells `estimate`.
    ///
    /// # Safety
    /// As [`Codec::distances`], for `row`.
    unsafe fn at_least(&self, _query: &Self::Query, _row: *const Line, estimate: f32) -> f32 {
        estimate
    }

    /// How many of the `ef` candidates of a search for `k` to refine, at most if the codec is [bounded](Codec::BOUNDED): at
    /// least `k`, at most `ef`.
    fn shortlist(&self, k: usize, _ef: usize) -> usize {
        k
    }
}

/// Whether a vector can be stored and searched for under this metric.
///
/// # Errors
/// Names what is wrong with it.
pub fn check_vector(vector: &[f32], dim: usize, metric: Metric) -> Result<(), VectorError> {
    if vector.len() != dim {
        return Err(VectorError::Dim { expected: dim, found: vector.len() });
    }
    // One pass without branches; the position is looked for only when there is something to report.
    if vector.iter().fold(false, |any, &x| any | unusable(x)) {
        let position = vector.iter().position(|&x| unusable(x)).unwrap_or(0);
        return Err(match vector[position].is_finite() {
            true => VectorError::TooLarge { position },
            false => VectorError::NotFinite { position },
        });
    }
    if metric == Metric::Cosine && norm(vector) < 1e-30 {
        return Err(VectorError::Zero);
    }
    Ok(())
}

/// What a vector is multiplied by before it is stored or searched for: 1 over its length for [`Metric::Cosine`], else 1.
pub(super) fn scale(vector: &[f32], metric: Metric) -> f64 {
    match metric {
        Metric::Cosine => 1.0 / norm(vector),
        Metric::L2 | Metric::InnerProduct => 1.0,
    }
}

/// Whether a dimension is in range.
pub(super) fn check_dim(dim: usize) -> Result<(), ConfigError> {
    if dim == 0 || dim > MAX_DIM { Err(ConfigError::Dim(dim)) } else { Ok(()) }
}

/// Rows of f32 as they are (unit length for [`Metric::Cosine`]), padded with zeros to whole cache lines.
#[derive(Clone, Copy)]
pub struct F32 {
    dim: usize,
    kernels: Kernels,
}

impl F32 {
    /// Rows of `dim` components.
    ///
    /// # Errors
    /// When the dimension is out of range.
    pub fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        Ok(F32 { dim, kernels: Kernels::new(metric, dim) })
    }

    /// The kernels in use.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Copies `vector` into `to`, scaled to unit length if the metric wants it.
    fn copy(&self, vector: &[f32], to: &mut [Line]) {
        let scale = scale(vector, self.kernels.metric());
        for (chunk, line) in vector.chunks(LANES).zip(to) {
            for (x, y) in chunk.iter().zip(&mut line.0) {
                *y = if scale == 1.0 { *x } else { (f64::from(*x) * scale) as f32 };
            }
            line.0[chunk.len()..].fill(0.0);
        }
    }
}

/// Euclidean length, in f64 so that no f32 vector overflows it, and in several lanes so that it can be vectorised.
fn norm(vector: &[f32]) -> f64 {
    let (chunks, rest) = vector.as_chunks::<8>();
    let mut lanes = [0.0f64; 8];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

/// Whether `x` is NaN, infinite or above [`MAX_COMPONENT`] in magnitude. Without their sign, floats are ordered as their
/// bits are, infinity above every number and NaN above infinity: one comparison tells all.
#[inline(always)]
fn unusable(x: f32) -> bool {
    x.to_bits() & !(1 << 31) > MAX_COMPONENT.to_bits()
}

impl Codec for F32 {
    type Query = Box<[Line]>;
    const NAME: &'static str = "f32";
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, _sample: &[f32]) -> Result<Self, ConfigError> {
        F32::new(dim, metric)
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

    fn vector_bytes(&self) -> usize {
        self.dim * size_of::<f32>()
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], _rest: &mut [Line]) {
        self.copy(vector, row);
    }

    fn decode(&self, row: &[Line], _rest: &[Line]) -> Vec<f32> {
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
        // SAFETY: the caller's promise: rows are written, constant, of `lines` lines and aligned as `Line` is.
        unsafe { self.distances_between(query.as_ptr(), rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: `*const Line` and `*const f32` have the same layout, a `Line` is its floats, and the rest is the caller's
        // promise.
        unsafe {
            let rows = core::slice::from_raw_parts(rows.as_ptr().cast::<*const f32>(), rows.len());
            self.kernels.many(from.cast(), rows, self.kernels.padded(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

    fn codec(dim: usize, metric: Metric) -> F32 {
        F32::new(dim, metric).unwrap()
    }

    fn encoded(codec: &F32, vector: &[f32]) -> Box<[Line]> {
        let mut row = codec.query();
        codec.encode(vector, &mut row, &mut []);
        row
    }

    #[test]
    fn dimensions_are_bounded() {
        for metric in METRICS {
            assert_eq!(F32::new(0, metric).err(), Some(ConfigError::Dim(0)));
            assert_eq!(F32::new(MAX_DIM + 1, metric).err(), Some(ConfigError::Dim(MAX_DIM + 1)));
            assert_eq!(F32::new(MAX_DIM, metric).unwrap().lines(), MAX_DIM / LANES);
        }
    }

    #[test]
    fn a_vector_of_another_dimension_is_refused() {
        for metric in METRICS {
            for found in [0, 2, 4] {
                let error = VectorError::Dim { expected: 3, found };
                assert_eq!(codec(3, metric).check(&vec![1.0; found]), Err(error));
            }
            assert_eq!(codec(3, metric).check(&[1.0; 3]), Ok(()));
        }
    }

    #[test]
    fn the_first_bad_component_is_named() {
        for metric in METRICS {
            for (bad, finite) in [
                (f32::NAN, false),
                (-f32::NAN, false),
                (f32::INFINITY, false),
                (f32::NEG_INFINITY, false),
                (f32::MAX, true),
                (f32::MIN, true),
                (MAX_COMPONENT.next_up(), true),
                (-MAX_COMPONENT.next_up(), true),
            ] {
                for position in [0, 7, 16, 99] {
                    let mut vector = vec![1.0; 100];
                    vector[position..].fill(bad);
                    let error = match finite {
                        true => VectorError::TooLarge { position },
                        false => VectorError::NotFinite { position },
                    };
                    assert_eq!(codec(100, metric).check(&vector), Err(error), "{metric}: {bad}");
                }
            }
        }
    }

    #[test]
    fn the_largest_vectors_have_a_finite_distance() {
        for metric in METRICS {
            let codec = codec(MAX_DIM, metric);
            let (high, low) = (vec![MAX_COMPONENT; MAX_DIM], vec![-MAX_COMPONENT; MAX_DIM]);
            assert_eq!(codec.check(&high), Ok(()));
            assert_eq!(codec.check(&low), Ok(()));
            let (high, low) = (encoded(&codec, &high), encoded(&codec, &low));
            let mut out = [f32::NAN; 2];
            // SAFETY: both rows were written by this codec, and `out` takes two distances.
            unsafe { codec.distances(&high, &[low.as_ptr(), high.as_ptr()], &mut out) };
            assert!(out[0].is_finite() && out[1].is_finite() && out[0] > out[1], "{metric}: {out:?}");
        }
    }

    #[test]
    fn only_cosine_refuses_a_vector_without_direction() {
        for vector in [[0.0; 20], [-0.0; 20], [f32::from_bits(1); 20]] {
            assert_eq!(codec(20, Metric::L2).check(&vector), Ok(()));
            assert_eq!(codec(20, Metric::InnerProduct).check(&vector), Ok(()));
            assert_eq!(codec(20, Metric::Cosine).check(&vector), Err(VectorError::Zero));
        }
        assert_eq!(codec(20, Metric::Cosine).check(&[1e-29; 20]), Ok(()));
    }

    proptest! {
        #[test]
        fn a_row_gives_back_its_vector(vector in prop::collection::vec(-1e15f32..=1e15, 1..200)) {
            for metric in [Metric::L2, Metric::InnerProduct] {
                let codec = codec(vector.len(), metric);
                prop_assert_eq!(codec.check(&vector), Ok(()));
                let row = encoded(&codec, &vector);
                prop_assert_eq!(codec.decode(&row, &[]), vector.clone());
                let padding = row.iter().flat_map(|line| line.0).skip(vector.len());
                prop_assert!(padding.into_iter().all(|x| x == 0.0));
            }
        }

        #[test]
        fn cosine_rows_have_unit_length(
            vector in prop::collection::vec(-1.0f32..=1.0, 1..200),
            scale in prop::sample::select(vec![1e-25f32, 1.0, 1e15]),
        ) {
            let vector: Vec<f32> = vector.iter().map(|x| x * scale).collect();
            let codec = codec(vector.len(), Metric::Cosine);
            prop_assume!(codec.check(&vector).is_ok());
            let length = norm(&codec.decode(&encoded(&codec, &vector), &[]));
            prop_assert!((length - 1.0).abs() < 1e-6, "length {}", length);
        }

        #[test]
        fn a_prepared_query_leaves_nothing_of_the_one_before(
            first in prop::collection::vec(-9.0f32..9.0, 37),
            second in prop::collection::vec(-9.0f32..9.0, 37),
        ) {
            let codec = codec(37, Metric::L2);
            let mut query = codec.query();
            codec.prepare(&first, &mut query);
            codec.prepare(&second, &mut query);
            prop_assert_eq!(codec.decode(&query, &[]), second);
        }
    }
}
