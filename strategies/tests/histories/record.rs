//! Histories: what threads asked of an index, what it answered, and between which readings of one clock.

use crate::clock::Clock;
use crate::support::Random;
use core::fmt;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};

/// One call of one thread.
#[derive(Clone, Debug)]
pub struct Event {
    pub thread: usize,
    pub begin: u64,
    pub end: u64,
    pub what: What,
}

/// A call with its answer.
#[derive(Clone, Debug)]
pub enum What {
    Insert { node: NodeId, vector: Vec<f32> },
    Remove { node: NodeId, removed: bool },
    Contains { node: NodeId, answer: bool },
    Vector { node: NodeId, answer: Option<Vec<f32>> },
    Search(Search),
}

#[derive(Clone, Debug)]
pub struct Search {
    pub query: Vec<f32>,
    pub k: usize,
    pub ef: usize,
    pub answer: Vec<Neighbor>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:>4}, {:>4}] thread {}: ", self.begin, self.end, self.thread)?;
        match &self.what {
            What::Insert { node, vector } => write!(f, "insert({vector:?}) -> {node}"),
            What::Remove { node, removed } => {
                write!(f, "remove({node}) -> {}", if *removed { "Ok" } else { "NotFound" })
            }
            What::Contains { node, answer } => write!(f, "contains({node}) -> {answer}"),
            What::Vector { node, answer } => write!(f, "vector({node}) -> {answer:?}"),
            What::Search(Search { query, k, ef, answer }) => {
                write!(f, "search({query:?}, k {k}, ef {ef}) ->")?;
                answer.iter().try_for_each(|found| write!(f, " {} at {},", found.node, found.distance))
            }
        }
    }
}

/// The answer of a call, and the readings before and after it.
pub fn timed<R>(clock: &Clock, call: impl FnOnce() -> R) -> (u64, R, u64) {
    let begin = clock.now();
    let answer = call();
    (begin, answer, clock.now())
}

/// A node to ask for, most often one of the newest, whoever inserts it; perhaps one that is not there yet.
fn guess<G: Graph>(index: &Index<G>, random: &mut Random) -> NodeId {
    let count = index.node_count();
    let node =
        if random.below(3) == 0 { random.below(count + 1) } else { count - random.below(4).min(count) };
    NodeId::new(node as u32)
}

/// Makes this many calls and writes them down.
pub fn work<G: Graph>(
    index: &Index<G>,
    clock: &Clock,
    thread: usize,
    mut random: Random,
    calls: usize,
) -> Vec<Event> {
    let &IndexConfig { dim, capacity, .. } = index.config();
    let one = |_| {
        let (begin, what, end) = match random.below(16) {
            0..6 => {
                let vector = random.vector(dim);
                timed(clock, || What::Insert { node: index.insert(&vector).expect("there is room"), vector })
            }
            6..9 => {
                let node = guess(index, &mut random);
                timed(clock, || What::Remove { node, removed: index.remove(node).is_ok() })
            }
            9..11 => {
                let node = guess(index, &mut random);
                timed(clock, || What::Contains { node, answer: index.contains(node) })
            }
            11 => {
                let node = guess(index, &mut random);
                timed(clock, || What::Vector { node, answer: index.vector(node) })
            }
            kind => {
                let query = random.vector(dim);
                let (k, ef) = [(capacity, capacity), (4, capacity), (1, capacity), (4, 8)][kind - 12];
                timed(clock, || {
                    let answer = index.search(&query, k, ef).expect("the query is sound");
                    What::Search(Search { query, k, ef, answer })
                })
            }
        };
        Event { thread, begin, end, what }
    };
    (0..calls).map(one).collect()
}
