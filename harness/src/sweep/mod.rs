//! `hnsw-lab sweep`: every strategy, at every thread count, under every workload, block by block.
//!
//! - [`SweepArgs`]: the flags; `plan` checks them and makes a [`Plan`].
//! - `strategies`: the one place where strategy types are erased: once per session, never inside a measured window.
//! - `session`: builds an index with pinned workers and measures the workloads on it.
//! - `workers`: a barrier in, a shared stop flag out.
//! - `latency`: one histogram per worker and kind of operation.
//!
//! A *session* is one strategy at one thread count in one block. It measures the build, then searches on what was built,
//! then fresh indexes under mixed workloads. Each block runs all sessions once, in a random order of its own, so that a
//! machine that drifts hurts all of them alike.

mod args;
mod latency;
mod plan;
mod session;
mod strategies;
mod workers;
mod workload;

pub use args::SweepArgs;
pub use plan::Plan;
pub use strategies::{ALL, Strategy};
pub use workload::Workload;

use crate::data::Dataset;
use crate::machine::{Machine, build_info};
use crate::record::{self, Key, Writer};
use crate::{report, summary};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use session::Bench;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All rows are there.
    Complete,
    /// The user stopped it; the rows that were finished are in the file.
    Interrupted,
}

/// Runs the command. `stop` is set when the user wants it to end.
///
/// # Errors
/// Flags that do not fit, data that cannot be read, a result file that cannot be written.
pub fn run(args: &SweepArgs, stop: &AtomicBool) -> Result<Outcome> {
    let machine = Machine::detect();
    let dataset = args.dataset(stop)?;
    let plan = Plan::new(args, &machine, &dataset)?;
    let mut writer = Writer::open(&plan.out, describe(&plan, &machine, &dataset)?, args.fresh)?;
    let bench = Bench::new(&plan, &machine, &dataset, stop);
    let progress = progress(plan.keys().count(), args.quiet);
    let resumed = plan.keys().filter(|key| writer.done().contains(key)).count();
    progress.inc(resumed as u64);
    if resumed > 0 {
        progress.suspend(|| eprintln!("resuming {}: {resumed} rows are there", plan.out.display()));
    }
    let outcome = blocks(&plan, &bench, &mut writer, &progress)?;
    progress.finish_and_clear();
    finish(&plan, &writer, outcome)?;
    Ok(outcome)
}

fn blocks(plan: &Plan, bench: &Bench<'_>, writer: &mut Writer, progress: &ProgressBar) -> Result<Outcome> {
    for block in 0..plan.blocks {
        let mut sessions: Vec<_> = plan.sessions().collect();
        let mut order = rand::rngs::StdRng::seed_from_u64(plan.seed ^ (block as u64) << 32);
        sessions.shuffle(&mut order);
        for (strategy, threads) in sessions {
            let missing: BTreeSet<Key> = plan
                .session_keys(strategy, threads, block)
                .filter(|key| !writer.done().contains(key))
                .collect();
            if missing.is_empty() {
                continue;
            }
            progress.set_message(format!(
                "block {}/{}: {} x{threads}",
                block + 1,
                plan.blocks,
                strategy.name()
            ));
            let mut rows = Ok(());
            let ended = strategy.session(bench, threads, block, &missing, &mut |row| {
                progress.inc(1);
                rows = rows_or(std::mem::replace(&mut rows, Ok(())), || writer.push(row).map_err(Into::into));
                rows.is_ok()
            });
            rows?;
            if ended == Outcome::Interrupted {
                return Ok(Outcome::Interrupted);
            }
        }
    }
    Ok(Outcome::Complete)
}

/// Keeps the first error.
fn rows_or(earlier: Result<()>, next: impl FnOnce() -> Result<()>) -> Result<()> {
    earlier.and_then(|()| next())
}

/// What the document says about the run as a whole.
fn describe(plan: &Plan, machine: &Machine, dataset: &Dataset) -> Result<record::Run> {
    let build = build_info();
    let started = record::now_rfc3339();
    Ok(record::Run {
        id: format!("{}-{started}", dataset.name()),
        started,
        command: std::env::args().collect(),
        machine: serde_json::to_value(machine).context("cannot describe this machine")?,
        build: record::Build {
            version: build.version,
            git_commit: (build.git_commit != "unknown").then_some(build.git_commit),
            git_dirty: build.git_dirty,
            rustc: build.rustc,
            profile: build.profile,
            target: build.target,
            isa: build.isa,
            allocator: build.allocator,
        },
        dataset: record::Dataset {
            name: dataset.name().to_owned(),
            metric: dataset.metric().name().to_owned(),
            dim: dataset.dim(),
            base_count: dataset.len(),
            query_count: dataset.query_count(),
            digest: dataset.digest().to_hex().to_string(),
            truth_k: dataset.truth().map_or(0, |truth| truth.k),
        },
        config: plan.config(),
        allowed_cpus: machine.allowed_cpus.iter().copied().take(machine.allowed_cores).collect(),
    })
}

/// A bar where a terminal is, nothing where none is.
fn progress(rows: usize, quiet: bool) -> ProgressBar {
    let hidden = quiet || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} rows, {elapsed} gone, about {eta} to go  {msg}");
    let bar = ProgressBar::with_draw_target(Some(rows as u64), target);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn finish(plan: &Plan, writer: &Writer, outcome: Outcome) -> Result<()> {
    let document = writer.document();
    if outcome == Outcome::Interrupted {
        eprintln!(
            "stopped; {} of {} rows are in {}. The same command goes on from there.",
            document.rows.len(),
            plan.keys().count(),
            plan.out.display()
        );
        return Ok(());
    }
    let summary = summary::Summary::of(document);
    let text = report::tables(document, &summary, &summary.workloads(), std::io::stdout().is_terminal());
    let file = plan.out.display();
    crate::output::print(&format!(
        "{text}\nResults: {file}\nTables again: hnsw-lab report {file}\nScaling curves, recall curves, memory bars: hnsw-lab plot {file}\n"
    ))
    .context("cannot write to standard output")
}
