//! Models of `batch`: all interleavings and reorderings of small programs. Each says what it proves and what its failure
//! would mean for a user, here or in `models`, and is shown to fail when an ordering that it needs is weakened.
#![cfg(hnsw_loom)]

#[allow(dead_code, reason = "shared with models that use more of it")]
mod models;

use hnsw_core::graph::{At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, Verdict, View};
use hnsw_core::sync::cell::UnsafeCell;
use hnsw_core::sync::model::{expect_failure, expect_weak, model};
use hnsw_core::sync::{Arc, Ordering, thread};
use hnsw_strategies::Batch;

const VECTOR: u32 = 7;
const NODES: usize = 4;

/// A graph of four nodes at most, and the vectors of those that are inserted while others look.
struct World {
    graph: Batch,
    vectors: [UnsafeCell<u32>; NODES],
}

// SAFETY: whether all accesses to the cells are ordered is what the models ask, and the model checker watches.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<Self> {
        let graph = Batch::with_config(&GraphConfig::new(2).with_capacity(NODES)).unwrap();
        Arc::new(World { graph, vectors: core::array::from_fn(|_| UnsafeCell::new(0)) })
    }

    fn write_vector(&self, node: NodeId) {
        // SAFETY: the model checker fails the model if anyone else accesses the cell meanwhile.
        self.vectors[node.index()].with_mut(|vector| unsafe { *vector = VECTOR });
    }

    fn read_vector(&self, node: NodeId) -> u32 {
        // SAFETY: the model checker fails the model if anyone writes the cell meanwhile.
        self.vectors[node.index()].with(|vector| unsafe { *vector })
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

/// Proves: a reader gets a list as it was before or after a rewrite, never a mixture; and who finds a link finds the vector of
/// its target.
/// Failing, it would mean for a user: a search loses neighbours, meets one twice, or compares with a half-written vector.
fn read_against_rewrite() {
    let world = World::new();
    world.graph.reserve(3, |_| 0).unwrap();
    world.prepend(At::base(node(0)), node(1));
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world.write_vector(node(2));
            world.prepend(At::base(node(0)), node(2));
        })
    };
    let list = world.links(At::base(node(0)));
    if list != [to(1)] {
        assert_eq!(list, [to(2), to(1)]);
        assert_eq!(world.read_vector(node(2)), VECTOR);
    }
    writer.join().unwrap();
}

#[test]
fn a_list_is_read_whole() {
    model(None, "batch: read against rewrite", read_against_rewrite);
}

/// Proves: who finds a link finds the list of its target too.
/// Failing, it would mean for a user: a search comes to a new node and does not come away from it.
fn follow_against_rewrites() {
    let world = World::new();
    world.graph.reserve(3, |_| 0).unwrap();
    world.prepend(At::base(node(0)), node(1));
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            world.write_vector(node(2));
            world.prepend(At::base(node(2)), node(0));
            world.prepend(At::base(node(0)), node(2));
        })
    };
    let list = world.links(At::base(node(0)));
    if list != [to(1)] {
        assert_eq!(list, [to(2), to(1)]);
        assert_eq!(world.links(At::base(node(2))), [to(0)]);
        assert_eq!(world.read_vector(node(2)), VECTOR);
    }
    writer.join().unwrap();
}

#[test]
fn a_list_that_is_linked_is_found() {
    model(4, "batch: follow against rewrites", follow_against_rewrites);
}

#[test]
fn a_list_read_whole_needs_the_reader_to_see_a_thaw() {
    expect_weak("batch-still-fence", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_thaw_before_the_slots() {
    expect_weak("batch-thaw-fence", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_release_of_the_freeze() {
    expect_weak("batch-freeze", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_acquire_of_the_frozen() {
    expect_weak("batch-frozen", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_acquire_of_the_lock() {
    expect_weak("list-lock", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
    });
}

#[test]
fn a_list_read_whole_needs_the_release_of_the_lock() {
    expect_weak("list-unlock", Ordering::Relaxed, || {
        model(None, "batch: read against rewrite", read_against_rewrite);
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
    model(None, "batch: rewrite against rewrite", rewrite_against_rewrite);
}

#[test]
fn no_lost_rewrite_needs_the_acquire_of_the_lock() {
    expect_weak("list-lock", Ordering::Relaxed, || {
        model(None, "batch: rewrite against rewrite", rewrite_against_rewrite);
    });
}

#[test]
fn no_lost_rewrite_needs_the_release_of_the_lock() {
    expect_weak("list-unlock", Ordering::Relaxed, || {
        model(None, "batch: rewrite against rewrite", rewrite_against_rewrite);
    });
}

/// Whether some execution of `sessions_against_read` read both links. Outside of the model, so it orders nothing.
static BOTH_READ: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Proves: who reads frozen lists, without a lock, finds what each of the sessions before has written, and what it knew; also
/// of a session that was not the last to end, even if the last was the reader's own: the changes of the word that come between
/// hand on what the one before them released.
/// Failing, it would mean for a user: a search beside two inserts compares with a half-written vector.
fn sessions_against_read() {
    let world = World::new();
    world.graph.reserve(4, |_| 0).unwrap();
    let (pairs, first) = ([(node(0), node(2)), (node(1), node(3))], node(0));
    pairs.iter().for_each(|(list, _)| world.prepend(At::base(*list), first));
    let writers = pairs.map(|(list, target)| {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            // The vector too is written in the session: what comes before it is released by its fence already.
            let mut edit = world.graph.write(0);
            world.write_vector(target);
            edit.rewrite(At::base(list), |_, out| {
                out.push(Link::to(target));
                out.push(Link::to(first));
                Verdict::Replace
            });
        })
    });
    // A session of its own, which may begin and end before, between or after those of the others.
    drop(world.graph.write(0));
    let read = pairs.map(|(list, target)| {
        let links = world.links(At::base(list));
        if links != [Link::to(first)] {
            assert_eq!(links, [Link::to(target), Link::to(first)]);
            assert_eq!(world.read_vector(target), VECTOR);
        }
        links.len()
    });
    if read == [2, 2] {
        BOTH_READ.store(true, Ordering::Relaxed);
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[test]
fn frozen_lists_are_those_of_all_sessions_before() {
    model(2, "batch: session against session against read", sessions_against_read);
    assert!(BOTH_READ.load(Ordering::Relaxed), "no execution read what both had written");
}

#[test]
fn lists_of_all_sessions_need_the_release_of_the_freeze() {
    expect_weak("batch-freeze", Ordering::Relaxed, || {
        model(2, "batch: session against session against read", sessions_against_read);
    });
}

#[test]
fn lists_of_all_sessions_need_the_acquire_of_the_frozen() {
    expect_weak("batch-frozen", Ordering::Relaxed, || {
        model(2, "batch: session against session against read", sessions_against_read);
    });
}

/// Proves: a node of a round is whole for a search that meets it, though one task has written its vector, another one its list
/// and a third one the link to it: each began when the one before it was joined, as the pool does it, and that is enough. With
/// `joined` false the first is joined at the end only.
/// Failing, it would mean for a user: a search beside a batch compares with a half-written vector, or is stuck at a new node.
fn round_against_search(joined: bool) {
    let world = World::new();
    world.graph.reserve(3, |_| 0).unwrap();
    world.prepend(At::base(node(0)), node(1));
    let task = |step: fn(&World)| {
        let world = Arc::clone(&world);
        move || thread::spawn(move || step(&world))
    };
    let plan = task(|world| world.write_vector(node(2)));
    let install = task(|world| world.prepend(At::base(node(2)), node(0)));
    let link = task(|world| world.prepend(At::base(node(0)), node(2)));
    let round = thread::spawn(move || {
        let plan = plan();
        let late = if joined {
            plan.join().unwrap();
            None
        } else {
            Some(plan)
        };
        install().join().unwrap();
        link().join().unwrap();
        late.into_iter().for_each(|plan| plan.join().unwrap());
    });
    let list = world.links(At::base(node(0)));
    if list != [to(1)] {
        assert_eq!(list, [to(2), to(1)]);
        assert_eq!(world.links(At::base(node(2))), [to(0)]);
        assert_eq!(world.read_vector(node(2)), VECTOR);
    }
    round.join().unwrap();
}

#[test]
fn a_node_of_a_round_is_whole() {
    model(2, "batch: round against search", || round_against_search(true));
}

#[test]
fn a_whole_node_of_a_round_needs_the_join_of_its_plan() {
    expect_failure(|| {
        model(2, "batch: round against search", || round_against_search(false));
    });
}

/// Reserves a node and writes its vector and its lists, which lead to node 0, all in the session that will name it as entry
/// point: so nothing but the entry point itself can show them to others.
fn insert(world: &World, edit: &mut impl Edit, level: Level) -> Entry {
    let new = world.graph.reserve(1, |_| level).unwrap();
    world.write_vector(new);
    for level in 0..=level {
        edit.rewrite(At::new(new, level), |_, out| {
            out.push(to(0));
            Verdict::Replace
        });
    }
    Entry { node: new, level }
}

/// What a search finds at the entry point of a graph whose first node is 0: that node, or a newer one with all that
/// belongs to it.
fn follow_entry(world: &World) {
    let entry = world.graph.read().entry();
    if let Some(entry) = entry.filter(|entry| entry.node != node(0)) {
        assert_eq!(world.links(At::new(entry.node, entry.level)), [to(0)]);
        assert_eq!(world.read_vector(entry.node), VECTOR);
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
            let mut edit = world.graph.write(0);
            let entry = insert(&world, &mut edit, 1);
            assert!(edit.raise_entry(entry));
        })
    };
    follow_entry(&world);
    writer.join().unwrap();
}

#[test]
fn an_entry_point_is_ready_when_it_is_seen() {
    model(None, "batch: raise against search", raise_against_search);
}

#[test]
fn a_ready_entry_point_needs_the_release_of_the_raise() {
    expect_weak("start-raise", Ordering::Relaxed, || {
        model(None, "batch: raise against search", raise_against_search);
    });
}

#[test]
fn a_ready_entry_point_needs_the_acquire_of_the_search() {
    expect_weak("start-read", Ordering::Relaxed, || {
        model(None, "batch: raise against search", raise_against_search);
    });
}

/// Proves: the first entry point of a graph is ready when a search sees it, and a second founder is refused.
/// Failing, it would mean for a user: the first points of an index are never found again, or the first search dies.
fn found_against_search() {
    let world = World::new();
    let writer = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let mut edit = world.graph.write(0);
            let first = world.graph.reserve(1, |_| 0).unwrap();
            world.write_vector(first);
            let entry = Entry { node: first, level: 0 };
            assert!(edit.found(entry));
            assert!(!edit.found(entry));
        })
    };
    if let Some(entry) = world.graph.read().entry() {
        assert_eq!(world.links(At::base(entry.node)), []);
        assert_eq!(world.read_vector(entry.node), VECTOR);
    }
    writer.join().unwrap();
}

#[test]
fn the_first_entry_point_is_ready_when_it_is_seen() {
    model(None, "batch: found against search", found_against_search);
}

#[test]
fn a_ready_first_entry_point_needs_the_release_of_the_founder() {
    expect_weak("start-found", Ordering::Relaxed, || {
        model(None, "batch: found against search", found_against_search);
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
    model(3, "batch: raise against raise and search", raise_against_raise);
}

#[test]
fn an_append_survives_pruning() {
    model(2, "batch: prune against append", models::prune_against_append::<Batch>);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(2, "batch: anchor against search", models::anchor_against_search::<Batch>);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(2, "batch: publication against search", models::publication::<Batch>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    model(2, "batch: publication by another against search", models::publication_by_another::<Batch>);
}

/// Each of these must fail.
mod weakened {
    use super::*;

    hnsw_core::needs! { 2;
        lock_of_pruning: "list-lock" Relaxed, models::prune_against_append::<Batch>;
        unlock_of_pruning: "list-unlock" Relaxed, models::prune_against_append::<Batch>;
        lock_of_an_anchor: "list-lock" Relaxed, models::anchor_against_search::<Batch>;
        unlock_of_an_anchor: "list-unlock" Relaxed, models::anchor_against_search::<Batch>;
        freeze_of_an_anchor: "batch-freeze" Relaxed, models::anchor_against_search::<Batch>;
        frozen_for_an_anchor: "batch-frozen" Relaxed, models::anchor_against_search::<Batch>;
        lock_of_a_copied_link: "list-lock" Relaxed, models::publication_by_another::<Batch>;
        unlock_of_a_copied_link: "list-unlock" Relaxed, models::publication_by_another::<Batch>;
        freeze_of_a_copied_link: "batch-freeze" Relaxed, models::publication_by_another::<Batch>;
        node_publish: "node-publish" Relaxed, models::publication::<Batch>;
        node_state: "node-state" Relaxed, models::publication::<Batch>;
    }
}
