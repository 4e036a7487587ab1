//! A small graph of `mvcc`, and what the models of it have in common.

use hnsw_core::graph::{
    At, Edit, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, Snapshots, Verdict, View,
};
use hnsw_core::sync::{Arc, thread};
use hnsw_strategies::Mvcc;
use hnsw_strategies::mvcc::{Snapshot, Write};

pub const A: At = At::base(NodeId::new(0));
pub const B: At = At::base(NodeId::new(1));

/// The list that the commit number `version` writes: as long as it can be, so that on level 0 it is stored in two words.
fn links(at: At, version: u32) -> Vec<Link> {
    vec![Link::to(NodeId::new(version)); if at.level == 0 { 4 } else { 2 }]
}

pub fn put(session: &mut Write<'_>, at: At, version: u32) {
    session.rewrite(at, |_, new| {
        new.copy_from(&links(at, version));
        Verdict::Replace
    });
}

pub fn commit(graph: &Mvcc, change: impl FnOnce(&mut Write<'_>)) {
    let mut session = graph.write(0);
    change(&mut session);
    session.commit().expect("no one else changes this list");
}

/// Nodes 0 and 1, live, each with the list of version 1; node 2, reserved.
pub fn graph() -> Arc<Mvcc> {
    graph_with_levels(|_| 0)
}

pub fn graph_with_levels(level_of: impl Fn(NodeId) -> Level) -> Arc<Mvcc> {
    let graph = Mvcc::with_config(&GraphConfig::new(2).with_capacity(3)).unwrap();
    graph.reserve(3, level_of).unwrap();
    commit(&graph, |session| {
        for at in [A, B] {
            put(session, at, 1);
            session.publish(at.node);
        }
    });
    Arc::new(graph)
}

/// The version of a list, which must be whole. 0 if it is empty.
pub fn version(view: &impl View, at: At) -> u32 {
    let mut buf = LinkBuf::new();
    let list = view.links(at, &mut buf);
    let version = list.first().map_or(0, |link| link.node().get());
    assert!(list.is_empty() || list == links(at, version), "a torn list: {list:?}");
    version
}

/// The commit that a snapshot shows.
pub fn shown(snapshot: &Snapshot) -> u32 {
    Mvcc::stamp(snapshot).0 as u32
}

pub fn spawn<T: 'static>(graph: &Arc<Mvcc>, f: impl FnOnce(&Mvcc) -> T + 'static) -> thread::JoinHandle<T> {
    let graph = Arc::clone(graph);
    thread::spawn(move || f(&graph))
}
