//! With ef >= n a search meets every node, so it finds what brute force finds: the same nodes, order and bits (P4, P5).

use crate::support::{METRICS, Oracle, Random, assert_ordered, index, insert_racing};
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::IndexConfig;

const N: usize = 200;

pub fn a_wide_beam_finds_what_brute_force_finds<G: Graph>() {
    for metric in METRICS {
        for (dim, m) in [(1, 2), (3, 4), (17, 8), (64, 16), (100, 3)] {
            let mut random = Random(dim as u64);
            let vectors: Vec<_> = (0..N).map(|_| random.vector(dim)).collect();
            let index = index::<G>(IndexConfig { m, ef_construction: 30, ..IndexConfig::new(dim, metric) });
            let mut oracle = Oracle::new(dim, metric);
            let nodes = insert_racing(&index, &vectors, 2);
            nodes.iter().zip(&vectors).for_each(|(node, vector)| oracle.insert(*node, vector));
            // Without a tombstone, with a third of the nodes removed, with all but a few, and with all.
            for left in [N, 2 * N / 3, 3, 0] {
                while oracle.len() > left {
                    let node = oracle.node(random.below(oracle.len()));
                    index.remove(node).unwrap();
                    oracle.remove(node);
                }
                for k in [1, 10, N] {
                    let query = random.vector(dim);
                    let answer = index.search(&query, k, N).unwrap();
                    assert_ordered(&answer);
                    assert_eq!(answer.len(), k.min(left));
                    let expected = oracle.nearest(&query, k);
                    assert_eq!(answer, expected, "{metric}, dimension {dim}, M = {m}, {left} nodes left");
                    for neighbor in answer {
                        let vector = index.vector(neighbor.node).expect("it is live");
                        let again = oracle.distance_to(&query, &vector);
                        let error = (again - neighbor.distance).abs();
                        assert!(
                            error <= 1e-6 * again.abs().max(1.0),
                            "{metric}: {neighbor:?}, again {again}"
                        );
                    }
                }
            }
        }
    }
}
