//! What `mvcc` promises beyond the contract that all strategies share: snapshots, whole commits, conflicts that leave no
//! trace, and readers that a suspended committer does not stop.
#![cfg(not(hnsw_loom))]

mod edits;
mod snapshots;
mod versions;

use hnsw_core::graph::{
    At, Edit, Entry, Graph, GraphConfig, Link, LinkBuf, NodeId, NodeState, Snapshots, Stamp, Verdict, View,
};
use hnsw_strategies::Mvcc;
use hnsw_strategies::mvcc::{Conflict, Snapshot, Write};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

/// How long to wait for other threads before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(20);

fn node(number: u32) -> NodeId {
    NodeId::new(number)
}

fn base(number: u32) -> At {
    At::base(node(number))
}

/// Links to these nodes, some of them anchors.
fn links(numbers: impl IntoIterator<Item = u32>) -> Vec<Link> {
    let link = |n: u32| if n.is_multiple_of(5) { Link::anchor(node(n)) } else { Link::to(node(n)) };
    numbers.into_iter().map(link).collect()
}

fn put(edit: &mut Write<'_>, at: At, content: &[Link]) {
    edit.rewrite(at, |_, new| {
        new.copy_from(content);
        Verdict::Replace
    });
}

fn list(view: &impl View, at: At) -> Vec<Link> {
    view.links(at, &mut LinkBuf::new()).to_vec()
}

/// Repeats an edit until it is not refused.
fn edit(graph: &Mvcc, mut f: impl FnMut(&mut Write<'_>)) -> Stamp {
    let mut attempt = 0;
    loop {
        let mut session = graph.write(attempt);
        f(&mut session);
        match session.commit() {
            Ok(stamp) => return stamp,
            Err(Conflict) => attempt += 1,
        }
    }
}

/// A graph of `count` live nodes without links, node `n` on level `n % 3`, with room for a hundred more.
fn graph(m: usize, count: u32) -> Mvcc {
    let graph = Mvcc::with_config(&GraphConfig::new(m).with_capacity(count as usize + 100)).unwrap();
    graph.reserve(count as usize, |n| (n.get() % 3) as u8).unwrap();
    edit(&graph, |session| (0..count).for_each(|n| session.publish(node(n))));
    graph
}

/// Everything that a view shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    entry: Option<Entry>,
    tombstones: bool,
    states: Vec<NodeState>,
    lists: Vec<Vec<Link>>,
}

fn picture(view: &impl View) -> Picture {
    let nodes = || (0..view.node_count() as u32).map(node);
    let mut lists = Vec::new();
    for node in nodes().filter(|&node| view.state(node) != NodeState::Reserved) {
        lists.extend((0..=view.level(node)).map(|level| list(view, At { node, level })));
    }
    Picture {
        entry: view.entry(),
        tombstones: view.may_have_tombstones(),
        states: nodes().map(|node| view.state(node)).collect(),
        lists,
    }
}

/// Quiesces until nothing is retired. Other tests of this process can delay that: they share the epoch.
fn quiesce(graph: &Mvcc) {
    let begin = Instant::now();
    graph.quiesce();
    while graph.memory().retired_bytes > 0 {
        assert!(begin.elapsed() < PATIENCE, "not freed: {:?}", graph.memory());
        std::thread::yield_now();
        graph.quiesce();
    }
}

/// A step of a repeatable sequence of numbers.
fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as u32
}
