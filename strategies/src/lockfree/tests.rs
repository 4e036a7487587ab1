//! What cannot be seen through the trait: where blocks come from, and when the slab goes.

use super::*;
use hnsw_core::graph::{At, Edit, Link, LinkBuf, Verdict, View};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The epoch is one for the whole process: a test that holds it must not run beside one that measures reuse.
static EPOCH: Mutex<()> = Mutex::new(());

const NODES: u32 = 64;

fn alone() -> MutexGuard<'static, ()> {
    EPOCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn graph() -> LockFree {
    let graph = LockFree::with_config(&GraphConfig::new(16)).unwrap();
    graph.reserve(NODES as usize, |_| 0).unwrap();
    graph
}

/// Replaces the list of `node` by `len` links.
fn put(graph: &LockFree, node: u32, len: u32) {
    graph.write(0).rewrite(At::base(NodeId::new(node)), |_, out| {
        (0..len).for_each(|i| out.push(Link::to(NodeId::new((node + 1 + i) % NODES))));
        Verdict::Replace
    });
}

/// Drives the epoch until `done`.
fn drive(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "the epoch does not advance");
        epoch::pin().flush();
        std::thread::yield_now();
    }
}

#[test]
fn churn_on_a_fixed_number_of_nodes_takes_no_new_memory() {
    let _alone = alone();
    let graph = graph();
    let churn = |rounds: u32| {
        for round in 0..rounds {
            (0..NODES).for_each(|node| put(&graph, node, 1 + (round * 7 + node) % 32));
        }
    };
    churn(200);
    let before = graph.slab.cut_bytes();
    assert!(
        before >= NODES as usize * 128,
        "{before} bytes for as many lists as there are nodes, of up to 32 links"
    );
    // A thread of another test that loses its CPU while it reads holds the epoch back, and so may cost a stretch some memory.
    let grown: Vec<usize> = (0..10)
        .map(|_| {
            let before = graph.slab.cut_bytes();
            churn(500);
            graph.slab.cut_bytes() - before
        })
        .collect();
    let replaced = 500 * NODES as usize * 80;
    let none = grown.iter().filter(|grown| **grown == 0).count();
    assert!(none >= 5, "bytes of fresh memory for {replaced} replaced, ten times: {grown:?}");
    assert!(grown.iter().all(|grown| *grown < replaced / 10), "{grown:?} for {replaced}");
}

#[test]
fn garbage_outlives_the_graph_and_then_goes() {
    let _alone = alone();
    let graph = graph();
    let slab = Arc::downgrade(&graph.slab);
    let reader = epoch::pin();
    for round in 0..100 {
        (0..NODES).for_each(|node| put(&graph, node, 1 + round % 32));
    }
    assert!(Arc::strong_count(&graph.slab) > 1, "some garbage is with the collector");
    drop(graph);
    assert!(slab.upgrade().is_some(), "the slab is there while the collector has garbage of it");
    drop(reader);
    drive(|| slab.strong_count() == 0);
}

#[test]
fn a_block_that_lost_a_race_is_used_for_the_next_try() {
    let _alone = alone();
    let graph = graph();
    let hub = At::base(NodeId::new(0));
    put(&graph, 0, 9);
    let mut first = true;
    let mut cut = 0;
    graph.write(0).rewrite(hub, |links, out| {
        out.copy_from(links);
        out.push(Link::to(NodeId::new(40)));
        if core::mem::take(&mut first) {
            std::thread::scope(|s| {
                s.spawn(|| {
                    graph.write(0).rewrite(hub, |links, out| {
                        out.copy_from(links);
                        out.push(Link::to(NodeId::new(50)));
                        Verdict::Replace
                    })
                });
            });
        } else {
            cut = graph.slab.cut_bytes();
        }
        Verdict::Replace
    });
    // The second try took nothing; the record of the retired block, of 128 bytes, is what was cut after it.
    assert!(!first && graph.slab.cut_bytes() - cut <= 128 + 32);
    assert_eq!(graph.read().links(hub, &mut LinkBuf::new()).len(), 11);
}

#[test]
fn garbage_crowds_a_shard_while_a_session_holds_it_back() {
    let _alone = alone();
    let graph = graph();
    let shard = graph.slab.my_shard();
    let churn = |rounds: u32| {
        (0..rounds).for_each(|round| (0..NODES).for_each(|node| put(&graph, node, 1 + round % 32)))
    };
    let reader = epoch::pin();
    churn(2);
    assert!(!graph.slab.crowded(shard), "{} bytes are no crowd", graph.slab.retired_bytes());
    churn(100);
    assert!(graph.slab.crowded(shard), "{} bytes wait", graph.slab.retired_bytes());
    drop(reader);
    drive(|| {
        graph.quiesce();
        !graph.slab.crowded(shard)
    });
    assert!(graph.memory().slack_bytes >= 64 << 10, "what waited is free now");
}
