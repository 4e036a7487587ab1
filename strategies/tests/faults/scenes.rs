//! The calls that are made to fail, the graphs in which they do, and what must hold of a graph around a failure.

use crate::faulty::{Calls, Faulty, Holds, Points, Step, armed};
use crate::support::{Oracle, Random, assert_ordered, stranded};
use hnsw_core::distance::Metric;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Graph, GraphConfig, Level, LinkBuf, NodeId, NodeState, View};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_strategies::Sequential;
use std::collections::BTreeSet;

pub const DIM: usize = 4;
/// Nodes that are there before the call. With M = 2 this is enough for most lists to be full.
const NODES: usize = 28;

pub type Tested<G> = Index<Faulty<G>, Points>;

/// What is made to fail.
#[derive(Clone, Debug)]
pub enum Call {
    Insert(Vec<f32>),
    Remove(NodeId),
}

/// A call, and what there is before it.
pub struct Scene {
    pub name: &'static str,
    pub config: IndexConfig,
    before: Vec<Vec<f32>>,
    pub call: Call,
    /// Steps that the call must contain, or it is not the call that it is meant to be.
    needs: &'static [(&'static str, Holds)],
}

/// The levels of nodes: with one seed they are the same in every index.
fn levels(config: IndexConfig, nodes: usize) -> Vec<Level> {
    let twin = Index::<Sequential>::new(IndexConfig { dim: 1, ef_construction: 1, ..config }).unwrap();
    for i in 0..nodes {
        twin.insert(&[i as f32]).unwrap();
    }
    let view = twin.graph().read();
    (0..nodes as u32).map(|node| view.level(NodeId::new(node))).collect()
}

/// A seed with which the levels of [`NODES`] nodes, and of one more, are as wanted.
fn seeded(wanted: impl Fn(Level, Level) -> bool) -> IndexConfig {
    let config = |seed| IndexConfig { m: 2, ef_construction: 6, seed, ..IndexConfig::new(DIM, Metric::L2) };
    let fits = |config: &IndexConfig| {
        let mut levels = levels(*config, NODES + 1);
        let last = levels.pop().unwrap();
        wanted(levels.into_iter().max().unwrap(), last)
    };
    (0..).map(config).find(fits).unwrap()
}

impl Scene {
    /// The same with another vector, if it inserts one: the first with which the call has the steps that it needs.
    fn fitting(self) -> Scene {
        let mut random = Random(4);
        let mut scene = self;
        while !scene.is_covered(&scene.steps()) {
            let Call::Insert(vector) = &mut scene.call else { return scene };
            *vector = random.vector(DIM);
        }
        scene
    }

    /// The steps of the call on the simplest graph.
    fn steps(&self) -> Vec<Step> {
        let (index, _) = self.set_up::<Sequential>();
        armed(None, || self.run(&index, &mut Scratch::new())).1
    }

    /// All of them.
    pub fn all() -> Vec<Scene> {
        use Holds::{Nothing, Rewrite, Write};
        let mut random = Random(3);
        let before: Vec<_> = (0..NODES).map(|_| random.vector(DIM)).collect();
        let insert = Call::Insert(random.vector(DIM));
        let base = seeded(|top, last| (2..5).contains(&top) && last == 0);
        let above = seeded(|top, last| top == 2 && last == 4);
        // Pruning is what compares rows with each other inside a rewrite.
        const PRUNED: (&str, Holds) = ("distances_between", Rewrite);
        let scenes = [
            Scene {
                name: "the first insert",
                config: base,
                before: Vec::new(),
                call: insert.clone(),
                needs: &[("founded", Write), ("committed", Nothing)],
            },
            Scene {
                name: "an insert on level 0",
                config: base,
                before: before.clone(),
                call: insert.clone(),
                needs: &[PRUNED, ("rewritten", Write), ("committed", Nothing)],
            },
            Scene {
                name: "an insert above the entry point",
                config: above,
                before: before.clone(),
                call: insert,
                needs: &[PRUNED, ("raised_entry", Write), ("committed", Nothing)],
            },
            Scene {
                name: "an insert that is adopted",
                config: base,
                before: vec![vec![0.5; DIM]; NODES],
                call: Call::Insert(vec![0.5; DIM]),
                // Looking for room is what reads lists in a session for changing them.
                needs: &[("links", Write), ("committed", Nothing)],
            },
            Scene {
                name: "a removal",
                config: base,
                before,
                call: Call::Remove(NodeId::new(7)),
                needs: &[("tombstoned", Write), ("committed", Nothing)],
            },
        ];
        scenes.into_iter().map(Scene::fitting).collect()
    }

    /// The index before the call, and what it should find.
    pub fn set_up<G: Graph>(&self) -> (Tested<G>, Oracle) {
        let index = Tested::<G>::new(self.config).unwrap();
        let mut oracle = Oracle::new(DIM, Metric::L2);
        for vector in &self.before {
            oracle.insert(index.insert(vector).unwrap(), vector);
        }
        (index, oracle)
    }

    /// The node that the call is about, if no one else inserts before it takes an id.
    pub fn node(&self) -> NodeId {
        match self.call {
            Call::Insert(_) => NodeId::new(self.before.len() as u32),
            Call::Remove(node) => node,
        }
    }

    /// The call that is made to fail. Returns the node that it is about.
    pub fn run<G: Graph>(&self, index: &Tested<G>, scratch: &mut Scratch<Points>) -> NodeId {
        match &self.call {
            Call::Insert(vector) => index.insert_recorded(vector, scratch, &mut Calls).unwrap(),
            Call::Remove(node) => index.remove(*node).map(|()| *node).unwrap(),
        }
    }

    /// The call, in what should be found.
    pub fn apply(&self, oracle: &mut Oracle, node: NodeId) {
        match &self.call {
            Call::Insert(vector) => oracle.insert(node, vector),
            Call::Remove(_) => assert!(oracle.remove(node)),
        }
    }

    fn is_covered(&self, trace: &[Step]) -> bool {
        self.needs.iter().all(|(what, holds)| trace.contains(&Step { what, holds: *holds }))
    }

    /// That the steps of the whole call are those of what it is meant to be.
    pub fn assert_covered(&self, trace: &[Step]) {
        assert!(self.is_covered(trace), "{}: not all of {:?} in {trace:?}", self.name, self.needs);
    }
}

/// An index of enough nodes for a round of [`ROWS`] rows, where batches go in rounds.
pub fn set_up_for_batches<G: Graph>() -> (Tested<G>, Oracle) {
    let config = IndexConfig { m: 3, ef_construction: 4, ..IndexConfig::new(DIM, Metric::L2) };
    let index = Tested::<G>::new(config).unwrap();
    let (mut random, mut oracle) = (Random(5), Oracle::new(DIM, Metric::L2));
    for _ in 0..300 {
        let vector = random.vector(DIM);
        oracle.insert(index.insert(&vector).unwrap(), &vector);
    }
    (index, oracle)
}

/// Rows of a batch.
pub const ROWS: usize = 5;

/// Rows, one after another.
pub fn rows(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).flat_map(|_| random.vector(DIM)).collect()
}

/// What must hold of a graph that no one changes, with or without a call that has stopped halfway: lists are whole (P6); all
/// nodes whose insert has returned hang together (P1); and a search finds what brute force finds. The nodes of the call, `half`,
/// may be there or not, but one that can be met is whole.
pub fn assert_right<G: Graph>(index: &Tested<G>, oracle: &Oracle, half: &[NodeId], what: &str) {
    {
        let view = index.graph().read();
        let config = GraphConfig { m: index.config().m, capacity: index.config().capacity };
        let faults = Health::of(&view, &config).faults;
        assert!(faults.is_empty(), "{what}: {faults:#?}");
        let met = met(&view);
        let mut lost = stranded(&view);
        // Nodes that were taken back, or are not yet there: they may be on their own, but not be met like that.
        lost.retain(|n| met.contains(n) || view.state(*n) == NodeState::Live && !half.contains(n));
        assert!(lost.is_empty(), "{what}: no way from or to {lost:?}");
    }
    let mut random = Random(oracle.len() as u64);
    for _ in 0..2 {
        let (query, all) = (random.vector(DIM), index.node_count() + 1);
        let mut answer = index.search(&query, all, all).unwrap();
        let truth = oracle.nearest(&query, all);
        answer.retain(|neighbor| !half.contains(&neighbor.node));
        assert_eq!(answer, truth, "{what}");
        assert_ordered(&index.search(&query, 3, 5).unwrap());
    }
}

/// The nodes to which a path leads from the entry point, on whatever levels.
fn met(view: &impl View) -> BTreeSet<NodeId> {
    let (mut met, mut links) = (BTreeSet::new(), LinkBuf::new());
    let mut queue: Vec<NodeId> = view.entry().map(|entry| entry.node).into_iter().collect();
    while let Some(node) = queue.pop() {
        if met.insert(node) {
            for level in 0..=view.level(node) {
                queue.extend(view.links(At::new(node, level), &mut links).iter().map(|link| link.node()));
            }
        }
    }
    met
}

/// Some inserts and removals of others, each of them seen at once.
pub fn write_some<G: Graph>(index: &Tested<G>, oracle: &mut Oracle, spare: &[NodeId], seed: u64) {
    let mut random = Random(seed);
    for round in 0..3 {
        let vector = random.vector(DIM);
        let node = index.insert(&vector).unwrap();
        assert!(index.contains(node));
        oracle.insert(node, &vector);
        let victim = oracle.node(random.below(oracle.len()));
        if round > 0 && !spare.contains(&victim) {
            index.remove(victim).unwrap();
            assert!(oracle.remove(victim) && !index.contains(victim));
        }
    }
}
