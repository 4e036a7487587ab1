//! Builds one diskann-inmem index and searches it; prints one JSON line per measurement.
//!
//! Vectors come as bare little-endian f32 rows. The found ids of each beam width go to a file, `k` little-endian u32 per
//! query, so that whoever called can score them as it scores everyone else; a missing hit is `u32::MAX`.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use diskann::graph::config::{Builder, MaxDegree};
use diskann::graph::{DiskANNIndex, search::Knn};
use diskann::neighbor::Neighbor;
use diskann_inmem::{Context, Provider, Strategy, num, repr};
use diskann_utils::views::rowmajor::Owned;
use diskann_vector::distance::Metric;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Args {
    /// Base vectors, f32
    #[arg(long)]
    base: PathBuf,
    /// Queries, f32
    #[arg(long)]
    queries: PathBuf,
    #[arg(long)]
    dim: usize,
    /// Links per node that pruning aims at
    #[arg(long)]
    degree: usize,
    /// Beam width while inserting
    #[arg(long)]
    beam: usize,
    #[arg(long)]
    alpha: f32,
    #[arg(long)]
    k: usize,
    /// Threads of the build
    #[arg(long)]
    build_threads: usize,
    /// Threads of the searches
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Beam widths of the searches
    #[arg(long, value_delimiter = ',')]
    ef: Vec<usize>,
    /// Least length of a timed window, s; a window asks all queries at least once
    #[arg(long)]
    seconds: f64,
    /// Folder for the found ids
    #[arg(long)]
    out: PathBuf,
}

type Index = DiskANNIndex<Provider<repr::Full<f32>, u32>>;

/// Degrees may pass the aim by this much between two prunings.
const SLACK: f64 = 1.3;
/// Numbers that a worker takes at a time.
const CHUNK: usize = 32;
/// Rows that the start point is drawn from.
const MEAN_OF: usize = 20_000;

fn main() -> Result<()> {
    let args = Args::parse();
    let base = rows(&args.base, args.dim)?;
    let queries = rows(&args.queries, args.dim)?;

    let index = empty(&args, &base)?;
    let begin = Measure::begin();
    in_parallel(args.build_threads, base.len() / args.dim, |row| {
        let vector = &base[row * args.dim..(row + 1) * args.dim];
        pollster::block_on(index.insert(&Strategy, &Context, &(row as u32), vector))
            .map_err(anyhow::Error::from)
    })?;
    let end = begin.end();
    let line = json!({"workload": "build", "threads": args.build_threads, "seconds": end.seconds,
                      "cpu_seconds": end.cpu_seconds, "other_cores": end.other_cores});
    println!("{line}");

    for &threads in &args.threads {
        for &ef in &args.ef {
            let file = args.out.join(format!("ids-{threads}-{ef}.u32"));
            search(&args, &index, &queries, threads, ef, &file)?;
        }
    }
    Ok(())
}

fn empty(args: &Args, base: &[f32]) -> Result<Index> {
    let most = MaxDegree::new((args.degree as f64 * SLACK).ceil() as usize);
    let graph = Builder::new_with(args.degree, most, args.beam, Metric::L2.into(), |builder| {
        builder.alpha(args.alpha);
    })
    .build()?;
    let start = Owned::row_vector(start(base, args.dim).into_boxed_slice().into());
    let capacity = num::Capacity::new(base.len() / args.dim);
    let most = num::MaxDegree::new((args.degree as f64 * SLACK).ceil() as usize);
    let config = repr::full::Config::new(capacity, most, Metric::L2, start)?;
    Ok(DiskANNIndex::new(graph, Provider::new(config)?, None))
}

fn search(args: &Args, index: &Index, queries: &[f32], threads: usize, ef: usize, file: &Path) -> Result<()> {
    let count = queries.len() / args.dim;
    let found: Vec<AtomicIds> = (0..count).map(|_| AtomicIds::new(args.k)).collect();
    let ask = |query: usize| -> Result<()> {
        let vector = &queries[query * args.dim..(query + 1) * args.dim];
        let mut neighbors = Vec::<Neighbor<u32>>::with_capacity(ef);
        pollster::block_on(index.search(Knn::new(ef, None)?, &Strategy, &Context, vector, &mut neighbors))?;
        found[query].set(neighbors.iter().map(|neighbor| neighbor.as_tuple().0));
        Ok(())
    };
    in_parallel(threads, count.min(64), ask)?;
    let (limit, mut asked, begin) = (Duration::from_secs_f64(args.seconds), 0, Measure::begin());
    while asked == 0 || begin.wall.elapsed() < limit {
        in_parallel(threads, count, ask)?;
        asked += count;
    }
    let end = begin.end();
    let bytes: Vec<u8> = found.iter().flat_map(AtomicIds::bytes).collect();
    fs::write(file, bytes).with_context(|| file.display().to_string())?;
    let line = json!({"workload": "search", "threads": threads, "ef": ef, "asked": asked, "seconds": end.seconds,
                      "cpu_seconds": end.cpu_seconds, "other_cores": end.other_cores, "ids": file});
    println!("{line}");
    Ok(())
}

/// The answer to one query, which whichever worker asked last has written.
struct AtomicIds(Vec<std::sync::atomic::AtomicU32>);

impl AtomicIds {
    fn new(k: usize) -> Self {
        AtomicIds((0..k).map(|_| u32::MAX.into()).collect())
    }

    fn set(&self, ids: impl Iterator<Item = u32>) {
        for (slot, id) in self.0.iter().zip(ids.chain(std::iter::repeat(u32::MAX))) {
            // Relaxed: read after the workers were joined.
            slot.store(id, Ordering::Relaxed);
        }
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        // Relaxed: the workers were joined.
        self.0.iter().flat_map(|slot| slot.load(Ordering::Relaxed).to_le_bytes())
    }
}

/// Calls `work` for 0..count on that many threads, and gives the first error.
fn in_parallel(threads: usize, count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = || loop {
        // Relaxed: hands out numbers.
        let from = next.fetch_add(CHUNK, Ordering::Relaxed);
        if from >= count {
            return Ok(());
        }
        (from..(from + CHUNK).min(count)).try_for_each(&work)?;
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

fn rows(file: &Path, dim: usize) -> Result<Vec<f32>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    ensure!(!bytes.is_empty() && bytes.len() % (4 * dim) == 0, "{}: no rows of {dim} f32", file.display());
    Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// The row nearest to the mean of the first rows. Not the mean itself: where distances concentrate it is nearer to every row
/// than any other row is, and pruning would keep links to it alone.
fn start(base: &[f32], dim: usize) -> Vec<f32> {
    let rows = || base.chunks_exact(dim).take(MEAN_OF);
    let count = rows().len() as f32;
    let mut mean = vec![0.0; dim];
    for row in rows() {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / count);
    }
    let far = |row: &[f32]| row.iter().zip(&mean).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    rows().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(&mean).to_vec()
}

/// Wall clock, CPU time of this process, and of the whole machine.
struct Measure {
    wall: Instant,
    own: f64,
    machine: f64,
}

struct Measured {
    seconds: f64,
    cpu_seconds: f64,
    /// Cores that other processes kept busy.
    other_cores: f64,
}

impl Measure {
    fn begin() -> Self {
        Measure { own: process_cpu(), machine: machine_cpu(), wall: Instant::now() }
    }

    fn end(&self) -> Measured {
        let seconds = self.wall.elapsed().as_secs_f64();
        let cpu_seconds = process_cpu() - self.own;
        let foreign = machine_cpu() - self.machine - cpu_seconds;
        Measured { seconds, cpu_seconds, other_cores: foreign.max(0.0) / seconds }
    }
}

/// A file of `/proc`, empty where the system has none: then nothing is known of CPU time, and it reads 0.
fn proc(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The sum of these fields, which count ticks of 10 ms, in seconds.
fn ticks(fields: &str, which: &[usize]) -> f64 {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let of = |field: &usize| fields.get(*field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    which.iter().map(of).sum::<f64>() / 100.0
}

fn process_cpu() -> f64 {
    ticks(proc("/proc/self/stat").rsplit(')').next().unwrap_or_default(), &[11, 12])
}

/// user, nice, system, irq and softirq of all CPUs, behind the name of the line.
fn machine_cpu() -> f64 {
    ticks(proc("/proc/stat").lines().next().unwrap_or_default(), &[1, 2, 3, 6, 7])
}
