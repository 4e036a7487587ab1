//! Models of `mvcc`. Each says what it proves and what its failure would mean for a user, here or in `models`. The tests of the
//! module `weakened` show for each ordering that a model needs it: with the ordering weakened, the model must fail.
#![cfg(hnsw_loom)]

#[allow(dead_code, reason = "shared with models that use more of it")]
mod models;
#[path = "models/versions.rs"]
#[allow(dead_code, reason = "made for another program too, and used in part")]
mod versions;

use hnsw_core::graph::{
    At, Edit, Entry, Graph, Level, Link, LinkBuf, NodeId, NodeState, Snapshots, Stamp, Verdict, View,
};
use hnsw_core::sync::Ordering;
use hnsw_core::sync::model::model;
use hnsw_strategies::Mvcc;
use hnsw_strategies::mvcc::Write;
use versions::{A, B, commit, graph, graph_with_levels, put, shown, spawn, version};

/// Proves: a read of the newest version returns one whole version, and never an older one than before; and a record that it
/// reads in the chain is not destroyed under it, though the commit takes the record out and has it destroyed. Failing, it
/// would mean for a user: a search follows links that no insert ever wrote, or reads freed memory.
fn newest_read_and_commit() {
    let graph = graph();
    let writer = spawn(&graph, |graph| {
        commit(graph, |session| put(session, A, 2));
        graph.quiesce();
    });
    let first = version(&graph.read(), A);
    let second = version(&graph.read(), A);
    assert!(1 <= first && first <= second && second <= 2, "version {first}, then {second}");
    writer.join().unwrap();
    assert_eq!(version(&graph.read(), A), 2);
}

/// Proves: a snapshot reads its own version before, during and after a commit that replaces it. Failing, it would mean for a
/// user: the same query on the same snapshot gives different answers.
fn snapshot_read_and_commit() {
    let graph = graph();
    let snapshot = graph.snapshot();
    let writer = spawn(&graph, |graph| commit(graph, |session| put(session, A, 2)));
    assert_eq!(version(&snapshot, A), 1);
    assert_eq!(snapshot.state(A.node), NodeState::Live);
    writer.join().unwrap();
    assert_eq!(version(&snapshot, A), 1);
    assert_eq!(version(&graph.snapshot(), A), 2);
}

/// Proves: a snapshot that is made while a commit publishes its root and takes out old versions either shows the new commit,
/// or keeps the versions of the old one. (The store-buffering pattern.) Failing, it would mean for a user: now and then a
/// snapshot has empty lists, so a search in it finds nothing.
fn registration_and_vacuum() {
    let graph = graph();
    let writer = spawn(&graph, |graph| commit(graph, |session| put(session, A, 2)));
    let snapshot = graph.snapshot();
    let shown = shown(&snapshot);
    writer.join().unwrap();
    assert_eq!(version(&snapshot, A), shown);
}

/// Proves: a snapshot sees both lists of a commit, or neither. Failing, it would mean for a user: a snapshot has an insert
/// with its links but without the links back.
fn commits_are_seen_whole() {
    let graph = graph();
    let writer = spawn(&graph, |graph| {
        commit(graph, |session| {
            put(session, A, 2);
            put(session, B, 2);
            assert!(session.found(Entry { node: A.node, level: 0 }));
        });
    });
    let snapshot = graph.snapshot();
    let shown = shown(&snapshot);
    assert_eq!([version(&snapshot, B), version(&snapshot, A)], [shown; 2]);
    assert_eq!(snapshot.entry().is_some(), shown == 2);
    writer.join().unwrap();
}

/// Proves: a walk through a chain from which records are taken out, of its own list and of another that shares the chain, sees
/// every record whole and finds its own. Failing, it would mean for a user: a search in a long-lived snapshot reads freed or
/// unwritten memory.
fn walk_and_unlink() {
    let graph = graph();
    let snapshot = graph.snapshot();
    commit(&graph, |session| put(session, A, 2));
    let writer = spawn(&graph, |graph| {
        commit(graph, |session| put(session, B, 3));
        // Takes out the record of version 3 that it makes itself, so that the one of version 1 comes first again.
        commit(graph, |session| put(session, B, 4));
    });
    assert_eq!(version(&snapshot, A), 1);
    writer.join().unwrap();
    assert_eq!([A, B].map(|at| version(&snapshot, at)), [1, 1]);
}

const NEW: At = At::base(NodeId::new(2));

fn insert(session: &mut Write<'_>) {
    put(session, NEW, 1);
    session.publish(NEW.node);
}

fn is_whole(view: &impl View) -> bool {
    view.state(NEW.node) == NodeState::Live && version(view, NEW) == 1
}

/// Proves: a reader of the newest versions that meets a link to a new node finds the node published and its list written.
/// Failing, it would mean for a user: a search steps on a node that is half inserted, and loses its way.
fn link_to_a_new_node() {
    let graph = graph();
    let writer = spawn(&graph, |graph| {
        commit(graph, |session| {
            // The link comes first in the edit, and last in the commit.
            put(session, A, 2);
            insert(session);
        });
    });
    let newest = graph.read();
    assert!(version(&newest, A) == 1 || is_whole(&newest));
    writer.join().unwrap();
}

/// Proves: a reader that starts at a new entry point finds the node published and its list written. Failing, it would mean
/// for a user: a search ends where it begins, and finds nothing.
fn new_entry() {
    let graph = graph();
    let entry = Entry { node: NEW.node, level: 0 };
    let writer = spawn(&graph, move |graph| {
        commit(graph, |session| {
            insert(session);
            assert!(session.found(entry));
        });
    });
    let newest = graph.read();
    assert!(newest.entry().is_none() || is_whole(&newest));
    writer.join().unwrap();
    assert_eq!(graph.read().entry(), Some(entry));
}

/// Proves: of two edits of one list that were prepared at once, one is refused, and repeated on top of the other; nothing is
/// lost. Failing, it would mean for a user: an inserted vector that no search can reach.
fn commit_and_commit() {
    let graph = graph();
    let add = |graph: &Mvcc, target: u32| {
        // An edit that is refused once is then given the lock: all the model needs of the patience of a real one.
        for attempt in [0, 3] {
            let mut session = graph.write(attempt);
            session.rewrite(A, |old, new| {
                let others = old.iter().filter(|link| link.node().get() != 1);
                others.for_each(|&link| new.push(link));
                new.push(Link::to(NodeId::new(target)));
                Verdict::Replace
            });
            if session.commit().is_ok() {
                return;
            }
        }
        panic!("an edit that holds the commit lock was refused");
    };
    let other = spawn(&graph, move |graph| add(graph, 3));
    add(&graph, 4);
    other.join().unwrap();
    let mut list = graph.read().links(A, &mut LinkBuf::new()).to_vec();
    list.sort_unstable();
    assert_eq!(list, [3, 4].map(|n| Link::to(NodeId::new(n))));
}

/// Executions in which a commit was answered by the thread that was committing for itself. Outside of the model, so it orders
/// nothing.
static ANSWERED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Proves: whoever is told of its commit, also by another thread that committed for both, finds it in a snapshot; and a snapshot
/// shows the commits up to its stamp and no others, also if two have one stamp. Failing, it would mean for a user: a point that
/// was inserted is missing from a snapshot that is taken afterwards.
fn commits_in_a_group() {
    let graph = graph();
    let put_and_look = |graph: &Mvcc, at| {
        let mut session = graph.write(0);
        put(&mut session, at, 2);
        // Called by the thread that writes the list.
        let mut wrote = false;
        let stamp = session.commit_pausing(|| wrote = true).expect("no one else changes this list");
        if !wrote {
            ANSWERED.fetch_add(1, Ordering::Relaxed);
        }
        let snapshot = graph.snapshot();
        assert!(Mvcc::stamp(&snapshot) >= stamp);
        assert_eq!(version(&snapshot, at), 2);
        (stamp, snapshot)
    };
    let other = spawn(&graph, move |graph| put_and_look(graph, B).0);
    let (stamp, snapshot) = put_and_look(&graph, A);
    let other = other.join().unwrap();
    assert!(stamp == other || [stamp, other].contains(&Stamp(3)), "{stamp:?} and {other:?}");
    assert_eq!(version(&snapshot, B) == 2, other <= Mvcc::stamp(&snapshot));
}

/// A search begins at this entry point: it must be whole. Its level.
fn start(view: &impl View) -> Level {
    let entry = view.entry().expect("there is one");
    assert_eq!(view.state(entry.node), NodeState::Live);
    assert_eq!(version(view, At::new(entry.node, entry.level)), 1);
    entry.level
}

/// Proves: of two commits that raise the entry point at once the higher one wins, whoever is refused first; and a search, also
/// one in a snapshot, begins at a node that is live and has its list. Failing, it would mean for a user: the top of the graph is
/// lost, and every search is slow from then on; or a search ends where it begins.
fn raise_and_raise() {
    let graph = graph_with_levels(|node| node.get() as Level);
    commit(&graph, |session| assert!(session.found(Entry { node: A.node, level: 0 })));
    let raise = |graph: &Mvcc, id: u32| {
        let entry = Entry { node: NodeId::new(id), level: id as Level };
        let raised = [0, 3].into_iter().any(|attempt| {
            let mut session = graph.write(attempt);
            put(&mut session, At::new(entry.node, entry.level), 1);
            if session.state(entry.node) != NodeState::Live {
                session.publish(entry.node);
            }
            session.raise_entry(entry);
            session.commit().is_ok()
        });
        assert!(raised, "an edit that holds the commit lock was refused");
        assert!(graph.read().entry().is_some_and(|present| present.level >= entry.level));
    };
    let rival = spawn(&graph, move |graph| raise(graph, 2));
    raise(&graph, 1);
    let snapshot = graph.snapshot();
    let level = start(&snapshot);
    assert!(level >= 1 && start(&graph.read()) >= level);
    rival.join().unwrap();
    assert_eq!([start(&snapshot), start(&graph.read()), start(&graph.snapshot())], [level, 2, 2]);
}

/// Proves: of two commits that found a graph at once one does, and whoever is told that the other did finds its entry point.
/// Failing, it would mean for a user: of the first two points of an index one is never found.
fn found_and_found() {
    let graph = graph();
    let found = |graph: &Mvcc, node| {
        let attempts = [0, 3].into_iter();
        let mut founded = attempts.filter_map(|attempt| {
            let mut session = graph.write(attempt);
            let founded = session.found(Entry { node, level: 0 });
            session.commit().is_ok().then_some(founded)
        });
        let founded = founded.next().expect("an edit that holds the commit lock was refused");
        let entry = graph.read().entry().expect("someone has founded the graph");
        assert_eq!(entry.node == node, founded);
        founded
    };
    let rival = spawn(&graph, move |graph| found(graph, B.node));
    let mine = found(&graph, A.node);
    assert_ne!(mine, rival.join().unwrap());
    assert_eq!(graph.snapshot().entry().map(|entry| entry.node), Some(if mine { A.node } else { B.node }));
}

/// Proves: two snapshots that find all slots taken both get one, and each keeps its versions. Failing, it would mean for a
/// user: with many snapshots at once, one of them loses its lists.
fn registry_growth() {
    let graph = graph();
    let full = [graph.snapshot(), graph.snapshot()];
    let take = |graph: &Mvcc| {
        let snapshot = graph.snapshot();
        commit(graph, |session| put(session, if shown(&snapshot) == 1 { A } else { B }, 2));
        snapshot
    };
    let other = spawn(&graph, Mvcc::snapshot);
    let mine = take(&graph);
    let theirs = other.join().unwrap();
    for snapshot in full.iter().chain([&mine]) {
        assert_eq!(version(snapshot, A), 1);
    }
    assert_eq!(version(&theirs, A), shown(&theirs));
}

#[test]
fn newest_reads_are_whole_during_a_commit() {
    model(2, "mvcc: newest read and commit", newest_read_and_commit);
}

#[test]
fn snapshot_reads_are_repeatable_during_a_commit() {
    model(2, "mvcc: snapshot read and commit", snapshot_read_and_commit);
}

#[test]
fn a_new_snapshot_keeps_what_it_shows() {
    model(2, "mvcc: registration and vacuum", registration_and_vacuum);
}

#[test]
fn a_commit_is_seen_whole() {
    model(2, "mvcc: commits are seen whole", commits_are_seen_whole);
}

#[test]
fn a_walk_survives_unlinking() {
    model(2, "mvcc: walk and unlink", walk_and_unlink);
}

#[test]
fn a_new_node_is_whole() {
    model(2, "mvcc: link to a new node", link_to_a_new_node);
}

#[test]
fn an_entry_point_is_whole() {
    model(2, "mvcc: new entry", new_entry);
}

#[test]
fn no_commit_is_lost() {
    model(2, "mvcc: commit and commit", commit_and_commit);
}

#[test]
fn who_is_told_of_a_commit_finds_it() {
    model(2, "mvcc: commits in a group", commits_in_a_group);
    assert!(ANSWERED.load(Ordering::Relaxed) > 0, "no commit was answered by another thread");
}

#[test]
fn the_higher_entry_point_wins() {
    model(2, "mvcc: raise and raise", raise_and_raise);
}

#[test]
fn one_of_two_founds_the_graph() {
    model(2, "mvcc: found and found", found_and_found);
}

#[test]
fn slots_for_all() {
    model(2, "mvcc: registry growth", registry_growth);
}

#[test]
fn an_append_survives_pruning() {
    model(2, "mvcc: prune against append", models::prune_against_append::<Mvcc>);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(2, "mvcc: anchor against search", models::anchor_against_search::<Mvcc>);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(2, "mvcc: publication against search", models::publication::<Mvcc>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    // One switch only: with two it has more than 270,000 executions.
    model(1, "mvcc: publication by another against search", models::publication_by_another::<Mvcc>);
}

#[test]
fn the_highest_entry_wins_and_leads_on() {
    model(2, "mvcc: raise against raise against search", models::raise_against_raise::<Mvcc>);
}

#[test]
fn one_thread_founds() {
    model(2, "mvcc: found against found against search", models::found_against_found::<Mvcc>);
}

/// Each ordering that a model needs, one at a time. The order of the root itself (`published-store`, `published-load`) is
/// shown in the models of core: here the two SeqCst fences hide it, because loom switches threads at no fence.
mod weakened {
    use super::*;

    hnsw_core::needs! { 2;
        list_end: "list-end" Relaxed, newest_read_and_commit;
        list_word: "list-word" Relaxed, newest_read_and_commit;
        list_begin: "list-begin" Relaxed, snapshot_read_and_commit;
        list_begin_fence: "list-begin-fence" Relaxed, newest_read_and_commit;
        list_check_fence: "list-check-fence" Relaxed, snapshot_read_and_commit;
        list_end_of_a_link: "list-end" Relaxed, link_to_a_new_node;
        list_end_of_an_anchor: "list-end" Relaxed, models::anchor_against_search::<Mvcc>;
        list_word_of_an_anchor: "list-word" Relaxed, models::anchor_against_search::<Mvcc>;
        node_publish: "node-publish" Relaxed, models::publication::<Mvcc>;
        node_state: "node-state" Relaxed, models::publication::<Mvcc>;
        chain_push: "chain-push" Relaxed, walk_and_unlink;
        chain_walk: "chain-walk" Relaxed, walk_and_unlink;
        snapshot_fence_halved: "snapshot-fence" AcqRel, registration_and_vacuum;
        snapshot_fence_gone: "snapshot-fence" Relaxed, registration_and_vacuum;
        snapshot_fence_of_a_commit: "snapshot-fence" Relaxed, commits_are_seen_whole;
        vacuum_fence_halved: "vacuum-fence" AcqRel, registration_and_vacuum;
        vacuum_fence_gone: "vacuum-fence" Relaxed, registration_and_vacuum;
        entry_set: "mvcc-entry-set" Relaxed, new_entry;
        entry_get: "mvcc-entry" Relaxed, new_entry;
        entry_set_again: "mvcc-entry-set" Relaxed, raise_and_raise;
        entry_get_again: "mvcc-entry" Relaxed, raise_and_raise;
        registry_grow: "registry-grow" Relaxed, registry_growth;
        registry_next: "registry-next" Relaxed, registry_growth;
        registry_lost: "registry-lost" Relaxed, registry_growth;
    }
}
