//! Random sequences of calls, against brute force and against the same calls on `sequential`.
//!
//! Every call must give what brute force says: ids, errors, and, with a beam as wide as the index, all answers. The same calls
//! on an index under `sequential` must give the same. Sequences are drawn from the seeds 0, 1, …: as many as
//! `HNSW_SEEDS` says, or 2; so a failure comes again. It is shrunk and printed as code.

mod calls;
pub mod named;

use crate::support::{Oracle, assert_whole, index, seeds};
use calls::{Call, Case, DIM, Point, cases, many};
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::error::{BatchError, Full, InsertError, NotFound, SearchError, VectorError};
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_strategies::Sequential;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Sequences for each seed.
const CASES: u32 = 40;

fn vector(point: Point) -> [f32; DIM] {
    point.map(f32::from)
}

fn rows(points: &[Point]) -> Vec<f32> {
    points.iter().flat_map(|point| vector(*point)).collect()
}

/// A search of a snapshot or a packed copy.
type Frozen = Box<dyn Fn(&[f32], usize) -> Vec<Neighbor>>;
/// What makes one that a strategy may not have.
type Freeze<G> = fn(&Index<G>) -> Option<Frozen>;

fn run<G: Graph>(freeze: Freeze<G>) {
    for seed in 0..seeds() {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&cases(), |case| check(&case, freeze));
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, case)) => panic!("{}, seed {seed}: {why}\nin {case:?}", G::NAME),
            Err(TestError::Abort(why)) => panic!("{}, seed {seed}: {why}", G::NAME),
        }
    }
}

/// Runs one sequence without snapshots.
fn check_alone<G: Graph>(case: &Case) {
    if let Err(why) = check::<G>(case, |_| None) {
        panic!("{}: {why}\nin {case:?}", G::NAME);
    }
}

/// An index, its twin under `sequential`, and what both should hold.
struct Trial<G: Graph> {
    index: Index<G>,
    twin: Index<Sequential>,
    oracle: Oracle,
    metric: Metric,
    capacity: usize,
    /// Ids given out.
    taken: usize,
    /// Snapshots and copies, and what they should find.
    frozen: Vec<(Frozen, Oracle)>,
}

/// Fails unless `$index` and `$twin` are what they should be.
macro_rules! agree {
    ($index:expr, $twin:expr, $expected:expr) => {{
        let expected = $expected;
        prop_assert_eq!(&$index, &expected);
        prop_assert_eq!(&$twin, &expected, "under sequential");
    }};
}

type Checked = Result<(), TestCaseError>;

impl<G: Graph> Trial<G> {
    fn has_no_direction(&self, point: &Point) -> bool {
        self.metric == Metric::Cosine && *point == [0; DIM]
    }

    /// The first of `count` new ids, if there is room for all.
    fn take(&mut self, count: usize) -> Result<NodeId, Full> {
        let first = self.taken;
        if first + count > self.capacity {
            return Err(Full { capacity: self.capacity });
        }
        self.taken += count;
        Ok(NodeId::new(first as u32))
    }

    fn insert(&mut self, point: Point) -> Checked {
        let expected = match self.has_no_direction(&point) {
            true => Err(InsertError::Vector(VectorError::Zero)),
            false => self.take(1).map_err(InsertError::Full),
        };
        if let Ok(node) = expected {
            self.oracle.insert(node, &vector(point));
        }
        agree!(self.index.insert(&vector(point)), self.twin.insert(&vector(point)), expected);
        Ok(())
    }

    fn insert_all(&mut self, points: &[Point], build: bool) -> Checked {
        let expected = match points.iter().position(|point| self.has_no_direction(point)) {
            Some(row) => Err(BatchError::Vector { row, error: VectorError::Zero }),
            None => self.take(points.len()).map_err(BatchError::Full),
        };
        if let Ok(first) = expected {
            for (i, point) in points.iter().enumerate() {
                self.oracle.insert(NodeId::new((first.index() + i) as u32), &vector(*point));
            }
        }
        let (rows, progress) = (rows(points), |_| ControlFlow::Continue(()));
        if build {
            agree!(self.index.build(&rows, progress), self.twin.build(&rows, progress), expected);
        } else {
            agree!(
                self.index.insert_batch(&rows, progress),
                self.twin.insert_batch(&rows, progress),
                expected
            );
        }
        Ok(())
    }

    fn remove(&mut self, node: NodeId) -> Checked {
        let expected = if self.oracle.remove(node) { Ok(()) } else { Err(NotFound(node)) };
        agree!(self.index.remove(node), self.twin.remove(node), expected);
        agree!(self.index.contains(node), self.twin.contains(node), false);
        agree!(self.index.vector(node), self.twin.vector(node), None);
        Ok(())
    }

    /// The answer of brute force, or why there is none.
    fn expected(&self, point: Point, k: usize) -> Result<Vec<Neighbor>, SearchError> {
        match self.has_no_direction(&point) {
            true => Err(SearchError::Vector(VectorError::Zero)),
            false => Ok(self.oracle.nearest(&vector(point), k)),
        }
    }

    /// A beam that takes in all there is.
    fn wide(&self, k: usize) -> usize {
        k.max(self.taken)
    }

    fn search(&self, point: Point, k: usize) -> Checked {
        let (query, ef) = (vector(point), self.wide(k));
        agree!(self.index.search(&query, k, ef), self.twin.search(&query, k, ef), self.expected(point, k));
        Ok(())
    }

    fn search_batch(&self, points: &[Point], k: usize) -> Checked {
        let (queries, ef) = (rows(points), self.wide(k));
        let expected: Result<Vec<_>, _> = points.iter().map(|point| self.expected(*point, k)).collect();
        let listed =
            |answers: hnsw_core::hnsw::Answers| answers.iter().map(<[_]>::to_vec).collect::<Vec<_>>();
        let (index, twin) =
            (self.index.search_batch(&queries, k, ef), self.twin.search_batch(&queries, k, ef));
        agree!(index.map(listed), twin.map(listed), expected);
        Ok(())
    }

    /// What a narrow beam finds depends on the graph, but not how many it finds, in what order, and at what distances.
    fn search_narrow(&self, point: Point, k: usize) -> Checked {
        if self.has_no_direction(&point) {
            return Ok(());
        }
        let all = self.oracle.nearest(&vector(point), self.oracle.len());
        for answer in [self.index.search(&vector(point), k, k), self.twin.search(&vector(point), k, k)] {
            let answer = answer.unwrap();
            prop_assert_eq!(answer.len(), k.min(all.len()));
            // In the order of all, so each of them at its own distance and none twice.
            let mut rest = all.iter();
            let in_order = answer.iter().all(|found| rest.any(|one| one == found));
            prop_assert!(in_order, "{:?} of {:?}", answer, all);
        }
        Ok(())
    }

    fn search_frozen(&self, which: usize, point: Point) -> Checked {
        if !self.has_no_direction(&point) && !self.frozen.is_empty() {
            let (search, oracle) = &self.frozen[which % self.frozen.len()];
            let wide = self.wide(1);
            prop_assert_eq!(search(&vector(point), wide), oracle.nearest(&vector(point), wide));
        }
        Ok(())
    }

    fn call(&mut self, call: &Call, freeze: Freeze<G>) -> Checked {
        match *call {
            Call::Insert(point) => self.insert(point)?,
            Call::InsertBatch(ref points) => self.insert_all(points, false)?,
            Call::InsertMany(count, seed) => self.insert_all(&many(count, seed), false)?,
            Call::Build(count, seed) => self.insert_all(&many(count, seed), true)?,
            Call::Remove(number) => self.remove(NodeId::new((number % (self.taken + 1)) as u32))?,
            Call::RemoveAll => {
                for node in (0..self.taken as u32).map(NodeId::new) {
                    self.remove(node)?;
                }
            }
            Call::Search(point, k) => self.search(point, k)?,
            Call::SearchBatch(ref points, k) => self.search_batch(points, k)?,
            Call::SearchNarrow(point, k) => self.search_narrow(point, k)?,
            Call::Snapshot => {
                let frozen = freeze(&self.index);
                self.frozen.extend(frozen.map(|frozen| (frozen, self.oracle.clone())));
            }
            Call::Pack => {
                let packed = self.index.pack();
                let search = move |query: &[f32], k: usize| packed.search(query, k, k).unwrap();
                self.frozen.push((Box::new(search), self.oracle.clone()));
            }
            Call::SearchFrozen(which, point) => self.search_frozen(which, point)?,
        }
        agree!(self.index.node_count(), self.twin.node_count(), self.taken);
        Ok(())
    }
}

fn check<G: Graph>(case: &Case, freeze: Freeze<G>) -> Checked {
    let Case { metric, m, ef_construction, seed, capacity, .. } = *case;
    let config = IndexConfig { m, ef_construction, seed, capacity, ..IndexConfig::new(DIM, metric) };
    let mut trial = Trial::<G> {
        index: index(config),
        twin: index(config),
        oracle: Oracle::new(DIM, metric),
        metric,
        capacity,
        taken: 0,
        frozen: Vec::new(),
    };
    for (number, call) in case.calls.iter().enumerate() {
        let in_call = |why| TestCaseError::fail(format!("call {number}, {call:?}: {why}"));
        trial.call(call, freeze).map_err(in_call)?;
    }
    assert_whole(&trial.index, "after the last call");
    Ok(())
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
