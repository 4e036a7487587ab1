//! The `data` subcommand: make, inspect and complete data sets.

use super::dataset::Dataset;
use super::embedded::FILES;
use super::fetch::{self, FetchArgs};
use super::folder::{LoadOptions, load, meta, parse_metric, part};
use super::generate::{self, Shape};
use super::hdf5::{self, Hdf5, Part};
use super::inspect::Profile;
use super::read::{Format, Matrix, read_ids, read_vectors};
use super::sums;
use super::truth::{Truth, Watch};
use super::write::{Staged, write_fvecs, write_ivecs};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use hnsw_core::distance::Metric;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Makes, inspects and completes data sets.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Generate a data set with its exact ground truth
    Make(MakeArgs),
    /// Say what is in a data file or in the folder of a data set
    Inspect(InspectArgs),
    /// Compute the exact nearest neighbours of queries
    Truth(TruthArgs),
    /// Download a public data set, or list those that are known
    Fetch(FetchArgs),
    /// Write out the data set that is part of this program, with its licences
    Embedded(EmbeddedArgs),
}

/// Arguments of `data make`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hnsw-lab data make clustered --n 50000 --dim 96 --intrinsic 12 --out my-set\n  \
                        hnsw-lab sweep --dataset my-set"
)]
pub struct MakeArgs {
    /// Kind of data
    pub kind: Kind,
    /// Base rows
    #[arg(long, default_value_t = generate::SEED_WORKLOAD.rows)]
    pub n: usize,
    /// Components of a vector
    #[arg(long, default_value_t = generate::SEED_WORKLOAD.dim)]
    pub dim: usize,
    /// Queries
    #[arg(long, default_value_t = generate::SEED_WORKLOAD.queries)]
    pub query_count: usize,
    /// The same seed gives the same data on every machine
    #[arg(long, default_value_t = generate::SEED_WORKLOAD.seed)]
    pub seed: u64,
    /// Intrinsic dimension of a cluster (clustered only; by default 16, or the dimension if that is lower)
    #[arg(long)]
    pub intrinsic: Option<usize>,
    /// Neighbours per query in the ground truth
    #[arg(long, default_value_t = 100)]
    pub k: usize,
    /// Folder to write base.fvecs, query.fvecs, gt.ivecs and meta.json to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace a data set that is there
    #[arg(long)]
    pub force: bool,
}

/// A generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Uniform in the unit cube: no structure, the hardest for its dimension
    Uniform,
    /// Clusters, each in a random subspace of few dimensions: nearer to real data
    Clustered,
}

/// Arguments of `data inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hnsw-lab data inspect base.fvecs --limit 100000")]
pub struct InspectArgs {
    /// A data file, or a folder with base.*, query.* and perhaps gt.*; compared with its .sha256 file if there is one
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// Read at most so many rows of each file
    #[arg(long)]
    pub limit: Option<usize>,
}

/// Arguments of `data truth`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hnsw-lab data truth --base base.fvecs --queries query.fvecs --metric cosine --out gt.ivecs"
)]
pub struct TruthArgs {
    /// Vectors that are searched
    #[arg(long, value_name = "FILE")]
    pub base: PathBuf,
    /// Vectors that are searched for
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// l2, ip or cosine
    #[arg(long, default_value = "l2", value_parser = metric)]
    pub metric: Metric,
    /// Neighbours per query
    #[arg(long, default_value_t = 100)]
    pub k: usize,
    /// Use only so many rows of the base
    #[arg(long)]
    pub limit: Option<usize>,
    /// The .ivecs file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `data embedded`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hnsw-lab data embedded --out sift10k")]
pub struct EmbeddedArgs {
    /// Folder to write base.bvecs, query.bvecs, gt.ivecs, meta.json and README.md to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace a data set that is there
    #[arg(long)]
    pub force: bool,
}

/// Reads the name of a metric, for command lines.
///
/// # Errors
/// Lists the names that are known.
pub fn metric(name: &str) -> Result<Metric, String> {
    parse_metric(name).ok_or_else(|| "known metrics are l2, ip and cosine".into())
}

/// Runs a `data` command; what it has to say goes to `out`.
///
/// # Errors
/// One line that says what is wrong and what to do. Files that were there are then as they were.
pub fn run(command: &DataCommand, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    match command {
        DataCommand::Make(args) => make(args, out, watch),
        DataCommand::Inspect(args) => inspect(args, out, watch),
        DataCommand::Truth(args) => truth(args, out, watch),
        DataCommand::Fetch(args) => fetch::run(args, out, watch),
        DataCommand::Embedded(args) => {
            let target = Target::new(&args.out, args.force, &FILES.map(|(name, _)| name))?;
            target.write(FILES.map(|(name, bytes)| (name, content(move |to| to.write_all(bytes)))))?;
            writeln!(out, "wrote the embedded data set to {}", args.out.display())?;
            Ok(())
        }
    }
}

fn make(args: &MakeArgs, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    let names = ["base.fvecs", "query.fvecs", "gt.ivecs", "meta.json"];
    // Before the work, so that a wrong path costs nothing.
    let target = Target::new(&args.out, args.force, &names)?;
    let shape = Shape { rows: args.n, dim: args.dim, queries: args.query_count, seed: args.seed };
    let (set, intrinsic) = match (args.kind, args.intrinsic) {
        (Kind::Uniform, None) => (generate::uniform(&shape)?, None),
        (Kind::Uniform, Some(_)) => {
            bail!("--intrinsic is for clustered data; leave it out or make `clustered`")
        }
        (Kind::Clustered, intrinsic) => {
            let intrinsic = intrinsic.unwrap_or(16.min(args.dim));
            (generate::clustered(&shape, intrinsic)?, Some(intrinsic))
        }
    };
    let truth = Truth::exact(&set, args.k, watch)?;
    let about = describe(&set, &truth, args.seed, intrinsic);
    let [base, query, gt, meta] = names;
    target.write([
        (base, content(|to| write_fvecs(to, set.dim(), set.base()))),
        (query, content(|to| write_fvecs(to, set.dim(), set.queries()))),
        (gt, content(|to| write_ivecs(to, truth.k, &truth.ids))),
        (meta, content(|to| writeln!(to, "{about:#}"))),
    ])?;
    let (rows, dim, queries) = (set.len(), set.dim(), set.query_count());
    writeln!(
        out,
        "wrote {} ({rows} x {dim}, {queries} queries, k = {}) to {}",
        set.name(),
        truth.k,
        args.out.display()
    )?;
    Ok(())
}

fn describe(set: &Dataset, truth: &Truth, seed: u64, intrinsic: Option<usize>) -> serde_json::Value {
    json!({
        "name": set.name(),
        "n_base": set.len(),
        "n_query": set.query_count(),
        "dim": set.dim(),
        "metric": set.metric().name(),
        "gt_k": truth.k,
        "gt": "exact; ties broken by lower id",
        "how": set.provenance(),
        "seed": seed,
        "intrinsic": intrinsic,
        "digest": set.digest().to_hex().as_str(),
    })
}

fn inspect(args: &InspectArgs, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    sums::inspect(&args.path, out, watch)?;
    if args.path.is_dir() {
        let about = meta(&args.path)?;
        let metric = about.metric.unwrap_or(Metric::L2);
        writeln!(out, "{}: metric {metric}", args.path.display())?;
        if let Some(provenance) = about.provenance {
            writeln!(out, "  {provenance}")?;
        }
        let mut any = false;
        for stem in ["base", "query", "gt"] {
            if let Some(file) = part(&args.path, stem)? {
                inspect_file(&file, stem == "gt", args.limit, out, watch)?;
                any = true;
            }
        }
        if !any {
            bail!("{}: no base.*, query.* or gt.* in a format that is read", args.path.display());
        }
        return Ok(());
    }
    if hdf5::is_named(&args.path) {
        return inspect_hdf5(&args.path, args.limit, out, watch);
    }
    let ids = matches!(Format::of(&args.path), Some(Format::Ivecs | Format::Ibin));
    inspect_file(&args.path, ids, args.limit, out, watch)
}

fn inspect_file(
    path: &Path,
    ids: bool,
    limit: Option<usize>,
    out: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<()> {
    if ids {
        describe_ids(&path.display().to_string(), &read_ids(path, limit)?, out)?;
    } else {
        let vectors = read_vectors(path, limit)?;
        write!(out, "{}\n{}", path.display(), Profile::of(&vectors, watch))?;
    }
    Ok(())
}

fn describe_ids(place: &str, rows: &Matrix<u32>, out: &mut dyn Write) -> Result<()> {
    let (low, high) = rows.values.iter().fold((u32::MAX, 0), |(a, b), &id| (a.min(id), b.max(id)));
    writeln!(out, "{place}\n  shape       {} x {} ids", rows.rows(), rows.dim)?;
    writeln!(out, "  ids         {low} .. {high}")?;
    Ok(())
}

fn inspect_hdf5(path: &Path, limit: Option<usize>, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    let file = Hdf5::open(path)?;
    let distance = file.distance()?;
    let metric = match distance.as_deref().map(|name| (name, parse_metric(name))) {
        Some((_, Some(metric))) => metric.to_string(),
        Some((name, None)) => format!("unknown: its distance is {name:?}"),
        None => format!("{}, because it names none", Metric::L2),
    };
    writeln!(out, "{}: metric {metric}", path.display())?;
    for part in Part::ALL {
        if part == Part::Truth && file.has(part) {
            describe_ids(&part.place(path), &file.ids(part, limit)?, out)?;
        } else if part != Part::Truth {
            let vectors = file.vectors(part, limit)?;
            write!(out, "{}\n{}", part.place(path), Profile::of(&vectors, watch))?;
        }
    }
    Ok(())
}

fn truth(args: &TruthArgs, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    if Format::of(&args.out) != Some(Format::Ivecs) {
        bail!("{}: the ground truth is written as ivecs; end the name with .ivecs", args.out.display());
    }
    if args.out.exists() && !args.force {
        bail!("{}: is there already; choose another name or add --force", args.out.display());
    }
    // Before the work, so that a wrong path costs nothing.
    if args.out.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        bail!("{}: its folder is not there; make it or choose another place", args.out.display());
    }
    let options = LoadOptions {
        queries: Some(args.queries.clone()),
        metric: Some(args.metric),
        limit: args.limit,
        ..LoadOptions::default()
    };
    let set = load(&args.base, &options)?;
    let truth = Truth::exact(&set, args.k, watch)?;
    let cannot = || format!("{}: cannot be written", args.out.display());
    let mut staged = Staged::default();
    staged.add(args.out.clone(), |to| write_ivecs(to, truth.k, &truth.ids)).with_context(cannot)?;
    staged.commit(args.force).with_context(cannot)?;
    writeln!(
        out,
        "wrote the {} nearest of {} queries to {}",
        truth.k,
        set.query_count(),
        args.out.display()
    )?;
    Ok(())
}

/// Writes one file.
type Content<'a> = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a>;

fn content<'a>(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + 'a) -> Content<'a> {
    Box::new(write)
}

/// A folder that a data set will be written to.
struct Target<'a> {
    folder: &'a Path,
    force: bool,
}

impl<'a> Target<'a> {
    /// Checks that writing `names` would neither replace anything without `force` nor leave two versions of one part.
    fn new(folder: &'a Path, force: bool, names: &[&str]) -> Result<Self> {
        if folder.exists() && !folder.is_dir() {
            bail!("{}: is a file; give a folder", folder.display());
        }
        for stem in ["base", "query", "gt"] {
            let there = if folder.is_dir() { part(folder, stem)? } else { None };
            let Some(there) = there else { continue };
            if !force {
                bail!("{}: is there already; choose another folder or add --force", there.display());
            }
            if !names.iter().any(|name| there.ends_with(name)) {
                bail!("{}: would stay beside the new data; remove it first", there.display());
            }
        }
        let taken = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
        if let Some(path) = taken.filter(|_| !force) {
            bail!("{}: is there already; choose another folder or add --force", path.display());
        }
        Ok(Target { folder, force })
    }

    fn write<const N: usize>(&self, files: [(&str, Content<'_>); N]) -> Result<()> {
        let cannot = |path: &Path| format!("{}: cannot be written", path.display());
        let new = !self.folder.exists();
        fs::create_dir_all(self.folder).with_context(|| cannot(self.folder))?;
        let write = || {
            let mut staged = Staged::default();
            for (name, content) in files {
                let path = self.folder.join(name);
                staged.add(path.clone(), content).with_context(|| cannot(&path))?;
            }
            staged.commit(self.force).with_context(|| cannot(self.folder))
        };
        write().inspect_err(|_| {
            if new {
                // Only if nothing is in it; the error to report is the first one.
                fs::remove_dir(self.folder).ok();
            }
        })
    }
}

#[cfg(test)]
#[path = "cmd_tests.rs"]
mod tests;
