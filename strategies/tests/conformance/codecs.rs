//! Indexes over every codec of the list: what they find, and which distances they tell. One strategy is enough, because
//! codecs know nothing of graphs.

use crate::support::{METRICS, Oracle, Random, assert_ordered, assert_whole, race, sift};
use core::ops::ControlFlow;
use hnsw_core::distance::Metric;
use hnsw_core::graph::NodeId;
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_core::vectors::{Codec, F32};
use hnsw_strategies::LockFree;

const ROWS: usize = 5_000;
const EF: usize = 64;

/// How much less than [`F32`] a codec may find with the same beam.
const TOLERANCE: f64 = 0.01;

/// Vectors to index, and queries with their ten nearest.
struct Data {
    metric: Metric,
    base: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    truth: Vec<Vec<NodeId>>,
}

impl Data {
    fn new(metric: Metric, base: Vec<Vec<f32>>, queries: Vec<Vec<f32>>) -> Data {
        let mut oracle = Oracle::new(base[0].len(), metric);
        for (i, vector) in base.iter().enumerate() {
            oracle.insert(NodeId::new(i as u32), vector);
        }
        let truth = queries.iter().map(|q| oracle.nearest(q, 10).iter().map(|n| n.node).collect()).collect();
        Data { metric, base, queries, truth }
    }

    /// Real data: whole numbers.
    fn sift() -> Data {
        Data::new(Metric::L2, sift().base[..ROWS].to_vec(), sift().queries[..200].to_vec())
    }

    /// Noise around centres, with components that no codec holds exactly.
    fn clustered(metric: Metric, dim: usize) -> Data {
        let mut random = Random(dim as u64);
        let centres: Vec<_> = (0..50).map(|_| random.vector(dim)).collect();
        let mut point = |_| {
            let centre = &centres[random.below(centres.len())];
            // The sum of a few uniform numbers has tails as measured data have.
            let mut noise = || 0.2 * (0..4).map(|_| random.unit()).sum::<f32>();
            centre.iter().map(|x| x + noise()).collect::<Vec<f32>>()
        };
        let base = (0..ROWS).map(&mut point).collect();
        Data::new(metric, base, (0..200).map(&mut point).collect())
    }

    /// The share of the ten nearest that an index of codec `C` finds. Checks the distances of a codec that refines.
    fn recall<C: Codec>(&self) -> f64 {
        let dim = self.base[0].len();
        let config = IndexConfig { ef_construction: 80, ..IndexConfig::new(dim, self.metric) };
        let rows = self.base.concat();
        let index = Index::<LockFree, C>::trained(config, &rows).unwrap();
        index.insert_batch(&rows, |_| ControlFlow::Continue(())).unwrap();
        assert_whole(&index, C::NAME);
        let oracle = Oracle::new(dim, self.metric);
        let mut hits = 0;
        for (query, truth) in self.queries.iter().zip(&self.truth) {
            let answer = index.search(query, 10, EF).unwrap();
            assert_ordered(&answer);
            assert_eq!(answer.len(), 10);
            for found in answer {
                hits += usize::from(truth.contains(&found.node));
                if C::REFINES {
                    let exact = oracle.distance_to(query, &self.base[found.node.index()]);
                    assert_eq!(found.distance.to_bits(), exact.to_bits(), "{}: {found:?}", C::NAME);
                    assert_eq!(
                        index.vector(found.node),
                        Some(oracle.stored(&self.base[found.node.index()])),
                        "{}",
                        C::NAME
                    );
                }
            }
        }
        hits as f64 / (10 * self.queries.len()) as f64
    }
}

/// How much recall a codec may lose at the same ef. One bit a component says too little of so few components to lead a
/// search well; it is made for many hundreds.
fn tolerance(name: &str) -> f64 {
    match name {
        "rabitq1+f32" => 0.12,
        "rabitq2+f32" => 0.03,
        _ => TOLERANCE,
    }
}

/// Checks that every codec that refines finds about as much as [`F32`].
fn refining_loses_nothing(data: &Data) {
    let exact = data.recall::<F32>();
    let check = |name: &str, refines: bool, recall: &dyn Fn() -> f64| {
        if refines {
            let recall = recall();
            println!("{} of {}: {name} {recall:.4}, f32 {exact:.4}", data.metric, data.base[0].len());
            assert!(recall >= exact - tolerance(name), "{name}: recall {recall}, f32 {exact}");
        }
    };
    macro_rules! check_each {
        ($(($name:literal, $codec:ty)),+ $(,)?) => {
            $(check($name, <$codec as Codec>::REFINES, &|| data.recall::<$codec>());)+
        };
    }
    hnsw_core::for_each_codec!(check_each);
}

#[test]
fn refined_answers_on_real_data_are_as_good_as_exact_ones() {
    refining_loses_nothing(&Data::sift());
}

#[test]
fn refined_answers_are_as_good_as_exact_ones_under_every_metric() {
    for (metric, dim) in METRICS.into_iter().zip([100, 64, 48]) {
        refining_loses_nothing(&Data::clustered(metric, dim));
    }
}

#[test]
fn vectors_beside_each_other_are_told_apart_by_every_codec() {
    fn check<C: Codec>() {
        let rows: Vec<f32> = (0..64).flat_map(|i| [(i % 8) as f32, (i / 8) as f32]).collect();
        let index = Index::<LockFree, C>::trained(IndexConfig::new(2, Metric::L2), &rows).unwrap();
        let nodes = race(2, |t| {
            rows.chunks(2).skip(t).step_by(2).map(|v| index.insert(v).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(nodes.concat().len(), 64);
        for vector in rows.chunks(2) {
            let nearest = index.search(vector, 1, 64).unwrap()[0];
            assert!(nearest.distance.abs() < 0.1, "{}: {nearest:?}", C::NAME);
        }
    }
    macro_rules! check_each {
        ($(($name:literal, $codec:ty)),+ $(,)?) => { $(check::<$codec>();)+ };
    }
    hnsw_core::for_each_codec!(check_each);
}
