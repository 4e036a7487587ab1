//! The memory report of the lock-free strategy against a counting allocator. One test, because the allocator counts
//! the process.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::{calls, live};
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Level, Link, NodeId, Verdict};
use hnsw_strategies::LockFree;

const NODES: usize = 20_000;

/// One node in 16 is above level 0, one in 16 of those above level 1.
fn level_of(node: NodeId) -> Level {
    (node.get().trailing_zeros() / 4).min(4) as Level
}

/// A small generator, so that a failure can be repeated.
fn random(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize % below
}

/// Inserts a node as the algorithm does: forward links to up to 12 nodes, and a link back from each of them, which
/// drives out another if the list is full. Only the choice of neighbours is not HNSW's.
fn insert(graph: &LockFree, state: &mut u64) {
    let node = graph.reserve(1, level_of).unwrap();
    link(graph, node, state);
}

fn link(graph: &LockFree, node: NodeId, state: &mut u64) {
    let mut write = graph.write(0);
    let others: [NodeId; 12] =
        core::array::from_fn(|_| NodeId::new(random(state, node.index().max(1)) as u32));
    let others = &others[..12.min(node.index())];
    for level in 0..=level_of(node) {
        let here = others.iter().filter(|other| level_of(**other) >= level);
        write.rewrite(At::new(node, level), |_, out| {
            here.clone().for_each(|other| out.push(Link::to(*other)));
            Verdict::Replace
        });
        for other in here {
            write.rewrite(At::new(*other, level), |links, out| {
                let full = links.len() == GraphConfig::new(16).cap(level);
                out.copy_from(&links[full as usize..]);
                out.push(Link::to(node));
                Verdict::Replace
            });
        }
    }
    write.publish(node);
}

fn assert_exact(graph: &LockFree, before: usize) {
    let counted = live() - before;
    let report = graph.memory();
    let error = report.total().abs_diff(counted) as f64 / counted as f64;
    assert!(error < 0.02, "reported {} bytes, counted {counted}: {report:?}", report.total());
}

#[test]
fn the_report_is_what_the_allocator_counts() {
    for config in [GraphConfig::new(16), GraphConfig::new(16).with_capacity(NODES)] {
        let before = live();
        let graph = LockFree::with_config(&config).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15;
        (0..NODES).for_each(|_| insert(&graph, &mut state));
        assert_exact(&graph, before);
        graph.quiesce();
        assert_exact(&graph, before);

        let report = graph.memory();
        assert_eq!(report.retired_bytes, 0);
        let lists: usize = (0..NODES as u32).map(|id| 1 + level_of(NodeId::new(id)) as usize).sum();
        assert_eq!(report.sync_bytes, 4 * lists);
        let raw = NODES * 1_024 * size_of::<f32>();
        assert!(report.overhead_percent(raw) < 4.0, "{:.2} %: {report:?}", report.overhead_percent(raw));

        // In the steady state only the collector allocates: a queue node for every 16 KB of garbage.
        let before_calls = calls();
        for _ in 0..1_000 {
            let node = NodeId::new((1 + random(&mut state, NODES - 1)) as u32);
            link(&graph, node, &mut state);
        }
        let calls = calls() - before_calls;
        assert!(calls < 300, "{calls} allocations in 1,000 edits of 13 lists each");
        // Garbage that is with the collector would keep the slab.
        graph.quiesce();
        drop(graph);
        let left = live() - before;
        assert!(left < 64 << 10, "{left} bytes are left of the graph");
    }
}
