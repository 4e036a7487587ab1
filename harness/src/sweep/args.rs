//! The flags of `hnsw-lab sweep`.

use super::{CODECS, Workload};
use crate::data::generate::{Shape, clustered, uniform};
use crate::data::{Dataset, LoadOptions, TruthCache, TruthSource, embedded, load};
use crate::flags::{any_path, metric_name};
use crate::machine::PlaceArgs;
use crate::progress;
use crate::record::Isolation;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use hnsw_core::distance::Metric;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Kinds of generated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(after_help = "Examples:
  hnsw-lab sweep
  hnsw-lab sweep --strategies fine,lockfree --threads 1,2,4,8 --workloads search --ef 32,64,128
  hnsw-lab sweep --dataset sift1m/ --n 200000 --seconds 5 --blocks 5 --out results/sift200k.json
  hnsw-lab sweep --generate uniform --n 100000 --dim 128 --query-count 10000")]
pub struct SweepArgs {
    /// Base vectors: a file, a folder with base.*, query.* and gt.*, or an HDF5 file of ann-benchmarks [default: the
    /// embedded SIFT set]
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "generate")]
    #[serde(with = "any_path")]
    pub dataset: Option<PathBuf>,
    /// Queries, if --dataset is a file or another file is wanted
    #[arg(long, value_name = "FILE", requires = "dataset")]
    #[serde(with = "any_path")]
    pub queries: Option<PathBuf>,
    /// Exact neighbours as row numbers (ivecs, ibin, npy); computed and kept when there are none
    #[arg(long, value_name = "FILE", requires = "dataset")]
    #[serde(with = "any_path")]
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
    #[serde(with = "metric_name")]
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
    /// Measure everything in one process, instead of each strategy at each thread count in each block in a fresh one; what
    /// earlier trials did to its heap is then there for later ones. For debuggers and profilers, and for data that take long to
    /// load
    #[arg(long)]
    pub in_process: bool,
    /// Build each index once, and search the same one in every block: blocks take less time and more memory, and say nothing
    /// about how builds differ. Everything is in one process then
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
    #[serde(with = "any_path")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What measures the sessions. An index that is kept is kept by the process that built it.
    pub const fn isolation(&self) -> Isolation {
        if self.in_process || self.keep_indexes { Isolation::None } else { Isolation::Process }
    }

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

    /// Makes sure that `dataset` knows the exact neighbours for k, and says where they came from.
    ///
    /// # Errors
    /// A stop on request.
    pub fn ensure_truth(&self, dataset: &mut Dataset, stop: &AtomicBool) -> Result<TruthSource> {
        let source =
            progress::watched("exact neighbours, kept for the next time", self.quiet, stop, |watch| {
                dataset.ensure_truth(self.k, TruthCache::of_user().as_ref(), watch)
            })?;
        if let TruthSource::Computed { not_cached: Some(why) } = &source {
            eprintln!("note: the exact neighbours will be computed again the next time: {why}");
        }
        Ok(source)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::assert_survive;
    use clap::Parser;

    #[derive(Parser)]
    struct Sweep {
        #[command(flatten)]
        args: SweepArgs,
    }

    fn parsed(flags: &str) -> SweepArgs {
        Sweep::parse_from(std::iter::once("sweep").chain(flags.split_whitespace())).args
    }

    /// What the process of a session gets is what the sweep was told.
    #[test]
    fn flags_survive_their_way_to_another_process() {
        for flags in [
            "",
            "--generate clustered --n 400 --dim 16 --intrinsic 3 --query-count 50 --alpha 1.1 --seconds 0.07",
            "--dataset a/b --queries q --truth t --metric cosine --pin list:0,2 --memory bind:1 --out x --retries 3",
            "--codec f32,sq8+f32 --strategies fine,mvcc --threads 1,3 --workloads bulk,reader-writer --ef 9,10 --counters",
            "--until-ratio 1.02 --keep-indexes --in-process --step --fresh --quiet --update-rate 0.3 --seed 18446744073709551615",
        ] {
            assert_survive(&parsed(flags));
        }
    }

    #[test]
    #[cfg(unix)]
    fn paths_need_not_be_unicode() {
        use std::os::unix::ffi::OsStringExt;
        let path = PathBuf::from(std::ffi::OsString::from_vec(b"sift\xff".to_vec()));
        let given = SweepArgs { dataset: Some(path.clone()), ..parsed("") };
        let text = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<SweepArgs>(&text).unwrap().dataset, Some(path));
    }

    #[test]
    fn each_session_has_a_process_unless_one_process_is_asked_for_or_needed() {
        let isolation = |flags| parsed(flags).isolation();
        assert_eq!(isolation("--blocks 2"), Isolation::Process);
        assert_eq!(isolation("--in-process"), Isolation::None);
        assert_eq!(isolation("--keep-indexes"), Isolation::None);
    }
}
