//! Sequences worth a name: what once failed, and what is easily done wrong.

use super::calls::{Call::*, Case, DIM};
use super::check_alone;
use hnsw_core::distance::Metric;
use hnsw_core::graph::Graph;

fn case(calls: Vec<super::calls::Call>) -> Case {
    Case { metric: Metric::L2, m: 2, ef_construction: 3, seed: 1, capacity: 1 << 20, calls }
}

/// No search finds anything where all is removed, also through a copy, and what is inserted then is found.
pub fn an_index_of_tombstones_alone<G: Graph>() {
    check_alone::<G>(&case(vec![
        InsertBatch(vec![[0, 0, 0], [0, 0, 0], [1, 0, 0], [3, 2, 1], [0, 0, 0]]),
        RemoveAll,
        Search([0, 0, 0], 3),
        SearchNarrow([0, 0, 0], 1),
        SearchBatch(vec![[0, 0, 0], [1, 1, 1]], 4),
        Pack,
        SearchFrozen(0, [0, 0, 0]),
        Insert([2, 2, 2]),
        Search([0, 0, 0], 3),
        SearchNarrow([0, 0, 0], 1),
        RemoveAll,
        Search([2, 2, 2], 1),
        SearchFrozen(0, [2, 2, 2]),
    ]));
}

/// There are as many answers as there are live nodes, however many are asked for and however narrow the beam.
pub fn more_is_asked_for_than_there_is<G: Graph>() {
    check_alone::<G>(&case(vec![
        Search([0, 0, 0], 19),
        Insert([1, 2, 3]),
        Insert([1, 2, 3]),
        Insert([3, 2, 1]),
        Remove(1),
        Search([1, 2, 3], 19),
        SearchNarrow([1, 2, 3], 19),
        SearchBatch(vec![[1, 2, 3], [3, 2, 1], [0, 0, 0]], 19),
        Remove(0),
        Remove(2),
        SearchNarrow([1, 2, 3], 19),
    ]));
}

/// Under the cosine metric a vector of zeros has no direction. A batch with one in it inserts nothing and takes no id.
pub fn a_vector_of_zeros_in_a_batch<G: Graph>() {
    let zero = [0; DIM];
    for metric in [Metric::Cosine, Metric::L2, Metric::InnerProduct] {
        let calls = vec![
            InsertBatch(vec![zero]),
            InsertBatch(vec![[1, 0, 0], [0, 1, 0], zero, [0, 0, 1], zero]),
            Search([1, 1, 0], 5),
            SearchBatch(vec![[1, 1, 0], zero], 5),
            InsertBatch(Vec::new()),
            Insert([1, 0, 0]),
            InsertBatch(vec![zero, zero, zero]),
            Search([1, 1, 0], 9),
        ];
        check_alone::<G>(&Case { metric, ..case(calls) });
    }
}

/// The last id is given out; a batch that needs one more inserts nothing; a batch of nothing always fits.
pub fn the_last_id_and_no_more<G: Graph>() {
    let calls = vec![
        InsertBatch(vec![[1, 0, 0]; 3]),
        InsertBatch(vec![[0, 1, 0]; 3]),
        InsertBatch(vec![[0, 0, 1]; 2]),
        Insert([1, 1, 1]),
        InsertBatch(Vec::new()),
        Remove(0),
        Insert([1, 1, 1]),
        Build(4, 1),
        Search([1, 1, 1], 9),
    ];
    check_alone::<G>(&Case { capacity: 5, ..case(calls) });
}

/// Copies of one vector use up the anchors of all lists: what comes then is adopted, in each way of inserting.
pub fn copies_of_one_vector_by_every_way_in<G: Graph>() {
    let calls = vec![
        InsertMany(300, 7),
        InsertBatch(vec![[2, 2, 2]; 60]),
        Insert([2, 2, 2]),
        SearchNarrow([2, 2, 2], 9),
        RemoveAll,
        InsertBatch(vec![[2, 2, 2]; 9]),
        Search([2, 2, 2], 12),
    ];
    check_alone::<G>(&case(calls));
}
