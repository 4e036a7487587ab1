//! `hnsw-lab noise`: how small a difference this machine can show.
//!
//! The same strategy is measured twice under two names, A and B, in turn, many times in one run. Whatever difference comes out is
//! noise, so a comparison must not claim one that is as small. The whole path of a sweep is under test: its placement, its
//! windows, its order, its builds where the workload builds.
//!
//! - `document`: what is written, and what it says for a number of blocks.

mod document;
#[cfg(test)]
mod tests;

use document::LEAST_PAIRS;
pub use document::{Document, Point, SCHEMA_VERSION, Smallest, parse, read};

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use comfy_table::Cell;

use crate::data::TruthError;
use crate::machine::{Machine, build_info};
use crate::output;
use crate::record;
use crate::report::{grouped, plain};
use crate::sweep::{self, Kind, Outcome, SweepArgs};

/// Measure how small a difference this machine can show: the same against the same
///
/// Each point is measured under two names in turn, many times. Prints how large a difference between them came out by chance, for
/// several numbers of blocks: no comparison should claim a smaller one. `hnsw-lab compare` and `hnsw-lab report` take the file
/// with --noise.
#[derive(Args, Clone, Debug)]
#[command(
    mut_arg("blocks", |arg| arg.default_value("20").help("How often each of the two names is measured")),
    mut_arg("strategies", |arg| arg.default_value("fine")),
    mut_arg("workloads", |arg| arg.default_value("search")),
    mut_arg("ef", |arg| arg.default_value("64")),
    mut_arg("seconds", |arg| arg.default_value("0.05")),
    mut_arg("keep_indexes", |arg| arg.hide(true)),
    mut_arg("counters", |arg| arg.hide(true)),
    mut_arg("step", |arg| arg.hide(true)),
    mut_arg("fresh", |arg| arg.hide(true)),
    mut_arg("out", |arg| arg.help("Also write what was measured to this file")),
    about = "Measure how small a difference this machine can show: the same against the same",
    long_about = "Measure how small a difference this machine can show: the same against the same\n\nEach point is measured under \
                  two names in turn, many times. Prints how large a difference between them came out by chance, for several \
                  numbers of blocks: no comparison should claim a smaller one. `hnsw-lab compare` and `hnsw-lab report` take \
                  the file with --noise.",
    after_help = "Examples:\n  hnsw-lab noise --out noise.json\n  hnsw-lab noise --strategies lockfree --threads 1,8 --workloads build,search --for-blocks 5,7"
)]
pub struct NoiseArgs {
    /// What is measured, and how.
    #[command(flatten)]
    pub sweep: SweepArgs,
    /// Say it for comparisons of so many blocks
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "3,5,7,10,20")]
    pub for_blocks: Vec<usize>,
}

/// Runs the command and prints the table to `out`. `stop` ends it early.
///
/// # Errors
/// Those of a sweep; flags that do not suit; a place that cannot be written; a stop on request.
pub fn run(args: &NoiseArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<()> {
    let pairs = args.sweep.blocks;
    ensure!(
        (LEAST_PAIRS..=sweep::MAX_BLOCKS / 2).contains(&pairs),
        "--blocks is {pairs}; each name must be measured from {LEAST_PAIRS} to {} times",
        sweep::MAX_BLOCKS / 2
    );
    for &blocks in &args.for_blocks {
        ensure!(
            (1..=sweep::MAX_BLOCKS).contains(&blocks),
            "--for-blocks has {blocks}; each must be from 1 to {}",
            sweep::MAX_BLOCKS
        );
    }
    output::check_file(args.sweep.out.as_deref())?;
    let rows = measure(&args.sweep, stop)?;
    let document = Document::of(&rows, &args.for_blocks, Machine::detect(), build_info());
    print(&document, out)?;
    output::write_file(&document, args.sweep.out.as_deref(), out)?;
    Ok(())
}

/// A sweep of twice the blocks, of which each two are a pair: so A and B take turns, and nothing else tells them apart.
fn measure(args: &SweepArgs, stop: &AtomicBool) -> Result<record::Document> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let out: PathBuf = folder.path().join("pairs.json");
    let sweep = SweepArgs {
        blocks: 2 * args.blocks,
        // In one process, one index under both names, unless building is what is measured.
        keep_indexes: args.in_process && !args.workloads.iter().any(|workload| workload.builds()),
        counters: false,
        step: false,
        fresh: false,
        out: Some(out),
        kind: Kind::Noise,
        ..args.clone()
    };
    let (document, outcome) = sweep::measure(&sweep, stop)?;
    match outcome {
        Outcome::Complete => Ok(document),
        Outcome::Interrupted => Err(TruthError::Cancelled.into()),
    }
}

fn print(document: &Document, out: &mut dyn Write) -> Result<()> {
    let blocks: Vec<String> = document.for_blocks.iter().map(|blocks| format!("{blocks} blocks")).collect();
    let fixed = ["strategy", "codec", "workload", "threads", "ef", "ops/s", "A/B spread %"];
    let header: Vec<&str> =
        fixed.into_iter().chain(blocks.iter().map(String::as_str)).chain(["flags"]).collect();
    let mut table = plain(&header, false);
    for point in &document.points {
        let mut row = vec![
            Cell::new(&point.strategy),
            Cell::new(&point.codec),
            Cell::new(&point.workload),
            Cell::new(point.threads),
            Cell::new(point.ef.map_or("–".into(), |ef| ef.to_string())),
            Cell::new(grouped(point.median_rate())),
            Cell::new(format!("{:.2}", point.spread_percent())),
        ];
        row.extend(point.smallest.iter().map(|smallest| {
            Cell::new(format!("{:.2} / {:.2} %", smallest.paired_percent, smallest.unpaired_percent))
        }));
        let flags =
            [(point.oversubscribed, "*".to_owned()), (point.tainted > 0, format!("! {}", point.tainted))];
        row.push(Cell::new(
            flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect::<String>(),
        ));
        table.add_row(row);
    }
    writeln!(
        out,
        "Smallest difference that is not noise, {} pairs of {} s\n\n{}\n",
        document.pairs,
        document.seconds,
        table.trim_fmt()
    )?;
    writeln!(
        out,
        "N blocks: 95 of 100 comparisons of a thing with itself over so many blocks came out smaller. First figure: blocks in\n\
         pairs that are measured in turn (`compare --paired`, strategies of one sweep); second: two runs (`compare`).\n\
         A/B spread: half of all single pairs differ by more."
    )?;
    if document.points.iter().any(|point| point.tainted > 0) {
        writeln!(out, "! so many rows are tainted: the noise is that of a machine which was not quiet")?;
    }
    Ok(())
}
