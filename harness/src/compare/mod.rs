//! `hnsw-lab compare`: did anything become slower from one result document to another?
//!
//! A difference counts when three things agree: the rank test (corrected for how many points are compared), the bootstrap
//! interval of the ratio, and the size of the difference, which must be one that is worth speaking of. What fails one of them is
//! not called the same: that is a finding of its own, which asks that the interval lie within what is not worth speaking of.
//!
//! - `judge`: which points match, and the verdict on each.
//! - `table`: how it is told.

mod judge;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::noise;
use crate::output;
use crate::record::{Document, read};

pub use judge::{ALPHA, Compared, Refusal, Rules, Verdict, compare};

/// The version of what `--json` prints.
pub const SCHEMA_VERSION: u32 = 1;

/// The smallest effect that counts where nobody has measured the noise, in percent.
pub const DEFAULT_EFFECT: f64 = 3.0;

/// Exit code when something is worse.
const WORSE: u8 = 1;

/// Exit code when there is nothing to compare.
const INCOMPARABLE: u8 = 2;

/// Compare two result files point by point: what became faster, what slower
///
/// Points match that have the same strategy, codec, workload, threads and ef; data set, k, M, ef_construction and alpha must be
/// the same. Ratios are B over A. Exit code: 0 nothing is worse, 1 something is worse, 2 they cannot be compared.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hnsw-lab compare before.json after.json\n  hnsw-lab compare before.json after.json --workload search --noise noise.json --json"
)]
pub struct CompareArgs {
    /// Result file of `hnsw-lab sweep`: what it was
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Result file of `hnsw-lab sweep`: what it is
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// Only this workload
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// Only this strategy
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// The smallest difference of throughput that counts, in percent [default: what --noise says, else 3]
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub min_effect: Option<f64>,
    /// The smallest loss of recall that counts
    #[arg(long, value_name = "R", default_value_t = 0.005, allow_negative_numbers = true)]
    pub recall_loss: f64,
    /// Take block n of both together, as of files that were measured in turn
    #[arg(long)]
    pub paired: bool,
    /// What `hnsw-lab noise` wrote on this machine
    #[arg(long, value_name = "FILE")]
    pub noise: Option<PathBuf>,
    /// Compare in spite of another machine, build profile or isolation
    #[arg(long)]
    pub force: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// One of the two sides.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Where it was read from.
    pub file: String,
    /// The run.
    pub id: String,
    /// The commit of the program, where known.
    pub git_commit: Option<String>,
}

impl Side {
    fn of(path: &Path, document: &Document) -> Side {
        Side {
            file: path.display().to_string(),
            id: document.run.id.clone(),
            git_commit: document.run.build.git_commit.clone(),
        }
    }
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it was.
    pub a: Side,
    /// What it is.
    pub b: Side,
    /// The rest.
    #[serde(flatten)]
    pub compared: Compared,
}

/// Runs the command.
///
/// # Errors
/// A standard output that cannot be written. That flags do not suit, or files cannot be read or compared, is no error of this kind:
/// it is exit code 2, since 1 has a meaning.
pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    match comparison(args) {
        Ok(comparison) => {
            let text = match args.json {
                true => serde_json::to_string_pretty(&comparison)? + "\n",
                false => table::text(&comparison),
            };
            output::print(&text).context("cannot write to standard output")?;
            Ok(if comparison.compared.worse() > 0 { ExitCode::from(WORSE) } else { ExitCode::SUCCESS })
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(INCOMPARABLE))
        }
    }
}

fn comparison(args: &CompareArgs) -> Result<Comparison> {
    let percent = args.min_effect.unwrap_or(DEFAULT_EFFECT);
    ensure!(
        (0.0..=1000.0).contains(&percent),
        "--min-effect is {percent}; it must be from 0 to 1000 percent"
    );
    let loss = args.recall_loss;
    ensure!((0.0..=1.0).contains(&loss), "--recall-loss is {loss}; it must be from 0 to 1");
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let noise = args.noise.as_deref().map(noise::read).transpose()?;
    let rules = Rules {
        min_effect: args.min_effect.map(|percent| percent / 100.0),
        recall_loss: args.recall_loss,
        paired: args.paired,
        force: args.force,
        workload: args.workload.clone(),
        strategy: args.strategy.clone(),
    };
    let compared = compare(&before, &after, &rules, noise.as_ref()).with_context(|| {
        format!("{} and {} cannot be compared", args.before.display(), args.after.display())
    })?;
    Ok(Comparison {
        schema_version: SCHEMA_VERSION,
        a: Side::of(&args.before, &before),
        b: Side::of(&args.after, &after),
        compared,
    })
}
