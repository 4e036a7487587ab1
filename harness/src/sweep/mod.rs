//! `hnsw-lab sweep`: every strategy, at every thread count, under every workload, block by block.
//!
//! - [`SweepArgs`]: the flags; `plan` checks them and makes a [`Plan`].
//! - `sample`: rows for codecs to learn from; `recall`: how much of the truth an index finds. Strategies and codecs, and the loops that
//!   are compiled for each pair of them, are in [`hnsw_erased`].
//! - `standing`: indexes that are searched in more than one block.
//! - `step`: blocks that wait for a line.
//! - `session`: builds an index with pinned workers and measures the workloads on it.
//! - `apart`: a session as a task, for a process of its own or for this one.
//! - `script`: what a worker does next; `log`: what it did, and how long it took.
//! - `pace`: doing something at a set rate.
//! - `workers`: a barrier in, a shared stop flag out.
//! - `estimate`: how long the rest takes.
//!
//! A *session* is one strategy with one codec at one thread count in one block. It measures the build, then searches on what was built,
//! then fresh indexes under mixed workloads. Each block runs all sessions once, in a random order of its own, so that a
//! machine that drifts hurts all of them alike. Each session has a fresh process, unless one process is asked for.

mod apart;
mod args;
mod estimate;
pub(crate) mod log;
mod pace;
mod patience;
mod plan;
mod recall;
mod sample;
mod script;
mod session;
mod standing;
mod step;
pub(crate) mod workers;
mod workload;

pub use args::{Kind, SweepArgs, TaxArgs};
pub use hnsw_erased::{ALL, CODECS, CodecInfo, Progress, Strategy};
pub(crate) use hnsw_erased::{Bed, Hands};
pub(crate) use patience::Patience;
pub use plan::{MAX_BLOCKS, Plan, Session};
pub(crate) use plan::{
    check_beam, check_graph, check_seconds, check_threads, distinct, powers_of_two, strategies as named,
};
pub(crate) use recall::recall;
pub(crate) use sample::sample;
pub(crate) use session::pool;
pub use workload::Workload;

use crate::apart::{Ground, Measure, measurer};
use crate::data::{Dataset, TruthSource};
use crate::machine::{Canary, Machine, build_info};
use crate::progress;
use crate::record::{self, Claim, Key, Writer};
use crate::{report, summary};
use anyhow::{Context, Error, Result, anyhow};
use estimate::{Estimate, Work, spoken};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use step::Steps;

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    let (plan, document, outcome) = measured(args, stop)?;
    finish(args, &plan, &document, outcome)?;
    Ok(outcome)
}

/// Measures without a word about the results.
///
/// # Errors
/// As [`run`].
pub(crate) fn measure(args: &SweepArgs, stop: &AtomicBool) -> Result<(record::Document, Outcome)> {
    measured(args, stop).map(|(_, document, outcome)| (document, outcome))
}

fn measured(args: &SweepArgs, stop: &AtomicBool) -> Result<(Plan, record::Document, Outcome)> {
    // All that can fail comes before the data, which may be large, or before the truth, which may take minutes.
    Plan::check(args)?;
    let machine = Machine::detect();
    let memory = args.place.settle(&machine)?;
    let mut dataset = args.dataset()?;
    let plan = Plan::new(args, &machine, memory, &dataset)?;
    if args.out.is_none() {
        plan.make_default_folder()?;
    }
    let _claim = Claim::of(&plan.out)?;
    let truth = args.ensure_truth(&mut dataset, stop)?;
    let mut writer = Writer::open(&plan.out, describe(&plan, &machine, &dataset)?, args.fresh)?;
    if !args.quiet {
        announce(args.kind, &plan, &dataset, &writer);
    }
    let progress = progress::rows(plan.keys().count() as u64, args.quiet);
    progress.set_position(writer.document().rows.len() as u64);
    let canary = Canary::new(plan.first_cpu(&machine));
    let (brought, memory) = (truth == TruthSource::Given, plan.memory.clone());
    let ground = Ground { machine: machine.clone(), memory, dataset, canary };
    let mut measure = measurer(args, plan.isolation, ground, brought, stop)?;
    let outcome = blocks(args, &plan, &machine, &mut measure, &mut writer, &progress, stop)?;
    drop(measure);
    progress.finish_and_clear();
    let document = writer.document().clone();
    Ok((plan, document, outcome))
}

/// What is about to happen, in one line, and in another that the build is the wrong one.
fn announce(kind: Kind, plan: &Plan, dataset: &Dataset, writer: &Writer) {
    crate::output::warn_of_debug_build();
    let (rows, done) = (plan.keys().count(), writer.document().rows.len());
    let file = plan.out.display();
    let ends = match kind {
        Kind::Noise => "Ctrl-C stops".into(),
        Kind::Sweep | Kind::Tax => format!("to {file}; Ctrl-C stops, the same command goes on"),
    };
    if done == rows {
        return eprintln!("all {rows} rows are in {file} already; measure them again with --fresh");
    }
    let resumed = if done > 0 { format!(", {done} of them there already") } else { String::new() };
    let listed: Vec<String> = plan.threads.iter().map(ToString::to_string).collect();
    eprintln!(
        "measuring {} ({} x {} {}): {} strategies on {} threads, {} workloads, {} blocks: {rows} rows{resumed}, {ends}",
        dataset.name(),
        dataset.len(),
        dataset.dim(),
        plan.codec_names(),
        plan.strategies.len(),
        listed.join(", "),
        plan.workloads.len(),
        plan.blocks,
    );
}

/// The sessions of a block in its order, with the rows of each that are missing.
fn missing(plan: &Plan, block: usize, done: &BTreeSet<Key>) -> Vec<(Session, BTreeSet<Key>)> {
    let mut sessions: Vec<_> = plan.sessions(block).collect();
    plan.shuffle(block, &mut sessions);
    let missing = sessions.into_iter().map(|session| {
        let keys = plan.session_keys(&session).filter(|key| !done.contains(key)).collect();
        (session, keys)
    });
    missing.filter(|(_, keys): &(_, BTreeSet<Key>)| !keys.is_empty()).collect()
}

fn blocks(
    args: &SweepArgs,
    plan: &Plan,
    machine: &Machine,
    measure: &mut Measure<'_, SweepArgs>,
    writer: &mut Writer,
    progress: &ProgressBar,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let mut steps = args.step.then(|| Steps::new(plan.blocks));
    let mut patience = Patience::new(plan.retries);
    let todo: Vec<_> = (0..plan.blocks).flat_map(|block| missing(plan, block, writer.done())).collect();
    let work: Vec<Work> = todo.iter().map(|(which, keys)| Work::of(plan, machine, which, keys)).collect();
    let mut estimate = Estimate::default();
    for (number, (which, keys)) in todo.iter().enumerate() {
        let first_of_block = number == 0 || todo[number - 1].0.block != which.block;
        if first_of_block && is_tight(plan, writer.document(), which.block) {
            if !args.quiet {
                let ratio = plan.until_ratio.unwrap_or(f64::INFINITY);
                progress.suspend(|| {
                    eprintln!(
                        "after {} of {} blocks every interval is within a ratio of {ratio}",
                        which.block, plan.blocks
                    )
                });
            }
            break;
        }
        let rest = if number == 0 { "first session".into() } else { to_go(&estimate, &work[number..]) };
        if number == 1 && !args.quiet {
            progress.suspend(|| eprintln!("{rest}"));
        }
        let Session { strategy, codec, threads, block } = which;
        progress.set_message(format!(
            "{rest}: block {}/{}, {} {codec} x{threads}",
            block + 1,
            plan.blocks,
            strategy.name()
        ));
        if let Some(steps) = &mut steps
            && !steps.enter(*block, stop)?
        {
            return Ok(Outcome::Interrupted);
        }
        let begin = Instant::now();
        let mut rows = Ok(());
        let ended = apart::measured(measure, which, keys, &mut patience, &mut |row| {
            progress.inc(u64::from(row.attempt == 0));
            rows = rows_or(std::mem::replace(&mut rows, Ok(())), || writer.push(row).map_err(Into::into));
            rows.is_ok()
        });
        rows?;
        match ended.map_err(|error| with_rows(args, plan, writer, &error))? {
            Outcome::Complete => {}
            Outcome::Interrupted => return Ok(Outcome::Interrupted),
        }
        estimate.learn(work[number], begin.elapsed());
    }
    if let Some(steps) = &mut steps {
        steps.end()?;
    }
    Ok(Outcome::Complete)
}

/// The fewest blocks of which any interval has 95 %.
const LEAST_FOR_TIGHT: usize = 6;

/// Whether the blocks before this one say all points as tightly as was asked. What was measured in the first block only does not
/// count.
fn is_tight(plan: &Plan, document: &record::Document, block: usize) -> bool {
    let Some(ratio) = plan.until_ratio.filter(|_| block >= LEAST_FOR_TIGHT) else { return false };
    let summary = summary::Summary::of(document);
    let mut points =
        summary.points().iter().filter(|point| document.run.config.blocks_of(&point.workload).len() > 1);
    points.all(|point| {
        point.blocks.len() >= LEAST_FOR_TIGHT
            && point.throughput.interval.is_some_and(|ends| ends.high <= ratio * ends.low)
    })
}

fn to_go(estimate: &Estimate, rest: &[Work]) -> String {
    format!("about {} to go", spoken(estimate.of(rest.iter().copied())))
}

/// An error that ends a sweep, with what became of its rows.
fn with_rows(args: &SweepArgs, plan: &Plan, writer: &Writer, error: &Error) -> Error {
    let (rows, all, file) = (writer.document().rows.len(), plan.keys().count(), plan.out.display());
    match args.kind {
        // They went to no file of the user.
        Kind::Noise => anyhow!("{error:#}"),
        Kind::Sweep | Kind::Tax if rows == 0 => anyhow!("{error:#}; nothing was written"),
        Kind::Sweep | Kind::Tax => {
            anyhow!("{error:#}; {rows} of {all} rows are in {file}, and the same command goes on from there")
        }
    }
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
        allowed_cpus: plan.placement.cpus(machine),
    })
}

fn finish(args: &SweepArgs, plan: &Plan, document: &record::Document, outcome: Outcome) -> Result<()> {
    if outcome == Outcome::Interrupted {
        let (rows, file) = (document.rows.len(), plan.out.display());
        if rows == 0 {
            eprintln!("stopped before the first row; nothing was written");
        } else {
            let all = plan.keys().count();
            eprintln!("stopped; {rows} of {all} rows are in {file}; the same command goes on from there");
        }
        return Ok(());
    }
    let summary = summary::Summary::of(document);
    let terminal = std::io::stdout().is_terminal();
    let (text, again) = match args.kind {
        Kind::Sweep | Kind::Noise => {
            (report::tables(document, &summary, &summary.workloads(), None, terminal), "")
        }
        Kind::Tax => (report::tax(document, &summary, None, terminal), " --tax"),
    };
    let file = plan.out.display();
    crate::output::print(&format!(
        "{text}\nResults: {file}\nTables again: hnsw-lab report {file}{again}\nScaling curves, recall curves, memory bars: hnsw-lab plot {file}\n\
         Is all of it sound: hnsw-lab verify {file}\n"
    ))
    .context("cannot write to standard output")
}
