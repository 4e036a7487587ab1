//! The calls in the middle of which a thread is suspended, and the graphs in which it is.

use crate::clock::Clock;
use crate::record::{Event, Search, What, timed};
use crate::support::Random;
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::{At, Edit, Graph, Level, LinkBuf, NodeId, Verdict, View};
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_strategies::Sequential;

pub const DIM: usize = 2;
pub const M: usize = 2;
/// Nodes that are there before the call: enough for most lists to be full.
const NODES: usize = 18;
/// With room for the call and for one of another thread.
const CAPACITY: usize = NODES + 6;

#[derive(Clone)]
enum Call {
    Insert(Vec<f32>),
    /// Of rows, one after another.
    Batch(Vec<f32>),
    Remove(NodeId),
    /// Takes a link out of the list.
    Rewrite(NodeId),
    Search,
}

/// A call, and what there is before it.
#[derive(Clone)]
pub struct Scene {
    pub name: &'static str,
    config: IndexConfig,
    before: Vec<Vec<f32>>,
    call: Call,
    /// What another thread inserts: near what the call is about, so that it wants the same lists.
    pub near: Vec<f32>,
    /// What another thread removes.
    pub spare: NodeId,
    /// Sites that are among its points, or it is not the call that it is meant to be.
    pub needs: &'static [&'static str],
    /// The call writes lists that others want.
    pub contends: bool,
    /// At every how many points it is suspended.
    pub every: usize,
}

fn vectors(count: usize) -> Vec<Vec<f32>> {
    let mut random = Random(3);
    (0..count).map(|_| random.vector(DIM)).collect()
}

/// The levels of the first nodes: with one seed they are the same in every index.
fn levels(config: IndexConfig) -> Vec<Level> {
    let twin = Index::<Sequential>::new(config).unwrap();
    for i in 0..=NODES {
        twin.insert(&[i as f32, 0.0]).unwrap();
    }
    let view = twin.graph().read();
    (0..=NODES as u32).map(|node| view.level(NodeId::new(node))).collect()
}

/// With a seed by which the highest level of those before, and the level of the node of the call, are as wanted.
fn config(wanted: impl Fn(Level, Level) -> bool) -> IndexConfig {
    let config = |seed| IndexConfig {
        m: M,
        ef_construction: 4,
        capacity: CAPACITY,
        seed,
        ..IndexConfig::new(DIM, Metric::L2)
    };
    let fits = |config: &IndexConfig| {
        let mut levels = levels(*config);
        let last = levels.pop().unwrap();
        wanted(levels.into_iter().max().unwrap(), last)
    };
    (0..).map(config).find(fits).unwrap()
}

fn on_level_0() -> IndexConfig {
    config(|top, last| top == 2 && last == 0)
}

pub fn an_insert() -> Scene {
    Scene {
        name: "an insert",
        config: on_level_0(),
        before: vectors(NODES),
        call: Call::Insert(vec![0.1, 0.2]),
        near: vec![0.11, 0.2],
        spare: NodeId::new(3),
        needs: &["node-publish"],
        contends: true,
        every: 1,
    }
}

pub fn the_first_insert() -> Scene {
    let spare = NodeId::new(0);
    Scene { name: "the first insert", before: Vec::new(), spare, contends: false, ..an_insert() }
}

pub fn an_insert_above_the_entry_point() -> Scene {
    let config = config(|top, last| top == 1 && last == 3);
    Scene { name: "an insert above the entry point", config, ..an_insert() }
}

pub fn an_insert_that_is_adopted() -> Scene {
    let crowd = vec![0.5; DIM];
    Scene {
        name: "an insert that is adopted",
        before: vec![crowd.clone(); NODES],
        call: Call::Insert(crowd.clone()),
        near: crowd,
        contends: false,
        ..an_insert()
    }
}

pub fn a_batch() -> Scene {
    let call = Call::Batch(vec![0.1, 0.2, -0.3, 0.4, 0.12, 0.2]);
    Scene { name: "a batch", call, ..an_insert() }
}

/// Of eight rows, as a strategy with rounds inserts them behind 256 nodes.
pub fn a_round() -> Scene {
    let mut random = Random(8);
    let rows = (0..8).flat_map(|_| random.vector(DIM)).collect();
    let scene = an_insert();
    let config = IndexConfig { capacity: 256 + 8 + 2, ..scene.config };
    Scene { name: "a round", config, before: vectors(256), call: Call::Batch(rows), every: 7, ..scene }
}

pub fn a_removal() -> Scene {
    let call = Call::Remove(NodeId::new(7));
    Scene { name: "a removal", call, needs: &["node-tombstone"], contends: false, ..an_insert() }
}

pub fn a_rewrite() -> Scene {
    let scene = an_insert();
    let (index, _) = scene.set_up::<Sequential>(&Clock::default());
    let ordinary = |node: &u32| {
        let (view, mut links) = (index.graph().read(), LinkBuf::new());
        view.links(At::base(NodeId::new(*node)), &mut links).iter().filter(|link| !link.is_anchor()).count()
    };
    let node = (0..NODES as u32).max_by_key(ordinary).expect("there are nodes");
    let near = scene.before[node as usize].clone();
    Scene { name: "a rewrite", call: Call::Rewrite(NodeId::new(node)), near, needs: &[], ..scene }
}

pub fn a_search() -> Scene {
    Scene { name: "a search", call: Call::Search, needs: &[], contends: false, ..an_insert() }
}

/// Two searches for all and one for a few.
pub fn searched<G: Graph>(index: &Index<G>, clock: &Clock) -> Vec<Event> {
    let all = index.config().capacity;
    let one = |(query, k, ef): ([f32; DIM], usize, usize)| {
        let (begin, what, end) = timed(clock, || {
            let answer = index.search(&query, k, ef).expect("the query is sound");
            What::Search(Search { query: query.to_vec(), k, ef, answer })
        });
        Event { thread: 2, begin, end, what }
    };
    [([0.1, 0.2], all, all), ([-0.7, 0.4], all, all), ([0.6, 0.6], 3, 5)].map(one).into()
}

impl Scene {
    /// The index before the call, and its history.
    pub fn set_up<G: Graph>(&self, clock: &Clock) -> (Index<G>, Vec<Event>) {
        let index = Index::<G>::new(self.config).unwrap();
        let insert = |vector: &Vec<f32>| {
            let insert = || What::Insert { node: index.insert(vector).unwrap(), vector: vector.clone() };
            let (begin, what, end) = timed(clock, insert);
            Event { thread: 0, begin, end, what }
        };
        let events = self.before.iter().map(insert).collect();
        (index, events)
    }

    /// The node that the call is about, if no one else takes an id before it does.
    pub fn node(&self) -> NodeId {
        match self.call {
            Call::Insert(_) | Call::Batch(_) | Call::Search => NodeId::new(self.before.len() as u32),
            Call::Remove(node) | Call::Rewrite(node) => node,
        }
    }

    /// The call in the middle of which its thread is suspended.
    pub fn run<G: Graph>(&self, index: &Index<G>, clock: &Clock) -> Vec<Event> {
        let event = |(begin, what, end)| Event { thread: 1, begin, end, what };
        match &self.call {
            Call::Insert(vector) => {
                let insert = || What::Insert { node: index.insert(vector).unwrap(), vector: vector.clone() };
                vec![event(timed(clock, insert))]
            }
            Call::Batch(rows) => {
                let insert = || index.insert_batch(rows, |_| ControlFlow::Continue(())).unwrap();
                let (begin, first, end) = timed(clock, insert);
                let row = |(node, row): (u32, &[f32])| {
                    event((begin, What::Insert { node: NodeId::new(node), vector: row.to_vec() }, end))
                };
                (first.get()..).zip(rows.chunks(DIM)).map(row).collect()
            }
            Call::Remove(node) => {
                let remove = || What::Remove { node: *node, removed: index.remove(*node).is_ok() };
                vec![event(timed(clock, remove))]
            }
            Call::Rewrite(node) => {
                rewrite(index, At::base(*node));
                Vec::new()
            }
            Call::Search => searched(index, clock),
        }
    }
}

/// Takes the first link that is no anchor out of a list, until that is committed.
fn rewrite<G: Graph>(index: &Index<G>, at: At) {
    for attempt in 0.. {
        let mut edit = index.graph().write(attempt);
        let verdict = edit.rewrite(at, |links, out| {
            let ordinary = links.iter().position(|link| !link.is_anchor());
            let stays = |(i, _): &(usize, _)| Some(*i) != ordinary;
            links.iter().enumerate().filter(stays).for_each(|(_, link)| out.push(*link));
            ordinary.map_or(Verdict::Keep, |_| Verdict::Replace)
        });
        assert_eq!(verdict, Verdict::Replace, "the list has a link that is no anchor");
        if edit.commit().is_ok() {
            return;
        }
    }
}
