//! Models of node ids, towers and states, which all strategies share. Each says what it proves and what its failure would mean
//! for a user; the tests of the module `weakened` show for each ordering that a model needs it.
#![cfg(hnsw_loom)]

use hnsw_core::graph::{GraphConfig, Level, NodeId, NodeState, Nodes};
use hnsw_core::sync::model::{expect_weak, model};
use hnsw_core::sync::{Arc, Ordering, thread};

fn nodes(capacity: usize) -> Arc<Nodes> {
    Arc::new(Nodes::new(&GraphConfig::new(2).with_capacity(capacity)))
}

fn node(number: u32) -> NodeId {
    NodeId::new(number)
}

/// Runs `f` on a thread.
fn spawn<T: 'static>(nodes: &Arc<Nodes>, f: impl FnOnce(&Nodes) -> T + 'static) -> thread::JoinHandle<T> {
    let nodes = Arc::clone(nodes);
    thread::spawn(move || f(&nodes))
}

/// Proves: every id below the count can be asked for its state, also if another thread took ids after it. Failing, it would
/// mean for a user: a look at the newest id dies with "row not allocated".
fn counted_ids_exist() {
    let nodes = nodes(2);
    let take = |nodes: &Nodes| nodes.reserve(1, |_| 0).unwrap();
    let rival = spawn(&nodes, take);
    let reader = spawn(&nodes, |nodes| {
        for id in 0..nodes.count() as u32 {
            assert!(matches!(nodes.state(node(id)), NodeState::Free | NodeState::Reserved));
        }
    });
    let mine = take(&nodes);
    assert_ne!(mine, rival.join().unwrap());
    reader.join().unwrap();
    assert_eq!(nodes.count(), 2);
}

/// Proves: a node finds its upper lists while other nodes of its group get theirs. Failing, it would mean for a user: an insert
/// or a search dies with "has no list above level 0", or follows the list of another node.
fn towers_are_complete() {
    let nodes = nodes(3);
    let level = |node: NodeId| node.get() as Level;
    nodes.reserve(2, level).unwrap();
    let owner = spawn(&nodes, move |nodes| {
        let new = nodes.reserve(1, level).unwrap();
        nodes.upper(new, 1)
    });
    assert_eq!(nodes.upper(node(1), 1), 0);
    assert_eq!(owner.join().unwrap(), 1);
    assert_eq!([1, 2].map(|level| nodes.upper(node(2), level)), [1, 2]);
}

/// Proves: two nodes of one group that get their upper lists at once both find them, and no list is given out twice. Failing,
/// it would mean for a user: two nodes share one list, or one has none.
fn towers_are_distinct() {
    let nodes = nodes(2);
    let own = |nodes: &Nodes| {
        let new = nodes.reserve(1, |_| 1).unwrap();
        nodes.upper(new, 1)
    };
    let rival = spawn(&nodes, own);
    let mine = own(&nodes);
    assert_ne!(mine, rival.join().unwrap());
    assert_eq!(nodes.upper(node(0), 1) + nodes.upper(node(1), 1), 1);
}

/// Proves: whoever knows that a node was removed knows that removed nodes have to be looked for; and of two threads that remove
/// a node one does. Failing, it would mean for a user: a search returns a point of which its caller has seen already that it is
/// gone.
fn removal() {
    let nodes = nodes(1);
    nodes.reserve(1, |_| 0).unwrap();
    nodes.publish(node(0));
    let remove = |nodes: &Nodes| nodes.tombstone(node(0));
    let rival = spawn(&nodes, remove);
    let reader = spawn(&nodes, |nodes| {
        assert!(nodes.state(node(0)) == NodeState::Live || nodes.may_have_tombstones());
    });
    let mine = remove(&nodes);
    assert!(nodes.may_have_tombstones());
    assert_ne!(mine, rival.join().unwrap());
    reader.join().unwrap();
    assert_eq!(nodes.state(node(0)), NodeState::Tombstone);
}

#[test]
fn an_id_that_is_counted_exists() {
    model(2, "nodes: reserve against reserve against count", counted_ids_exist);
}

#[test]
fn a_tower_that_is_found_is_complete() {
    model(None, "nodes: reserve against upper", towers_are_complete);
}

#[test]
fn each_node_has_its_own_tower() {
    model(2, "nodes: tower against tower", towers_are_distinct);
}

#[test]
fn a_removal_that_is_seen_is_reckoned_with() {
    model(2, "nodes: tombstone against tombstone against search", removal);
}

/// Each of these must fail; see the head of the file.
mod weakened {
    use super::*;
    use Ordering::Relaxed;

    macro_rules! needs {
        ($($test:ident: $site:literal $to:ident, $model:expr, $message:literal;)*) => {$(
            #[test]
            fn $test() {
                let output = expect_weak($site, $to, || {
                    model(2, $site, $model);
                });
                assert!(output.contains($message), "{output}");
            }
        )*};
    }

    needs! {
        count_take: "count-take" Relaxed, counted_ids_exist, "row not allocated";
        count_read: "count-read" Relaxed, counted_ids_exist, "row not allocated";
        tower_push: "tower-push" Relaxed, towers_are_complete, "panicked";
        tower_head: "tower-head" Relaxed, towers_are_complete, "panicked";
        tombstone: "node-tombstone" Relaxed, removal, "may_have_tombstones";
        state_of_a_removed_node: "node-state" Relaxed, removal, "may_have_tombstones";
    }
}
