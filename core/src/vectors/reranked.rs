//! Rows of codes for the search, and exact f32 rests for its last candidates.

use super::{Codec, F32, Line};
use crate::distance::{LOOKAHEAD, Metric, prefetch};
use crate::error::{ConfigError, VectorError};

/// A lossy codec without rests, which [`Reranked`] completes.
pub trait Lossy: Codec {
    /// [`Codec::NAME`] of [`Reranked`] over this codec: its own name and `+f32`.
    const RERANKED: &'static str;

    /// [`Codec::COARSE`] of [`Reranked`] over this codec.
    const TOO_COARSE: bool = false;

    /// [`Codec::BOUNDED`] of [`Reranked`] over this codec, by its [`Codec::at_least`].
    const ESTIMATES: bool = false;
}

/// The rows of a lossy codec, and beside them the vectors as [`F32`] stores them. Searches read rows; the last candidates are
/// compared again by their rests, so the distances of answers are those that [`F32`] tells, to the bit.
pub struct Reranked<C> {
    rough: C,
    exact: F32,
}

impl<C: Lossy> Reranked<C> {
    /// A lossy codec, completed.
    ///
    /// # Errors
    /// When the dimension is out of range.
    pub fn new(rough: C) -> Result<Self, ConfigError> {
        let exact = F32::new(rough.dim(), rough.metric())?;
        Ok(Reranked { rough, exact })
    }

    /// The codec of the rows.
    pub fn rough(&self) -> &C {
        &self.rough
    }
}

impl<C: Lossy> Codec for Reranked<C> {
    type Query = (C::Query, <F32 as Codec>::Query);
    const NAME: &'static str = C::RERANKED;
    const REFINES: bool = true;
    const COARSE: bool = C::TOO_COARSE;
    const BOUNDED: bool = C::ESTIMATES;

    fn train(dim: usize, metric: Metric, sample: &[f32]) -> Result<Self, ConfigError> {
        Reranked::new(C::train(dim, metric, sample)?)
    }

    fn dim(&self) -> usize {
        self.exact.dim()
    }

    fn metric(&self) -> Metric {
        self.exact.metric()
    }

    fn lines(&self) -> usize {
        self.rough.lines()
    }

    fn rest_lines(&self) -> usize {
        self.exact.lines()
    }

    fn lookahead(&self) -> usize {
        self.rough.lookahead()
    }

    fn vector_bytes(&self) -> usize {
        self.exact.vector_bytes()
    }

    fn code_bytes(&self) -> usize {
        self.rough.lines() * size_of::<Line>()
    }

    fn heap_bytes(&self) -> usize {
        self.rough.heap_bytes()
    }

    fn check(&self, vector: &[f32]) -> Result<(), VectorError> {
        self.rough.check(vector)
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], rest: &mut [Line]) {
        self.rough.encode(vector, row, &mut []);
        self.exact.encode(vector, rest, &mut []);
    }

    fn decode(&self, _row: &[Line], rest: &[Line]) -> Vec<f32> {
        self.exact.decode(rest, &[])
    }

    fn query(&self) -> Self::Query {
        (self.rough.query(), self.exact.query())
    }

    fn prepare(&self, vector: &[f32], (rough, exact): &mut Self::Query) {
        self.rough.prepare(vector, rough);
        self.exact.prepare(vector, exact);
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise; rows are those of `rough`.
        unsafe { self.rough.distances(&query.0, rows, out) }
    }

    #[inline(always)]
    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        // SAFETY: the caller's promise; it gives rests, which are rows of `exact`, if the codec is coarse.
        unsafe {
            if Self::COARSE {
                self.exact.distances_between(from, rows, out)
            } else {
                self.rough.distances_between(from, rows, out)
            }
        }
    }

    unsafe fn refined(
        &self,
        query: &Self::Query,
        _rows: &[*const Line],
        rests: &[*const Line],
        out: &mut [f32],
    ) {
        for rest in rests.iter().take(LOOKAHEAD) {
            (0..self.exact.lines()).for_each(|line| prefetch(rest.wrapping_add(line).cast()));
        }
        // SAFETY: the caller's promise; rests are rows of `exact`.
        unsafe { self.exact.distances(&query.1, rests, out) }
    }

    #[inline(always)]
    unsafe fn at_least(&self, query: &Self::Query, row: *const Line, estimate: f32) -> f32 {
        // SAFETY: the caller's promise; rows are those of `rough`.
        unsafe { self.rough.at_least(&query.0, row, estimate) }
    }

    fn shortlist(&self, k: usize, ef: usize) -> usize {
        self.rough.shortlist(k, ef)
    }
}
