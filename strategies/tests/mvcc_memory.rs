//! The memory report of `mvcc` against a counting allocator, while old versions are kept and after. One test, because the
//! allocator counts the process.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::live;
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Link, NodeId, Snapshots, Verdict, View};
use hnsw_strategies::Mvcc;

const NODES: u32 = 2_000;

/// Puts one link into the list of each node, by commits of ten, and publishes the nodes if they are new.
fn link_all(graph: &Mvcc, target: u32, new: bool) {
    for first in (0..NODES).step_by(10) {
        let mut session = graph.write(0);
        for node in (first..first + 10).map(NodeId::new) {
            session.rewrite(At::base(node), |_, out| {
                out.push(Link::to(NodeId::new(target)));
                Verdict::Replace
            });
            if new {
                session.publish(node);
            }
        }
        session.commit().unwrap();
    }
}

/// All that is kept and all that waits to be freed is in the report.
fn rounds(graph: &Mvcc, before: usize) {
    let difference = |what: &str| {
        let (counted, report) = (live() - before, graph.memory());
        let difference = report.total().abs_diff(counted);
        // The collector of epochs keeps what it is handed in lists, which the report leaves out.
        assert!(difference <= 16 << 10, "{what}: {difference} bytes apart of {counted}: {report:#?}");
        report
    };
    let snapshot = graph.snapshot();
    link_all(graph, 7, false);
    let kept = difference("a snapshot keeps the first versions").snapshots_bytes;
    assert!(kept > 40 * NODES as usize, "{kept} bytes");
    link_all(graph, 8, false);
    let reader = graph.read();
    let report = difference("it keeps no others");
    assert_eq!(report.snapshots_bytes, kept);
    drop(snapshot);
    let report = difference("when it goes, what it kept waits for readers");
    assert_eq!(report.snapshots_bytes, 0);
    assert!(report.retired_bytes >= kept / 2, "{report:#?}");
    drop(reader);
    graph.quiesce();
    let report = difference("without readers all is freed");
    assert_eq!((report.snapshots_bytes, report.retired_bytes), (0, 0));
}

#[test]
fn what_is_kept_and_what_waits_is_reported() {
    let before = live();
    let graph = Box::new(Mvcc::with_config(&GraphConfig::new(16).with_capacity(NODES as usize)).unwrap());
    graph.reserve(NODES as usize, |_| 0).unwrap();
    link_all(&graph, 9, true);
    rounds(&graph, before);
    rounds(&graph, before);
    assert_eq!(graph.read().node_count(), NODES as usize);
}
