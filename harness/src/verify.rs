//! `hnsw-lab verify`: does a result document keep its own promises?

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::output;
use crate::record::{Config, Document, Key, Row, TAIL, read};
use crate::summary::BASELINE;
use crate::sweep::Workload;

/// Rates may differ from count over seconds by this share, since either may have been rounded.
const RATE_TOLERANCE: f64 = 1e-3;

/// Percentages may differ by this much.
const PERCENT_TOLERANCE: f64 = 0.01;

/// No sweep has more blocks; a file that says so is damaged, and listing what it lacks would not end.
const MOST_BLOCKS: usize = crate::sweep::MAX_BLOCKS;

/// Check a result file: its form, its sums, and that nothing is missing
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  hnsw-lab verify results/sweep.json && echo sound")]
pub struct VerifyArgs {
    /// Result file that `hnsw-lab sweep` wrote
    pub file: PathBuf,
}

/// Runs the command: one line per problem and exit code 1 if there is any.
///
/// # Errors
/// A file that is not a result document, a standard output that cannot be written.
pub fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let document = read(&args.file)?;
    let problems = problems(&document);
    let file = args.file.display();
    let mut text = String::new();
    for problem in &problems {
        text.push_str(&format!("{file}: {problem}\n"));
    }
    text.push_str(&match problems.len() {
        0 => format!(
            "{file}: all is well: {} rows, schema version {}, no point missing\n",
            document.rows.len(),
            document.schema_version
        ),
        1 => format!("{file}: 1 problem\n"),
        many => format!("{file}: {many} problems\n"),
    });
    output::print(&text).context("cannot write to standard output")?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is wrong with `document`, one line each.
pub fn problems(document: &Document) -> Vec<String> {
    let mut found = run_problems(document);
    let (mut seen, mut attempts) = (BTreeSet::new(), BTreeSet::new());
    for (position, row) in document.rows.iter().enumerate() {
        let key = row.key();
        found.extend(
            row_problems(document, row)
                .into_iter()
                .map(|problem| format!("row {position} ({key}): {problem}")),
        );
        seen.insert(key.clone());
        if !attempts.insert((key.clone(), row.attempt)) {
            found.push(format!("row {position} ({key}): an earlier row has the same key"));
        }
    }
    match document.run.config.blocks {
        blocks if blocks > MOST_BLOCKS => {
            found.push(format!("run.config.blocks is {blocks}, which cannot be right"))
        }
        _ => {
            let mut config = document.run.config.clone();
            if config.until_ratio.is_some() {
                // It may have ended early, but in no block halfway.
                config.blocks = seen.iter().map(|key| key.block + 1).max().unwrap_or(1).min(config.blocks);
            }
            found.extend(missing(&config, &seen));
        }
    }
    found
}

fn run_problems(document: &Document) -> Vec<String> {
    let run = &document.run;
    let mut found = Vec::new();
    if humantime::parse_rfc3339(&run.started).is_err() {
        found.push(format!("run.started `{}` is not a moment in RFC 3339, UTC", run.started));
    }
    if run.id.is_empty() {
        found.push("run.id is empty".into());
    }
    if run.allowed_cpus.is_empty() {
        found.push("run.allowed_cpus is empty".into());
    }
    found
}

fn row_problems(document: &Document, row: &Row) -> Vec<String> {
    let mut found = Vec::new();
    outside_configuration(&document.run.config, row, &mut found);
    let run = &document.run;
    let oversubscribed = row.threads > run.allowed_cpus.len() || run.config.shares_cpus(row.threads);
    if row.oversubscribed != oversubscribed {
        let allowed = run.allowed_cpus.len();
        let shared = if run.config.shares_cpus(row.threads) { ", two of them on one" } else { "" };
        found.push(format!(
            "oversubscribed is {}, with {} threads on {allowed} allowed CPUs{shared}",
            row.oversubscribed, row.threads
        ));
    }
    if row.seconds <= 0.0 {
        found.push(format!("seconds is {}, not above 0", row.seconds));
    }
    if row.ops.named().next().is_none() {
        found.push("no operations of any kind".into());
    }
    if row.ef.is_some() != row.ops.search.is_some() {
        found.push("ef must be given where there are searches, and only there".into());
    }
    if let Some(recall) = row.recall_at_k
        && !(0.0..=1.0).contains(&recall)
    {
        found.push(format!("recall_at_k is {recall}, not between 0 and 1"));
    }
    if row.short_answers.is_some_and(|short| short > 0) {
        found.push(format!(
            "promise broken: {} answers have fewer than {} neighbours",
            row.short_answers.unwrap_or(0),
            row.k
        ));
    }
    operations(row, &mut found);
    memory(row, &mut found);
    if row.graph.unreachable > 0 {
        found.push(format!(
            "promise broken: {} of {} live points are unreachable",
            row.graph.unreachable, row.graph.live
        ));
    }
    found
}

fn outside_configuration(config: &Config, row: &Row, found: &mut Vec<String>) {
    let mut outside = |is: bool, what: &str| {
        if is {
            found.push(format!("{what} is not in run.config"));
        }
    };
    outside(!config.strategies.contains(&row.strategy), "its strategy");
    outside(!config.codecs().any(|codec| codec == row.codec), "its codec");
    outside(!config.workloads.contains(&row.workload), "its workload");
    // The baseline has one thread, whatever the others have.
    let baseline = row.strategy == BASELINE && row.threads == 1;
    outside(!baseline && !config.threads.contains(&row.threads), "its thread count");
    outside(row.block >= config.blocks, "its block");
    outside(row.attempt > config.retries, "its attempt");
    let own = (row.k, row.m, row.ef_construction);
    if own != (config.k, config.m, config.ef_construction) {
        found.push("k, m or ef_construction differ from run.config".into());
    }
}

fn operations(row: &Row, found: &mut Vec<String>) {
    for (name, op) in row.ops.named() {
        let counted = op.per_second * row.seconds;
        if (counted - op.count as f64).abs() > 1.0 + RATE_TOLERANCE * op.count as f64 {
            found.push(format!(
                "ops.{name}: {} in {} s are not {} per second",
                op.count, row.seconds, op.per_second
            ));
        }
        let latency = &op.latency_us;
        let quantiles = [0.0, latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        if !quantiles.is_sorted() {
            found.push(format!("ops.{name}: latency quantiles do not ascend from 0"));
        }
        let tail = &op.tail_us;
        let within =
            tail.first().is_none_or(|us| *us >= 0.0) && tail.last().is_none_or(|us| *us <= latency.max);
        if tail.len() > TAIL.len() || !tail.is_sorted() || !within {
            found.push(format!("ops.{name}: tail_us does not ascend from 0 to max, or is too long"));
        }
    }
}

fn memory(row: &Row, found: &mut Vec<String>) {
    let memory = &row.memory;
    let above: u128 = memory.overhead().iter().map(|(_, bytes)| u128::from(*bytes)).sum();
    let sum = above + u128::from(memory.vectors_bytes);
    if u128::from(memory.total_bytes) != sum {
        found.push(format!("memory: total_bytes is {}, and the categories sum to {sum}", memory.total_bytes));
    }
    let percent =
        if memory.vectors_bytes == 0 { 0.0 } else { 100.0 * above as f64 / memory.vectors_bytes as f64 };
    if (percent - memory.overhead_percent).abs() > PERCENT_TOLERANCE {
        found.push(format!(
            "memory: overhead_percent is {}, and the bytes give {percent:.3}",
            memory.overhead_percent
        ));
    }
}

/// A line for every configured point with the blocks that have no row. The baseline has one thread by nature, so it
/// owes that one; workloads that are run at each ef owe a row for every one, those with two roles none for one thread.
fn missing(config: &Config, present: &BTreeSet<Key>) -> Vec<String> {
    let named = |name: &str| Workload::by_name(name);
    let mut blocks: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for key in present {
        let ef = key.ef.filter(|_| named(&key.workload).is_some_and(Workload::is_per_ef));
        let point = (key.strategy.as_str(), key.codec.as_str(), key.workload.as_str(), key.threads, ef);
        blocks.entry(point).or_default().insert(key.block);
    }
    let mut found = Vec::new();
    for (codec, strategy) in config.codecs().flat_map(|c| config.strategies.iter().map(move |s| (c, s))) {
        let measured = |workload: &&String| named(workload).is_none_or(|workload| workload.suits(codec));
        for workload in config.workloads.iter().filter(measured) {
            let efs: Vec<Option<usize>> = match named(workload) {
                Some(workload) if workload.is_per_ef() => config.efs.iter().copied().map(Some).collect(),
                _ => vec![None],
            };
            let least = named(workload).map_or(1, Workload::least_threads);
            let owed = |threads: &&usize| **threads >= least && (strategy != BASELINE || **threads == 1);
            for threads in config.threads.iter().filter(owed) {
                for ef in &efs {
                    let done = blocks.get(&(strategy.as_str(), codec, workload.as_str(), *threads, *ef));
                    let absent: Vec<String> = config
                        .blocks_of(workload)
                        .filter(|block| done.is_none_or(|done| !done.contains(block)))
                        .map(|block| block.to_string())
                        .collect();
                    if !absent.is_empty() {
                        let ef = ef.map(|ef| format!(" ef={ef}")).unwrap_or_default();
                        let absent = absent.join(", ");
                        found.push(format!(
                            "missing: {strategy} {codec} {workload} threads={threads}{ef}, block {absent}; \
                             the same sweep with the same `--out` adds it"
                        ));
                    }
                }
            }
        }
    }
    found
}
