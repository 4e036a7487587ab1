//! Where graphs fall apart (P1, P6): data and parameters with which pruning takes links that someone needs.

use crate::support::{Random, assert_whole, index, insert_racing};
use hnsw_core::distance::Metric;
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::{Index, IndexConfig};

const THREADS: usize = 8;

fn small(dim: usize, m: usize, ef_construction: usize) -> IndexConfig {
    IndexConfig { m, ef_construction, ..IndexConfig::new(dim, Metric::L2) }
}

/// Builds, checks the graph, and checks that a beam as wide as the graph meets every node.
fn build<G: Graph>(config: IndexConfig, vectors: &[Vec<f32>], what: &str) -> Index<G> {
    let index = index::<G>(config);
    insert_racing(&index, vectors, THREADS);
    assert_whole(&index, what);
    let n = vectors.len();
    assert_eq!(index.search(&vectors[n / 2], n, n).unwrap().len(), n, "{what}: all nodes are found");
    index
}

pub fn copies_of_few_vectors<G: Graph>() {
    let copies: Vec<_> = (0..5_000).map(|i| vec![(i % 3) as f32; 8]).collect();
    for m in [2, 16] {
        let index = build::<G>(small(8, m, 32), &copies, &format!("copies, M = {m}"));
        for (i, query) in copies.iter().take(3).enumerate() {
            let answer = index.search(query, 10, 5_000).unwrap();
            assert!(
                answer.iter().all(|neighbor| neighbor.distance == 0.0),
                "copies of vector {i}: {answer:?}"
            );
        }
    }
}

pub fn clusters_in_order<G: Graph>() {
    let mut random = Random(7);
    let mut vectors = Vec::new();
    for cluster in 0..20 {
        for _ in 0..100 {
            let mut vector = random.vector(8);
            vector[cluster % 8] += 100.0 * (cluster + 1) as f32;
            vectors.push(vector);
        }
    }
    build::<G>(small(8, 4, 20), &vectors, "clusters in order");
    build::<G>(small(8, 2, 4), &vectors, "clusters in order, M = 2");
}

pub fn the_smallest_m<G: Graph>() {
    let mut random = Random(8);
    let vectors: Vec<_> = (0..3_000).map(|_| random.vector(4)).collect();
    build::<G>(small(4, 2, 20), &vectors, "M = 2");
}

pub fn the_smallest_ef_construction<G: Graph>() {
    let mut random = Random(9);
    let vectors: Vec<_> = (0..3_000).map(|_| random.vector(16)).collect();
    build::<G>(small(16, 8, 1), &vectors, "ef_construction = 1");
    build::<G>(small(16, 2, 1), &vectors, "ef_construction = 1, M = 2");
}

/// All satellites are nearest to the centre and far from each other, so that each wants one link and it is to the centre.
pub fn one_centre_and_many_satellites<G: Graph>() {
    let mut random = Random(10);
    let dim = 64;
    let satellite = |random: &mut Random| {
        let vector = random.vector(dim);
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.into_iter().map(|x| x / length).collect::<Vec<_>>()
    };
    let mut vectors = vec![vec![0.0; dim]];
    vectors.extend((0..3_000).map(|_| satellite(&mut random)));
    for m in [2, 8] {
        build::<G>(small(dim, m, 20), &vectors, &format!("a hub, M = {m}"));
    }
}

/// Every insert races against others that it does not see, and some found the graph.
pub fn tiny_graphs_from_empty<G: Graph>() {
    let mut random = Random(11);
    for round in 0..300 {
        let n = 1 + round % 64;
        let (m, seed) = ([2, 3, 16][round % 3], random.next());
        let vectors: Vec<_> = (0..n).map(|_| random.vector(2)).collect();
        let config = IndexConfig { seed, ..small(2, m, 1 + round % 20) };
        build::<G>(config, &vectors, &format!("{n} nodes, M = {m}, level seed {seed}"));
    }
}
