//! The lock-free strategy through the trait: what is special to it. What all strategies share is tested for all of
//! them.
#![cfg(not(hnsw_loom))]

use hnsw_core::error::Full;
use hnsw_core::graph::{
    At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, MAX_M, NodeId, NodeState, Stage, Verdict, View,
};
use hnsw_strategies::LockFree;
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn graph(m: usize, nodes: usize, level_of: impl Fn(NodeId) -> Level) -> LockFree {
    let graph = LockFree::with_config(&GraphConfig::new(m)).unwrap();
    graph.reserve(nodes, level_of).unwrap();
    graph
}

fn node(id: usize) -> NodeId {
    NodeId::new(id as u32)
}

fn append(graph: &LockFree, at: At, link: Link) {
    let verdict = graph.write(0).rewrite(at, |links, out| {
        out.copy_from(links);
        out.push(link);
        Verdict::Replace
    });
    assert_eq!(verdict, Verdict::Replace);
}

fn links(graph: &LockFree, at: At) -> Vec<Link> {
    graph.read().links(at, &mut LinkBuf::new()).to_vec()
}

/// Waits until nothing is retired; other tests of this process may hold the epoch for a while.
fn quiesce(graph: &LockFree) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        graph.quiesce();
        if graph.memory().retired_bytes == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{} bytes stay retired", graph.memory().retired_bytes);
        std::thread::yield_now();
    }
}

/// A small generator, so that a failure can be repeated.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

#[test]
fn lists_of_all_levels_and_lengths_read_as_written() {
    for m in [2, 16, 33, MAX_M] {
        let level_of = |n: NodeId| (n.get() % 4) as Level;
        let graph = graph(m, 600, level_of);
        let config = GraphConfig::new(m);
        let length = |id: usize, level: Level| (id + level as usize * 5) % (config.cap(level) + 1);
        let list = |id: usize, level: Level| {
            (0..length(id, level)).map(move |i| match i % 2 {
                0 => Link::to(node((id + i + 1) % 600)),
                _ => Link::anchor(node((id + i + 1) % 600)),
            })
        };
        for id in 0..600 {
            for level in 0..=level_of(node(id)) {
                graph.write(0).rewrite(At::new(node(id), level), |old, out| {
                    assert!(old.is_empty());
                    list(id, level).for_each(|link| out.push(link));
                    Verdict::Replace
                });
            }
        }
        let (view, mut buf) = (graph.read(), LinkBuf::new());
        for id in 0..600 {
            for level in 0..=level_of(node(id)) {
                let at = At::new(node(id), level);
                view.prefetch(at, Stage::Far);
                view.prefetch(at, Stage::Near);
                assert!(view.links(at, &mut buf).iter().copied().eq(list(id, level)), "M = {m}, {at:?}");
            }
        }
    }
}

#[test]
fn a_list_can_shrink_to_nothing_and_grow_again() {
    let graph = graph(16, 40, |_| 0);
    let at = At::base(node(0));
    for len in (0..=32).chain((0..32).rev()).chain([32, 0, 1]) {
        let mut write = graph.write(0);
        write.rewrite(at, |_, out| {
            (1..=len).for_each(|i| out.push(Link::to(node(i))));
            Verdict::Replace
        });
        assert_eq!(write.links(at, &mut LinkBuf::new()).len(), len, "a session sees its own change");
        assert_eq!(write.rewrite(at, |_, _| Verdict::Keep), Verdict::Keep);
        assert!(write.commit().is_ok());
        assert_eq!(links(&graph, at).len(), len);
    }
}

#[test]
fn threads_that_append_to_one_hub_lose_nothing() {
    const THREADS: usize = 4;
    let graph = graph(MAX_M, 1_000, |_| 0);
    let hub = At::base(node(0));
    for round in 0..20 {
        graph.write(0).rewrite(hub, |_, _| Verdict::Replace);
        std::thread::scope(|s| {
            for t in 0..THREADS {
                let graph = &graph;
                s.spawn(move || {
                    (0..2 * MAX_M / THREADS)
                        .for_each(|i| append(graph, hub, Link::to(node(1 + i * THREADS + t))));
                });
            }
        });
        let mut found = links(&graph, hub);
        found.sort_unstable();
        assert!(found.into_iter().eq((1..=2 * MAX_M).map(|id| Link::to(node(id)))), "round {round}");
    }
}

#[test]
fn a_writer_that_is_overtaken_tries_again_with_the_newer_list() {
    let graph = graph(16, 10, |_| 0);
    let hub = At::base(node(0));
    let runs = Cell::new(0);
    graph.write(0).rewrite(hub, |links, out| {
        runs.set(runs.get() + 1);
        if runs.get() == 1 {
            // This writer is suspended in the middle of its rewrite, and another finishes (contract P8).
            std::thread::scope(|s| s.spawn(|| append(&graph, hub, Link::to(node(1)))).join().unwrap());
        }
        out.copy_from(links);
        out.push(Link::to(node(2)));
        Verdict::Replace
    });
    assert_eq!(runs.get(), 2);
    assert_eq!(graph.contention().cas_failures, 1);
    assert_eq!(links(&graph, hub), [Link::to(node(1)), Link::to(node(2))]);
}

#[test]
fn a_rewrite_that_panics_leaves_the_list_as_it_was() {
    let graph = graph(16, 10, |_| 0);
    let at = At::base(node(0));
    append(&graph, at, Link::to(node(1)));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        graph.write(0).rewrite(at, |_, out| {
            out.push(Link::to(node(7)));
            panic!("the caller's own")
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(links(&graph, at), [Link::to(node(1))]);
    append(&graph, at, Link::to(node(2)));
    assert_eq!(links(&graph, at), [Link::to(node(1)), Link::to(node(2))]);
    quiesce(&graph);
}

#[test]
fn readers_meet_only_whole_lists_while_writers_churn() {
    const NODES: usize = 500;
    let config = GraphConfig::new(16);
    let level_of = |n: NodeId| n.get().is_multiple_of(3) as Level;
    let graph = graph(16, NODES, level_of);
    let at = |random: usize| {
        let owner = node(random % NODES);
        At::new(owner, (random / NODES) as Level % (level_of(owner) + 1))
    };
    let stop = AtomicBool::new(false);
    let lists_read = std::thread::scope(|s| {
        let (graph, stop) = (&graph, &stop);
        for t in 0..2 {
            s.spawn(move || {
                let mut random = 0x9e37_79b9 + t;
                while !stop.load(Ordering::Relaxed) {
                    let mut write = graph.write(0);
                    for _ in 0..20 {
                        let at = at(next(&mut random));
                        let len = next(&mut random) % (config.cap(at.level) + 1);
                        // Every third node, going up from a random one: all of these have a list on level 1.
                        let start = next(&mut random) % 100 * 3;
                        write.rewrite(at, |_, out| {
                            let run = (0..len).map(|i| node(start + 3 * i)).filter(|to| *to != at.node);
                            run.for_each(|to| out.push(Link::to(to)));
                            Verdict::Replace
                        });
                    }
                }
            });
        }
        let reader = move |mut random: u64| {
            let (mut buf, mut count) = (LinkBuf::new(), 0);
            while !stop.load(Ordering::Relaxed) {
                let view = graph.read();
                for _ in 0..100 {
                    let at = at(next(&mut random));
                    let list = view.links(at, &mut buf);
                    assert!(list.len() <= config.cap(at.level), "degree of {at:?}");
                    for link in list {
                        assert!(link.node().index() < view.node_count(), "{at:?} leads to {link:?}");
                        assert_ne!(link.node(), at.node, "a node leads to itself");
                        assert!(view.level(link.node()) >= at.level, "{at:?} leads below its level");
                    }
                    for pair in list.windows(2) {
                        let step = pair[1].node().index().wrapping_sub(pair[0].node().index());
                        assert!(step == 3 || step == 6, "{at:?} is torn: {list:?}");
                    }
                    count += 1;
                }
            }
            count
        };
        let readers: Vec<_> = (0..2).map(|t| s.spawn(move || reader(0x51_7cc1 + t))).collect();
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|r| r.join().unwrap()).sum::<usize>()
    });
    assert!(lists_read > 0);
    quiesce(&graph);
}

#[test]
fn a_reader_that_stays_keeps_what_it_met() {
    let graph = graph(16, 100, |_| 0);
    let at = At::base(node(0));
    (1..=20).for_each(|id| append(&graph, at, Link::to(node(id))));
    quiesce(&graph);

    let (view, mut buf) = (graph.read(), LinkBuf::new());
    let met = view.links(at, &mut buf);
    let copy = met.to_vec();
    let churn = || {
        let mut before = 0;
        for round in 0..5 {
            for i in 0..1_000 {
                graph.write(0).rewrite(at, |_, out| {
                    (1..=20).for_each(|id| out.push(Link::anchor(node(id + i % 50))));
                    Verdict::Replace
                });
            }
            graph.quiesce();
            let retired = graph.memory().retired_bytes;
            assert!(retired >= before + 1_000 * 96, "round {round}: {retired} bytes after {before}");
            before = retired;
        }
    };
    std::thread::scope(|s| s.spawn(churn).join().unwrap());
    assert_eq!(met, copy, "the block was used again under a reader");
    assert_ne!(links(&graph, at), copy);
    drop(view);
    quiesce(&graph);
    assert_eq!(graph.memory().links_bytes, 96);
}

#[test]
fn quiesce_reaches_the_garbage_of_all_finished_sessions() {
    let graph = graph(16, 100, |_| 0);
    let (done, leave) = (Barrier::new(3), Barrier::new(3));
    std::thread::scope(|s| {
        for t in 0..2 {
            let (graph, done, leave) = (&graph, &done, &leave);
            s.spawn(move || {
                (0..5).for_each(|i| append(graph, At::base(node(t)), Link::to(node(10 + i))));
                done.wait();
                // The threads are there still, and idle.
                leave.wait();
            });
        }
        done.wait();
        assert!(graph.memory().retired_bytes > 0);
        quiesce(&graph);
        leave.wait();
    });
    assert_eq!(graph.memory().links_bytes, 2 * 32);
}

#[test]
fn the_entry_point_only_rises() {
    let graph = graph(16, 10, |n| n.get() as Level);
    let entry = |id: usize| Entry { node: node(id), level: id as Level };
    let mut write = graph.write(0);
    assert_eq!(write.entry(), None);
    assert!(write.found(entry(2)) && !write.found(entry(3)));
    assert!(!write.raise_entry(entry(2)) && !write.raise_entry(entry(1)));
    assert_eq!(write.entry(), Some(entry(2)));
    drop(write);
    std::thread::scope(|s| {
        (0..10).for_each(|id| {
            let graph = &graph;
            s.spawn(move || graph.write(0).raise_entry(entry(id)));
        });
    });
    assert_eq!(graph.read().entry(), Some(entry(9)));
}

#[test]
fn nodes_are_published_and_removed() {
    let graph = graph(16, 3, |_| 0);
    let mut write = graph.write(0);
    assert_eq!((write.node_count(), write.state(node(1))), (3, NodeState::Reserved));
    write.publish(node(1));
    assert_eq!(write.state(node(1)), NodeState::Live);
    assert!(!write.may_have_tombstones());
    assert!(write.tombstone(node(1)) && !write.tombstone(node(1)));
    drop(write);
    let view = graph.read();
    assert!(view.may_have_tombstones());
    assert_eq!(view.state(node(1)), NodeState::Tombstone);
    assert_eq!(view.state(node(3)), NodeState::Free);
}

#[test]
fn what_handles_cannot_name_is_refused() {
    let graph = LockFree::with_config(&GraphConfig::new(16)).unwrap();
    let Err(Full { capacity }) = graph.reserve(1 << 30, |_| 0) else { panic!("2^30 nodes were given out") };
    assert!(capacity > 80_000_000);
    assert_eq!(graph.read().node_count(), 0);
    let graph = LockFree::with_config(&GraphConfig::new(16).with_capacity(5)).unwrap();
    assert_eq!(graph.reserve(6, |_| 0), Err(Full { capacity: 5 }));
    assert!(graph.reserve(5, |_| 0).is_ok());
    assert!(LockFree::with_config(&GraphConfig::new(1)).is_err());
}
