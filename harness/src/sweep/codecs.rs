//! All codecs, by name.

use crate::data::Dataset;
use hnsw_core::distance::Metric;
use hnsw_core::error::ConfigError;
use hnsw_core::vectors::Codec;

/// A codec whose type is erased.
pub struct CodecInfo {
    /// The name in flags and result documents.
    pub name: &'static str,
    train: fn(usize, Metric, &[f32]) -> Result<(), ConfigError>,
}

impl CodecInfo {
    const fn of<C: Codec>() -> CodecInfo {
        CodecInfo { name: C::NAME, train: |dim, metric, sample| C::train(dim, metric, sample).map(drop) }
    }

    /// Whether it can store vectors like these.
    ///
    /// # Errors
    /// What it needs that the data or the sample have not.
    pub fn fits(&self, dataset: &Dataset, sample: &[f32]) -> Result<(), ConfigError> {
        (self.train)(dataset.dim(), dataset.metric(), sample)
    }
}

macro_rules! list {
    ($(($name:literal, $codec:ty)),+ $(,)?) => {
        /// All codecs, in the order of tables.
        pub static CODECS: &[CodecInfo] = &[$(CodecInfo::of::<$codec>()),+];
    };
}

hnsw_core::for_each_codec!(list);

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
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct_and_can_stand_in_a_list() {
        let names: BTreeSet<&str> = CODECS.iter().map(|codec| codec.name).collect();
        assert_eq!(names.len(), CODECS.len());
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains([',', ' '])), "{names:?}");
        assert!(names.contains("f32"));
    }

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
