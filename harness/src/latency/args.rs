//! What is to be measured.

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::{Deserialize, Serialize};

use super::Arrivals;
use crate::apart::ApartArgs;
use crate::blocks::BlockArgs;
use crate::data::Dataset;
use crate::flags::{DataArgs, GraphArgs, OutArgs};
use crate::machine::{Machine, PlaceArgs};
use crate::sweep::{CODECS, Strategy, check_seconds, check_threads, distinct, named, powers_of_two, sample};

/// The highest rate that can be asked for.
pub(super) const MAX_RATE: f64 = 1e7;

/// Measure how long operations take that come at a given rate, or search for the rate that can be served
///
/// Each thread has a schedule of when its operations are meant to begin, which does not depend on how long they take (an open
/// loop). One that is late starts at once. Its service time is counted from its actual start, its response time from the intended
/// one: a stall is felt by all operations that should have begun meanwhile, as it is by users, who do not wait for each other
/// before they ask.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(after_help = "Examples:
  hnsw-lab latency --rate 1000,5000,20000 --closed
  hnsw-lab latency --rate 2000 --writes 0.1 --arrivals constant --strategies lockfree,fine --threads 2
  hnsw-lab latency --rate-search --p99 500 --out latency.json")]
pub struct LatencyArgs {
    /// Operations per second, of all threads together
    #[arg(
        long,
        value_name = "R,R",
        value_delimiter = ',',
        required_unless_present = "rate_search",
        allow_negative_numbers = true
    )]
    pub rate: Vec<f64>,
    /// Instead, search for the highest rate at which 99 % of the searches are answered within --p99
    #[arg(long, conflicts_with = "rate", requires = "p99")]
    pub rate_search: bool,
    /// The bound of --rate-search, in microseconds
    #[arg(
        long,
        value_name = "MICROS",
        requires = "rate_search",
        conflicts_with = "rate",
        allow_negative_numbers = true
    )]
    pub p99: Option<f64>,
    /// How operations arrive
    #[arg(long, value_name = "KIND", default_value = "poisson", value_enum)]
    pub arrivals: Arrivals,
    /// Measure each point in a closed loop too, in which a slow operation keeps others from being asked: the difference is
    /// what coordinated omission hides
    #[arg(long)]
    pub closed: bool,
    /// Share of the operations that insert, from 0 to 1; the index then begins with half of the rows
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub writes: f64,
    /// Which vectors.
    #[command(flatten)]
    pub data: DataArgs,
    /// How vectors are stored
    #[arg(long, value_name = "CODEC", default_value = "f32",
          value_parser = PossibleValuesParser::new(CODECS.iter().map(|codec| codec.name)))]
    pub codec: String,
    /// Strategies, or all
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "all")]
    pub strategies: Vec<String>,
    /// Thread counts [default: 1, 2, 4, … up to the cores that this process may use]
    #[arg(long, value_name = "1,2,4", value_delimiter = ',')]
    pub threads: Option<Vec<usize>>,
    /// How the graph is built and searched.
    #[command(flatten)]
    pub graph: GraphArgs,
    /// How often.
    #[command(flatten)]
    pub blocks: BlockArgs,
    /// Where.
    #[command(flatten)]
    pub apart: ApartArgs,
    /// Length of a window in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Seed of levels, arrivals and operation mixes
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Where threads and memory go.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What becomes of what was measured.
    #[command(flatten)]
    pub output: OutArgs,
}

/// [`LatencyArgs`], checked.
pub(super) struct Plan {
    pub(super) strategies: Vec<&'static dyn Strategy>,
    pub(super) threads: Vec<usize>,
    /// Rows that are in the index when a window opens.
    pub(super) filled: usize,
    /// What the codec learns from.
    pub(super) sample: Vec<f32>,
}

impl LatencyArgs {
    /// Checks what can be checked without the data.
    pub(super) fn check(&self) -> Result<()> {
        for &rate in &self.rate {
            ensure!(
                rate > 0.0 && rate <= MAX_RATE,
                "--rate has {rate}; operations per second are more than 0 and at most {MAX_RATE}"
            );
        }
        let p99 = self.p99.unwrap_or(1.0);
        ensure!(p99 > 0.0 && p99.is_finite(), "--p99 is {p99}; a bound in microseconds is a number above 0");
        ensure!((0.0..=1.0).contains(&self.writes), "--writes is {}; a share is from 0 to 1", self.writes);
        check_seconds(self.seconds)?;
        self.blocks.check()?;
        self.graph.check()?;
        self.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        named(&self.strategies).map(drop)
    }

    /// The data to choose rows and queries from.
    pub(super) fn data(&self) -> Result<Dataset> {
        Ok(self.data.load()?)
    }

    /// What is measured on these data.
    pub(super) fn plan(&self, machine: &Machine, dataset: &Dataset) -> Result<Plan> {
        let rows = dataset.len();
        let filled = if self.writes > 0.0 { rows / 2 } else { rows };
        ensure!(
            (1..=filled).contains(&self.graph.k),
            "--k is {}, and the index begins with {filled} of {rows} rows; ask for fewer neighbours",
            self.graph.k
        );
        let sample = sample(dataset);
        for codec in CODECS.iter().filter(|codec| codec.name == self.codec) {
            codec
                .fits(dataset.dim(), dataset.metric(), &sample)
                .with_context(|| format!("--codec {} does not suit {}", codec.name, dataset.name()))?;
        }
        Ok(Plan {
            strategies: named(&self.strategies)?,
            threads: distinct(self.threads.clone().unwrap_or_else(|| powers_of_two(machine.allowed_cores))),
            filled,
            sample,
        })
    }
}
