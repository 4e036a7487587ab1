//! HNSW as its paper tells it, without any care for the machine: where the ladder begins.
//!
//! Algorithms 1, 2, 4 and 5 of the HNSW paper, to the letter: a vector of vectors of vectors for adjacency, a row of its own for each
//! vector, two binary heaps and a hash set for each search of a level. It is meant to be what a careful programmer writes first,
//! so nothing is done slowly on purpose: heaps are bounded by ef, lists are pruned by the same heuristic as ours, and there is no copy
//! that could be left out. What it lacks beside ours is listed by the rungs above it, and one thing more: nothing keeps
//! pruning from cutting a node off.
//!
//! How distances are computed is a type parameter: [`Scalar`] for the first rung, [`Simd`] for the second.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};

use hnsw_core::distance::Metric;
use hnsw_core::error::ConfigError;
use hnsw_core::graph::MAX_LEVEL;
use hnsw_core::hnsw::IndexConfig;
use hnsw_core::vectors::{Codec, F32, Line};

/// How vectors are kept and compared.
pub(super) trait Measure: Send + Sync + Sized + 'static {
    type Row: Send + Sync + 'static;

    fn new(dim: usize, metric: Metric) -> Result<Self, ConfigError>;
    fn row(&self, vector: &[f32]) -> Self::Row;
    fn distance(&self, a: &Self::Row, b: &Self::Row) -> f32;
}

/// One component after another. The compiler may not reorder the sum, so it uses no SIMD.
pub(super) struct Scalar(Metric);

impl Measure for Scalar {
    type Row = Vec<f32>;

    fn new(_dim: usize, metric: Metric) -> Result<Scalar, ConfigError> {
        Ok(Scalar(metric))
    }

    fn row(&self, vector: &[f32]) -> Vec<f32> {
        match self.0 {
            Metric::L2 | Metric::InnerProduct => vector.to_vec(),
            Metric::Cosine => {
                let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                vector.iter().map(|x| (f64::from(*x) / norm) as f32).collect()
            }
        }
    }

    fn distance(&self, a: &Vec<f32>, b: &Vec<f32>) -> f32 {
        let pairs = a.iter().zip(b);
        match self.0 {
            Metric::L2 => pairs.map(|(x, y)| (x - y) * (x - y)).sum(),
            Metric::InnerProduct => -pairs.map(|(x, y)| x * y).sum::<f32>(),
            Metric::Cosine => 1.0 - pairs.map(|(x, y)| x * y).sum::<f32>(),
        }
    }
}

/// The kernels that all strategies share, called for one pair of rows at a time.
pub(super) struct Simd(F32);

impl Measure for Simd {
    type Row = Vec<Line>;

    fn new(dim: usize, metric: Metric) -> Result<Simd, ConfigError> {
        F32::new(dim, metric).map(Simd)
    }

    fn row(&self, vector: &[f32]) -> Vec<Line> {
        let mut row = vec![Line([0.0; 16]); self.0.lines()];
        self.0.encode(vector, &mut row, &mut []);
        row
    }

    fn distance(&self, a: &Vec<Line>, b: &Vec<Line>) -> f32 {
        let kernels = self.0.kernels();
        assert!(a.len() == self.0.lines() && b.len() == self.0.lines(), "rows of another dimension");
        // SAFETY: both rows have as many lines as the kernels read (asserted), are aligned as lines are, and borrowed.
        unsafe { kernels.one(a.as_ptr().cast(), b.as_ptr().cast(), kernels.padded()) }
    }
}

/// A node and its distance from what is searched for; ordered by distance, then by node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Near {
    pub(super) distance: f32,
    pub(super) node: u32,
}

impl Eq for Near {}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Near) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Near) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.node.cmp(&other.node))
    }
}

/// The index; see [the module](self).
pub(super) struct Textbook<D: Measure> {
    measure: D,
    m: usize,
    ef_construction: usize,
    random: fastrand::Rng,
    rows: Vec<D::Row>,
    /// By node, then by level.
    lists: Vec<Vec<Vec<u32>>>,
    /// A node of the highest level.
    entry: Option<u32>,
}

impl<D: Measure> Textbook<D> {
    pub(super) fn new(config: &IndexConfig) -> Result<Self, ConfigError> {
        Ok(Textbook {
            measure: D::new(config.dim, config.metric)?,
            m: config.m,
            ef_construction: config.ef_construction,
            random: fastrand::Rng::with_seed(config.seed),
            rows: Vec::new(),
            lists: Vec::new(),
            entry: None,
        })
    }

    /// Algorithm 1. Returns the node: they are numbered in order from 0.
    pub(super) fn insert(&mut self, vector: &[f32]) -> u32 {
        let (node, level) = (self.rows.len() as u32, self.draw_level());
        self.rows.push(self.measure.row(vector));
        self.lists.push(vec![Vec::new(); level + 1]);
        let Some(entry) = self.entry else {
            self.entry = Some(node);
            return node;
        };
        let top = self.level_of(entry);
        let mut nearest = vec![self.near(&self.rows[node as usize], entry)];
        for level in (level + 1..=top).rev() {
            nearest = self.search_level(&self.rows[node as usize], &nearest, 1, level);
        }
        for level in (0..=level.min(top)).rev() {
            nearest = self.search_level(&self.rows[node as usize], &nearest, self.ef_construction, level);
            let chosen = self.choose(&nearest, self.m);
            self.lists[node as usize][level] = chosen.iter().map(|near| near.node).collect();
            for near in chosen {
                self.link_back(near.node, node, level);
            }
        }
        if level > top {
            self.entry = Some(node);
        }
        node
    }

    /// Algorithm 5: the `k` nearest that a search with a beam of `ef` finds, nearest first.
    pub(super) fn search(&self, vector: &[f32], k: usize, ef: usize) -> Vec<Near> {
        let Some(entry) = self.entry else { return Vec::new() };
        let query = self.measure.row(vector);
        let mut nearest = vec![self.near(&query, entry)];
        for level in (1..=self.level_of(entry)).rev() {
            nearest = self.search_level(&query, &nearest, 1, level);
        }
        nearest = self.search_level(&query, &nearest, ef, 0);
        nearest.truncate(k);
        nearest
    }

    /// Algorithm 2: the `ef` nearest of a level that are found from `starts`, nearest first.
    fn search_level(&self, query: &D::Row, starts: &[Near], ef: usize, level: usize) -> Vec<Near> {
        let mut visited: HashSet<u32> = starts.iter().map(|near| near.node).collect();
        let mut candidates: BinaryHeap<Reverse<Near>> = starts.iter().copied().map(Reverse).collect();
        let mut found: BinaryHeap<Near> = starts.iter().copied().collect();
        while let Some(Reverse(candidate)) = candidates.pop() {
            if found.len() >= ef && found.peek().is_some_and(|farthest| candidate > *farthest) {
                break;
            }
            for &node in &self.lists[candidate.node as usize][level] {
                if !visited.insert(node) {
                    continue;
                }
                let near = self.near(query, node);
                if found.len() < ef || found.peek().is_some_and(|farthest| near < *farthest) {
                    candidates.push(Reverse(near));
                    found.push(near);
                    if found.len() > ef {
                        found.pop();
                    }
                }
            }
        }
        found.into_sorted_vec()
    }

    /// Algorithm 4: of candidates, nearest first, up to `limit` that are nearer to the base than to any that was chosen.
    fn choose(&self, candidates: &[Near], limit: usize) -> Vec<Near> {
        let mut chosen: Vec<Near> = Vec::with_capacity(limit);
        for candidate in candidates {
            if chosen.len() == limit {
                break;
            }
            let row = &self.rows[candidate.node as usize];
            if chosen.iter().all(|other| self.near(row, other.node).distance >= candidate.distance) {
                chosen.push(*candidate);
            }
        }
        chosen
    }

    /// Adds `node` to the list of `owner`, which is pruned if it grows too long.
    fn link_back(&mut self, owner: u32, node: u32, level: usize) {
        let list = &mut self.lists[owner as usize][level];
        list.push(node);
        let cap = if level == 0 { 2 * self.m } else { self.m };
        if list.len() > cap {
            let list = &self.lists[owner as usize][level];
            let base = &self.rows[owner as usize];
            let mut candidates: Vec<Near> = list.iter().map(|node| self.near(base, *node)).collect();
            candidates.sort_unstable();
            let kept = self.choose(&candidates, cap);
            self.lists[owner as usize][level] = kept.iter().map(|near| near.node).collect();
        }
    }

    fn near(&self, query: &D::Row, node: u32) -> Near {
        Near { distance: self.measure.distance(query, &self.rows[node as usize]), node }
    }

    fn level_of(&self, node: u32) -> usize {
        self.lists[node as usize].len() - 1
    }

    /// One node in M reaches each next level.
    fn draw_level(&mut self) -> usize {
        let uniform = 1.0 - self.random.f64();
        ((-uniform.ln() / (self.m as f64).ln()) as usize).min(usize::from(MAX_LEVEL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generate::{Shape, uniform};
    use crate::data::{Dataset, Watch, embedded};
    use proptest::prelude::*;

    fn built<D: Measure>(set: &Dataset, rows: usize) -> Textbook<D> {
        let config = IndexConfig { m: 8, ef_construction: 60, ..IndexConfig::new(set.dim(), set.metric()) };
        let mut index = Textbook::<D>::new(&config).unwrap();
        (0..rows).for_each(|row| assert_eq!(index.insert(set.row(row)), row as u32));
        index
    }

    fn set(rows: usize) -> Dataset {
        let mut set = uniform(&Shape { rows, dim: 12, queries: 100, seed: 5 }).unwrap();
        set.ensure_truth(10, None, Watch::none()).unwrap();
        set
    }

    fn recall<D: Measure>(index: &Textbook<D>, set: &Dataset, ef: usize) -> f64 {
        let truth = set.truth().unwrap();
        let of = |query: usize| {
            let found = index.search(set.query(query), 10, ef);
            truth.recall(query, 10, found.iter().map(|near| near.distance))
        };
        (0..set.query_count()).map(of).sum::<f64>() / set.query_count() as f64
    }

    #[test]
    fn it_finds_what_is_there() {
        let set = set(1_500);
        assert!(recall(&built::<Scalar>(&set, 1_500), &set, 100) > 0.97);
        assert!(recall(&built::<Simd>(&set, 1_500), &set, 100) > 0.97);
    }

    #[test]
    fn a_beam_as_wide_as_the_set_finds_nearly_all() {
        let set = set(400);
        let index = built::<Scalar>(&set, 400);
        for query in 0..20 {
            let found = index.search(set.query(query), 400, 400);
            assert!(found.len() > 395, "{} of 400 were reached", found.len());
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
        }
    }

    #[test]
    fn lists_are_as_long_as_they_may_be_and_name_no_node_twice() {
        let set = set(1_000);
        let index = built::<Simd>(&set, 1_000);
        for (node, levels) in index.lists.iter().enumerate() {
            for (level, list) in levels.iter().enumerate() {
                let distinct: HashSet<&u32> = list.iter().collect();
                assert!(list.len() <= if level == 0 { 16 } else { 8 } && distinct.len() == list.len());
                assert!(!distinct.contains(&(node as u32)));
                assert!(list.iter().all(|other| index.level_of(*other) >= level));
            }
        }
    }

    #[test]
    fn an_empty_index_finds_nothing_and_a_node_finds_itself() {
        let set = embedded();
        assert_eq!(built::<Scalar>(&set, 0).search(set.query(0), 10, 10), []);
        let index = built::<Scalar>(&set, 300);
        let itself = |row: usize| index.search(set.row(row), 1, 50)[0];
        assert!((0..300).filter(|row| itself(*row).distance == 0.0).count() > 295);
    }

    proptest! {
        #[test]
        fn kernels_and_plain_sums_agree(
            a in prop::collection::vec(-9.0f32..9.0, 21),
            b in prop::collection::vec(-9.0f32..9.0, 21),
        ) {
            for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
                let (scalar, simd) = (Scalar::new(21, metric).unwrap(), Simd::new(21, metric).unwrap());
                let plain = scalar.distance(&scalar.row(&a), &scalar.row(&b));
                let fast = simd.distance(&simd.row(&a), &simd.row(&b));
                prop_assert!((plain - fast).abs() <= 1e-5 * plain.abs().max(1000.0), "{metric}: {plain}, {fast}");
            }
        }
    }
}
