//! The `capacity` subcommand: how many vectors fit in a given amount of memory, under each strategy.
//!
//! For every budget up to `--measure-up-to` an index is really filled until its vectors and its graph take about that much,
//! and its exact memory report gives the bytes per vector. Larger budgets are computed from the largest fill, and marked.
//! Scratch is not counted: it belongs to threads, not to vectors.

mod document;
mod fill;
mod size;
mod table;
#[cfg(test)]
mod tests;

pub use document::{Categories, Cell, Document, Fill, Raw, SCHEMA_VERSION, Strategy};
pub use size::Size;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::data::generate::{self, Shape};
use crate::machine::{Machine, build_info};
use crate::output;
use fill::{Candidate, Job, candidates};

/// Intrinsic dimension of the clusters of the vectors.
const INTRINSIC: usize = 16;
/// Seed of the vectors.
const SEED: u64 = 42;

/// Print how many vectors fit in how much memory
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  hnsw-lab capacity --dim 1024\n  \
                        hnsw-lab capacity --dim 128 --budgets 64MB,1GB --measure-up-to 64MB --json capacity.json")]
pub struct CapacityArgs {
    /// Components of a vector (f32)
    #[arg(long, default_value_t = 1024)]
    pub dim: usize,
    /// Links per node and level; twice as many on level 0
    #[arg(long, default_value_t = 16)]
    pub m: usize,
    /// Candidates per insert. What counts here is links per node, not how good they are, so a low value saves time:
    /// strategies with lists in place take the same bytes at any value, and lockfree, whose lists are as long as they need
    /// to be, about 0.2 % of 1024-d vectors more at 200 than at 40
    #[arg(long, default_value_t = 40)]
    pub ef_construction: usize,
    /// Strategies, or all
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Sizes of memory. MB and GB are 10^6 and 10^9 bytes; MiB and GiB are 2^20 and 2^30
    #[arg(long, value_delimiter = ',', default_value = "128MB,512MB,1GB,4GB,16GB")]
    pub budgets: Vec<Size>,
    /// Fill indexes up to this size, and compute the rest. Takes about twice as much memory, because the vectors are kept
    /// beside the index
    #[arg(long, default_value = "512MB")]
    pub measure_up_to: Size,
    /// Also write what was measured to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

/// Measures, and prints the table to `out`. `stop` ends it early.
///
/// # Errors
/// One line that says what is wrong; also when `stop` was set.
pub fn run(args: &CapacityArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<()> {
    let document = measure(args, stop)?;
    table::print(&document, out)?;
    output::write_file(&document, args.json.as_deref(), out)
}

/// Fills the indexes that `args` ask for.
///
/// # Errors
/// As [`run`].
pub fn measure(args: &CapacityArgs, stop: &AtomicBool) -> Result<Document> {
    let strategies = chosen(&args.strategies)?;
    if args.dim == 0 {
        bail!("the dimension is 0; it must be at least 1");
    }
    let row = args.dim as u64 * size_of::<f32>() as u64;
    let budgets = sorted(&args.budgets);
    if let Some(small) = budgets.iter().chain([&args.measure_up_to]).find(|size| size.bytes() < row) {
        bail!("{small} holds no vector: one of {} dimensions takes {row} bytes", args.dim);
    }
    let mut to_fill: Vec<Size> = budgets.iter().copied().filter(|size| *size <= args.measure_up_to).collect();
    if to_fill.is_empty() {
        to_fill.push(args.measure_up_to);
    }
    let need = to_fill.last().map_or(0, |size| size.bytes().saturating_mul(2));
    if let Some(free) = Machine::available_memory().filter(|free| *free < need) {
        bail!(
            "measuring needs {} MB of memory and {} MB are free; lower --measure-up-to",
            need >> 20,
            free >> 20
        );
    }
    let most = to_fill.last().map_or(1, |size| rows_for(args, *size));
    let shape = Shape { rows: most, dim: args.dim, queries: 1, seed: SEED };
    let set = generate::clustered(&shape, INTRINSIC.min(args.dim))?;

    let rows: usize = to_fill.iter().map(|size| rows_for(args, *size)).sum();
    let bar = progress_bar(args.quiet, strategies.len() * rows);
    let mut found = Vec::new();
    for Candidate { name, fill } in strategies {
        let mut fills = Vec::new();
        for &budget in &to_fill {
            bar.set_message(format!("{name}, {budget}"));
            let start = bar.position();
            let count = rows_for(args, budget);
            fills.push(fill(&Job {
                rows: &set.base()[..count * args.dim],
                dim: args.dim,
                m: args.m,
                ef_construction: args.ef_construction,
                budget,
                // Reports come in no order; the bar shows the highest.
                progress: &|done| bar.set_position(bar.position().max(start + done as u64)),
                stop,
            })?);
            bar.set_position(start + count as u64);
        }
        found.push(strategy(name, fills, &budgets, row));
    }
    bar.finish_and_clear();
    Ok(Document {
        schema_version: SCHEMA_VERSION,
        build: build_info(),
        threads: rayon::current_num_threads(),
        data: set.name().to_owned(),
        dim: args.dim,
        m: args.m,
        ef_construction: args.ef_construction,
        measure_up_to: args.measure_up_to,
        raw: budgets.iter().map(|&budget| Raw { budget, vectors: budget.bytes() / row }).collect(),
        strategies: found,
    })
}

/// Rising, each once.
fn sorted(budgets: &[Size]) -> Vec<Size> {
    let mut budgets = budgets.to_vec();
    budgets.sort_unstable();
    budgets.dedup();
    budgets
}

/// The strategies with these names, in the order of the list of all.
fn chosen(names: &[String]) -> Result<Vec<Candidate>> {
    let all = candidates();
    let known = |name: &str| name == "all" || all.iter().any(|candidate| candidate.name == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let names: Vec<_> = all.iter().map(|candidate| candidate.name).collect();
        bail!("there is no strategy '{name}'; there are {} and all", names.join(", "));
    }
    let wanted = |candidate: &Candidate| names.iter().any(|name| name == "all" || name == candidate.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// Rows that just about fill a budget: a row is padded to whole cache lines, and a graph takes about nine bytes for each M
/// and a few more.
fn rows_for(args: &CapacityArgs, budget: Size) -> usize {
    let row = (args.dim * size_of::<f32>()).next_multiple_of(64) + 9 * args.m;
    usize::try_from(budget.bytes() / row as u64).unwrap_or(usize::MAX).max(1)
}

/// What the fills of a strategy say about all budgets.
fn strategy(name: &str, fills: Vec<Fill>, budgets: &[Size], row: u64) -> Strategy {
    let cell = |&budget: &Size| {
        let own = fills.iter().find(|fill| fill.budget == budget);
        let vectors = own.or(fills.last()).map_or(0, |fill| fill.vectors_in(budget));
        let percent_of_raw = hundredths(100.0 * vectors as f64 / (budget.bytes() / row) as f64);
        Cell { budget, vectors, percent_of_raw, measured: own.is_some() }
    };
    let cells = budgets.iter().map(cell).collect();
    Strategy { name: name.to_owned(), estimate_percent: estimate(name), fills, cells }
}

/// Rounded to two decimals: more would claim more than was measured.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What the project expected before it measured anything, for 1024 dimensions, in per cent of the raw count.
fn estimate(strategy: &str) -> Option<f64> {
    match strategy {
        "sequential" => Some(98.6),
        "fine" => Some(98.1),
        "lockfree" => Some(97.7),
        "mvcc" => Some(97.0),
        _ => None,
    }
}

fn progress_bar(quiet: bool, rows: usize) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
