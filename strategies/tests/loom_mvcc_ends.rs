//! Models of how things end in `mvcc`: nodes by their removal, snapshots by their last drop, versions with the last snapshot that
//! needs them. Each says what it proves and what its failure would mean for a user. The tests of the module `weakened` show for
//! each ordering that a model needs it: with the ordering weakened, the model must fail.
#![cfg(hnsw_loom)]

#[path = "models/versions.rs"]
#[allow(dead_code, reason = "made for another program too, and used in part")]
mod versions;

use hnsw_core::graph::{Edit, Graph, NodeState, Snapshots, View};
use hnsw_core::sync::model::model;
use hnsw_core::sync::{Arc, Ordering};
use hnsw_strategies::Mvcc;
use versions::{A, B, commit, graph, put, shown, spawn, version};

/// Executions in which a removal was refused because another one was committed first. Outside of the models, so it orders nothing.
static REFUSED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Removes node 0 as an index does. False if it is told that the node is gone.
fn remove(graph: &Mvcc) -> bool {
    for attempt in [0, 3] {
        let mut session = graph.write(attempt);
        if !session.tombstone(A.node) {
            return false;
        }
        if session.commit().is_ok() {
            return true;
        }
        REFUSED.fetch_add(1, Ordering::Relaxed);
    }
    panic!("an edit that holds the commit lock was refused");
}

/// Proves: of two removals of a node one is told that it removed it, the other that it is gone, and whoever is told either finds
/// the node gone and that removed nodes have to be looked for. Failing, it would mean for a user: a search returns a point of
/// which its caller was told that it is gone.
fn removal_and_removal(graph: &Arc<Mvcc>) {
    let remove_and_look = |graph: &Mvcc| {
        let removed = remove(graph);
        let newest = graph.read();
        assert_eq!(newest.state(A.node), NodeState::Tombstone, "told of the removal: {removed}");
        assert!(newest.may_have_tombstones());
        removed
    };
    let rival = spawn(graph, remove_and_look);
    let mine = remove_and_look(graph);
    assert_ne!(mine, rival.join().unwrap());
}

fn two_removals() {
    removal_and_removal(&graph());
}

/// Proves: the same beside a reader of the newest versions, which never sees the node come back, finds its list as it was, and
/// knows with the removal that removed nodes have to be looked for. Failing, it would mean for a user: a search returns a point
/// that an earlier one knew to be gone, or loses its way at a removed one.
fn two_removals_and_newest_read() {
    let graph = graph();
    let reader = spawn(&graph, |graph| {
        let newest = graph.read();
        let gone = newest.state(A.node) == NodeState::Tombstone;
        assert_eq!(version(&newest, A), 1);
        assert!(!gone || newest.may_have_tombstones());
        assert!(!gone || newest.state(A.node) == NodeState::Tombstone);
    });
    removal_and_removal(&graph);
    reader.join().unwrap();
}

/// Proves: a snapshot shows a removal if its stamp says so, and not otherwise, in state and flag alike, before, during and after
/// the commit; and a removal is in each snapshot that is taken when it has returned. Failing, it would mean for a user: a point
/// comes and goes in the answers of one snapshot, or a snapshot returns what was removed before it was taken.
fn snapshot_and_removal(rewrites: bool) {
    let graph = graph();
    let remover = spawn(&graph, move |graph| {
        commit(graph, |session| {
            if rewrites {
                put(session, A, 2);
            }
            assert!(session.tombstone(A.node));
        });
        assert_eq!(graph.snapshot().state(A.node), NodeState::Tombstone);
    });
    let snapshot = graph.snapshot();
    let gone = shown(&snapshot) == 2;
    let look = || (snapshot.state(A.node), snapshot.may_have_tombstones(), version(&snapshot, A));
    let state = if gone { NodeState::Tombstone } else { NodeState::Live };
    let expected = (state, gone, if gone && rewrites { 2 } else { 1 });
    assert_eq!(look(), expected);
    remover.join().unwrap();
    assert_eq!(look(), expected);
}

/// Nothing is kept for snapshots that are gone.
fn assert_nothing_kept(graph: &Mvcc) {
    graph.quiesce();
    assert_eq!(graph.memory().snapshots_bytes, 0);
}

/// Proves: when one of two snapshots goes beside a commit and a walk of the other one, the versions that only it needed go; the
/// other one passes them by and finds its own, also those that the one that goes held for both; when it goes too, nothing is
/// kept. Failing, it would mean for a user: a search in a snapshot changes its answer, or reads freed memory, because another
/// snapshot was dropped; or memory is never given back.
fn drop_commit_and_walk(the_older_goes: bool, in_one_thread: bool) {
    let graph = graph();
    let old = graph.snapshot();
    commit(&graph, |session| put(session, A, 2));
    let young = graph.snapshot();
    // Two versions of the one list, or one of the other that both show. Both lists share a chain.
    let (goes, stays, at) = if the_older_goes { (old, young, B) } else { (young, old, A) };
    let write = move |graph: &Mvcc| commit(graph, |session| put(session, at, 3));
    let other = spawn(&graph, move |graph| {
        if in_one_thread {
            write(graph);
        }
        drop(goes);
    });
    if !in_one_thread {
        write(&graph);
    }
    assert_eq!(version(&stays, at), 1);
    other.join().unwrap();
    assert_eq!([A, B].map(|at| version(&stays, at)), [if the_older_goes { 2 } else { 1 }, 1]);
    drop(stays);
    assert_nothing_kept(&graph);
}

/// Proves: of two handles of one snapshot the last one ends it, whichever that is, and not the first. Failing, it would mean
/// for a user: a search in a snapshot changes its answer because another thread is done with it; or memory is never given back.
fn last_of_two_handles() {
    let graph = graph();
    let snapshot = graph.snapshot();
    commit(&graph, |session| put(session, A, 2));
    let handle = snapshot.clone();
    let other = spawn(&graph, move |graph| {
        drop(handle);
        commit(graph, |session| put(session, A, 3));
    });
    assert_eq!(version(&snapshot, A), 1);
    drop(snapshot);
    other.join().unwrap();
    assert_nothing_kept(&graph);
}

/// Proves: a snapshot that takes the slot of one that has just gone keeps its versions, though a commit reads the slots
/// meanwhile; and so does the one in the other slot. Failing, it would mean for a user: where snapshots come and go, now and
/// then one has empty lists, so a search in it finds nothing.
fn slot_used_again() {
    let graph = graph();
    // All slots that there are: the next snapshot gets the first one again.
    let [first, other] = [graph.snapshot(), graph.snapshot()];
    commit(&graph, |session| put(session, A, 2));
    let writer = spawn(&graph, |graph| commit(graph, |session| put(session, A, 3)));
    drop(first);
    let snapshot = graph.snapshot();
    let shown = shown(&snapshot);
    assert_eq!([version(&snapshot, A), version(&other, A)], [shown, 1]);
    writer.join().unwrap();
    commit(&graph, |session| put(session, A, 4));
    assert_eq!([version(&snapshot, A), version(&other, A)], [shown, 1]);
}

/// Proves: of two snapshots that are made when one slot has just been given back each gets one of its own, and the end of one does
/// not free that of the other. Failing, it would mean for a user: a snapshot loses its lists because another one was dropped.
fn one_slot_and_two_snapshots() {
    let graph = graph();
    let [first, _other] = [graph.snapshot(), graph.snapshot()];
    let dropper = spawn(&graph, move |_| drop(first));
    let rival = spawn(&graph, |graph| drop(graph.snapshot()));
    let snapshot = graph.snapshot();
    rival.join().unwrap();
    commit(&graph, |session| put(session, A, 2));
    assert_eq!(version(&snapshot, A), 1);
    dropper.join().unwrap();
}

#[test]
fn who_is_told_of_a_removal_finds_it() {
    model(2, "mvcc: removal and removal", two_removals);
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "no removal was refused");
}

#[test]
fn a_removed_node_does_not_come_back() {
    model(1, "mvcc: removal, removal and newest read", two_removals_and_newest_read);
}

#[test]
fn a_snapshot_shows_a_removal_or_does_not() {
    model(2, "mvcc: snapshot and removal", || snapshot_and_removal(false));
}

#[test]
fn a_snapshot_shows_a_rewrite_that_removes_or_does_not() {
    model(2, "mvcc: snapshot and rewrite that removes", || snapshot_and_removal(true));
}

#[test]
fn an_older_snapshot_survives_the_drop_of_a_younger() {
    model(1, "mvcc: walk against commit and drop of a younger", || drop_commit_and_walk(false, true));
}

#[test]
fn an_older_snapshot_survives_the_drop_of_a_younger_beside_a_commit() {
    model(2, "mvcc: commit and walk against drop of a younger", || drop_commit_and_walk(false, false));
}

#[test]
fn a_younger_snapshot_survives_the_drop_of_an_older() {
    model(1, "mvcc: walk against commit and drop of an older", || drop_commit_and_walk(true, true));
}

#[test]
fn a_younger_snapshot_survives_the_drop_of_an_older_beside_a_commit() {
    model(2, "mvcc: commit and walk against drop of an older", || drop_commit_and_walk(true, false));
}

#[test]
fn the_last_handle_ends_a_snapshot() {
    model(2, "mvcc: drop of two handles and commit", last_of_two_handles);
}

#[test]
fn a_slot_that_is_used_again_counts() {
    model(2, "mvcc: slot again and commit", slot_used_again);
}

#[test]
fn each_snapshot_has_its_own_slot() {
    model(2, "mvcc: one slot and two snapshots", one_slot_and_two_snapshots);
}

/// Each ordering that a model here needs, one at a time; `loom_mvcc.rs` has the others.
mod weakened {
    use super::*;

    hnsw_core::needs! { 2;
        list_end_of_a_removal: "list-end" Relaxed, two_removals;
        tombstone: "node-tombstone" Relaxed, two_removals;
        state_of_a_removed_node: "node-state" Relaxed, two_removals;
        list_end_in_a_snapshot: "list-end" Relaxed, || snapshot_and_removal(false);
        list_begin_in_a_snapshot: "list-begin" Relaxed, || snapshot_and_removal(true);
        snapshot_fence_of_a_slot_again: "snapshot-fence" AcqRel, slot_used_again;
    }
}
