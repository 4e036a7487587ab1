//! The command line: which commands there are, how errors look, and what exit codes mean.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed, or `verify` found something; one line on standard error says what and how to mend it |
//! | 2 | the flags do not parse |
//! | 130 | stopped by Ctrl-C; what was finished is in the result file |

use crate::capacity::{self, CapacityArgs};
use crate::data::cmd::DataCommand;
use crate::data::{self, Watch};
use crate::machine::doctor::{self, DoctorArgs};
use crate::plot::{self, PlotArgs};
use crate::report::{self, ReportArgs};
use crate::sweep::{self, Outcome, SweepArgs};
use crate::verify::{self, VerifyArgs};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Measure how many cores can share one HNSW graph, and under which concurrency strategy
#[derive(Parser, Debug)]
#[command(name = "hnsw-lab", version, max_term_width = 100)]
#[command(
    after_help = "Start with:\n  hnsw-lab sweep      measures everything on an embedded data set, in a few minutes\n  hnsw-lab doctor     says what this machine can and cannot measure"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Sweep(Box<SweepArgs>),
    Report(ReportArgs),
    Plot(PlotArgs),
    Verify(VerifyArgs),
    /// Make, inspect and complete data sets
    #[command(subcommand)]
    Data(DataCommand),
    Capacity(CapacityArgs),
    Doctor(DoctorArgs),
}

/// Set by Ctrl-C and by a request to terminate.
static STOP: AtomicBool = AtomicBool::new(false);

/// Runs the program.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    match run(&command) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        // Relaxed: set long before by the signal that made the command fail.
        Err(_) if STOP.load(Ordering::Relaxed) => {
            eprintln!("stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    let done = ExitCode::SUCCESS;
    match command {
        Command::Sweep(args) => {
            // A misspelt override must not pass for a measurement of what it names.
            hnsw_core::distance::Isa::from_env()?;
            watch_signals()?;
            sweep::run(args, &STOP).map(|outcome| match outcome {
                Outcome::Complete => done,
                Outcome::Interrupted => ExitCode::from(INTERRUPTED),
            })
        }
        Command::Report(args) => report::run(args).map(|()| done),
        Command::Plot(args) => plot::run(args).map(|()| done),
        Command::Verify(args) => verify::run(args),
        Command::Data(command) => {
            watch_signals()?;
            let watch = Watch { cancel: &STOP, ..Watch::none() };
            data::cmd::run(command, &mut io::stdout().lock(), watch).map(|()| done)
        }
        Command::Capacity(args) => {
            watch_signals()?;
            capacity::run(args, &STOP, &mut io::stdout().lock()).map(|()| done)
        }
        Command::Doctor(args) => doctor::run(args, &mut io::stdout().lock())
            .context("cannot write to standard output")
            .map(|()| done),
    }
}

/// The first signal asks for an orderly end, the second ends at once.
fn watch_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        // Relaxed: a wish; nothing is read because of it.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot watch for Ctrl-C")
}

/// True when whoever read our output went away: no error of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().filter_map(io).any(|kind| kind == ErrorKind::BrokenPipe)
}
