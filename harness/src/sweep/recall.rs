//! How much of the truth an index finds.

use crate::data::Dataset;
use hnsw_erased::Bed;

/// Mean recall@k over all queries of an index that holds all rows, scored by distance; 0 without exact neighbours.
pub fn recall(index: &dyn Bed, dataset: &Dataset, k: usize, ef: usize) -> f64 {
    let (Some(truth), Ok(answers)) = (dataset.truth(), index.search_batch(dataset.queries(), k, ef)) else {
        return 0.0;
    };
    let scores = answers
        .iter()
        .enumerate()
        .map(|(query, neighbors)| truth.recall(query, k, neighbors.iter().map(|neighbor| neighbor.distance)));
    scores.sum::<f64>() / dataset.query_count() as f64
}
