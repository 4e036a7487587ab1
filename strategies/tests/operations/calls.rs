//! A sequence of calls, decoded from bytes, on every strategy in turn, against brute force.

use crate::support::{METRICS, Oracle, assert_ordered, assert_whole};
use hnsw_core::distance::Metric;
use hnsw_core::error::{BatchError, InsertError, NotFound, SearchError, VectorError};
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use std::ops::ControlFlow;

const DIM: usize = 3;
/// Rows that a batch repeats its points to, so that some batches are longer than what is inserted one by one.
const LONG: usize = 280;
/// The most nodes of a sequence: it must not take long.
const MAX_NODES: usize = 500;

/// Bytes, one after the other; zeros after the last.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A point of small integers, so that many are equal and many are equally near.
    fn point(&mut self) -> [f32; DIM] {
        core::array::from_fn(|_| f32::from(self.next() % 7) - 3.0)
    }

    fn points(&mut self, count: usize) -> Vec<f32> {
        (0..count).flat_map(|_| self.point()).collect()
    }
}

/// A search of what does not change any more.
type Frozen = Box<dyn Fn(&[f32], usize) -> Vec<Neighbor>>;
/// Takes a snapshot, if the strategy has them.
type Freeze<G> = fn(&Index<G>) -> Option<Frozen>;

fn freeze<G: Snapshots>(index: &Index<G>) -> Option<Frozen> {
    let snapshot = index.snapshot();
    Some(Box::new(move |query, k| snapshot.search(query, k, k).unwrap()))
}

/// Runs the sequence on every strategy.
pub fn run(input: &[u8]) {
    macro_rules! each {
        ($(($name:ident, $graph:ty)),+ $(,)?) => {
            $(if <$graph>::CAPS.snapshots {
                assert_eq!(<$graph>::NAME, hnsw_strategies::Mvcc::NAME, "its snapshots are not tested here");
                check::<hnsw_strategies::Mvcc>(input, freeze);
            } else {
                check::<$graph>(input, |_| None);
            })+
        };
    }
    hnsw_strategies::for_each_strategy!(each);
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

struct Run<G: Graph> {
    index: Index<G>,
    metric: Metric,
    oracle: Oracle,
    nodes: usize,
    /// What was frozen, with what it must show.
    frozen: Vec<(Frozen, Oracle)>,
}

fn check<G: Graph>(input: &[u8], freeze: Freeze<G>) {
    let mut bytes = Bytes(input);
    let metric = METRICS[usize::from(bytes.next()) % METRICS.len()];
    let config = IndexConfig {
        m: 2 + usize::from(bytes.next() % 4),
        ef_construction: 1 + usize::from(bytes.next() % 12),
        seed: bytes.next().into(),
        alpha: 1.0 + f32::from(bytes.next() % 5) / 4.0,
        // The least value is no bound that matters, the others are soon reached.
        capacity: match usize::from(bytes.next()) {
            0 => MAX_NODES,
            few => few * 4,
        },
        ..IndexConfig::new(DIM, metric)
    };
    let index = Index::<G>::new(config).expect("all parameters are in range");
    let mut run = Run { index, metric, oracle: Oracle::new(DIM, metric), nodes: 0, frozen: Vec::new() };
    while !bytes.0.is_empty() && run.nodes < MAX_NODES - LONG {
        run.call(&mut bytes, freeze);
    }
    assert_whole(&run.index, G::NAME);
    let live = (0..run.nodes as u32).filter(|&node| run.index.contains(NodeId::new(node))).count();
    assert_eq!((live, run.index.node_count()), (run.oracle.len(), run.nodes), "{}", G::NAME);
    let query = [1.0, 2.0, 0.5];
    let expected = run.oracle.nearest(&query, run.wide());
    assert_eq!(run.index.search(&query, run.wide(), run.wide()).unwrap(), expected, "{}", G::NAME);
}

impl<G: Graph> Run<G> {
    /// A beam that holds all nodes.
    fn wide(&self) -> usize {
        self.nodes.max(1)
    }

    /// Whether the index must refuse this vector.
    fn zero(&self, point: &[f32]) -> bool {
        self.metric == Metric::Cosine && point.iter().all(|&x| x == 0.0)
    }

    fn call(&mut self, bytes: &mut Bytes<'_>, freeze: Freeze<G>) {
        match bytes.next() % 16 {
            0..4 => self.insert(&bytes.point()),
            4 => {
                let count = usize::from(bytes.next() % 40);
                let rows = bytes.points(count);
                self.insert_batch(&rows, false);
            }
            5 => {
                let count = 1 + usize::from(bytes.next() % 5);
                let few = bytes.points(count);
                let rows: Vec<f32> = few.iter().copied().cycle().take(LONG * DIM).collect();
                let whole = bytes.next().is_multiple_of(2);
                self.insert_batch(&rows, whole);
            }
            6..8 => {
                let number = usize::from(bytes.next()) << 8 | usize::from(bytes.next());
                let node = NodeId::new((number % (self.nodes + 1)) as u32);
                let expected = if self.oracle.remove(node) { Ok(()) } else { Err(NotFound(node)) };
                assert_eq!(self.index.remove(node), expected, "{}", G::NAME);
            }
            8..10 => self.search(&bytes.point(), usize::from(bytes.next()), usize::from(bytes.next())),
            10 => {
                let (count, k) = (1 + usize::from(bytes.next() % 40), 1 + usize::from(bytes.next() % 20));
                self.search_batch(&bytes.points(count), k);
            }
            11 => {
                let frozen = freeze(&self.index);
                self.frozen.extend(frozen.map(|frozen| (frozen, self.oracle.clone())));
            }
            12 => {
                let packed = self.index.pack();
                let search = move |query: &[f32], k: usize| packed.search(query, k, k).unwrap();
                self.frozen.push((Box::new(search), self.oracle.clone()));
            }
            13 if !self.frozen.is_empty() => {
                let (point, which) = (bytes.point(), usize::from(bytes.next()));
                let (frozen, oracle) = &self.frozen[which % self.frozen.len()];
                if !self.zero(&point) {
                    let answer = frozen(&point, self.wide());
                    assert_eq!(answer, oracle.nearest(&point, self.wide()), "{}: frozen", G::NAME);
                }
            }
            14 if !self.frozen.is_empty() => {
                let which = usize::from(bytes.next()) % self.frozen.len();
                drop(self.frozen.swap_remove(which));
                self.index.graph().quiesce();
            }
            _ => self.refused(bytes.next()),
        }
    }

    fn insert(&mut self, point: &[f32]) {
        let full = self.nodes == self.index.config().capacity;
        match self.index.insert(point) {
            Ok(node) => {
                assert!(!full && !self.zero(point) && node.index() == self.nodes, "{}: {node}", G::NAME);
                self.nodes += 1;
                self.oracle.insert(node, point);
            }
            Err(InsertError::Vector(VectorError::Zero)) => assert!(self.zero(point), "{}", G::NAME),
            Err(InsertError::Full(_)) => assert!(full, "{}", G::NAME),
            Err(error) => panic!("{}: {error}", G::NAME),
        }
    }

    fn insert_batch(&mut self, rows: &[f32], whole: bool) {
        let count = rows.len() / DIM;
        let full = self.nodes + count > self.index.config().capacity;
        let zero = rows.chunks(DIM).position(|point| self.zero(point));
        let done = if whole { self.index.build(rows, go_on) } else { self.index.insert_batch(rows, go_on) };
        match done {
            Ok(first) => {
                assert!(!full && zero.is_none(), "{}: {first}", G::NAME);
                // An empty batch takes no node.
                assert!(count == 0 || first.index() == self.nodes, "{}: {first}", G::NAME);
                for (row, point) in rows.chunks(DIM).enumerate() {
                    self.oracle.insert(NodeId::new((self.nodes + row) as u32), point);
                }
                self.nodes += count;
            }
            Err(BatchError::Vector { row, error }) => {
                assert_eq!((Some(row), error), (zero, VectorError::Zero), "{}", G::NAME);
            }
            Err(BatchError::Full(_)) => assert!(full, "{}", G::NAME),
            Err(error) => panic!("{}: {error}", G::NAME),
        }
    }

    /// A search with any k and ef: refused as it should be, or ordered, distinct, live, and right in its distances; all of the
    /// nearest if the beam is wide.
    fn search(&mut self, point: &[f32], k: usize, ef: usize) {
        let answer = match self.index.search(point, k, ef) {
            Ok(answer) => answer,
            Err(SearchError::K(0)) => return assert_eq!(k, 0),
            Err(SearchError::Ef { .. }) => return assert!(ef < k),
            Err(SearchError::Vector(VectorError::Zero)) => return assert!(self.zero(point)),
            Err(error) => panic!("{}: {error}", G::NAME),
        };
        assert!(k > 0 && ef >= k && !self.zero(point), "{}", G::NAME);
        assert_ordered(&answer);
        assert_eq!(answer.len(), k.min(self.oracle.len()), "{}", G::NAME);
        let all = self.oracle.nearest(point, self.wide());
        if ef >= self.nodes {
            assert_eq!(answer, all[..answer.len()], "{}", G::NAME);
        }
        assert!(answer.iter().all(|neighbor| all.contains(neighbor)), "{}: {answer:?}", G::NAME);
    }

    fn search_batch(&mut self, points: &[f32], k: usize) {
        if points.chunks(DIM).any(|point| self.zero(point)) {
            let refused = Err(SearchError::Vector(VectorError::Zero));
            return assert_eq!(self.index.search_batch(points, k, k), refused, "{}", G::NAME);
        }
        let wide = self.wide().max(k);
        let answers = self.index.search_batch(points, k, wide).unwrap();
        assert_eq!(answers.len(), points.len() / DIM);
        for (point, answer) in points.chunks(DIM).zip(answers.iter()) {
            assert_eq!(answer, self.oracle.nearest(point, k), "{}", G::NAME);
        }
    }

    /// What has no meaning is refused, and changes nothing.
    fn refused(&mut self, how: u8) {
        let vector = match how % 4 {
            0 => vec![1.0; DIM + 1],
            1 => vec![f32::NAN; DIM],
            2 => vec![f32::INFINITY, 0.0, 1.0],
            _ => Vec::new(),
        };
        assert!(
            self.index.insert(&vector).is_err() && self.index.search(&vector, 1, 1).is_err(),
            "{}",
            G::NAME
        );
        let batch = self.index.insert_batch(&vector, go_on);
        assert_eq!(batch.is_ok(), vector.is_empty(), "{}", G::NAME);
        assert_eq!(self.index.node_count(), self.nodes, "{}", G::NAME);
    }
}
