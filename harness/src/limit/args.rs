//! What is to be measured.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::memory::{LIST_BYTES, lines_of};
use crate::machine::{Machine, PlaceArgs, Placement};
use crate::sweep::{check_threads, distinct, powers_of_two};

const MAX_ROWS: usize = 1 << 30;
const MAX_BYTES: usize = 1 << 20;

/// Measure what this machine's memory allows: how fast rows can be read at all
///
/// For each working set and number of threads: rows gathered at random while the next ones are prefetched, as a search does; loads that each need the
/// one before; and rows in order. No search is faster than reading the rows that it compares.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hnsw-lab limit\n  hnsw-lab limit --rows 1000000 --bytes 512,128 --threads 1,2 --out limit.json"
)]
pub struct LimitArgs {
    /// Rows of each working set; one value goes with all of --bytes
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "100000")]
    pub rows: Vec<usize>,
    /// Bytes of a row of each working set; one value goes with all of --rows. A row begins at a cache line. Default: f32 and
    /// 8 bits, 128 and 1024 dimensions
    #[arg(long, value_name = "B,B", value_delimiter = ',', default_value = "512,128,4096,1024")]
    pub bytes: Vec<usize>,
    /// Thread counts [default: 1, 2, 4, … up to the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// Time for each of the three figures of a point, in seconds
    #[arg(long, value_name = "S", default_value_t = 0.3, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Where threads and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Also write what was measured to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// No sign of life
    #[arg(short, long)]
    pub quiet: bool,
}

/// The shape of a working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// [`LimitArgs`], checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shapes: Vec<Shape>,
    pub(super) threads: Vec<usize>,
    pub(super) seconds: f64,
    pub(super) placement: Placement,
}

impl Plan {
    pub(super) fn of(args: &LimitArgs, machine: &Machine) -> Result<Plan> {
        ensure!(
            (0.01..=60.0).contains(&args.seconds),
            "--seconds is {}; a figure takes from 0.01 to 60 seconds",
            args.seconds
        );
        let pin = &args.place.pin;
        let threads = args.threads.clone().unwrap_or_else(|| powers_of_two(pin.cpus(machine).len()));
        threads.iter().try_for_each(|&threads| check_threads(threads))?;
        let (shapes, threads) = (pairs(&args.rows, &args.bytes)?, distinct(threads));
        let most = threads.last().copied().unwrap_or(1);
        check_memory(&shapes, most)?;
        Ok(Plan { shapes, threads, seconds: args.seconds, placement: pin.clone() })
    }
}

/// The first with the first, and so on; or one with all.
fn pairs(rows: &[usize], bytes: &[usize]) -> Result<Vec<Shape>> {
    for &rows in rows {
        ensure!((2..=MAX_ROWS).contains(&rows), "--rows has {rows}; each must be from 2 to {MAX_ROWS}");
    }
    for &bytes in bytes {
        ensure!((1..=MAX_BYTES).contains(&bytes), "--bytes has {bytes}; each must be from 1 to {MAX_BYTES}");
    }
    let count = rows.len().max(bytes.len());
    if [rows.len(), bytes.len()].iter().any(|&len| len != 1 && len != count) {
        bail!(
            "--rows has {} values and --bytes {}; give as many of both, or one of either",
            rows.len(),
            bytes.len()
        );
    }
    let one = |values: &[usize], at: usize| values[if values.len() == 1 { 0 } else { at }];
    Ok((0..count).map(|at| Shape { rows: one(rows, at), bytes: one(bytes, at) }).collect())
}

/// Working sets come one after the other, so the largest must fit.
fn check_memory(shapes: &[Shape], threads: usize) -> Result<()> {
    let need = |shape: &Shape| {
        // The rows; the order in which they are linked; and the list of each thread.
        (shape.rows * (lines_of(shape.bytes) * 64 + size_of::<u32>()) + threads * LIST_BYTES) as u64
    };
    let most = shapes.iter().map(need).max().unwrap_or(0);
    match Machine::available_memory().filter(|free| *free < most) {
        None => Ok(()),
        Some(free) => {
            bail!("measuring needs {} MB of memory and {} MB are free; lower --rows", most >> 20, free >> 20)
        }
    }
}
