//! Search on a packed graph beside search on the graph that was packed: the same queries and the same answers, in turns.
//!
//! Prints bytes a node, then, for each beam width, the processor time of the packed graph over that of the plain one: the median
//! over rounds, and the quartiles. A round runs all queries on one graph and then on the other, the first to run taking turns.
//!
//! ```text
//! cargo bench -p hnsw-strategies --bench packed
//! HNSW_BENCH_DATA=folder HNSW_BENCH_ROUNDS=21 cargo bench -p hnsw-strategies --bench packed
//! ```
//!
//! `HNSW_BENCH_DATA` is a folder with `base.bvecs`, `query.bvecs` and `gt.ivecs` (L2); without it, the data set that is part of
//! the project is used. `HNSW_BENCH_EFC` is ef_construction (100).

use hnsw_core::distance::{Isa, Metric};
use hnsw_core::graph::{Graph, MemoryReport};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor, Scratch};
use hnsw_strategies::{LockFree, Sequential};
use std::error::Error;
use std::path::{Path, PathBuf};

const K: usize = 10;
const EFS: [usize; 4] = [20, 50, 100, 200];

type Rows<T> = Vec<Vec<T>>;

/// The rows of a `vecs` file: a count, then as many elements of `N` bytes.
fn rows<T, const N: usize>(file: &Path, element: impl Fn([u8; N]) -> T) -> Result<Rows<T>, Box<dyn Error>> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut rest, mut rows) = (&bytes[..], Vec::new());
    while let Some((count, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*count) as usize * N;
        let (row, tail) = tail.split_at_checked(length).ok_or("the file ends inside a row")?;
        rows.push(row.as_chunks().0.iter().map(|bytes| element(*bytes)).collect());
        rest = tail;
    }
    Ok(rows)
}

/// Processor time of this thread, in nanoseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "this system has no clock for threads");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn setting(name: &str, default: usize) -> Result<usize, Box<dyn Error>> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} is a number, not {text:?}").into()),
        Err(_) => Ok(default),
    }
}

/// The value below which a share of the values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

struct Data {
    base: Rows<f32>,
    queries: Rows<f32>,
    truth: Rows<u32>,
}

fn print_bytes(what: &str, memory: &MemoryReport, nodes: usize, dim: usize) {
    let a_node = |bytes: usize| bytes as f64 / nodes as f64;
    println!(
        "{what:22} {:6.2} B a node ({:.2} links, {:.2} levels, {:.2} others): {:.3} % of the vectors",
        a_node(memory.overhead()),
        a_node(memory.links_bytes),
        a_node(memory.levels_bytes),
        a_node(memory.overhead() - memory.links_bytes - memory.levels_bytes),
        memory.overhead_percent(nodes * dim * size_of::<f32>()),
    );
}

fn compare<G: Graph>(data: &Data, ef_construction: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    let (nodes, dim) = (data.base.len(), data.base[0].len());
    let config = IndexConfig { ef_construction, capacity: nodes, ..IndexConfig::new(dim, Metric::L2) };
    let plain = Index::<G>::new(config)?;
    for row in &data.base {
        plain.insert(row)?;
    }
    plain.graph().quiesce();
    let packed = plain.pack();
    print_bytes(G::NAME, &plain.memory(), nodes, dim);
    print_bytes("packed", &packed.memory(), nodes, dim);
    let mut scratch = Scratch::new();
    for ef in EFS {
        // Once without measuring, to warm up, to compare the answers, and for the recall.
        let (mut found, mut different) = (0, 0);
        for (query, truth) in data.queries.iter().zip(&data.truth) {
            let answer = plain.search_with(query, K, ef, &mut scratch)?.to_vec();
            found += answer.iter().filter(|n| truth[..K].contains(&n.node.get())).count();
            different += usize::from(packed.search_with(query, K, ef, &mut scratch)? != answer);
        }
        assert_eq!(different, 0, "answers differ");
        let mut run = |packed_turn: bool| -> Result<u64, Box<dyn Error>> {
            let start = cpu_time();
            for query in &data.queries {
                let answer: &[Neighbor] = match packed_turn {
                    true => packed.search_with(query, K, ef, &mut scratch)?,
                    false => plain.search_with(query, K, ef, &mut scratch)?,
                };
                std::hint::black_box(answer);
            }
            Ok(cpu_time() - start)
        };
        let (mut ratios, mut times) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let first_packed = round % 2 == 0;
            let (first, second) = (run(first_packed)?, run(!first_packed)?);
            let (packed, plain) = if first_packed { (first, second) } else { (second, first) };
            ratios.push(packed as f64 / plain as f64);
            times.push(plain as f64 / data.queries.len() as f64 / 1e3);
        }
        ratios.sort_by(f64::total_cmp);
        times.sort_by(f64::total_cmp);
        println!(
            "  ef {ef:3}, recall {:.3}: packed / {} time {:.3} ({:.3} to {:.3}), {} {:.1} us a query",
            found as f64 / (data.queries.len() * K) as f64,
            G::NAME,
            quantile(&ratios, 0.5),
            quantile(&ratios, 0.25),
            quantile(&ratios, 0.75),
            G::NAME,
            quantile(&times, 0.5),
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let embedded = concat!(env!("CARGO_MANIFEST_DIR"), "/../harness/data/sift10k");
    let folder = std::env::var_os("HNSW_BENCH_DATA").map_or(PathBuf::from(embedded), PathBuf::from);
    let byte = |[byte]: [u8; 1]| f32::from(byte);
    let data = Data {
        base: rows(&folder.join("base.bvecs"), byte)?,
        queries: rows(&folder.join("query.bvecs"), byte)?,
        truth: rows(&folder.join("gt.ivecs"), u32::from_le_bytes)?,
    };
    let (ef_construction, rounds) = (setting("HNSW_BENCH_EFC", 100)?, setting("HNSW_BENCH_ROUNDS", 11)?);
    println!(
        "{} x {}, M = 16, ef_construction = {ef_construction}, {}, {rounds} rounds of {} queries",
        data.base.len(),
        data.base[0].len(),
        Isa::in_use(),
        data.queries.len(),
    );
    compare::<Sequential>(&data, ef_construction, rounds)?;
    compare::<LockFree>(&data, ef_construction, rounds)
}
