//! Fills an index and reads its memory.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use hnsw_core::distance::Metric;
use hnsw_core::error::BatchError;
use hnsw_core::graph::{Graph, MemoryReport};
use hnsw_core::hnsw::{Index, IndexConfig};

use super::document::Fill;
use super::hundredths;
use super::size::Size;
use crate::footprint::Footprint;
use crate::sweep::Progress;

/// An index to fill.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub rows: &'a [f32],
    pub dim: usize,
    pub m: usize,
    pub ef_construction: usize,
    pub budget: Size,
    /// Called with rows done, from any thread.
    pub progress: &'a (dyn Fn(usize) + Sync),
    pub stop: &'a AtomicBool,
}

/// A strategy behind its type.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub name: &'static str,
    pub fill: fn(&Job<'_>) -> Result<Fill>,
}

/// All strategies, in the order of their list.
pub(super) fn candidates() -> Vec<Candidate> {
    macro_rules! erase {
        ($(($name:ident, $graph:ty)),+ $(,)?) => {
            vec![$(Candidate { name: <$graph>::NAME, fill: fill::<$graph> }),+]
        };
    }
    hnsw_strategies::for_each_strategy!(erase)
}

/// Makes an index of exactly the job's rows, measures it, and drops it.
fn fill<G: Graph>(job: &Job<'_>) -> Result<Fill> {
    let vectors = job.rows.len() / job.dim;
    crate::alloc::trim();
    let before = Footprint::now();
    let index = Index::<G>::new(IndexConfig {
        m: job.m,
        ef_construction: job.ef_construction,
        capacity: vectors,
        ..IndexConfig::new(job.dim, Metric::L2)
    })?;
    // By reference, as a sweep does it, so that one form of the function is compiled for both.
    let progress: Progress<'_> = &|done| {
        (job.progress)(done);
        // Relaxed [capacity-stop]: a hint to stop; nothing is read because of it.
        if job.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let filled = index.insert_batch(job.rows, progress);
    match filled {
        Err(BatchError::Stopped { .. }) => bail!("stopped on request; nothing was written"),
        other => other?,
    };
    index.graph().quiesce();
    let after = Footprint::now();
    let report = MemoryReport { scratch_bytes: 0, ..index.memory() };
    let total = report.total() as u64;
    Ok(Fill {
        budget: job.budget,
        vectors: vectors as u64,
        total_bytes: total,
        bytes_per_vector: hundredths(total as f64 / vectors as f64),
        rss_growth_bytes: growth(before.rss_bytes, after.rss_bytes),
        allocated_growth_bytes: growth(before.allocated_bytes, after.allocated_bytes),
        memory: report.into(),
    })
}

/// By how much it grew, where both are known.
fn growth(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    before.zip(after).map(|(before, after)| after.saturating_sub(before))
}
