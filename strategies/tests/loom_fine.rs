//! Models of `fine`: all interleavings and reorderings of small programs. Each says what it proves and what its failure
//! would mean for a user, here or in `models`, and is shown to fail when an ordering that it needs is weakened.
#![cfg(hnsw_loom)]

#[allow(dead_code, reason = "shared with models that use more of it")]
mod models;

use hnsw_core::graph::{At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, Verdict, View};
use hnsw_core::sync::cell::UnsafeCell;
use hnsw_core::sync::model::{expect_weak, model};
use hnsw_core::sync::{Arc, Ordering, thread};
use hnsw_strategies::Fine;

const VECTOR: u32 = 7;

/// A graph of three nodes at most, and the vector of the one that is inserted while others look.
struct World {
    graph: Fine,
    vector: UnsafeCell<u32>,
}

// SAFETY: whether all accesses to the cell are ordered is what the models ask, and the model checker watches.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<Self> {
        let graph = Fine::with_config(&GraphConfig::new(2).with_capacity(3)).unwrap();
        Arc::new(World { graph, vector: UnsafeCell::new(0) })
    }

    fn write_vector(&self) {
        // SAFETY: the model checker fails the model if anyone else accesses the cell meanwhile.
        self.vector.with_mut(|vector| unsafe { *vector = VECTOR });
    }

    fn read_vector(&self) -> u32 {
        // SAFETY: the model checker fails the model if anyone writes the cell meanwhile.
        self.vector.with(|vector| unsafe { *vector })
    }

    fn links(&self, at: At) -> Vec<Link> {
        self.graph.read().links(at, &mut LinkBuf::new()).to_vec()
    }

    /// Puts a link to `node` before the links of a list.
    fn prepend(&self, at: At, node: NodeId) {
        self.graph.write(0).rewrite(at, |list, out| {
            out.push(Link::to(node));
            list.iter().for_each(|&link| out.push(link));
            Verdict::Replace
        });
    }
}

fn node(number: u32) -> NodeId {
    NodeId::new(number)
}

fn to(number: u32) -> Link {
    Link::to(node(number))
}

/// Proves: a reader gets a list as it was before or after a rewrite, never a mixture; and who finds a link finds the list
/// and the vector of its target.
/// Failing, it would mean for a user: a search loses neighbours, meets one twice, or compares with a half-written vector.
fn read_against_rewrite() {
    let world = World::new();
    world.graph.reserve(3, |_| 0).unwrap();
    world.prepend(At::base(node(0)), node(1));
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world.write_vector();
            world.prepend(At::base(node(2)), node(0));
            world.prepend(At::base(node(0)), node(2));
        })
    };
    let list = world.links(At::base(node(0)));
    if list != [to(1)] {
        assert_eq!(list, [to(2), to(1)]);
        assert_eq!(world.links(At::base(node(2))), [to(0)]);
        assert_eq!(world.read_vector(), VECTOR);
    }
    writer.join().unwrap();
}

#[test]
fn a_list_is_read_whole() {
    model(None, "fine: read against rewrite", read_against_rewrite);
}

#[test]
fn a_list_read_whole_needs_the_acquire_of_the_lock() {
    expect_weak("list-lock", Ordering::Relaxed, || {
        model(None, "fine: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_release_of_the_lock() {
    expect_weak("list-unlock", Ordering::Relaxed, || {
        model(None, "fine: read against rewrite", read_against_rewrite);
    });
}

/// Proves: of two rewrites of one list each sees the other's result or is seen by it.
/// Failing, it would mean for a user: an insert loses the edge of another one, and recall sinks with the number of threads.
fn rewrite_against_rewrite() {
    let world = World::new();
    world.graph.reserve(1, |_| 0).unwrap();
    let other = {
        let world = Arc::clone(&world);
        thread::spawn(move || world.prepend(At::base(node(0)), node(1)))
    };
    world.prepend(At::base(node(0)), node(2));
    other.join().unwrap();
    let mut list = world.links(At::base(node(0)));
    list.sort_unstable();
    assert_eq!(list, [to(1), to(2)]);
}

#[test]
fn no_rewrite_is_lost() {
    model(None, "fine: rewrite against rewrite", rewrite_against_rewrite);
}

#[test]
fn no_lost_rewrite_needs_the_acquire_of_the_lock() {
    expect_weak("list-lock", Ordering::Relaxed, || {
        model(None, "fine: rewrite against rewrite", rewrite_against_rewrite);
    });
}

#[test]
fn no_lost_rewrite_needs_the_release_of_the_lock() {
    expect_weak("list-unlock", Ordering::Relaxed, || {
        model(None, "fine: rewrite against rewrite", rewrite_against_rewrite);
    });
}

/// Reserves a node, writes its vector and its lists, which lead to node 0, and returns it as an entry point.
fn insert(world: &World, level: Level) -> Entry {
    let new = world.graph.reserve(1, |_| level).unwrap();
    world.write_vector();
    (0..=level).for_each(|level| world.prepend(At::new(new, level), node(0)));
    Entry { node: new, level }
}

/// What a search finds at the entry point of a graph whose first node is 0: that node, or a newer one with all that
/// belongs to it.
fn follow_entry(world: &World) {
    let entry = world.graph.read().entry();
    if let Some(entry) = entry.filter(|entry| entry.node != node(0)) {
        assert_eq!(world.links(At::new(entry.node, entry.level)), [to(0)]);
        assert_eq!(world.read_vector(), VECTOR);
    }
}

/// Proves: a search that starts at a raised entry point finds its storage, its lists on the top level and its vector.
/// Failing, it would mean for a user: a search returns nothing, or dies, while the index grows.
fn raise_against_search() {
    let world = World::new();
    let first = world.graph.reserve(1, |_| 0).unwrap();
    assert!(world.graph.write(0).found(Entry { node: first, level: 0 }));
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let entry = insert(&world, 1);
            assert!(world.graph.write(0).raise_entry(entry));
        })
    };
    follow_entry(&world);
    writer.join().unwrap();
}

#[test]
fn an_entry_point_is_ready_when_it_is_seen() {
    model(None, "fine: raise against search", raise_against_search);
}

#[test]
fn a_ready_entry_point_needs_the_release_of_the_raise() {
    expect_weak("start-raise", Ordering::Relaxed, || {
        model(None, "fine: raise against search", raise_against_search);
    });
}

#[test]
fn a_ready_entry_point_needs_the_acquire_of_the_search() {
    expect_weak("start-read", Ordering::Relaxed, || {
        model(None, "fine: raise against search", raise_against_search);
    });
}

/// Proves: the first entry point of a graph is ready when a search sees it, and a second founder is refused.
/// Failing, it would mean for a user: the first points of an index are never found again, or the first search dies.
fn found_against_search() {
    let world = World::new();
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let first = world.graph.reserve(1, |_| 0).unwrap();
            world.write_vector();
            let entry = Entry { node: first, level: 0 };
            assert!(world.graph.write(0).found(entry));
            assert!(!world.graph.write(0).found(entry));
        })
    };
    if let Some(entry) = world.graph.read().entry() {
        assert_eq!(world.links(At::base(entry.node)), []);
        assert_eq!(world.read_vector(), VECTOR);
    }
    writer.join().unwrap();
}

#[test]
fn the_first_entry_point_is_ready_when_it_is_seen() {
    model(None, "fine: found against search", found_against_search);
}

#[test]
fn a_ready_first_entry_point_needs_the_release_of_the_founder() {
    expect_weak("start-found", Ordering::Relaxed, || {
        model(None, "fine: found against search", found_against_search);
    });
}

/// Proves: of two raises the higher one stays, whichever comes first, and no one sees the level sink. (No ordering makes it
/// so, but that the level is compared and swapped in one step: there is nothing to weaken.)
/// Failing, it would mean for a user: the top level of the index is lost, and searches walk the levels below from afar.
fn raise_against_raise() {
    let world = World::new();
    world.graph.reserve(3, |_| 2).unwrap();
    assert!(world.graph.write(0).found(Entry { node: node(0), level: 0 }));
    let raise = |level: Level| {
        let world = Arc::clone(&world);
        move || world.graph.write(0).raise_entry(Entry { node: node(level.into()), level })
    };
    let (low, high) = (thread::spawn(raise(1)), thread::spawn(raise(2)));
    let [before, after] = [(); 2].map(|()| world.graph.read().entry().unwrap());
    assert!(before.level <= after.level, "sank from {before:?} to {after:?}");
    low.join().unwrap();
    assert!(high.join().unwrap(), "nothing was higher");
    assert_eq!(world.graph.read().entry(), Some(Entry { node: node(2), level: 2 }));
}

#[test]
fn the_higher_of_two_entry_points_stays() {
    model(3, "fine: raise against raise and search", raise_against_raise);
}

#[test]
fn an_append_survives_pruning() {
    model(3, "fine: prune against append", models::prune_against_append::<Fine>);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(3, "fine: anchor against search", models::anchor_against_search::<Fine>);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(3, "fine: publication against search", models::publication::<Fine>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    model(3, "fine: publication by another against search", models::publication_by_another::<Fine>);
}

/// Each of these must fail.
mod weakened {
    use super::*;

    hnsw_core::needs! { 2;
        lock_of_pruning: "list-lock" Relaxed, models::prune_against_append::<Fine>;
        unlock_of_pruning: "list-unlock" Relaxed, models::prune_against_append::<Fine>;
        lock_of_an_anchor: "list-lock" Relaxed, models::anchor_against_search::<Fine>;
        unlock_of_an_anchor: "list-unlock" Relaxed, models::anchor_against_search::<Fine>;
        lock_of_a_copied_link: "list-lock" Relaxed, models::publication_by_another::<Fine>;
        unlock_of_a_copied_link: "list-unlock" Relaxed, models::publication_by_another::<Fine>;
        node_publish: "node-publish" Relaxed, models::publication::<Fine>;
        node_state: "node-state" Relaxed, models::publication::<Fine>;
    }
}
