//! The rungs: what each adds to the one before it, and nothing else.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use hnsw_core::error::{BatchError, ConfigError};
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::{Answers, Index, IndexConfig, Scratch};
use hnsw_core::vectors::{Codec, F32, Reranked, Sq8};
use hnsw_strategies::{Fine, LockFree, Sequential};

use super::naive::{Measure, Scalar, Simd, Textbook};
use crate::sweep::Progress;

/// A step of the ladder.
pub(super) struct Rung {
    /// In flags, tables and documents.
    pub(super) name: &'static str,
    /// Beside the rung before it.
    pub(super) adds: &'static str,
    pub(super) make: Make,
}

/// Makes an empty index whose codec has seen a sample, and says how it is used.
#[derive(Clone, Copy)]
pub(super) enum Make {
    /// A call for each insert and each search.
    Calls(fn(IndexConfig) -> Result<Box<dyn Called>, ConfigError>),
    /// The rows and the queries are split into as many parts as there are threads, and each thread makes a call for its part.
    Parts(MakeBatched),
    /// One call for all; threads take work from each other.
    Stealing(MakeBatched),
}

type MakeBatched = fn(IndexConfig, &[f32]) -> Result<Box<dyn Batched>, ConfigError>;

/// All rungs, from the ground up.
pub(super) static RUNGS: [Rung; 8] = [
    Rung {
        name: "naive",
        adds: "one mutex, scalar distances, nested vectors, heaps, a hash set",
        make: Make::Calls(textbook::<Scalar>),
    },
    Rung { name: "simd", adds: "SIMD distances", make: Make::Calls(textbook::<Simd>) },
    Rung {
        name: "layout",
        adds: "flat rows and lists, a sorted pool, marks instead of a set, memory fetched ahead (`sequential`)",
        make: Make::Calls(called::<Sequential>),
    },
    Rung { name: "fine", adds: "a lock for each list (`fine`)", make: Make::Calls(called::<Fine>) },
    Rung {
        name: "batch",
        adds: "a call for each thread's part of an array",
        make: Make::Parts(batched::<Fine, F32>),
    },
    Rung {
        name: "lockfree",
        adds: "immutable lists and compare-and-swap (`lockfree`)",
        make: Make::Parts(batched::<LockFree, F32>),
    },
    Rung {
        name: "stealing",
        adds: "one call for all threads, which take work from each other",
        make: Make::Stealing(batched::<LockFree, F32>),
    },
    Rung {
        name: "quantised",
        adds: "bytes for the traversal, floats for the last candidates (`sq8+f32`)",
        make: Make::Stealing(batched::<LockFree, Reranked<Sq8>>),
    },
];

/// The rungs of these names, from the ground up.
pub(super) fn named(names: &[String]) -> Result<Vec<&'static Rung>> {
    let known = || RUNGS.iter().map(|rung| rung.name);
    if let Some(name) = names.iter().find(|name| *name != "all" && !known().any(|known| known == *name)) {
        bail!("--rungs has `{name}`; there are {} and all", known().collect::<Vec<_>>().join(", "));
    }
    let asked = |rung: &&Rung| names.iter().any(|name| name == "all" || name == rung.name);
    Ok(RUNGS.iter().filter(asked).collect())
}

/// An index that is called for each operation. The virtual call costs nothing beside the operation.
pub(super) trait Called: Sync {
    /// A worker's access to it.
    fn hands(&self) -> Box<dyn Hands + '_>;
}

/// What one worker does with an index.
pub(super) trait Hands {
    fn insert(&mut self, vector: &[f32]) -> Result<()>;
    /// Puts the distances of the answers into `found`, nearest first.
    fn search(&mut self, query: &[f32], beam: (usize, usize), found: &mut Vec<f32>) -> Result<()>;
}

/// An index that is called for many operations at once, on the thread pool of the caller.
pub(super) trait Batched: Sync {
    /// False if `stop` was set.
    fn insert(&self, rows: &[f32], stop: &AtomicBool) -> Result<bool>;
    fn search(&self, queries: &[f32], beam: (usize, usize)) -> Result<Answers>;
}

fn textbook<D: Measure>(config: IndexConfig) -> Result<Box<dyn Called>, ConfigError> {
    Ok(Box::new(Mutex::new(Textbook::<D>::new(&config)?)))
}

fn called<G: Graph>(config: IndexConfig) -> Result<Box<dyn Called>, ConfigError> {
    Ok(Box::new(Index::<G, F32>::new(config)?))
}

fn batched<G: Graph, C: Codec>(config: IndexConfig, sample: &[f32]) -> Result<Box<dyn Batched>, ConfigError> {
    Ok(Box::new(Index::<G, C>::trained(config, sample)?))
}

impl<D: Measure> Called for Mutex<Textbook<D>> {
    fn hands(&self) -> Box<dyn Hands + '_> {
        Box::new(self)
    }
}

impl<D: Measure> Hands for &Mutex<Textbook<D>> {
    fn insert(&mut self, vector: &[f32]) -> Result<()> {
        self.lock().unwrap_or_else(PoisonError::into_inner).insert(vector);
        Ok(())
    }

    fn search(&mut self, query: &[f32], (k, ef): (usize, usize), found: &mut Vec<f32>) -> Result<()> {
        let answers = self.lock().unwrap_or_else(PoisonError::into_inner).search(query, k, ef);
        found.clear();
        found.extend(answers.iter().map(|near| near.distance));
        Ok(())
    }
}

impl<G: Graph> Called for Index<G, F32> {
    fn hands(&self) -> Box<dyn Hands + '_> {
        Box::new((self, Scratch::new()))
    }
}

impl<G: Graph> Hands for (&Index<G, F32>, Scratch<F32>) {
    fn insert(&mut self, vector: &[f32]) -> Result<()> {
        self.0.insert_with(vector, &mut self.1)?;
        Ok(())
    }

    fn search(&mut self, query: &[f32], (k, ef): (usize, usize), found: &mut Vec<f32>) -> Result<()> {
        let answers = self.0.search_with(query, k, ef, &mut self.1)?;
        found.clear();
        found.extend(answers.iter().map(|neighbor| neighbor.distance));
        Ok(())
    }
}

impl<G: Graph, C: Codec> Batched for Index<G, C> {
    fn insert(&self, rows: &[f32], stop: &AtomicBool) -> Result<bool> {
        // By reference, as a sweep does it, so that one form of the function is compiled for both.
        let progress: Progress<'_> = &|_| {
            // Relaxed [rungs-stop]: a wish; nothing is read because of it.
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match self.insert_batch(rows, progress) {
            Ok(_) => Ok(true),
            Err(BatchError::Stopped { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn search(&self, queries: &[f32], (k, ef): (usize, usize)) -> Result<Answers> {
        Ok(self.search_batch(queries, k, ef)?)
    }
}
