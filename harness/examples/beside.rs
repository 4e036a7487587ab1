//! One writer beside one reader: how much each keeps of what it reaches alone.
//!
//! ```text
//! cargo run --release -p hnsw-lab --example beside -- --dataset DIR --strategies lockfree,mvcc
//! ```
//!
//! For each strategy three windows, each on a fresh index that holds the first rows of the set: a thread that inserts, a
//! thread that searches, both. Prints one JSON line per window. The window ends for both when it ends for one, so neither
//! is ever alone in the third. An answer with fewer than k hits counts as failed. Rows are f32; `scripts/bench-peers` reads
//! the lines.

use anyhow::{Result, ensure};
use clap::Parser;
use hnsw_core::graph::Graph;
use hnsw_core::graph::GraphConfig;
use hnsw_core::graph::check::Health;
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_lab::data::{Dataset, LoadOptions, embedded, load};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Args {
    /// A folder with base.* and query.* [default: the embedded set]
    #[arg(long)]
    dataset: Option<PathBuf>,
    /// Use this many base vectors
    #[arg(long)]
    n: Option<usize>,
    /// Use this many queries
    #[arg(long)]
    query_count: Option<usize>,
    #[arg(long, value_delimiter = ',', required = true)]
    strategies: Vec<String>,
    #[arg(long, default_value_t = 16)]
    m: usize,
    #[arg(long, default_value_t = 200)]
    ef_construction: usize,
    #[arg(long, default_value_t = 1.0)]
    alpha: f32,
    #[arg(long, default_value_t = 64)]
    ef: usize,
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// Rows in the index when a window opens; at most half of all
    #[arg(long, default_value_t = 50_000)]
    begin: usize,
    /// Length of a window
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// What one thread did in a window.
#[derive(Default)]
struct Done {
    operations: usize,
    failed: usize,
    seconds: f64,
}

impl Done {
    fn per_second(&self) -> f64 {
        if self.operations == 0 { 0.0 } else { self.operations as f64 / self.seconds }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let dataset = match &args.dataset {
        Some(path) => {
            let options =
                LoadOptions { limit: args.n, query_limit: args.query_count, ..LoadOptions::default() };
            load(path, &options)?
        }
        None => embedded(),
    };
    let mut known = Vec::new();
    macro_rules! run {
        ($(($name:ident, $graph:ty)),+ $(,)?) => {
            $(
                known.push(<$graph>::NAME);
                if args.strategies.iter().any(|name| name == <$graph>::NAME) {
                    windows::<$graph>(&args, &dataset)?;
                }
            )+
        };
    }
    hnsw_strategies::for_each_strategy!(run);
    let stranger = args.strategies.iter().find(|name| !known.contains(&name.as_str()));
    ensure!(stranger.is_none(), "there is no strategy {}; known are {}", stranger.unwrap(), known.join(", "));
    Ok(())
}

fn windows<G: Graph>(args: &Args, dataset: &Dataset) -> Result<()> {
    let begin = args.begin.min(dataset.len() / 2);
    for (window, writes, reads) in
        [("writer", true, false), ("reader", false, true), ("writer+reader", true, true)]
    {
        let config = IndexConfig {
            m: args.m,
            ef_construction: args.ef_construction,
            alpha: args.alpha,
            capacity: dataset.len(),
            ..IndexConfig::new(dataset.dim(), dataset.metric())
        };
        let index = Index::<G>::new(config)?;
        index.insert_batch(&dataset.base()[..begin * dataset.dim()], |_| ControlFlow::Continue(()))?;
        let (over, limit) = (AtomicBool::new(false), Duration::from_secs_f64(args.seconds));
        let (written, read) = thread::scope(|scope| {
            let writer = writes.then(|| scope.spawn(|| write(&index, dataset, begin, limit, &over)));
            let reader = reads.then(|| scope.spawn(|| search(&index, dataset, args, limit, &over)));
            let join = |worker: Option<thread::ScopedJoinHandle<'_, Done>>| {
                worker.map_or_else(Done::default, |worker| worker.join().expect("a worker does not panic"))
            };
            (join(writer), join(reader))
        });
        index.graph().quiesce();
        let health = Health::of(&index.graph().read(), &GraphConfig { m: args.m, capacity: dataset.len() });
        let line = serde_json::json!({
            "strategy": G::NAME,
            "workload": window,
            "threads": usize::from(writes) + usize::from(reads),
            "ef": args.ef,
            "seconds": written.seconds.max(read.seconds),
            "writes_per_second": written.per_second(),
            "reads_per_second": read.per_second(),
            "failed_calls": written.failed + read.failed,
            "unreachable": health.unreachable,
        });
        println!("{line}");
    }
    Ok(())
}

/// Inserts the rows from `begin` on, until the window is over or no row is left.
fn write<G: Graph>(
    index: &Index<G>,
    dataset: &Dataset,
    begin: usize,
    limit: Duration,
    over: &AtomicBool,
) -> Done {
    let mut next = begin;
    repeat(limit, over, || {
        let failed = index.insert(dataset.row(next)).is_err();
        next += 1;
        (failed, next == dataset.len())
    })
}

/// Asks the queries in a circle until the window is over.
fn search<G: Graph>(
    index: &Index<G>,
    dataset: &Dataset,
    args: &Args,
    limit: Duration,
    over: &AtomicBool,
) -> Done {
    let mut next = 0;
    repeat(limit, over, || {
        let found = index.search(dataset.query(next), args.k, args.ef);
        next = (next + 1) % dataset.query_count();
        (found.map_or(true, |neighbors| neighbors.len() < args.k), false)
    })
}

/// Calls `work` until the window is over, for whatever reason, and ends it for the others then. `work` says whether it
/// failed and whether there is nothing left to do.
fn repeat(limit: Duration, over: &AtomicBool, mut work: impl FnMut() -> (bool, bool)) -> Done {
    let (mut done, begin) = (Done::default(), Instant::now());
    // Relaxed: a wish to stop; nothing is read because of it.
    while !over.load(Ordering::Relaxed) && begin.elapsed() < limit {
        let (failed, last) = work();
        done.operations += 1;
        done.failed += usize::from(failed);
        if last {
            break;
        }
    }
    // Relaxed: as above.
    over.store(true, Ordering::Relaxed);
    done.seconds = begin.elapsed().as_secs_f64();
    done
}
