//! All strategies, behind one interface that makes indexes.

use super::bed::{self, Bed};
use hnsw_core::error::ConfigError;
use hnsw_core::graph::{Caps, Graph};
use hnsw_core::hnsw::IndexConfig;
use std::marker::PhantomData;

/// A strategy whose type is erased. Whatever is measured runs below `Bed::hands`, with the types known.
pub trait Strategy: Sync {
    /// The name in flags and result documents.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn caps(&self) -> Caps;

    /// True if more than one thread can make progress at a time. Others are measured at one thread only.
    fn is_parallel(&self) -> bool {
        self.caps().parallel_reads || self.caps().parallel_writes
    }

    /// An empty index with rows of the codec of this name, which has seen `sample`; `None` if there is no such codec.
    ///
    /// # Errors
    /// When a parameter is out of range, or the codec cannot use the sample.
    fn index(
        &self,
        codec: &str,
        config: IndexConfig,
        sample: &[f32],
    ) -> Option<Result<Box<dyn Bed>, ConfigError>>;
}

type Make = fn(IndexConfig, &[f32]) -> Result<Box<dyn Bed>, ConfigError>;

struct Of<G>(PhantomData<fn() -> G>);

impl<G: Graph> Strategy for Of<G> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn caps(&self) -> Caps {
        G::CAPS
    }

    fn index(
        &self,
        codec: &str,
        config: IndexConfig,
        sample: &[f32],
    ) -> Option<Result<Box<dyn Bed>, ConfigError>> {
        macro_rules! makers {
            ($(($name:literal, $codec:ty)),+ $(,)?) => {
                [$(($name, bed::make::<G, $codec> as Make)),+]
            };
        }
        #[cfg(not(fuzzing))]
        let makers = hnsw_core::for_each_codec!(makers);
        // A fuzz target of this crate makes no index: one codec is enough, and the build is shorter by minutes.
        #[cfg(fuzzing)]
        let makers = makers!(("f32", hnsw_core::vectors::F32));
        let (_, make) = makers.into_iter().find(|(name, _)| *name == codec)?;
        Some(make(config, sample))
    }
}

macro_rules! list {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        /// All strategies, in the order of tables and legends.
        pub static ALL: &[&dyn Strategy] = &[$(&Of::<$graph>(PhantomData)),+];
    };
}

hnsw_strategies::for_each_strategy!(list);

/// The strategy of this name.
pub fn by_name(name: &str) -> Option<&'static dyn Strategy> {
    ALL.iter().copied().find(|strategy| strategy.name() == name)
}
