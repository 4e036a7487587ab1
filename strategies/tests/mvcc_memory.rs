//! The memory report of `mvcc` against a counting allocator, while old versions are kept and after. One test, because the
//! allocator counts the process.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::own;
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Link, NodeId, Snapshots, Verdict};
use hnsw_core::sync::epoch;
use hnsw_strategies::Mvcc;

const NODES: u32 = 2_000;

/// Puts one link into the list of each node, by commits of ten, and publishes the nodes if they are new.
fn link_all(graph: &Mvcc, target: u32, new: bool) {
    link_by(graph, 10, target, new);
}

/// The same, by commits of `lists`.
fn link_by(graph: &Mvcc, lists: u32, target: u32, new: bool) {
    for first in (0..NODES).step_by(lists as usize) {
        let mut session = graph.write(0);
        for node in (first..first + lists).map(NodeId::new) {
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

/// What is allocated, once the collector of epochs has freed what it can.
fn settled() -> usize {
    (0..64).for_each(|_| epoch::pin().flush());
    own()
}

/// All that is kept and all that waits to be freed is in the report; returns what it missed while versions were kept and nothing waited.
fn rounds(graph: &Mvcc, before: usize) -> usize {
    let missed = |what: &str| {
        let (counted, report) = (own() - before, graph.memory());
        let missed = counted.checked_sub(report.total()).expect("no more is reported than there is");
        // The collector of epochs keeps what it is handed in lists of its own.
        assert!(missed <= 16 << 10, "{what}: {missed} bytes of {counted} are missing: {report:#?}");
        (missed, report)
    };
    let snapshot = graph.snapshot();
    link_all(graph, 7, false);
    graph.quiesce();
    settled();
    let (quiet, report) = missed("a snapshot keeps the first versions");
    let kept = report.snapshots_bytes;
    assert!(kept > 40 * NODES as usize, "{kept} bytes");
    link_all(graph, 8, false);
    let walk = epoch::pin();
    let (_, report) = missed("it keeps no others");
    assert_eq!(report.snapshots_bytes, kept);
    drop(snapshot);
    let (_, report) = missed("when it goes, what it kept waits for walks");
    assert_eq!(report.snapshots_bytes, 0);
    assert!(report.retired_bytes >= kept / 2, "{report:#?}");
    drop(walk);
    graph.quiesce();
    let (_, report) = missed("without walks all is freed");
    assert_eq!((report.snapshots_bytes, report.retired_bytes), (0, 0));
    quiet
}

#[test]
fn what_is_kept_and_what_waits_is_reported() {
    let before = own();
    let graph = Box::new(Mvcc::with_config(&GraphConfig::new(16).with_capacity(NODES as usize)).unwrap());
    graph.reserve(NODES as usize, |_| 0).unwrap();
    let empty = graph.snapshot();
    link_all(&graph, 9, true);
    assert_eq!(graph.memory().snapshots_bytes, 0, "a list that was never written has no version to keep");
    drop(empty);
    // What libraries allocate once is there after the first round.
    let once = rounds(&graph, before);
    for _ in 0..3 {
        let missed = rounds(&graph, before);
        assert!(
            missed.abs_diff(once) <= 6 << 10,
            "{missed} bytes were missed, and {once} in the first round"
        );
    }
    // A commit of all lists at once: what the vacuum has room for since then is in the report.
    let snapshot = graph.snapshot();
    let fixed = graph.memory().fixed_bytes;
    link_by(&graph, NODES, 6, false);
    let (counted, report) = (settled() - before, graph.memory());
    assert!(report.fixed_bytes > fixed + 8 * NODES as usize, "{} bytes, then {}", fixed, report.fixed_bytes);
    let missed = counted.checked_sub(report.total()).expect("no more is reported than there is");
    assert!(missed <= 16 << 10, "{missed} bytes of {counted} are missing: {report:#?}");
    drop(snapshot);
    // Many snapshots, and versions that are still kept when the graph goes.
    let snapshots: Vec<_> = (0..1_000).map(|_| graph.snapshot()).collect();
    link_all(&graph, 7, false);
    drop((graph, snapshots));
    let left = settled() - before;
    assert!(left <= 16 << 10, "{left} bytes were left");
    // A few versions that are out of their lists when the graph goes, and wait for more to be handed on with.
    for _ in 0..40 {
        let graph = Mvcc::with_config(&GraphConfig::new(16).with_capacity(NODES as usize)).unwrap();
        graph.reserve(NODES as usize, |_| 0).unwrap();
        for target in 1..40 {
            let mut session = graph.write(0);
            session.rewrite(At::base(NodeId::new(0)), |_, out| {
                out.push(Link::to(NodeId::new(target)));
                Verdict::Replace
            });
            session.commit().unwrap();
        }
        assert!(graph.memory().retired_bytes > 1_000);
    }
    let more = settled().saturating_sub(before + left);
    assert!(more <= 16 << 10, "{more} bytes were left of 40 graphs");
}
