//! Rows for codecs to learn from.

use crate::data::Dataset;

/// The most rows that a codec learns from.
const SAMPLE_ROWS: usize = 10_000;

/// Rows for codecs to learn from: all of the base if they are few, else some that are spread evenly over it.
pub fn sample(dataset: &Dataset) -> Vec<f32> {
    let rows = dataset.len().min(SAMPLE_ROWS);
    (0..rows).flat_map(|i| dataset.row(i * dataset.len() / rows)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generate::{Shape, uniform};

    #[test]
    fn a_sample_is_spread_over_the_base() {
        let set = |rows| uniform(&Shape { rows, dim: 2, queries: 1, seed: 3 }).unwrap();
        let small = set(100);
        assert_eq!(sample(&small), small.base());
        let large = set(3 * SAMPLE_ROWS);
        let rows = sample(&large);
        assert_eq!(rows.len(), 2 * SAMPLE_ROWS);
        assert_eq!(
            (&rows[..2], &rows[2 * SAMPLE_ROWS - 2..]),
            (large.row(0), large.row(3 * SAMPLE_ROWS - 3))
        );
    }
}
