//! The memory report of an index over every codec against what the allocator saw.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::live;
use hnsw_core::distance::Metric;
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::vectors::{Codec, Line};
use hnsw_strategies::Sequential;

const NODES: usize = 5_000;

/// Rows, rests and what the codec has learnt are on the ledger, each where it belongs.
fn rows_are_counted<C: Codec>() {
    for (metric, dim) in [(Metric::L2, 100), (Metric::Cosine, 384)] {
        let rows: Vec<f32> = (0..NODES * dim).map(|i| (i * 7919 % 1009 + 1) as f32).collect();
        let config = IndexConfig { ef_construction: 4, capacity: NODES, ..IndexConfig::new(dim, metric) };
        let before = live();
        let index = Box::new(Index::<Sequential, C>::trained(config, &rows).unwrap());
        let mut scratch = Scratch::<C>::new();
        for row in rows.chunks(dim) {
            index.insert_with(row, &mut scratch).unwrap();
        }
        let counted = live() - before;
        let mut report = index.memory();
        report.scratch_bytes += scratch.bytes();
        let codec = C::train(dim, metric, &rows).unwrap();
        assert_eq!(report.vectors_bytes, NODES * codec.vector_bytes(), "{}", C::NAME);
        assert_eq!(report.codes_bytes, NODES * codec.code_bytes(), "{}", C::NAME);
        let stored = NODES * (codec.lines() + codec.rest_lines()) * size_of::<Line>();
        assert!(report.vectors_bytes + report.codes_bytes <= stored, "{}", C::NAME);
        // Without rows and rests the same must hold, or they would hide any error.
        let (above, seen) = (report.total() - stored, counted - stored);
        assert!(above.abs_diff(seen) * 50 <= seen, "{}: {above} reported, {seen} seen: {report:#?}", C::NAME);
    }
}

macro_rules! check_each {
    ($(($name:literal, $codec:ty)),+ $(,)?) => { $(rows_are_counted::<$codec>();)+ };
}

#[test]
fn reported_rows_are_what_the_allocator_counted() {
    hnsw_core::for_each_codec!(check_each);
}
