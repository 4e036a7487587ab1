//! A result document with plausible made-up numbers. Nothing in it was measured: its data set is called
//! `golden-sample` and its command says so.

use std::path::PathBuf;

use hnsw_lab::machine::{MemoryInForce, Seat};
use hnsw_lab::record::{
    Build, Canary, Conditions, Config, Contention, Dataset, Document, Graph, Isolation, Latency, Memory, Op,
    Ops, Row, Run, TAIL,
};

pub const BASE: u64 = 100_000;
const DIM: u64 = 128;
const SECONDS: f64 = 2.0;
const CPUS: usize = 2;

/// What a check should say, and the change that should make it say so.
pub type Case<T> = (&'static str, fn(&mut T));

/// Made-up traits of a strategy.
struct Traits {
    name: &'static str,
    /// Time per operation on one thread over that of `sequential`.
    slowness: f64,
    /// Serial share of a search, of an insert (Amdahl).
    serial: [f64; 2],
    sync_bytes: u64,
    retired_bytes: u64,
    snapshots_bytes: u64,
}

const STRATEGIES: [Traits; 5] = [
    Traits {
        name: "sequential",
        slowness: 1.0,
        serial: [1.0, 1.0],
        sync_bytes: 0,
        retired_bytes: 0,
        snapshots_bytes: 0,
    },
    Traits {
        name: "coarse",
        slowness: 1.02,
        serial: [0.16, 0.62],
        sync_bytes: 64,
        retired_bytes: 0,
        snapshots_bytes: 0,
    },
    Traits {
        name: "fine",
        slowness: 1.05,
        serial: [0.05, 0.10],
        sync_bytes: 100_000,
        retired_bytes: 0,
        snapshots_bytes: 0,
    },
    Traits {
        name: "lockfree",
        slowness: 1.04,
        serial: [0.01, 0.03],
        sync_bytes: 800_000,
        retired_bytes: 61_440,
        snapshots_bytes: 0,
    },
    Traits {
        name: "mvcc",
        slowness: 1.07,
        serial: [0.02, 0.07],
        sync_bytes: 400_000,
        retired_bytes: 20_480,
        snapshots_bytes: 204_800,
    },
];

pub fn sample() -> Document {
    let run = run();
    let mut document = Document::new(run.clone());
    let mut random = fastrand::Rng::with_seed(run.config.seed);
    for block in 0..run.config.blocks {
        for traits in &STRATEGIES {
            for threads in run.config.threads.iter().copied() {
                if traits.name == "sequential" && threads > 1 {
                    continue;
                }
                for workload in &run.config.workloads {
                    let efs = match workload.as_str() {
                        "build" => vec![None],
                        "search" => run.config.efs.iter().copied().map(Some).collect(),
                        _ => vec![Some(32)],
                    };
                    for ef in efs {
                        document.rows.push(row(&run, traits, workload, threads, block, ef, &mut random));
                    }
                }
            }
        }
    }
    document
}

pub fn run() -> Run {
    Run {
        id: "golden-sample".into(),
        started: "2026-01-01T00:00:00Z".into(),
        command: vec!["golden-sample".into(), "made up by a test, not measured".into()],
        machine: serde_json::json!({ "cpu": { "model": "Golden Sample CPU", "logical": CPUS } }),
        build: Build {
            version: "0.1.0".into(),
            git_commit: None,
            git_dirty: None,
            rustc: "rustc 1.95.0".into(),
            profile: "release".into(),
            target: "x86_64-unknown-linux-gnu".into(),
            isa: "avx2+fma".into(),
            allocator: "system".into(),
        },
        dataset: Dataset {
            name: "golden-sample".into(),
            metric: "l2".into(),
            dim: DIM as usize,
            base_count: BASE as usize,
            query_count: 1_000,
            digest: "0123456789abcdef".into(),
            truth_k: 100,
        },
        config: Config {
            strategies: STRATEGIES.iter().map(|traits| traits.name.into()).collect(),
            threads: vec![1, 2, 4],
            workloads: ["build", "search", "mixed", "write-heavy"].map(String::from).to_vec(),
            m: 16,
            ef_construction: 200,
            efs: vec![16, 32, 64],
            k: 10,
            codec: "f32".into(),
            alpha: 1.0,
            sample_rows: 10_000,
            seconds: SECONDS,
            update_rate: None,
            blocks: 3,
            keep_indexes: false,
            retries: 1,
            until_ratio: None,
            isolation: Isolation::Process,
            seed: 42,
            pin: "compact".into(),
            placement: Some(
                (0..4)
                    .map(|thread| Seat {
                        thread,
                        cpu: thread % CPUS,
                        core: Some(thread % CPUS),
                        socket: Some(0),
                        node: Some(0),
                    })
                    .collect(),
            ),
            memory_policy: Some(MemoryInForce {
                asked: None,
                policy: Some("local".into()),
                nodes: Vec::new(),
                effective: Some(false),
            }),
        },
        allowed_cpus: (0..CPUS).collect(),
    }
}

/// Microseconds of one search on one thread of `sequential`, and its recall.
fn search_cost(ef: usize) -> (f64, f64) {
    let ef = ef as f64;
    (12.0 + 1.9 * ef, 1.0 - 0.9 * (-ef / 10.5).exp() - 0.003)
}

fn row(
    run: &Run,
    traits: &Traits,
    workload: &str,
    threads: usize,
    block: usize,
    ef: Option<usize>,
    random: &mut fastrand::Rng,
) -> Row {
    let inserts = match workload {
        "build" => 1.0,
        "mixed" => 0.05,
        "write-heavy" => 0.5,
        _ => 0.0,
    };
    let (search_us, recall) = ef.map_or((0.0, 0.0), search_cost);
    let insert_us = 410.0;
    let noise = 1.0 + 0.03 * (random.f64() - 0.5) + 0.01 * block as f64;
    let busy = threads.min(CPUS) as f64;
    let serial = traits.serial[0] * (1.0 - inserts) + traits.serial[1] * inserts;
    let speedup = 1.0 / (serial + (1.0 - serial) / busy) * if threads > CPUS { 0.97 } else { 1.0 };
    let mean_us = traits.slowness * (search_us * (1.0 - inserts) + insert_us * inserts);
    let rate = speedup * noise * 1e6 / mean_us;
    let wait = threads as f64 / speedup;
    let seconds = if inserts == 1.0 { BASE as f64 / rate } else { SECONDS };
    let op = |share: f64, micros: f64| {
        let count = (rate * share * seconds).round();
        (count > 0.0).then(|| Op {
            count: count as u64,
            per_second: count / seconds,
            latency_us: latency(micros * traits.slowness * wait / noise),
            tail_us: tail(micros * traits.slowness * wait / noise),
            evaluations_per_op: Some((micros * 9.5).round()),
            hops_per_op: Some((micros * 0.6).round()),
        })
    };
    let oversubscribed = threads > CPUS;
    let tainted = (traits.name, workload, threads, block) == ("fine", "mixed", 2, 1);
    Row {
        strategy: traits.name.into(),
        codec: run.config.codec.clone(),
        workload: workload.into(),
        threads,
        block,
        attempt: 0,
        oversubscribed,
        seconds,
        k: run.config.k,
        ef,
        m: run.config.m,
        ef_construction: run.config.ef_construction,
        ops: Ops {
            search: op(1.0 - inserts, search_us),
            insert: op(inserts, insert_us),
            remove: if workload == "write-heavy" { op(inserts / 2.0, 95.0) } else { None },
        },
        recall_at_k: ef.map(|_| recall + 0.002 * (random.f64() - 0.5)),
        short_answers: ef.map(|_| 0),
        phases: None,
        updates_per_second: None,
        memory: memory(traits, threads as u64),
        graph: Graph {
            live: BASE,
            unreachable: 0,
            zero_in_degree: 0,
            max_degree: 32,
            digest: format!("{:016x}", random.u64(..)),
        },
        contention: contention(traits, threads as u64, random),
        counters: None,
        conditions: Some(conditions(random)),
        tainted: if tainted { vec!["steal time 4.1 %".into()] } else { Vec::new() },
    }
}

fn conditions(random: &mut fastrand::Rng) -> Conditions {
    let mut canary = || {
        let mut near = || 1.0 + 0.02 * (random.f64() - 0.5);
        Some(Canary { arithmetic: near(), memory: near() })
    };
    Conditions {
        canary_before: canary(),
        canary_after: canary(),
        other_cores: Some(0.01),
        steal_share: Some(0.0),
        preemptions_per_cpu_second: Some(4.0),
        pressure: Some(0.001),
        throttled_seconds: None,
    }
}

fn latency(p50: f64) -> Latency {
    Latency { p50, p90: p50 * 1.4, p99: p50 * 2.2, p999: p50 * 5.0, max: p50 * 40.0 }
}

/// Through the quantiles of [`latency`], and down to one operation of a thousand.
fn tail(p50: f64) -> Vec<f64> {
    let times = |share: f64| match share {
        share if share >= 0.5 => 1.0 - 0.5 * (share - 0.5),
        share if share >= 0.1 => 1.4 - (share - 0.1),
        share if share >= 0.01 => 2.2 - 0.8 * (share - 0.01) / 0.09,
        share => 5.0 - 2.8 * (share - 0.001) / 0.009,
    };
    TAIL.iter().take_while(|share| **share >= 0.001).map(|share| p50 * times(*share)).collect()
}

fn memory(traits: &Traits, threads: u64) -> Memory {
    let mut memory = Memory {
        vectors_bytes: BASE * DIM * 4,
        links_bytes: BASE * 33 * 4 + BASE / 15 * 17 * 4,
        slack_bytes: 1_310_720,
        levels_bytes: BASE + BASE / 15 * 8,
        sync_bytes: traits.sync_bytes,
        ids_bytes: 0,
        retired_bytes: traits.retired_bytes * threads,
        snapshots_bytes: traits.snapshots_bytes,
        scratch_bytes: 212_992 * threads,
        fixed_bytes: 16_384,
        ..Memory::default()
    };
    let above: u64 = memory.overhead().iter().map(|(_, bytes)| bytes).sum();
    memory.total_bytes = memory.vectors_bytes + above;
    memory.overhead_percent = 100.0 * above as f64 / memory.vectors_bytes as f64;
    memory.rss_bytes = memory.total_bytes + 9_437_184;
    memory
}

fn contention(traits: &Traits, threads: u64, random: &mut fastrand::Rng) -> Contention {
    let some = |random: &mut fastrand::Rng| random.u64(100..1_000) * (threads - 1);
    let mut counts = Contention::default();
    match traits.name {
        "coarse" => counts.lock_waits = 20 * some(random),
        "fine" => counts.lock_waits = some(random),
        "lockfree" => counts.cas_failures = some(random),
        "mvcc" => {
            counts.commit_conflicts = some(random);
            counts.versions_walked = 3 * some(random);
        }
        _ => {}
    }
    counts
}

/// A file of the source tree, by its path from the package.
pub fn in_tree(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The sample as a file in a folder that goes when the value does.
pub fn sample_file() -> (tempfile::TempDir, PathBuf) {
    write_file(&sample())
}

/// `document` as a file in a folder that goes when the value does.
pub fn write_file(document: &Document) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sweep.json");
    std::fs::write(&path, serde_json::to_vec(document).expect("serialisable")).expect("writable");
    (folder, path)
}
