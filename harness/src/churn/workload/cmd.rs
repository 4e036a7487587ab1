//! The `workload` subcommand.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use super::{BUILT_IN, Workload};

/// List the workloads of `churn`, or check and show one
///
/// A workload is a small file in TOML: what the index holds, which operations there are, and on what. What this prints of a built-in one can be changed
/// and given to `hnsw-lab churn --workload`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hnsw-lab workload\n  hnsw-lab workload hot-hub > my.toml\n  hnsw-lab churn --workload my.toml"
)]
pub struct WorkloadArgs {
    /// Name of a built-in workload, or a file [default: list them]
    #[arg(value_name = "NAME|FILE")]
    pub name: Option<String>,
}

/// Prints the list, or the text of one workload.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn run(args: &WorkloadArgs, out: &mut dyn Write) -> Result<()> {
    match &args.name {
        None => list(out)?,
        Some(name) => {
            // A file is shown only if it can be run.
            let (_, workload) = Workload::named(name)?;
            match BUILT_IN.iter().find(|(built_in, _)| built_in == name) {
                Some((_, text)) => out.write_all(text.as_bytes())?,
                None => writeln!(out, "{name}: {}", workload.about)?,
            }
        }
    }
    Ok(())
}

fn list(out: &mut dyn Write) -> Result<()> {
    let widest = BUILT_IN.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in BUILT_IN {
        let about = Workload::parse(name, text)?.about;
        writeln!(out, "{name:widest$}  {about}")?;
    }
    Ok(())
}
