//! Models of what strategies have in common, through the trait. Each says what it proves and what its failure would mean for
//! a user; who runs them says with which bound, and shows which orderings they need.

use hnsw_core::graph::{
    At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, NodeId, NodeState, Verdict, View,
};
use hnsw_core::sync::cell::UnsafeCell;
use hnsw_core::sync::{Arc, thread};

const NODES: usize = 4;

/// A graph, and a row of each node, as a vector store has them.
pub struct World<G> {
    pub graph: G,
    rows: [UnsafeCell<u32>; NODES],
}

// SAFETY: whether all accesses to the rows are ordered is what the models ask, and the model checker watches.
unsafe impl<G: Sync> Sync for World<G> {}

pub fn node(number: u32) -> NodeId {
    NodeId::new(number)
}

pub fn base(number: u32) -> At {
    At::base(node(number))
}

pub fn to(number: u32) -> Link {
    Link::to(node(number))
}

pub fn anchor(number: u32) -> Link {
    Link::anchor(node(number))
}

/// Four nodes, on level 0, in a graph with lists of at most four links there.
pub fn world<G: Graph>() -> Arc<World<G>> {
    world_with_levels(|_| 0)
}

fn world_with_levels<G: Graph>(level_of: impl Fn(NodeId) -> Level) -> Arc<World<G>> {
    world_of(NODES, level_of)
}

/// This many nodes; there is room for four.
pub fn world_of<G: Graph>(nodes: usize, level_of: impl Fn(NodeId) -> Level) -> Arc<World<G>> {
    let graph = G::with_config(&GraphConfig::new(2).with_capacity(NODES)).unwrap();
    graph.reserve(nodes, level_of).unwrap();
    Arc::new(World { graph, rows: core::array::from_fn(|_| UnsafeCell::new(0)) })
}

/// A copy of a list, as a session sees it.
pub fn links(view: &impl View, at: At) -> Vec<Link> {
    view.links(at, &mut LinkBuf::new()).to_vec()
}

/// Replaces a list by what `change` makes of it.
pub fn rewrite(edit: &mut impl Edit, at: At, mut change: impl FnMut(&mut Vec<Link>)) {
    edit.rewrite(at, |list, out| {
        let mut list = list.to_vec();
        change(&mut list);
        out.copy_from(&list);
        Verdict::Replace
    });
}

impl<G: Graph> World<G> {
    /// Writes the row of a node that this thread owns.
    pub fn write_row(&self, id: u32) {
        // SAFETY: the model checker fails the model if anyone else accesses the cell meanwhile.
        self.rows[id as usize].with_mut(|row| unsafe { *row = id + 1 });
    }

    /// Reads the row of a node that this thread met.
    pub fn check_row(&self, node: NodeId) {
        // SAFETY: the model checker fails the model if anyone writes the cell meanwhile.
        let row = self.rows[node.index()].with(|row| unsafe { *row });
        assert_eq!(row, node.get() + 1);
    }

    pub fn links(&self, at: At) -> Vec<Link> {
        links(&self.graph.read(), at)
    }

    /// Makes an edit. One that is refused is repeated with the strongest session that there is: all that a model needs of the
    /// patience of a real one.
    pub fn edit(&self, mut change: impl FnMut(&mut G::Write<'_>)) {
        let done = [0, u32::MAX].into_iter().any(|attempt| {
            let mut edit = self.graph.write(attempt);
            change(&mut edit);
            edit.commit().is_ok()
        });
        assert!(done, "an edit was refused twice");
    }

    /// [Rewrites](rewrite) one list.
    pub fn change(&self, at: At, mut change: impl FnMut(&mut Vec<Link>)) {
        self.edit(|edit| rewrite(edit, at, &mut change));
    }

    /// Adds a link, as a reverse edge is added.
    pub fn append(&self, at: At, link: Link) {
        self.change(at, |list| list.push(link));
    }
}

/// Runs `f` on a thread.
pub fn spawn<G: Graph>(world: &Arc<World<G>>, f: impl FnOnce(&World<G>) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// Proves: of two links that are added to one list at the same time both are there afterwards; and a writer finds the rows of
/// the nodes that another one has linked. Failing, it would mean for a user: an insert loses the edge of another one, and
/// recall sinks with the number of threads; or lists are pruned by distances to rows that are half written.
pub fn append_against_append<G: Graph>() {
    let world = world::<G>();
    let add = |id: u32| {
        move |world: &World<G>| {
            world.write_row(id);
            world.change(base(0), |list| {
                list.iter().for_each(|link| world.check_row(link.node()));
                list.push(to(id));
            });
        }
    };
    let rival = spawn(&world, add(1));
    add(2)(&world);
    rival.join().unwrap();
    let mut list = world.links(base(0));
    list.sort_unstable();
    assert_eq!(list, [to(1), to(2)]);
}

/// Proves: pruning that races with an added link keeps it, and the added link does not bring back what was pruned. Failing, it
/// would mean for a user: nodes are lost, or lists grow beyond what they may hold.
pub fn prune_against_append<G: Graph>() {
    let world = world::<G>();
    world.change(base(0), |list| list.extend([anchor(1), to(2)]));
    let pruner = spawn(&world, |world| {
        world.change(base(0), |list| list.retain(|&link| link != to(2)));
    });
    world.append(base(0), to(3));
    pruner.join().unwrap();
    assert_eq!(world.links(base(0)), [anchor(1), to(3)]);
}

/// Proves: a search that meets a node in a list, or finds it live, sees its row and its own list. Failing, it would mean for
/// a user: a search compares with a half-written vector, or is stranded at a node without neighbours.
pub fn publication<G: Graph>() {
    let world = world::<G>();
    world.edit(|edit| {
        // As every node is that another one links to.
        edit.publish(node(0));
        // So that a strategy that allocates lists has memory at hand.
        rewrite(edit, base(3), |list| list.push(to(0)));
    });
    let owner = spawn(&world, |world| {
        world.edit(|edit| {
            // Here, because to begin a session may order what came before it, and that is no promise.
            world.write_row(1);
            rewrite(edit, base(1), |list| list.push(to(0)));
            edit.publish(node(1));
            rewrite(edit, base(0), |list| list.push(to(1)));
        });
    });
    // One session, as a search is; between two there may be more order than within one.
    let search = world.graph.read();
    // Asked first: reading a list may order what comes after it.
    if search.state(node(1)) == NodeState::Live {
        world.check_row(node(1));
        assert_eq!(links(&search, base(1)), [to(0)]);
    }
    if links(&search, base(0)) == [to(1)] {
        world.check_row(node(1));
        assert_eq!(links(&search, base(1)), [to(0)]);
        assert_eq!(search.state(node(1)), NodeState::Live);
    }
    // Where sessions exclude each other, the owner may still wait for this one.
    drop(search);
    owner.join().unwrap();
}

/// Proves: the same for a node that a second thread has met in one list and linked from another. Failing, it would mean for a
/// user: the same.
pub fn publication_by_another<G: Graph>() {
    let world = world::<G>();
    // So that a strategy that allocates lists has memory at hand.
    world.append(base(3), to(0));
    let owner = spawn(&world, |world| {
        world.edit(|edit| {
            // Here for the same reason as in `publication`.
            world.write_row(1);
            rewrite(edit, base(0), |list| list.push(to(1)));
        });
    });
    let other = spawn(&world, |world| {
        if world.links(base(0)) == [to(1)] {
            world.append(base(2), to(1));
        }
    });
    if world.links(base(2)) == [to(1)] {
        world.check_row(node(1));
    }
    owner.join().unwrap();
    other.join().unwrap();
}

/// Proves: whoever has met a node finds the anchor that leads to it, which was there before any other link to it, though the
/// list with the anchor is being pruned. Failing, it would mean for a user: a node whose insert has returned is not reachable,
/// for a moment.
pub fn anchor_against_search<G: Graph>() {
    let world = world::<G>();
    world.change(base(0), |list| list.extend([anchor(3), to(2)]));
    let owner = spawn(&world, |world| {
        // Takes the slot of an ordinary link.
        world.change(base(0), |list| list.push(anchor(1)));
        world.append(base(3), to(1));
        world.change(base(0), |list| list.retain(|link| link.is_anchor()));
    });
    if world.links(base(3)) == [to(1)] {
        let list = world.links(base(0));
        assert!(list.contains(&anchor(1)) && list.contains(&anchor(3)), "{list:?}");
    }
    owner.join().unwrap();
}

/// Proves: of two threads that raise the entry point the higher one wins, and a search that starts there finds the row and the
/// list of the node. Failing, it would mean for a user: the top of the graph is lost, or a search starts at a node that leads
/// nowhere.
pub fn raise_against_raise<G: Graph>() {
    let world = world_with_levels::<G>(|node| node.get() as Level);
    world.write_row(0);
    world.edit(|edit| assert!(edit.found(Entry { node: node(0), level: 0 })));
    let raise = |id: u32| {
        move |world: &World<G>| {
            let entry = Entry { node: node(id), level: id as Level };
            world.write_row(id);
            world.append(At::new(entry.node, entry.level), to(0));
            world.edit(|edit| {
                edit.raise_entry(entry);
            });
        }
    };
    let rival = spawn(&world, raise(2));
    raise(1)(&world);
    let search = || {
        let entry = world.graph.read().entry().unwrap();
        world.check_row(entry.node);
        assert_eq!(world.links(At::new(entry.node, entry.level)), [to(0)]);
        entry.level
    };
    assert!(search() >= 1);
    rival.join().unwrap();
    assert_eq!(search(), 2);
}

/// Proves: the first entry point of a graph is ready when a search sees it, and of two threads that found a graph one does.
/// Failing, it would mean for a user: the first searches of an index compute with a row that is not there, or its first point
/// is lost.
pub fn found_against_found<G: Graph>() {
    let world = world::<G>();
    let found = |world: &World<G>, id: u32| {
        let mut first = false;
        world.write_row(id);
        world.edit(|edit| first = edit.found(Entry { node: node(id), level: 0 }));
        first
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
