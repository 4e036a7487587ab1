//! All codecs, by name.

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

    /// Whether it can store vectors of this dimension and metric of which these are some.
    ///
    /// # Errors
    /// What it needs that the data or the sample have not.
    pub fn fits(&self, dim: usize, metric: Metric, sample: &[f32]) -> Result<(), ConfigError> {
        (self.train)(dim, metric, sample)
    }
}

macro_rules! list {
    ($(($name:literal, $codec:ty)),+ $(,)?) => {
        /// All codecs, in the order of tables.
        pub static CODECS: &[CodecInfo] = &[$(CodecInfo::of::<$codec>()),+];
    };
}

hnsw_core::for_each_codec!(list);
