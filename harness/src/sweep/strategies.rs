//! All strategies, behind one interface that is called once per session.

use super::Outcome;
use super::session::{Bench, session};
use crate::record::{Key, Row};
use hnsw_core::graph::{Caps, Graph};
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// A strategy whose type is erased. Whatever is measured runs below [`Strategy::session`], with the type known.
pub trait Strategy: Sync {
    /// The name in flags and result documents.
    fn name(&self) -> &'static str;

    /// What it promises.
    fn caps(&self) -> Caps;

    /// True if more than one thread can make progress at a time. Others are measured at one thread only.
    fn is_parallel(&self) -> bool {
        self.caps().parallel_reads || self.caps().parallel_writes
    }

    /// Measures the rows `wanted` and hands each to `push`, which returns false to stop.
    fn session(
        &self,
        bench: &Bench<'_>,
        threads: usize,
        block: usize,
        wanted: &BTreeSet<Key>,
        push: &mut dyn FnMut(Row) -> bool,
    ) -> Outcome;
}

struct Of<G>(PhantomData<fn() -> G>);

impl<G: Graph> Strategy for Of<G> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn caps(&self) -> Caps {
        G::CAPS
    }

    fn session(
        &self,
        bench: &Bench<'_>,
        threads: usize,
        block: usize,
        wanted: &BTreeSet<Key>,
        push: &mut dyn FnMut(Row) -> bool,
    ) -> Outcome {
        session::<G>(bench, threads, block, wanted, push)
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
