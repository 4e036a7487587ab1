//! [`F32`] that tells a hook what it is asked, so that tests can stop or break a call in the middle.

use core::marker::PhantomData;
use hnsw_core::distance::Metric;
use hnsw_core::error::ConfigError;
use hnsw_core::vectors::{Codec, F32, Line};

/// What is called before the codec does what it was asked.
pub trait Hook: Copy + Send + Sync + 'static {
    /// The name of the codec.
    const NAME: &'static str;

    /// `encode`, `prepare`, `distances` or `distances_between`; of so many rows.
    fn before(call: &'static str, rows: usize);
}

/// [`F32`], with a hook.
#[derive(Clone, Copy)]
pub struct Hooked<H>(F32, PhantomData<H>);

impl<H: Hook> Codec for Hooked<H> {
    type Query = <F32 as Codec>::Query;
    const NAME: &'static str = H::NAME;
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, _sample: &[f32]) -> Result<Self, ConfigError> {
        F32::new(dim, metric).map(|codec| Hooked(codec, PhantomData))
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn metric(&self) -> Metric {
        self.0.metric()
    }

    fn lines(&self) -> usize {
        self.0.lines()
    }

    fn vector_bytes(&self) -> usize {
        self.0.vector_bytes()
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], rest: &mut [Line]) {
        H::before("encode", 1);
        self.0.encode(vector, row, rest);
    }

    fn decode(&self, row: &[Line], rest: &[Line]) -> Vec<f32> {
        self.0.decode(row, rest)
    }

    fn query(&self) -> Self::Query {
        self.0.query()
    }

    fn prepare(&self, vector: &[f32], query: &mut Self::Query) {
        H::before("prepare", 1);
        self.0.prepare(vector, query);
    }

    unsafe fn distances(&self, query: &Self::Query, rows: &[*const Line], out: &mut [f32]) {
        H::before("distances", rows.len());
        // SAFETY: the caller's promise is what `F32` asks for.
        unsafe { self.0.distances(query, rows, out) }
    }

    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        H::before("distances_between", rows.len());
        // SAFETY: the caller's promise is what `F32` asks for.
        unsafe { self.0.distances_between(from, rows, out) }
    }
}
