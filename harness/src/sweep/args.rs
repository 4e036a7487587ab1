//! The flags of `hnsw-lab sweep`.

use super::{CODECS, Workload};
use crate::data::generate::{Shape, clustered, uniform};
use crate::data::{Dataset, LoadOptions, TruthCache, TruthSource, embedded, load};
use crate::machine::PlaceArgs;
use crate::progress;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use hnsw_core::distance::Metric;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Kinds of generated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// Uniform in the unit cube: no structure, the hardest case
    Uniform,
    /// Clusters of a given intrinsic dimension
    Clustered,
}

/// Measure strategies over thread counts and workloads
///
/// Without flags: all strategies, 1, 2, 4, … threads up to the cores that this process may use, all workloads, on a real
/// data set that is part of the program. Prints a table, writes one JSON document, and says how to see the curves. A sweep
/// that was stopped goes on where it was when the same command is given again.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  hnsw-lab sweep
  hnsw-lab sweep --strategies fine,lockfree --threads 1,2,4,8 --workloads search --ef 32,64,128
  hnsw-lab sweep --dataset sift1m/ --n 200000 --seconds 5 --blocks 5 --out results/sift200k.json
  hnsw-lab sweep --generate uniform --n 100000 --dim 128 --query-count 10000")]
pub struct SweepArgs {
    /// Base vectors: a file, a folder with base.*, query.* and gt.*, or an HDF5 file of ann-benchmarks [default: the
    /// embedded SIFT set]
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "generate")]
    pub dataset: Option<PathBuf>,
    /// Queries, if --dataset is a file or another file is wanted
    #[arg(long, value_name = "FILE", requires = "dataset")]
    pub queries: Option<PathBuf>,
    /// Exact neighbours as row numbers (ivecs, ibin, npy); computed and kept when there are none
    #[arg(long, value_name = "FILE", requires = "dataset")]
    pub truth: Option<PathBuf>,
    /// Generate the data instead
    #[arg(long, value_name = "KIND")]
    pub generate: Option<Generate>,
    /// Use this many base vectors (generated: 100000)
    #[arg(long, value_name = "COUNT")]
    pub n: Option<usize>,
    /// Components of a generated vector
    #[arg(long, value_name = "D", default_value_t = 128, requires = "generate")]
    pub dim: usize,
    /// Use this many queries (generated: 10000)
    #[arg(long, value_name = "COUNT")]
    pub query_count: Option<usize>,
    /// Intrinsic dimension of generated clusters [default: 16, or the dimension if that is lower]
    #[arg(long, value_name = "D", requires = "generate")]
    pub intrinsic: Option<usize>,
    /// How vectors are compared: l2, ip or cosine [default: what the data set says, else l2]
    #[arg(long, value_name = "METRIC", value_parser = crate::data::cmd::metric, requires = "dataset")]
    pub metric: Option<Metric>,
    /// How vectors are stored; with several, everything is measured with each of them
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "f32",
          value_parser = PossibleValuesParser::new(CODECS.iter().map(|codec| codec.name)))]
    pub codec: Vec<String>,
    /// Strategies to measure, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Thread counts [default: 1, 2, 4, … up to the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// Workloads to run
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "build,search,mixed,write-heavy",
        value_enum
    )]
    pub workloads: Vec<Workload>,
    /// Links per node and level; twice as many on level 0
    #[arg(long, value_name = "M", default_value_t = 16)]
    pub m: usize,
    /// Beam width while inserting
    #[arg(long, value_name = "EF", default_value_t = 200)]
    pub ef_construction: usize,
    /// How much nearer to a chosen neighbour a candidate must be to be left out, from 1 to 2; more keeps more links
    #[arg(long, value_name = "A", default_value_t = 1.0, allow_negative_numbers = true)]
    pub alpha: f32,
    /// Beam widths of searches; mixed workloads use the smallest from 64 up [default: 16,32,64,128, as far as k permits]
    #[arg(long, value_name = "16,32", value_delimiter = ',')]
    pub ef: Option<Vec<usize>>,
    /// Neighbours to ask for
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub k: usize,
    /// Length of a timed window in seconds (a build takes what it takes; a mixed window ends early when all vectors are in)
    #[arg(long, value_name = "S", default_value_t = 0.15, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Lists per second that the writer beside `search-writer` changes
    #[arg(long, value_name = "RATE", default_value_t = 100_000.0, allow_negative_numbers = true)]
    pub update_rate: f64,
    /// How often every point is measured; the table shows medians
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub blocks: usize,
    /// How often a trial that the machine disturbed is tried again in its block; all of them are kept
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub retries: usize,
    /// End when the upper end of every 95 % interval is at most so many times its lower end, after 6 blocks at the earliest;
    /// --blocks is then the most
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub until_ratio: Option<f64>,
    /// Build each index once, and search the same one in every block: blocks take less time and more memory, and say nothing
    /// about how builds differ
    #[arg(long)]
    pub keep_indexes: bool,
    /// Count what each operation costs the CPU (instructions, cycles, misses of caches) and the kernel, as far as the machine
    /// permits; `hnsw-lab report FILE --counters` shows it
    #[arg(long)]
    pub counters: bool,
    /// Begin each block when a line comes on standard input, and say when it is measured: for a program that lets others run in
    /// between
    #[arg(long)]
    pub step: bool,
    /// Seed of levels, orders, operation mixes and generated data
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Where workers and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where to write the results [default: results/NAME.json, by the data set's name]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Start over, even if the file holds rows of this sweep
    #[arg(long)]
    pub fresh: bool,
    /// Print the table alone: neither a progress bar nor what will be done
    #[arg(long, short)]
    pub quiet: bool,
    /// Which command this is.
    #[arg(skip)]
    pub kind: Kind,
}

/// What a sweep is for: how it is reported, and what its file is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `hnsw-lab sweep`
    #[default]
    Sweep,
    /// `hnsw-lab tax`
    Tax,
    /// `hnsw-lab noise`, whose rows go to no file of the user
    Noise,
}

impl Kind {
    /// What comes after the name of the data set in the name of the file.
    pub const fn suffix(self) -> &'static str {
        match self {
            Kind::Sweep => "",
            Kind::Tax => "-tax",
            Kind::Noise => "-noise",
        }
    }
}

/// The flags of `hnsw-lab tax`: those of a sweep, with other defaults.
#[derive(Clone, Debug)]
pub struct TaxArgs(pub SweepArgs);

impl TaxArgs {
    fn defaults(command: Command) -> Command {
        command
            .about("Measure what each strategy costs beside the one without any synchronisation")
            .long_about(
                "Measure what each strategy costs beside the one without any synchronisation\n\n\
                 Inserts, searches, and searches beside a writer that changes lists at a set rate; each strategy at each \
                 thread count, against `sequential` on one thread in the same block. Prints a table of ratios per thread \
                 and writes the rows as `hnsw-lab sweep` does.",
            )
            .after_help(
                "Examples:\n  hnsw-lab tax\n  hnsw-lab tax --strategies sequential,slots,lockfree --update-rate 50000",
            )
            .mut_arg("workloads", |arg| arg.default_value("build,search,search-writer"))
            .mut_arg("ef", |arg| arg.default_value("64"))
            .mut_arg("blocks", |arg| arg.default_value("7"))
    }
}

impl FromArgMatches for TaxArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(TaxArgs(SweepArgs { kind: Kind::Tax, ..SweepArgs::from_arg_matches(matches)? }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for TaxArgs {
    fn augment_args(command: Command) -> Command {
        Self::defaults(SweepArgs::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::defaults(SweepArgs::augment_args_for_update(command))
    }
}

impl SweepArgs {
    /// The data, with the ground truth that they came with, if any.
    ///
    /// # Errors
    /// Data that cannot be read or generated.
    pub fn dataset(&self) -> Result<Dataset> {
        match (self.generate, &self.dataset) {
            (Some(kind), _) => {
                let _spinner = progress::spinner("generating data".into(), self.quiet);
                self.generated(kind)
            }
            (None, Some(path)) => {
                let _spinner = progress::spinner(format!("reading {}", path.display()), self.quiet);
                let options = LoadOptions {
                    queries: self.queries.clone(),
                    truth: self.truth.clone(),
                    metric: self.metric,
                    limit: self.n,
                    query_limit: self.query_count,
                };
                Ok(load(path, &options)?)
            }
            (None, None) => Ok(embedded()),
        }
    }

    /// Makes sure that `dataset` knows the exact neighbours for k.
    ///
    /// # Errors
    /// A stop on request.
    pub fn ensure_truth(&self, dataset: &mut Dataset, stop: &AtomicBool) -> Result<()> {
        let source =
            progress::watched("exact neighbours, kept for the next time", self.quiet, stop, |watch| {
                dataset.ensure_truth(self.k, TruthCache::of_user().as_ref(), watch)
            })?;
        if let TruthSource::Computed { not_cached: Some(why) } = source {
            eprintln!("note: the exact neighbours will be computed again the next time: {why}");
        }
        Ok(())
    }

    fn generated(&self, kind: Generate) -> Result<Dataset> {
        let shape = Shape {
            rows: self.n.unwrap_or(100_000),
            dim: self.dim,
            queries: self.query_count.unwrap_or(10_000),
            seed: self.seed,
        };
        Ok(match kind {
            Generate::Uniform => uniform(&shape)?,
            Generate::Clustered => clustered(&shape, self.intrinsic.unwrap_or(self.dim.min(16)))?,
        })
    }
}
