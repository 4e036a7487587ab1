//! The calls that sequences are made of, and how random sequences come about.

use crate::support::{METRICS, Random};
use hnsw_core::distance::Metric;
use proptest::prelude::*;

pub const DIM: usize = 3;

/// A vector of small integers, so that many are equal and many are equally near.
pub type Point = [i8; DIM];

/// One call. A number that stands for a node, a snapshot or a copy is taken modulo how many there are.
#[derive(Clone, Debug)]
pub enum Call {
    Insert(Point),
    InsertBatch(Vec<Point>),
    /// A batch of so many rows, which are drawn from a seed: more than one may want to read.
    InsertMany(usize, u64),
    /// [`Index::build`](hnsw_core::hnsw::Index::build) of such rows.
    Build(usize, u64),
    Remove(usize),
    RemoveAll,
    /// For the k nearest.
    Search(Point, usize),
    SearchBatch(Vec<Point>, usize),
    /// With a beam no wider than k.
    SearchNarrow(Point, usize),
    Snapshot,
    Pack,
    /// Of a snapshot or a packed copy.
    SearchFrozen(usize, Point),
}

/// An index and what is done to it. `Debug` prints it as it is written in Rust, so that a shrunk case can be pasted
/// into `named.rs`.
#[derive(Clone, Debug)]
pub struct Case {
    pub metric: Metric,
    pub m: usize,
    pub ef_construction: usize,
    pub seed: u64,
    pub capacity: usize,
    pub calls: Vec<Call>,
}

/// The rows of a large batch; none is zero.
pub fn many(count: usize, seed: u64) -> Vec<Point> {
    let mut random = Random(seed);
    let mut component = || random.below(15) as i8 - 7;
    (0..count)
        .map(|_| [component(), component(), component()])
        .map(|p| if p == [0; DIM] { [1; DIM] } else { p })
        .collect()
}

fn point() -> impl Strategy<Value = Point> {
    prop::array::uniform3(-3i8..4)
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::vec(point(), 0..12)
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        24 => point().prop_map(Call::Insert),
        4 => points().prop_map(Call::InsertBatch),
        8 => any::<usize>().prop_map(Call::Remove),
        8 => (point(), 1usize..20).prop_map(|(point, k)| Call::Search(point, k)),
        4 => (points(), 1usize..20).prop_map(|(points, k)| Call::SearchBatch(points, k)),
        4 => (point(), 1usize..20).prop_map(|(point, k)| Call::SearchNarrow(point, k)),
        2 => Just(Call::Snapshot),
        2 => Just(Call::Pack),
        8 => (any::<usize>(), point()).prop_map(|(which, point)| Call::SearchFrozen(which, point)),
        1 => Just(Call::RemoveAll),
        // The index grows beyond its first segments while snapshots and copies are held.
        1 => (250usize..350, any::<u64>()).prop_map(|(count, seed)| Call::InsertMany(count, seed)),
    ]
}

/// What comes before the other calls: mostly nothing; batches that outgrow the segments and go in rounds; a build.
fn start() -> impl Strategy<Value = Option<Call>> {
    prop_oneof![
        12 => Just(None),
        2 => (250usize..700, any::<u64>()).prop_map(|(count, seed)| Some(Call::InsertMany(count, seed))),
        1 => (900usize..1100, any::<u64>()).prop_map(|(count, seed)| Some(Call::Build(count, seed))),
    ]
}

/// Room for all, or for less than is asked for.
fn capacity() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(1 << 20), 1 => 1usize..40]
}

pub fn cases() -> impl Strategy<Value = Case> {
    let shape = (prop::sample::select(METRICS.to_vec()), 2usize..5, 1usize..12, any::<u64>(), capacity());
    (shape, start(), prop::collection::vec(call(), 1..90)).prop_map(
        |((metric, m, ef_construction, seed, capacity), start, calls)| Case {
            metric,
            m,
            ef_construction,
            seed,
            capacity,
            calls: start.into_iter().chain(calls).collect(),
        },
    )
}
