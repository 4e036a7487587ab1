//! The command line: which commands there are, how errors look, and what exit codes mean.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed, `verify` found something, or `compare` found something worse; one line says what |
//! | 2 | the flags do not parse, or what `compare` got cannot be compared |
//! | 130 | stopped by Ctrl-C; what was finished is in the result file |

use crate::capacity::{self, CapacityArgs};
use crate::churn::workload::cmd::{self as workload, WorkloadArgs};
use crate::churn::{self, ChurnArgs};
use crate::compare::{self, CompareArgs};
use crate::data::cmd::DataCommand;
use crate::data::{self, TruthError};
use crate::ladder::{self, LadderArgs};
use crate::latency::{self, LatencyArgs};
use crate::limit::{self, LimitArgs};
use crate::machine::doctor::{self, DoctorArgs};
use crate::noise::{self, NoiseArgs};
use crate::plot::{self, PlotArgs};
use crate::report::{self, ReportArgs};
use crate::runbook::{self, RunbookArgs};
use crate::sweep::{self, Outcome, SweepArgs, TaxArgs};
use crate::verify::{self, VerifyArgs};
use crate::{apart, output, progress};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Exit code for flags that do not parse.
const USAGE: u8 = 2;

const MISSING_COMMAND: clap::error::ErrorKind =
    clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

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
    Tax(Box<TaxArgs>),
    Churn(ChurnArgs),
    Workload(WorkloadArgs),
    Runbook(RunbookArgs),
    Ladder(LadderArgs),
    Latency(LatencyArgs),
    Report(ReportArgs),
    Plot(PlotArgs),
    Compare(CompareArgs),
    Noise(Box<NoiseArgs>),
    Verify(VerifyArgs),
    /// Make, fetch, inspect and complete data sets
    #[command(
        subcommand,
        after_help = "Example:\n  hnsw-lab data embedded --out sift10k\n  hnsw-lab data inspect sift10k"
    )]
    Data(DataCommand),
    Capacity(CapacityArgs),
    Limit(LimitArgs),
    Doctor(DoctorArgs),
    /// Do one task of a measurement, which starts this itself and says on standard input what to do
    #[command(hide = true)]
    Session,
}

/// Set by Ctrl-C and by a request to terminate.
static STOP: AtomicBool = AtomicBool::new(false);

/// Runs the program.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        // Help and version are no errors, and help instead of a command is longer than a line.
        Err(error) if !error.use_stderr() || error.kind() == MISSING_COMMAND => error.exit(),
        Err(error) => {
            eprintln!("{}", one_line(&error.to_string()));
            return ExitCode::from(USAGE);
        }
    };
    match run(&command) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if is_cancelled(&error) => {
            eprintln!("stopped; nothing was written");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What [`main`] would say of this command line, program name first, if it does not parse. Runs nothing.
///
/// # Errors
/// One line that says what is wrong.
pub fn check(arguments: impl IntoIterator<Item = OsString>) -> core::result::Result<(), String> {
    match Cli::try_parse_from(arguments) {
        Err(error) if error.use_stderr() && error.kind() != MISSING_COMMAND => {
            Err(one_line(&error.to_string()))
        }
        _ => Ok(()),
    }
}

/// What the parser says, with its hints and without the usage.
fn one_line(message: &str) -> String {
    let told = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut text = String::new();
    for line in
        told.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
    {
        if !text.is_empty() {
            text.push_str(if text.ends_with(':') || line.starts_with('[') { " " } else { "; " });
        }
        text.push_str(line);
    }
    text
}

fn run(command: &Command) -> Result<ExitCode> {
    let done = ExitCode::SUCCESS;
    let measures = matches!(
        command,
        Command::Sweep(_)
            | Command::Tax(_)
            | Command::Churn(_)
            | Command::Runbook(_)
            | Command::Noise(_)
            | Command::Latency(_)
            | Command::Ladder(_)
            | Command::Data(_)
            | Command::Session
    );
    if measures {
        // A misspelt override must not pass for a measurement of what it names.
        hnsw_core::distance::Isa::from_env()?;
    }
    match command {
        Command::Sweep(args) => {
            watch_signals()?;
            sweep::run(args, &STOP).map(ended)
        }
        Command::Tax(args) => {
            watch_signals()?;
            sweep::run(&args.0, &STOP).map(ended)
        }
        Command::Churn(args) => {
            watch_signals()?;
            churn::run(args, &STOP, &mut io::stdout().lock()).map(ended)
        }
        Command::Workload(args) => workload::run(args, &mut io::stdout().lock()).map(|()| done),
        Command::Runbook(args) => {
            watch_signals()?;
            runbook::run(args, &STOP, &mut io::stdout().lock()).map(ended)
        }
        Command::Latency(args) => {
            watch_signals()?;
            latency::run(args, &STOP, &mut io::stdout().lock()).map(ended)
        }
        Command::Ladder(args) => {
            watch_signals()?;
            ladder::run(args, &STOP, &mut io::stdout().lock()).map(ended)
        }
        Command::Report(args) => report::run(args).map(|()| done),
        Command::Plot(args) => plot::run(args).map(|()| done),
        Command::Compare(args) => compare::run(args),
        Command::Noise(args) => {
            watch_signals()?;
            noise::run(args, &STOP, &mut io::stdout().lock()).map(|()| done)
        }
        Command::Verify(args) => verify::run(args),
        Command::Data(command) => {
            watch_signals()?;
            // Kept back until the bar has gone from the line.
            let mut text = Vec::new();
            let what =
                if matches!(command, DataCommand::Fetch(_)) { "fetching" } else { "comparing vectors" };
            let ended =
                progress::watched(what, false, &STOP, |watch| data::cmd::run(command, &mut text, watch));
            output::print(&String::from_utf8_lossy(&text)).context("cannot write to standard output")?;
            ended.map(|()| done)
        }
        Command::Capacity(args) => {
            watch_signals()?;
            capacity::run(args, &STOP, &mut io::stdout().lock()).map(|()| done)
        }
        Command::Limit(args) => {
            watch_signals()?;
            limit::run(args, &STOP, &mut io::stdout().lock()).map(|()| done)
        }
        Command::Doctor(args) => doctor::run(args, &mut io::stdout().lock())
            .context("cannot write to standard output")
            .map(|()| done),
        Command::Session => {
            watch_signals()?;
            apart::serve(&STOP).map(|()| done)
        }
    }
}

fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Complete => ExitCode::SUCCESS,
        Outcome::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

/// The first signal asks for an orderly end, the second ends at once.
fn watch_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        // Relaxed [signal-stop]: a wish; nothing is read because of it.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .context("cannot watch for Ctrl-C")
}

/// True when a computation gave up because the user asked it to.
fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(TruthError::Cancelled)))
}

/// True when whoever read our output went away: no error of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().filter_map(io).any(|kind| kind == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_does_not_parse_is_told_in_one_line() {
        let told = |args: &[&str]| {
            let error = Cli::try_parse_from([&["hnsw-lab"], args].concat()).expect_err("wrong");
            one_line(&error.to_string())
        };
        assert_eq!(
            told(&["sweep", "--workloads", "nap"]),
            "error: invalid value 'nap' for '--workloads <A,B>' [possible values: build, search, search-batch, \
             search-writer, bulk, bulk-search, bulk-search-batch, mixed, write-heavy, reader-writer, phases]"
        );
        assert_eq!(
            told(&["swep"]),
            "error: unrecognized subcommand 'swep'; tip: a similar subcommand exists: 'sweep'"
        );
        assert_eq!(
            told(&["data", "embedded"]),
            "error: the following required arguments were not provided: --out <DIR>"
        );
    }
}
