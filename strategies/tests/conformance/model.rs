//! Random sequences of calls against brute force.

use crate::support::{METRICS, Oracle, assert_whole, index};
use hnsw_core::distance::Metric;
use hnsw_core::error::{InsertError, NotFound, VectorError};
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const DIM: usize = 3;
const CASES: u32 = 64;

/// A vector of small integers, so that many are equal and many are equally near.
type Point = [i8; DIM];

#[derive(Clone, Debug)]
enum Call {
    Insert(Point),
    /// The node whose number is this, modulo the number of nodes.
    Remove(usize),
    Search(Point, usize),
    Snapshot,
    SearchSnapshot(usize, Point),
}

#[derive(Clone, Debug)]
struct Case {
    metric: Metric,
    m: usize,
    ef_construction: usize,
    seed: u64,
    calls: Vec<Call>,
}

fn cases() -> impl Strategy<Value = Case> {
    let point = || prop::array::uniform3(-3i8..4);
    let call = prop_oneof![
        6 => point().prop_map(Call::Insert),
        2 => any::<usize>().prop_map(Call::Remove),
        2 => (point(), 1usize..20).prop_map(|(point, k)| Call::Search(point, k)),
        1 => Just(Call::Snapshot),
        2 => (any::<usize>(), point()).prop_map(|(which, point)| Call::SearchSnapshot(which, point)),
    ];
    let calls = prop::collection::vec(call, 1..90);
    (prop::sample::select(METRICS.to_vec()), 2usize..5, 1usize..12, any::<u64>(), calls).prop_map(
        |(metric, m, ef_construction, seed, calls)| Case { metric, m, ef_construction, seed, calls },
    )
}

fn vector(point: Point) -> [f32; DIM] {
    point.map(f32::from)
}

/// A search of a snapshot.
type Frozen = Box<dyn Fn(&[f32], usize) -> Vec<Neighbor>>;

fn run<G: Graph>(freeze: impl Fn(&Index<G>) -> Option<Frozen>) {
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner
        .run(&cases(), |case| {
            check(&case, &freeze);
            Ok(())
        })
        .unwrap();
}

fn check<G: Graph>(case: &Case, freeze: &impl Fn(&Index<G>) -> Option<Frozen>) {
    let Case { metric, m, ef_construction, seed, .. } = *case;
    let config = IndexConfig { m, ef_construction, seed, ..IndexConfig::new(DIM, metric) };
    let index = index::<G>(config);
    let mut oracle = Oracle::new(DIM, metric);
    let mut snapshots: Vec<(Frozen, Oracle)> = Vec::new();
    let mut inserted = 0;
    let no_direction = |point: Point| metric == Metric::Cosine && point == [0; DIM];
    for call in &case.calls {
        let wide = case.calls.len();
        match *call {
            Call::Insert(point) if no_direction(point) => {
                assert_eq!(index.insert(&vector(point)), Err(InsertError::Vector(VectorError::Zero)));
            }
            Call::Insert(point) => {
                let node = index.insert(&vector(point)).unwrap();
                assert_eq!(node.index(), inserted);
                inserted += 1;
                oracle.insert(node, &vector(point));
            }
            Call::Remove(number) => {
                let node = NodeId::new((number % (inserted + 1)) as u32);
                let expected = if oracle.remove(node) { Ok(()) } else { Err(NotFound(node)) };
                assert_eq!(index.remove(node), expected);
            }
            Call::Search(point, k) if !no_direction(point) => {
                let answer = index.search(&vector(point), k, wide.max(k)).unwrap();
                assert_eq!(answer, oracle.nearest(&vector(point), k));
            }
            Call::Snapshot => snapshots.extend(freeze(&index).map(|frozen| (frozen, oracle.clone()))),
            Call::SearchSnapshot(which, point) if !no_direction(point) && !snapshots.is_empty() => {
                let (frozen, oracle) = &snapshots[which % snapshots.len()];
                assert_eq!(frozen(&vector(point), wide), oracle.nearest(&vector(point), wide));
            }
            Call::Search(..) | Call::SearchSnapshot(..) => {}
        }
    }
    assert_whole(&index, "after the last call");
}

pub fn sequences_of_calls_agree_with_brute_force<G: Graph>() {
    run::<G>(|_| None);
}

pub fn sequences_with_snapshots_agree_with_brute_force<G: Snapshots>() {
    run::<G>(|index| {
        let snapshot = index.snapshot();
        Some(Box::new(move |query, k| snapshot.search(query, k, k).unwrap()))
    });
}
