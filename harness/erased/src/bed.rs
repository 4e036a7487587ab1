//! An index behind its types.
//!
//! This is the one file that is compiled for every strategy *and* every codec, so there is little in it: each call that is
//! timed, and the loops around them. What a worker does next is told by a [`Script`], what it took goes to a [`Log`]: both are
//! asked between operations. An operation itself, which is what is timed, has no call that is not static.

use super::script::{Log, Script, Step};
use hnsw_core::error::{ConfigError, SearchError};
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{At, Contention, Edit, Graph, GraphConfig, MemoryReport, NodeId, Verdict, View};
use hnsw_core::hnsw::{Answers, Index, IndexConfig, Scratch, Stopwatch};
use hnsw_core::vectors::{Codec, F32};
use std::any::Any;
use std::ops::ControlFlow;
use std::time::Instant;

/// Told how many rows are in; breaks to stop.
pub type Progress<'a> = &'a (dyn Fn(usize) -> ControlFlow<()> + Sync);

/// An index.
pub trait Bed: Sync {
    /// A worker's access to it, with scratch of its own.
    fn hands(&self) -> Box<dyn Hands + '_>;

    /// Inserts rows one by one on the thread pool of the caller. False if `progress` broke, or rows do not fit.
    fn fill(&self, rows: &[f32], progress: Progress<'_>) -> bool;

    /// Inserts rows as one array on the thread pool of the caller, the fastest way that there is; else as [`Bed::fill`].
    fn bulk(&self, rows: &[f32], progress: Progress<'_>) -> bool;

    /// Searches on the thread pool of the caller.
    ///
    /// # Errors
    /// As [`Index::search_batch`].
    fn search_batch(&self, queries: &[f32], k: usize, ef: usize) -> Result<Answers, SearchError>;

    /// Changes level-0 lists without a change of the graph, an edit of [`EDIT`] lists each time that `go` allows it, until
    /// `go` is false. Returns how many lists it changed.
    fn churn(&self, go: &mut dyn FnMut() -> bool) -> u64;

    /// Exact bytes by category.
    fn memory(&self) -> MemoryReport;

    /// What threads have waited for and retried so far.
    fn contention(&self) -> Contention;

    /// Frees whatever is waiting to be freed.
    fn quiesce(&self);

    /// The state of the graph.
    fn health(&self) -> Health;
}

/// What one worker does with an index.
pub trait Hands {
    /// Does what the script says, to its end.
    fn work(&mut self, script: &mut dyn Script, log: &mut dyn Log);

    /// Does the inserts of the script, and adds up what each spends its time on.
    fn work_in_phases(&mut self, script: &mut dyn Script, log: &mut dyn Log, watch: &mut Stopwatch);

    /// Searches for one query: how many neighbours it found; `None` if the index refused.
    fn search(&mut self, query: &[f32], k: usize, ef: usize) -> Option<usize>;

    /// Inserts one vector; false if the index refused.
    fn insert(&mut self, vector: &[f32]) -> bool;

    /// Bytes of the scratch.
    fn scratch_bytes(&self) -> usize;
}

/// Makes an empty index whose codec has seen `sample`.
///
/// # Errors
/// When a parameter is out of range, or the codec cannot use the sample.
pub(crate) fn make<G: Graph, C: Codec>(
    config: IndexConfig,
    sample: &[f32],
) -> Result<Box<dyn Bed>, ConfigError> {
    Ok(Box::new(Index::<G, C>::trained(config, sample)?))
}

impl<G: Graph, C: Codec> Bed for Index<G, C> {
    fn hands(&self) -> Box<dyn Hands + '_> {
        Box::new(Pair { index: self, scratch: Scratch::new() })
    }

    fn fill(&self, rows: &[f32], progress: Progress<'_>) -> bool {
        self.insert_batch(rows, progress).is_ok()
    }

    fn bulk(&self, rows: &[f32], progress: Progress<'_>) -> bool {
        self.build(rows, progress).is_ok()
    }

    fn search_batch(&self, queries: &[f32], k: usize, ef: usize) -> Result<Answers, SearchError> {
        Index::search_batch(self, queries, k, ef)
    }

    fn churn(&self, go: &mut dyn FnMut() -> bool) -> u64 {
        churn(self.graph(), go)
    }

    fn memory(&self) -> MemoryReport {
        Index::memory(self)
    }

    fn contention(&self) -> Contention {
        self.graph().contention()
    }

    fn quiesce(&self) {
        self.graph().quiesce();
    }

    fn health(&self) -> Health {
        let IndexConfig { m, capacity, .. } = *self.config();
        Health::of(&self.graph().read(), &GraphConfig { m, capacity })
    }
}

/// Lists that one edit of [`Bed::churn`] changes: about as many as an insert with M = 16.
pub const EDIT: usize = 24;

/// As [`Bed::churn`]. Each change turns a list around by one place: the same links in another order, which means nothing.
fn churn<G: Graph>(graph: &G, go: &mut dyn FnMut() -> bool) -> u64 {
    let nodes = graph.read().node_count();
    let mut random = fastrand::Rng::with_seed(nodes as u64);
    let mut changed = 0;
    while go() && nodes > 0 {
        let targets: [NodeId; EDIT] = std::array::from_fn(|_| NodeId::new(random.u32(..nodes as u32)));
        let mut attempt = 0;
        loop {
            let mut edit = graph.write(attempt);
            for target in targets {
                edit.rewrite(At::base(target), |links, out| match links {
                    [] => Verdict::Keep,
                    [first, others @ ..] => {
                        out.copy_from(others);
                        out.push(*first);
                        Verdict::Replace
                    }
                });
            }
            if edit.commit().is_ok() {
                break;
            }
            attempt += 1;
        }
        changed += EDIT as u64;
    }
    changed
}

/// An index with the scratch of one worker.
struct Pair<'a, G: Graph, C: Codec> {
    index: &'a Index<G, C>,
    scratch: Scratch<C>,
}

impl<G: Graph, C: Codec> Pair<'_, G, C> {
    /// Distances and hops so far.
    fn counts(&self) -> [u64; 2] {
        [self.scratch.evaluations(), self.scratch.hops()]
    }
}

impl<G: Graph, C: Codec> Hands for Pair<'_, G, C> {
    fn work(&mut self, script: &mut dyn Script, log: &mut dyn Log) {
        while let Some(step) = script.next() {
            let (before, start) = (self.counts(), Instant::now());
            match step {
                Step::Insert(vector) => {
                    let node = self.index.insert_with(vector, &mut self.scratch);
                    let took = start.elapsed();
                    log.inserted(took, before, self.counts(), node.is_ok());
                }
                Step::Search { query, k, ef } => {
                    let found = self.index.search_with(query, k, ef, &mut self.scratch);
                    let took = start.elapsed();
                    let hits = std::hint::black_box(found).map(<[_]>::len).ok();
                    log.searched(took, before, self.counts(), hits);
                }
                Step::SearchEach { queries, count, k, ef } => {
                    let (mut found, mut short) = (0, 0);
                    let ended =
                        self.index.search_each_with(queries, k, ef, &mut self.scratch, |_, answers| {
                            found += 1;
                            short += u64::from(log.is_short(answers.len()));
                        });
                    let took = start.elapsed();
                    let found = if ended.is_ok() { found } else { 0 };
                    log.searched_each(took, before, self.counts(), [count as u64, found, short]);
                }
            }
        }
    }

    fn work_in_phases(&mut self, script: &mut dyn Script, log: &mut dyn Log, watch: &mut Stopwatch) {
        // One codec is enough to tell how the strategies differ, and saves compiling all inserts twice.
        let pair = (self.index as &dyn Any).downcast_ref::<Index<G, F32>>();
        let scratch = (&mut self.scratch as &mut dyn Any).downcast_mut::<Scratch<F32>>();
        let (Some(index), Some(scratch)) = (pair, scratch) else { return };
        while let Some(Step::Insert(vector)) = script.next() {
            let counts = |scratch: &Scratch<F32>| [scratch.evaluations(), scratch.hops()];
            let (before, start) = (counts(scratch), Instant::now());
            watch.skip();
            let node = index.insert_recorded(vector, scratch, watch);
            let took = start.elapsed();
            log.inserted(took, before, counts(scratch), node.is_ok());
        }
    }

    fn search(&mut self, query: &[f32], k: usize, ef: usize) -> Option<usize> {
        let found = self.index.search_with(query, k, ef, &mut self.scratch);
        std::hint::black_box(found).map(<[_]>::len).ok()
    }

    fn insert(&mut self, vector: &[f32]) -> bool {
        self.index.insert_with(vector, &mut self.scratch).is_ok()
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch.bytes()
    }
}
