//! The memory report of packed copies: equal to what the allocator counted, to the byte; and what is above the vectors, in
//! per cent of vectors with 1024 components. One test, because the allocator counts the process.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::own;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{
    At, Edit, Graph, GraphConfig, Level, Link, MAX_NODES, MemoryReport, NodeId, Packed, Verdict, View,
};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_strategies::Sequential;

/// What `make` returns, in a box, and the bytes that it and what it holds take.
fn counted<T>(make: impl FnOnce() -> T) -> (Box<T>, usize) {
    let before = own();
    let made = Box::new(make());
    (made, own() - before)
}

/// Bytes of a vector with 1024 components.
const RAW: usize = 1024 * size_of::<f32>();

/// What is above the vectors, without the slack of their rows, as a part of vectors with 1024 components.
fn percent(report: &MemoryReport, nodes: usize) -> f64 {
    100.0 * (report.overhead() - report.slack_bytes) as f64 / (nodes * RAW) as f64
}

/// The first 10,000 of the embedded data set.
fn sift() -> Vec<Vec<f32>> {
    let file = include_bytes!("../../harness/data/sift10k/base.bvecs");
    file.chunks_exact(4 + 128).map(|row| row[4..].iter().map(|b| f32::from(*b)).collect()).collect()
}

/// An index of real data: its packed copy, alone with its vectors, takes what it reports.
fn an_index_of_real_data() {
    for (capacity, remove) in [(10_000, 0), (MAX_NODES, 0), (10_000, 100)] {
        let rows = sift();
        let config = IndexConfig { ef_construction: 40, capacity, ..IndexConfig::new(128, Metric::L2) };
        let (packed, bytes) = counted(|| {
            let index = Index::<Sequential>::new(config).unwrap();
            // Scratch of its own: that of the thread would stay, and be counted.
            let mut scratch = Scratch::new();
            rows.iter().for_each(|row| {
                index.insert_with(row, &mut scratch).unwrap();
            });
            (0..remove).for_each(|n| index.remove(NodeId::new(n)).unwrap());
            index.pack()
        });
        let report = packed.memory();
        assert_eq!(report.total(), bytes, "{report:#?}");
        assert_eq!(report.vectors_bytes, rows.len() * 128 * size_of::<f32>());
        assert_eq!(report.slack_bytes == 0, capacity == rows.len(), "a true capacity leaves no slack");
        // The states of nodes take two bits each as soon as one is not live.
        let states = if remove > 0 { rows.len() / 4 } else { 0 };
        assert!((states..states + rows.len() / 4).contains(&report.levels_bytes), "{report:#?}");
        let percent = percent(&report, rows.len());
        println!("real data, capacity {capacity}, {remove} removed: {percent:.3} % of 1024 components");
        assert!(percent <= 1.0, "{percent:.3} %");
    }
}

/// 30,000 nodes with lists as long as those of real data with 1024 components (and longer).
fn a_graph_of_thirty_thousand() {
    const NODES: usize = 30_000;
    // One node in 16 is above level 0, one of 256 above level 1.
    let level = |node: NodeId| (node.get().wrapping_add(1).trailing_zeros() / 4) as Level;
    let config = GraphConfig::new(16).with_capacity(NODES);
    for (mean, limit) in [(9, 0.6), (15, 0.85), (18, 1.0)] {
        let graph = Sequential::with_config(&config).unwrap();
        graph.reserve(NODES, level).unwrap();
        let mut write = graph.write(0);
        for node in (0..NODES as u32).map(NodeId::new) {
            for level in 0..=level(node) {
                // From four below the mean to four above it.
                let degree = (mean - 4 + node.get() % 9).min(config.cap(level) as u32);
                write.rewrite(At::new(node, level), |_, out| {
                    // Any numbers will do: all take the same room.
                    (1..=degree).for_each(|i| out.push(Link::to(NodeId::new(node.get() * 7 % 20_011 + i))));
                    Verdict::Replace
                });
            }
            write.publish(node);
        }
        write.commit().unwrap();
        let view = graph.read();
        let (packed, bytes) = counted(|| Packed::freeze(&view));
        assert_eq!(packed.memory().total() + size_of::<Packed>(), bytes);
        assert_eq!(packed.node_count(), NODES);
        let percent = percent(&packed.memory(), NODES);
        println!("30,000 nodes, {mean} links on average: {percent:.3} % of 1024 components");
        assert!(percent <= limit, "{mean} links on average: {percent:.3} %");
    }
}

#[test]
fn packed_memory_is_what_the_allocator_counted_and_little() {
    an_index_of_real_data();
    a_graph_of_thirty_thousand();
}
