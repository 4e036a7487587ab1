//! Memory of every strategy with 1024-dimensional vectors: what is above the vectors is under 5 %, and the report is what
//! the allocator counted.
//!
//! A file of its own with one test, because the allocator that counts is that of the whole process.

use std::alloc::System;
use std::ops::ControlFlow;

use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, MAX_NODES};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::segments::OCTAVE;
use hnsw_core::vectors::F32;
use hnsw_lab::alloc::Counting;
use hnsw_lab::data::generate::{Shape, clustered};

#[cfg_attr(not(feature = "count-alloc"), global_allocator)]
static ALLOC: Counting<System> = Counting::new(System);

fn live() -> usize {
    hnsw_lab::alloc::counted().unwrap_or(&ALLOC).live_bytes()
}

const N: usize = 20_000;
const DIM: usize = 1024;
const RAW: usize = N * DIM * size_of::<f32>();

fn config(capacity: usize) -> IndexConfig {
    IndexConfig { m: 16, ef_construction: 16, capacity, ..IndexConfig::new(DIM, Metric::L2) }
}

/// Overhead in per cent of the vectors, of an index that one thread has filled, with its scratch.
fn overhead<G: Graph>(rows: &[f32], capacity: usize) -> f64 {
    let before = live();
    let index = Box::new(Index::<G>::new(config(capacity)).unwrap());
    let mut scratch = Scratch::<F32>::new();
    for row in rows.chunks_exact(DIM) {
        index.insert_with(row, &mut scratch).unwrap();
    }
    let mut report = index.memory();
    report.scratch_bytes += scratch.bytes();
    // As the build left it, without `quiesce`: what waits to be freed counts too.
    let (counted, reported) = (live() - before, report.total());
    let name = G::NAME;
    let percent = report.overhead_percent(RAW);
    println!(
        "{name:10} {percent:.2} % overhead, {counted} bytes counted, {reported} reported, capacity {capacity}"
    );
    assert_eq!(report.vectors_bytes, RAW);
    assert!(
        reported.abs_diff(counted) * 50 <= counted,
        "{name}: {reported} reported, {counted} counted: {report:#?}"
    );
    // Without the vectors the same must hold, or they would hide any error.
    let (above, seen) = (report.overhead(), counted - RAW);
    assert!(above.abs_diff(seen) * 50 <= seen, "{name}: {above} reported, {seen} counted: {report:#?}");
    index.graph().quiesce();
    drop((index, scratch));
    // The collector may have freed something of an index before this one, too.
    let left = live().saturating_sub(before);
    assert!(left * 50 <= counted - RAW, "{name}: {left} bytes left");
    percent
}

#[test]
fn overhead_is_under_five_per_cent_and_reports_are_exact() {
    let set = clustered(&Shape { rows: N, dim: DIM, queries: 1, seed: 3 }, 16).unwrap();
    // What is made once per thread must not be charged to the first index.
    let warm = Index::<hnsw_strategies::LockFree>::new(config(600)).unwrap();
    warm.insert_batch(&set.base()[..600 * DIM], |_| ControlFlow::Continue(())).unwrap();
    macro_rules! check {
        ($(($name:ident, $graph:ty)),+ $(,)?) => {$(
            let percent = overhead::<$graph>(set.base(), N);
            assert!(percent < 5.0, "{}: {percent:.2} %", <$graph>::NAME);
            // Growth without a bound takes segments of about a 32nd of what is there.
            let percent = overhead::<$graph>(set.base(), MAX_NODES);
            let growth = 100.0 / OCTAVE as f64;
            assert!(percent < 5.0 + growth, "{}: {percent:.2} % without a bound", <$graph>::NAME);
        )+};
    }
    hnsw_strategies::for_each_strategy!(check);
}
