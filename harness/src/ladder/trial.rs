//! One rung at one thread count: a build from nothing, searches in a window, and what the answers are worth.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hnsw_core::hnsw::IndexConfig;
use rayon::ThreadPool;

use super::rungs::{Batched, Called, Make};
use crate::data::Dataset;
use crate::sweep::{pool, workers};

/// Rows that one thread inserts before the others join in: as many as the index itself inserts one by one when it is empty and gets a
/// batch, because points that are inserted at the same time do not see each other.
const START: usize = 256;
/// Searches of a worker before the window opens.
const WARM_UP: usize = 64;

/// What is done.
pub(super) struct Shape<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) config: IndexConfig,
    /// What codecs learn from.
    pub(super) sample: &'a [f32],
    /// Where threads run.
    pub(super) cpus: Vec<Option<usize>>,
    pub(super) k: usize,
    pub(super) ef: usize,
    pub(super) window: Duration,
    pub(super) stop: &'a AtomicBool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) inserts_per_second: f64,
    pub(super) queries_per_second: f64,
    pub(super) recall: f64,
    /// Why threads were not pinned, if they should have been.
    pub(super) unpinned: Option<String>,
}

/// Measures a rung; `None` if the user wants to stop.
pub(super) fn run(make: Make, shape: &Shape<'_>) -> Result<Option<Measured>> {
    match make {
        Make::Calls(make) => calls(make(shape.config)?.as_ref(), shape),
        Make::Parts(make) => batches(make(shape.config, shape.sample)?.as_ref(), shape, Split::Parts),
        Make::Stealing(make) => batches(make(shape.config, shape.sample)?.as_ref(), shape, Split::Stealing),
    }
}

fn calls(index: &dyn Called, shape: &Shape<'_>) -> Result<Option<Measured>> {
    let (dataset, beam) = (shape.dataset, (shape.k, shape.ef));
    let next = AtomicUsize::new(0);
    let build = workers::run(
        &shape.cpus,
        None,
        shape.stop,
        || (),
        |_| index.hands(),
        |turn, mut hands| -> Result<()> {
            while !turn.is_over() {
                // Relaxed [ladder-row]: hands out numbers; the rows themselves never change.
                let row = next.fetch_add(1, Ordering::Relaxed);
                if row >= dataset.len() {
                    break;
                }
                hands.insert(dataset.row(row)).context("an insert was refused")?;
            }
            Ok(())
        },
    );
    build.results.into_iter().collect::<Result<()>>()?;
    if build.interrupted {
        return Ok(None);
    }
    let (queries, workers) = (dataset.query_count(), shape.cpus.len());
    let search = workers::run(
        &shape.cpus,
        Some(shape.window),
        shape.stop,
        || (),
        |worker| {
            // In vain: scratch gets its size, and code and lists come into the caches.
            let (mut hands, mut found) = (index.hands(), Vec::new());
            let warm = (0..WARM_UP)
                .map(|query| dataset.query((worker + query) % queries))
                .try_for_each(|query| hands.search(query, beam, &mut found));
            warm.map(|()| hands)
        },
        |turn, hands| -> Result<usize> {
            let (mut done, mut found, mut hands) = (0, Vec::new(), hands?);
            loop {
                // Workers begin at places of their own.
                let query = (turn.worker * queries / workers + done) % queries;
                hands.search(dataset.query(query), beam, &mut found).context("a search was refused")?;
                done += 1;
                if turn.is_over() {
                    return Ok(done);
                }
            }
        },
    );
    let done = search.results.into_iter().sum::<Result<usize>>()?;
    if search.interrupted {
        return Ok(None);
    }
    let (mut hands, mut found) = (index.hands(), Vec::new());
    let recall = mean_recall(dataset, shape.k, |query, recall| {
        hands.search(dataset.query(query), beam, &mut found)?;
        Ok(recall(&found))
    })?;
    Ok(Some(Measured {
        inserts_per_second: dataset.len() as f64 / build.seconds,
        queries_per_second: done as f64 / search.seconds,
        recall,
        unpinned: build.unpinned.or(search.unpinned),
    }))
}

/// How the work of a call is shared out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Split {
    /// Beforehand, in equal parts.
    Parts,
    /// As it goes.
    Stealing,
}

/// The threads of a trial with batches.
struct Crew {
    /// One pool of all threads, or a pool of one for each.
    pools: Vec<ThreadPool>,
}

impl Crew {
    /// Calls `work` once on each pool, with its part of `rows`, at the same time; what it returned, in the order of the parts.
    fn each<'r, T: Send>(
        &self,
        rows: &'r [f32],
        dim: usize,
        work: &(dyn Fn(&'r [f32]) -> Result<T> + Sync),
    ) -> Result<Vec<T>> {
        let (count, parts) = (rows.len() / dim, self.pools.len());
        let part = |number: usize| &rows[count * number / parts * dim..count * (number + 1) / parts * dim];
        if let [pool] = &self.pools[..] {
            return pool.install(|| work(rows)).map(|result| vec![result]);
        }
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .pools
                .iter()
                .enumerate()
                .map(|(number, pool)| scope.spawn(move || pool.install(|| work(part(number)))))
                .collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.collect()
        })
    }
}

fn batches(index: &dyn Batched, shape: &Shape<'_>, split: Split) -> Result<Option<Measured>> {
    let (dataset, beam) = (shape.dataset, (shape.k, shape.ef));
    let (dim, unpinned) = (dataset.dim(), Arc::new(Mutex::new(None)));
    let pools = match split {
        Split::Parts => shape.cpus.chunks(1).map(|cpu| pool(cpu, &unpinned)).collect(),
        Split::Stealing => vec![pool(&shape.cpus, &unpinned)],
    };
    let crew = Crew { pools };

    let begin = Instant::now();
    let (first, others) = dataset.base().split_at(START.min(dataset.len()) * dim);
    let complete = crew.pools[0].install(|| index.insert(first, shape.stop))?
        && crew.each(others, dim, &|rows| index.insert(rows, shape.stop))?.into_iter().all(|done| done);
    let build = begin.elapsed();
    if !complete {
        return Ok(None);
    }

    let queries = dataset.queries();
    let search = || crew.each(queries, dim, &|queries| index.search(queries, beam));
    // Once in vain: scratch gets its size, and code and lists come into the caches. These answers are scored.
    let answers = search()?;
    let (begin, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || begin.elapsed() < shape.window {
        // Relaxed [ladder-stop]: a wish; nothing is read because of it.
        if shape.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::hint::black_box(search()?);
        rounds += 1;
    }
    let searched = begin.elapsed();

    let mut answers = answers.iter().flat_map(|part| part.iter());
    let mut found = Vec::new();
    let recall = mean_recall(dataset, shape.k, |_, recall| {
        found.clear();
        found.extend(answers.next().unwrap_or_default().iter().map(|neighbor| neighbor.distance));
        Ok(recall(&found))
    })?;
    let unpinned = unpinned.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(Some(Measured {
        inserts_per_second: dataset.len() as f64 / build.as_secs_f64(),
        queries_per_second: (rounds * dataset.query_count()) as f64 / searched.as_secs_f64(),
        recall,
        unpinned,
    }))
}

/// Mean recall@k of all queries, in order. `answer` finds the answer to a query and gives it to the function, which scores it.
pub(super) fn mean_recall(
    dataset: &Dataset,
    k: usize,
    mut answer: impl FnMut(usize, &dyn Fn(&[f32]) -> f64) -> Result<f64>,
) -> Result<f64> {
    let truth = dataset.truth().context("the data set has no exact neighbours; this is a bug")?;
    let mut sum = 0.0;
    for query in 0..dataset.query_count() {
        sum += answer(query, &|found| truth.recall(query, k, found.iter().copied()))?;
    }
    Ok(sum / dataset.query_count() as f64)
}
