//! Models of the lock-free strategy, through the trait. Each says what it proves and what its failure would mean
//! for a user, here or in `models`; the tests of the module `weakened` show that each needs its orderings.
#![cfg(hnsw_loom)]

#[allow(dead_code, reason = "shared with models that use more of it")]
mod models;

use hnsw_core::graph::{At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, Verdict, View};
use hnsw_core::sync::cell::UnsafeCell;
use hnsw_core::sync::model::{expect_weak, model};
use hnsw_core::sync::{Arc, Ordering, epoch, thread};
use hnsw_strategies::LockFree;

/// The last one is there to have blocks allocated before a model begins.
const NODES: usize = 4;

/// A graph, and a row of each node, as a vector store has them.
struct World {
    graph: LockFree,
    rows: [UnsafeCell<u32>; NODES],
}

// SAFETY: the accesses of each model to the rows are ordered, or loom says so.
unsafe impl Sync for World {}

fn node(id: u32) -> NodeId {
    NodeId::new(id)
}

fn base(id: u32) -> At {
    At::base(node(id))
}

fn world(level_of: impl Fn(NodeId) -> Level) -> Arc<World> {
    let graph = LockFree::with_config(&GraphConfig::new(2).with_capacity(NODES)).unwrap();
    graph.reserve(NODES, level_of).unwrap();
    let world = World { graph, rows: core::array::from_fn(|_| UnsafeCell::new(0)) };
    world.append(base(3), 0);
    Arc::new(world)
}

impl World {
    /// Writes the row of a node that this thread owns.
    fn write_row(&self, id: u32) {
        // SAFETY: each model has one owner per node, and others read the row only after they met the node.
        self.rows[id as usize].with_mut(|row| unsafe { *row = id + 1 });
    }

    /// Reads the row of a node that this thread met; loom sees it if the row is not ordered before.
    fn check_row(&self, node: NodeId) {
        // SAFETY: as in `write_row`.
        let row = self.rows[node.index()].with(|row| unsafe { *row });
        assert_eq!(row, node.get() + 1);
    }

    /// Adds a link, as a reverse edge is added.
    fn append(&self, to: At, id: u32) {
        self.graph.write(0).rewrite(to, |links, out| {
            out.copy_from(links);
            out.push(Link::to(node(id)));
            Verdict::Replace
        });
    }

    fn links(&self, at: At) -> Vec<Link> {
        self.graph.read().links(at, &mut LinkBuf::new()).to_vec()
    }
}

/// Makes `id` the only link of a list.
fn replace(write: &mut impl Edit, at: At, id: u32) {
    write.rewrite(at, |_, out| {
        out.push(Link::to(node(id)));
        Verdict::Replace
    });
}

/// Runs `f` on a thread.
fn spawn(world: &Arc<World>, f: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// Proves: of two rewrites of one list that race, both take effect, and a reader meets whole blocks and the rows of
/// all nodes in them, also of those that the other writer brought in. Failing, it would mean for a user: links are
/// lost, and with them points; or a search computes a distance to a row that is half written.
fn rewrite_rewrite() {
    let world = world(|_| 0);
    let rival = spawn(&world, |world| {
        world.write_row(1);
        world.append(base(0), 1);
    });
    world.write_row(2);
    world.append(base(0), 2);
    for link in world.links(base(0)) {
        world.check_row(link.node());
    }
    rival.join().unwrap();
    let mut links = world.links(base(0));
    links.sort_unstable();
    assert_eq!(links, [Link::to(node(1)), Link::to(node(2))]);
}

/// Whether some execution of `reuse_under_reader` used the block again. Outside of the model, so it orders nothing.
static REUSED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Proves: a block that a reader has met is not used again before the session ends, though the writer frees and
/// takes blocks as fast as it can. Failing, it would mean for a user: a search follows the links of another node.
fn reuse_under_reader() {
    let world = world(|_| 0);
    world.append(base(0), 1);
    let writer = spawn(&world, |world| {
        let block = |id| world.graph.read().links(base(id), &mut LinkBuf::new()).as_ptr();
        let first = block(0);
        world.append(base(0), 2);
        world.graph.quiesce();
        // They take what was freed, if anything was: the block, and the record that named it.
        world.append(base(1), 0);
        world.append(base(2), 0);
        if [block(1), block(2)].contains(&first) {
            REUSED.store(true, Ordering::Relaxed);
        }
    });
    {
        let view = world.graph.read();
        let mut buf = LinkBuf::new();
        let met = view.links(base(0), &mut buf);
        let copy = met.to_vec();
        // Another access of the session, at which the model may run the writer to its end.
        view.entry();
        assert_eq!(met, copy);
        assert_eq!(copy[0], Link::to(node(1)));
    }
    writer.join().unwrap();
    assert_eq!(world.links(base(0)), [Link::to(node(1)), Link::to(node(2))]);
    assert_eq!(world.links(base(1)), [Link::to(node(0))]);
}

/// Proves: blocks that one thread frees reach another whole, and two threads never take the same one. Failing, it
/// would mean for a user: two nodes share one list.
fn free_list() {
    let world = world(|_| 0);
    world.append(base(0), 1);
    let taker = spawn(&world, |world| world.append(base(2), 0));
    world.append(base(0), 2);
    world.graph.quiesce();
    world.append(base(1), 2);
    taker.join().unwrap();
    assert_eq!(world.links(base(0)), [Link::to(node(1)), Link::to(node(2))]);
    assert_eq!(world.links(base(1)), [Link::to(node(2))]);
    assert_eq!(world.links(base(2)), [Link::to(node(0))]);
}

/// Proves: a thread that takes a free block while another one puts blocks on the free list gets a whole one, and leaves the
/// others on the list. Failing, it would mean for a user: two nodes share one list.
fn free_list_in_use() {
    let world = world(|_| 0);
    for id in [1, 2] {
        world.append(base(0), id);
        world.append(base(1), id);
    }
    world.graph.quiesce();
    // Takes two of the four free blocks, and puts others on the garbage chain.
    world.append(base(0), 0);
    let taker = spawn(&world, |world| world.append(base(2), 0));
    world.graph.quiesce();
    taker.join().unwrap();
    world.append(base(1), 0);
    let [zero, one, two] = [0, 1, 2].map(|id| Link::to(node(id)));
    assert_eq!(
        [0, 1, 2].map(|id| world.links(base(id))),
        [vec![one, two, zero], vec![one, two, zero], vec![zero]]
    );
}

/// Proves: garbage that one thread has made and another one hands over is not freed while a reader may still meet it: it was
/// unlinked before it was handed over, for readers too. Failing, it would mean for a user: a search follows the links of another
/// node.
fn garbage_of_another() {
    let world = world(|_| 0);
    world.append(base(0), 1);
    let writer = spawn(&world, |world| {
        world.append(base(0), 2);
        // Frees what has been handed over, if no one can meet it.
        epoch::pin().flush();
    });
    world.graph.quiesce();
    {
        let view = world.graph.read();
        let mut buf = LinkBuf::new();
        let met = view.links(base(0), &mut buf);
        assert_eq!(met[0], Link::to(node(1)));
        // Another access of the session, at which the model may run the writer to its end.
        view.entry();
    }
    writer.join().unwrap();
    assert_eq!(world.links(base(0)), [Link::to(node(1)), Link::to(node(2))]);
}

/// Whether some execution of `garbage_taken_at_once` found garbage. Outside of the model, so it orders nothing.
static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Proves: garbage that one thread has made is complete for another one that takes it, though they have nothing else in common: no
/// one is pinned any more, and then the collector may free at once what it is given. Failing, it would mean for a user: a block is
/// free and linked, and two nodes share one list.
fn garbage_taken_at_once() {
    let world = world(|_| 0);
    world.append(base(0), 1);
    let writer = spawn(&world, |world| world.append(base(0), 2));
    let waiting = world.graph.memory().retired_bytes;
    // SAFETY: no one reads. The writer puts its garbage on the chain with the last that its one session does; so when there is
    // anything to free, no one holds it or is about to take a block.
    world.graph.hand_over_with(unsafe { epoch::unprotected() });
    if world.graph.memory().retired_bytes < waiting {
        TAKEN.store(true, Ordering::Relaxed);
    }
    writer.join().unwrap();
    // Takes what was freed, if anything was.
    world.append(base(1), 0);
    world.append(base(2), 0);
    let [zero, one, two] = [0, 1, 2].map(|id| Link::to(node(id)));
    assert_eq!([0, 1, 2].map(|id| world.links(base(id))), [vec![one, two], vec![zero], vec![zero]]);
}

/// Proves: of two threads that raise the entry point the higher one wins, and a search that starts there finds the
/// row and the lists of the node. Failing, it would mean for a user: the top of the graph is lost, or a search
/// starts at a node that leads nowhere.
fn entry() {
    let world = world(|node| node.get() as Level);
    world.write_row(0);
    world.graph.write(0).found(Entry { node: node(0), level: 0 });
    let raise = |id: u32| {
        move |world: &World| {
            let mut write = world.graph.write(0);
            world.write_row(id);
            replace(&mut write, At::new(node(id), id as Level), 0);
            write.raise_entry(Entry { node: node(id), level: id as Level });
        }
    };
    let rival = spawn(&world, raise(2));
    raise(1)(&world);
    let search = || {
        let view = world.graph.read();
        let entry = view.entry().unwrap();
        world.check_row(entry.node);
        assert_eq!(view.level(entry.node), entry.level);
        let links = view.links(At::new(entry.node, entry.level), &mut LinkBuf::new()).to_vec();
        assert_eq!(links, [Link::to(node(0))]);
        entry.level
    };
    assert!(search() >= 1);
    rival.join().unwrap();
    assert_eq!(search(), 2);
}

/// Proves: a search that meets the first entry point finds its row, and of two threads that found a graph one does.
/// Failing, it would mean for a user: the first searches of a new index compute with a row that is not there, or
/// its first point is lost.
fn founding() {
    let world = world(|_| 0);
    let found = |world: &World, id: u32| {
        let mut write = world.graph.write(0);
        world.write_row(id);
        write.found(Entry { node: node(id), level: 0 })
    };
    let rival = {
        let world = Arc::clone(&world);
        thread::spawn(move || found(&world, 1))
    };
    let mine = found(&world, 2);
    let entry = world.graph.read().entry().unwrap();
    world.check_row(entry.node);
    assert!(mine != rival.join().unwrap());
    assert_eq!(world.graph.read().entry(), Some(entry));
}

#[test]
fn one_thread_founds() {
    model(2, "lockfree: found against found against search", founding);
}

#[test]
fn racing_rewrites_both_count() {
    model(2, "lockfree: rewrite against rewrite", rewrite_rewrite);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(2, "lockfree: publication against search", models::publication::<LockFree>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    // One switch only: three threads that enter and leave the epoch have more than 60,000 executions with it.
    model(1, "lockfree: publication by another against search", models::publication_by_another::<LockFree>);
}

#[test]
fn an_append_survives_pruning() {
    model(2, "lockfree: prune against append", models::prune_against_append::<LockFree>);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(2, "lockfree: anchor against search", models::anchor_against_search::<LockFree>);
}

#[test]
fn a_block_that_is_read_is_not_used_again() {
    model(2, "lockfree: rewrite and reuse against read", reuse_under_reader);
    assert!(REUSED.load(Ordering::Relaxed), "no execution used the block again, so nothing was shown");
}

#[test]
fn free_blocks_go_to_one_taker() {
    model(2, "lockfree: free against take", free_list);
}

#[test]
fn free_blocks_are_taken_while_others_come() {
    model(2, "lockfree: free against take from a list in use", free_list_in_use);
}

#[test]
fn garbage_of_another_waits_for_readers() {
    model(2, "lockfree: rewrite against hand over and read", garbage_of_another);
}

#[test]
fn garbage_of_another_is_complete() {
    model(2, "lockfree: rewrite against hand over, freed at once", garbage_taken_at_once);
    assert!(TAKEN.load(Ordering::Relaxed), "no execution took garbage, so nothing was shown");
}

#[test]
fn the_highest_entry_wins_and_leads_on() {
    model(2, "lockfree: raise against raise against search", entry);
}

/// Each of these must fail; see the head of the file.
mod weakened {
    use super::*;
    use Ordering::Relaxed;

    macro_rules! needs {
        ($($test:ident: $site:literal, $model:expr;)*) => {$(
            #[test]
            fn $test() {
                let output = expect_weak($site, Relaxed, || {
                    model(2, $site, $model);
                });
                assert!(output.contains("Causality violation"), "{output}");
            }
        )*};
    }

    needs! {
        block_swap: "block-swap", rewrite_rewrite;
        block_edit: "block-edit", rewrite_rewrite;
        block_again: "block-again", rewrite_rewrite;
        block_read: "block-read", models::publication::<LockFree>;
        block_read_of_one_that_may_be_freed: "block-read", reuse_under_reader;
        node_publish: "node-publish", models::publication::<LockFree>;
        node_state: "node-state", models::publication::<LockFree>;
        block_swap_of_pruning: "block-swap", models::prune_against_append::<LockFree>;
        block_edit_of_pruning: "block-edit", models::prune_against_append::<LockFree>;
        block_swap_of_an_anchor: "block-swap", models::anchor_against_search::<LockFree>;
        block_read_of_an_anchor: "block-read", models::anchor_against_search::<LockFree>;
        free_push: "free-push", free_list;
        free_head: "free-head", free_list;
        free_again: "free-again", free_list_in_use;
        garbage_push: "garbage-push", garbage_of_another;
        garbage_push_of_what_is_freed_at_once: "garbage-push", garbage_taken_at_once;
        garbage_take: "garbage-take", garbage_taken_at_once;
        entry_found: "entry-found", founding;
        entry_raise: "entry-raise", entry;
        entry_read: "entry-read", entry;
    }

    #[test]
    fn block_swap_of_a_copied_link() {
        expect_weak("block-swap", Relaxed, || {
            model(1, "block-swap", models::publication_by_another::<LockFree>);
        });
    }

    #[test]
    fn block_read_of_a_copied_link() {
        expect_weak("block-read", Relaxed, || {
            model(1, "block-read", models::publication_by_another::<LockFree>);
        });
    }
}
