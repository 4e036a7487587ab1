//! What the properties share: random numbers, real data, brute force, and the check of a whole graph.

use hnsw_core::distance::Metric;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Graph, GraphConfig, LinkBuf, NodeId, NodeState, View};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::sync::thread;
use hnsw_core::vectors::{Codec, F32, Line};
use std::sync::{Barrier, OnceLock};

pub const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// How many seeds to try.
pub fn seeds() -> u64 {
    match std::env::var("HNSW_SEEDS") {
        Ok(seeds) => seeds.parse().expect("HNSW_SEEDS is a number of seeds"),
        Err(_) => 2,
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From -1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.unit()).collect()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|i| items.swap(i, self.below(i + 1)));
    }
}

/// The embedded data set: rows of 128 integers from 0 to 255.
pub struct Sift {
    pub base: Vec<Vec<f32>>,
    pub queries: Vec<Vec<f32>>,
    /// The exact nearest rows of the base for each query, nearest first.
    pub truth: Vec<Vec<u32>>,
}

pub fn sift() -> &'static Sift {
    static SIFT: OnceLock<Sift> = OnceLock::new();
    /// The rows of a `vecs` file: a count, then as many elements of `size` bytes.
    fn rows<T>(file: &'static [u8], size: usize, element: impl Fn(&[u8]) -> T + Copy) -> Vec<Vec<T>> {
        let (mut rest, mut rows) = (file, Vec::new());
        while let Some((count, tail)) = rest.split_first_chunk::<4>() {
            let (row, tail) = tail.split_at(u32::from_le_bytes(*count) as usize * size);
            rows.push(row.chunks_exact(size).map(element).collect());
            rest = tail;
        }
        rows
    }
    SIFT.get_or_init(|| Sift {
        base: rows(include_bytes!("../../../harness/data/sift10k/base.bvecs"), 1, |b| f32::from(b[0])),
        queries: rows(include_bytes!("../../../harness/data/sift10k/query.bvecs"), 1, |b| f32::from(b[0])),
        truth: rows(include_bytes!("../../../harness/data/sift10k/gt.ivecs"), 4, |b| {
            u32::from_le_bytes([b[0], b[1], b[2], b[3]])
        }),
    })
}

/// Brute force over the same rows and the same kernels, so that its distances are equal bit for bit.
#[derive(Clone)]
pub struct Oracle {
    codec: F32,
    rows: Vec<(NodeId, Vec<Line>)>,
}

impl Oracle {
    pub fn new(dim: usize, metric: Metric) -> Self {
        Oracle { codec: F32::new(dim, metric).unwrap(), rows: Vec::new() }
    }

    pub fn insert(&mut self, node: NodeId, vector: &[f32]) {
        self.rows.push((node, self.encode(vector)));
    }

    /// False if the node is not there.
    pub fn remove(&mut self, node: NodeId) -> bool {
        let at = self.rows.iter().position(|(n, _)| *n == node);
        at.inspect(|&at| drop(self.rows.swap_remove(at))).is_some()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The `i`-th of the nodes that are there, in no particular order.
    pub fn node(&self, i: usize) -> NodeId {
        self.rows[i].0
    }

    fn encode(&self, vector: &[f32]) -> Vec<Line> {
        let mut row = vec![Line([0.0; 16]); self.codec.lines()];
        self.codec.encode(vector, &mut row, &mut []);
        row
    }

    /// The vector as an index gives it back.
    pub fn stored(&self, vector: &[f32]) -> Vec<f32> {
        self.codec.decode(&self.encode(vector), &[])
    }

    /// The distance of `vector`, as a row, from the query.
    pub fn distance_to(&self, query: &[f32], vector: &[f32]) -> f32 {
        self.distance(query, &self.encode(vector))
    }

    fn distance(&self, query: &[f32], row: &[Line]) -> f32 {
        let mut prepared = self.codec.query();
        self.codec.prepare(query, &mut prepared);
        let mut distance = [f32::NAN];
        // SAFETY: the row was written by this codec and the query prepared by it.
        unsafe { self.codec.distances(&prepared, &[row.as_ptr()], &mut distance) };
        distance[0]
    }

    /// The `k` nearest, nearest first, and by node if they are equally near.
    pub fn nearest(&self, query: &[f32], k: usize) -> Vec<Neighbor> {
        let mut all: Vec<Neighbor> = self
            .rows
            .iter()
            .map(|(node, row)| Neighbor { node: *node, distance: self.distance(query, row) })
            .collect();
        all.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.node.cmp(&b.node)));
        all.truncate(k);
        all
    }
}

/// Runs `body(thread)` on `threads` threads at once and returns what they returned.
pub fn race<R: Send>(threads: usize, body: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let (body, start) = (&body, &Barrier::new(threads));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|t| {
                scope.spawn(move || {
                    start.wait();
                    body(t)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

pub fn index<G: Graph>(config: IndexConfig) -> Index<G> {
    Index::new(config).unwrap()
}

/// Inserts the vectors on `threads` threads, each every `threads`-th one. Returns the node of each vector.
pub fn insert_racing<G: Graph, C: Codec>(
    index: &Index<G, C>,
    vectors: &[Vec<f32>],
    threads: usize,
) -> Vec<NodeId> {
    let mut nodes = vec![None; vectors.len()];
    let parts = race(threads, |t| {
        let mine = (t..vectors.len()).step_by(threads);
        mine.map(|i| (i, index.insert(&vectors[i]).unwrap())).collect::<Vec<_>>()
    });
    parts.into_iter().flatten().for_each(|(i, node)| nodes[i] = Some(node));
    nodes.into_iter().map(Option::unwrap).collect()
}

/// Contract P1 and P6 for a quiet index, and what is promised beyond: from every node a path leads to every other.
pub fn assert_whole<G: Graph, C: Codec>(index: &Index<G, C>, what: &str) {
    let config = GraphConfig { m: index.config().m, capacity: index.config().capacity };
    let view = index.graph().read();
    let health = Health::of(&view, &config);
    assert!(health.faults.is_empty(), "{what}: {:#?}", health.faults);
    assert_eq!((health.unreachable, health.zero_in_degree), (0, 0), "{what}: {health:?}");
    assert!(health.max_degree <= config.cap(0), "{what}");
    let stranded = stranded(&view);
    assert!(stranded.is_empty(), "{what}: no way from or to {stranded:?}");
    let top = nodes(&view).map(|node| view.level(node)).max();
    let entry = view.entry();
    assert_eq!(entry.map(|entry| entry.level), top, "{what}: the entry point is on the top level");
    assert_eq!(entry.map(|entry| view.level(entry.node)), top, "{what}");
}

/// The nodes that were published, removed ones included.
fn nodes(view: &impl View) -> impl Iterator<Item = NodeId> {
    let published = |node: &NodeId| matches!(view.state(*node), NodeState::Live | NodeState::Tombstone);
    (0..view.node_count() as u32).map(NodeId::new).filter(published)
}

/// The nodes from which the entry point cannot be reached on level 0, or that cannot be reached from it.
pub fn stranded(view: &impl View) -> Vec<NodeId> {
    let Some(entry) = view.entry() else { return nodes(view).collect() };
    let count = view.node_count();
    let (mut forward, mut backward) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    let mut links = LinkBuf::new();
    for node in nodes(view) {
        for link in view.links(At::base(node), &mut links) {
            forward[node.index()].push(link.node());
            backward[link.node().index()].push(node);
        }
    }
    let reach = |edges: &[Vec<NodeId>]| {
        let (mut reached, mut queue) = (vec![false; count], vec![entry.node]);
        reached[entry.node.index()] = true;
        while let Some(node) = queue.pop() {
            for to in &edges[node.index()] {
                if !core::mem::replace(&mut reached[to.index()], true) {
                    queue.push(*to);
                }
            }
        }
        reached
    };
    let (from, to) = (reach(&forward), reach(&backward));
    nodes(view).filter(|node| !from[node.index()] || !to[node.index()]).collect()
}

/// Contract P5 for one answer: nearest first, no node twice.
pub fn assert_ordered(answer: &[Neighbor]) {
    assert!(answer.is_sorted_by(|a, b| a.distance <= b.distance), "{answer:?}");
    let mut nodes: Vec<_> = answer.iter().map(|n| n.node).collect();
    nodes.sort_unstable();
    assert!(nodes.windows(2).all(|pair| pair[0] != pair[1]), "a node twice in {answer:?}");
}
