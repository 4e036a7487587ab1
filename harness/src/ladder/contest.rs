//! A query for each thread, or all threads for one query: both on the same graph, block by block.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hnsw_core::error::BatchError;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::vectors::{F32, Vectors};
use hnsw_strategies::LockFree;
use serde::{Deserialize, Serialize};

use super::document::{Way, WayBlock, counted};
use super::naive::Near;
use super::queue::{Team, Worker};
use super::trial::mean_recall;
use crate::data::Dataset;
use crate::limit::Spread;
use crate::record::Conditions;
use crate::stats;
use crate::sweep::log::Tally;
use crate::sweep::{Progress, workers};

/// Searches of a worker before the window opens.
const WARM_UP: usize = 64;

/// The graph that both search, and its rows once more for the team, which knows nothing of the inside of an index.
pub(super) struct Ground {
    index: Index<LockFree, F32>,
    vectors: Vectors<F32>,
}

impl Ground {
    /// `None` if `stop` was set.
    pub(super) fn new(dataset: &Dataset, config: IndexConfig, stop: &AtomicBool) -> Result<Option<Ground>> {
        let index = Index::<LockFree, F32>::new(config)?;
        let progress: Progress<'_> = &|_| {
            // Relaxed [contest-stop]: a wish; nothing is read because of it.
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match index.insert_batch(dataset.base(), progress) {
            Ok(_) => {}
            Err(BatchError::Stopped { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let vectors = Vectors::new(F32::new(dataset.dim(), dataset.metric())?, dataset.len());
        vectors.grow(dataset.len());
        for row in 0..dataset.len() {
            // SAFETY: this is the only writer, each row is written once, and there is room for all. A row of a batch into an empty
            // index becomes the node of its number.
            unsafe { vectors.write(NodeId::new(row as u32), dataset.row(row)) };
        }
        Ok(Some(Ground { index, vectors }))
    }

    /// A thread of a team, with a read session of its own.
    fn worker<'a>(&'a self, team: &'a Team, pops: usize) -> Worker<'a, <LockFree as Graph>::Read<'a>> {
        // SAFETY: `new` has written the row of every node, and nothing is inserted any more.
        unsafe { Worker::new(team, self.index.graph().read(), &self.vectors, pops) }
    }
}

/// How queries are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Each thread searches for queries of its own, by the search of the index.
    Alone,
    /// All threads work on one query, each taking so many candidates at a time.
    Shared { pops: usize },
}

/// What is done.
pub(super) struct Shape<'a> {
    pub(super) dataset: &'a Dataset,
    /// Where threads run.
    pub(super) cpus: Vec<Option<usize>>,
    pub(super) k: usize,
    pub(super) ef: usize,
    pub(super) window: Duration,
    pub(super) stop: &'a AtomicBool,
}

/// What came out.
pub(super) struct Measured {
    pub(super) latencies: Tally,
    pub(super) seconds: f64,
    pub(super) distances_per_query: f64,
    /// To each query once, in order; the k nearest.
    pub(super) answers: Vec<Vec<Near>>,
    pub(super) unpinned: Option<String>,
}

/// Measures a way; `None` if the user wants to stop.
pub(super) fn run(ground: &Ground, kind: Kind, shape: &Shape<'_>) -> Result<Option<Measured>> {
    match kind {
        Kind::Alone => alone(ground, shape),
        Kind::Shared { pops } => Ok(shared(ground, pops, shape)),
    }
}

fn alone(ground: &Ground, shape: &Shape<'_>) -> Result<Option<Measured>> {
    let (dataset, k, ef, index) = (shape.dataset, shape.k, shape.ef, &ground.index);
    let (queries, threads) = (dataset.query_count(), shape.cpus.len());
    let window = workers::run(
        &shape.cpus,
        Some(shape.window),
        shape.stop,
        || (),
        |worker| {
            let mut scratch = Scratch::new();
            let warm = (0..WARM_UP)
                .map(|query| dataset.query((worker + query) % queries))
                .try_for_each(|query| index.search_with(query, k, ef, &mut scratch).map(drop));
            warm.map(|()| scratch)
        },
        |turn, scratch| -> Result<(Tally, u64)> {
            let (mut scratch, mut latencies) = (scratch?, Tally::new());
            let before = scratch.evaluations();
            // Workers begin at places of their own.
            let mut query = turn.worker * queries / threads;
            loop {
                let begin = Instant::now();
                std::hint::black_box(index.search_with(dataset.query(query), k, ef, &mut scratch)?);
                latencies.add(begin.elapsed(), 1);
                query = (query + 1) % queries;
                if turn.is_over() {
                    return Ok((latencies, scratch.evaluations() - before));
                }
            }
        },
    );
    let (mut latencies, mut evaluations) = (Tally::new(), 0);
    for result in window.results {
        let (own, compared) = result.context("a search was refused")?;
        latencies.merge(&own);
        evaluations += compared;
    }
    if window.interrupted {
        return Ok(None);
    }
    let answer = |query| -> Result<Vec<Near>> {
        let found = index.search(dataset.query(query), k, ef)?;
        Ok(found.iter().map(|n| Near { distance: n.distance, node: n.node.get() }).collect())
    };
    Ok(Some(Measured {
        seconds: window.seconds,
        distances_per_query: evaluations as f64 / latencies.operations() as f64,
        latencies,
        answers: (0..queries).map(answer).collect::<Result<_>>()?,
        unpinned: window.unpinned,
    }))
}

/// What the leader of a team saw.
struct Led {
    latencies: Tally,
    seconds: f64,
    /// Queries that were answered, those before the window too.
    answered: u64,
    answers: Vec<Vec<Near>>,
}

fn shared(ground: &Ground, pops: usize, shape: &Shape<'_>) -> Option<Measured> {
    let dataset = shape.dataset;
    let team = Team::new(shape.cpus.len(), dataset.len(), shape.ef);
    let done = workers::run(
        &shape.cpus,
        None,
        shape.stop,
        || (),
        |_| ground.worker(&team, pops),
        |turn, mut worker| {
            let led = match turn.worker {
                0 => lead(&mut worker, shape, || turn.is_over()),
                _ => {
                    worker.follow(|query| dataset.query(query));
                    None
                }
            };
            (led, worker.evaluations())
        },
    );
    let evaluations: u64 = done.results.iter().map(|(_, compared)| compared).sum();
    let led = done.results.into_iter().find_map(|(led, _)| led).filter(|_| !done.interrupted)?;
    Some(Measured {
        seconds: led.seconds,
        distances_per_query: evaluations as f64 / led.answered as f64,
        latencies: led.latencies,
        answers: led.answers,
        unpinned: done.unpinned,
    })
}

/// Answers all queries once, then in a window, with the whole team; `None` if it is to stop before.
fn lead<V: hnsw_core::graph::View>(
    worker: &mut Worker<'_, V>,
    shape: &Shape<'_>,
    stopped: impl Fn() -> bool,
) -> Option<Led> {
    let (dataset, queries) = (shape.dataset, shape.dataset.query_count());
    let (mut found, mut answers, mut latencies) = (Vec::new(), Vec::new(), Tally::new());
    for query in 0..queries {
        if stopped() {
            worker.dismiss();
            return None;
        }
        worker.lead(query, dataset.query(query), &mut found);
        answers.push(found[..shape.k.min(found.len())].to_vec());
    }
    let (opened, mut query) = (Instant::now(), 0);
    loop {
        let begin = Instant::now();
        worker.lead(query, dataset.query(query), &mut found);
        latencies.add(begin.elapsed(), 1);
        query = (query + 1) % queries;
        if stopped() || opened.elapsed() >= shape.window {
            break;
        }
    }
    let seconds = opened.elapsed().as_secs_f64();
    worker.dismiss();
    Some(Led { seconds, answered: queries as u64 + latencies.operations(), latencies, answers })
}

/// Queries whose answer names a node twice, or is not in order.
pub(super) fn faults(answers: &[Vec<Near>]) -> usize {
    let faulty = |answer: &&Vec<Near>| {
        let mut nodes: Vec<u32> = answer.iter().map(|near| near.node).collect();
        nodes.sort_unstable();
        nodes.windows(2).any(|pair| pair[0] == pair[1]) || !answer.is_sorted()
    };
    answers.iter().filter(faulty).count()
}

/// What a sample is of.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Which {
    pub(super) kind: Kind,
    pub(super) threads: usize,
    pub(super) oversubscribed: bool,
}

/// A block of a way at a thread count, before it is put together with others.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sample {
    which: Which,
    pub(super) block: WayBlock,
    faults: usize,
}

impl Sample {
    pub(super) fn of(
        which: Which,
        (block, attempt): (usize, usize),
        dataset: &Dataset,
        k: usize,
        measured: &Measured,
        (conditions, mut tainted): (Conditions, Vec<String>),
    ) -> Result<Sample> {
        let op =
            measured.latencies.op(measured.seconds).context("nothing was searched for; this is a bug")?;
        let recall = mean_recall(dataset, k, |query, recall| {
            let distances: Vec<f32> = measured.answers[query].iter().map(|near| near.distance).collect();
            Ok(recall(&distances))
        })?;
        tainted.extend(measured.unpinned.clone());
        Ok(Sample {
            which,
            block: WayBlock {
                block,
                attempt,
                queries_per_second: op.per_second,
                p50_us: op.latency_us.p50,
                p99_us: op.latency_us.p99,
                recall,
                distances_per_query: measured.distances_per_query,
                conditions,
                tainted,
            },
            faults: faults(&measured.answers),
        })
    }
}

/// Puts samples together, by way and then by thread count.
pub(super) fn ways(samples: &[Sample]) -> Vec<Way> {
    let mut gathered: BTreeMap<(Kind, usize), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        gathered.entry((sample.which.kind, sample.which.threads)).or_default().push(sample);
    }
    let by_block = |key: (Kind, usize), of: fn(&WayBlock) -> f64| -> BTreeMap<usize, f64> {
        let samples = gathered.get(&key).into_iter().flatten();
        counted(samples.map(|sample| &sample.block)).map(|block| (block.block, of(block))).collect()
    };
    let beside = |own: (Kind, usize), other: (Kind, usize), of: fn(&WayBlock) -> f64| {
        let ratios = stats::paired_ratios(&by_block(own, of), &by_block(other, of));
        (own != other && !ratios.is_empty()).then(|| Spread::of(ratios.into_iter()))
    };
    let way = |(key, samples): (&(Kind, usize), &Vec<&Sample>)| {
        let spread = |of: fn(&WayBlock) -> f64| Spread::of(by_block(*key, of).into_values());
        let mut blocks: Vec<WayBlock> = samples.iter().map(|sample| sample.block.clone()).collect();
        blocks.sort_by_key(|block| (block.block, block.attempt));
        let (kind, threads) = *key;
        Way {
            pops: match kind {
                Kind::Alone => None,
                Kind::Shared { pops } => Some(pops),
            },
            threads,
            oversubscribed: samples[0].which.oversubscribed,
            queries_per_second: spread(|block| block.queries_per_second),
            p50_us: spread(|block| block.p50_us),
            p99_us: spread(|block| block.p99_us),
            recall: spread(|block| block.recall),
            distances_per_query: spread(|block| block.distances_per_query),
            x_queries: beside(*key, (Kind::Alone, threads), |block| block.queries_per_second),
            x_p50: beside(*key, (Kind::Alone, 1), |block| block.p50_us),
            x_distances: beside(*key, (Kind::Shared { pops: 1 }, 1), |block| block.distances_per_query),
            faulty_answers: samples.iter().map(|sample| sample.faults).sum(),
            blocks,
        }
    };
    gathered.iter().map(way).collect()
}
