//! What `noise` found, as it is written to a file, and what it says of a comparison.

use std::path::Path;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::machine::{BuildInfo, Machine};
use crate::output;
use crate::record;
use crate::stats::{Draws, RESAMPLES, median, quantile};
use crate::summary;

/// The version of the form of [`Document`].
pub const SCHEMA_VERSION: u32 = 1;

/// How often a comparison of a thing with itself may come out larger than what is called the smallest effect.
const SHARE: f64 = 0.95;

/// The fewest pairs that say anything about the rare ones among them.
pub(super) const LEAST_PAIRS: usize = 5;

/// What was measured under two names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The machine that was measured.
    pub machine: Machine,
    /// The program that measured.
    pub build: BuildInfo,
    /// When: RFC 3339, UTC.
    pub started: String,
    /// The data set.
    pub dataset: record::Dataset,
    /// Pairs of each point.
    pub pairs: usize,
    /// Length of a timed window.
    pub seconds: f64,
    /// What measured each of the two. Documents without it are of one process, and of one index where nothing was built.
    #[serde(default)]
    pub isolation: record::Isolation,
    /// Seed of orders and of the draws that the figures follow from.
    pub seed: u64,
    /// The numbers of blocks that [`Point::smallest`] is about.
    pub for_blocks: Vec<usize>,
    /// One per strategy, codec, workload, number of threads and ef.
    pub points: Vec<Point>,
}

/// One point under two names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Strategy.
    pub strategy: String,
    /// Codec.
    pub codec: String,
    /// Workload.
    pub workload: String,
    /// Worker threads.
    pub threads: usize,
    /// Beam width of searches.
    pub ef: Option<usize>,
    /// More threads than allowed CPUs.
    pub oversubscribed: bool,
    /// Operations per second of A and B, pair by pair: of pairs whose rows are both clean, or of all if these are fewer than 5.
    pub per_second: Vec<[f64; 2]>,
    /// How many rows are tainted, of all that were measured.
    pub tainted: usize,
    /// The smallest effect that is not noise, by number of blocks.
    pub smallest: Vec<Smallest>,
}

/// The smallest effect that is not noise at a number of blocks: 95 of 100 comparisons of a thing with itself come out smaller.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smallest {
    /// Blocks on either side.
    pub blocks: usize,
    /// Of blocks that are measured in turn and compared within pairs, in percent.
    pub paired_percent: f64,
    /// Of two runs, in percent.
    pub unpaired_percent: f64,
}

impl Document {
    /// What the rows of a sweep say, of which each two blocks are a pair.
    pub fn of(rows: &record::Document, for_blocks: &[usize], machine: Machine, build: BuildInfo) -> Document {
        let config = &rows.run.config;
        let mut points: Vec<Point> = Vec::new();
        let mut random = fastrand::Rng::with_seed(config.seed);
        // Which of the two is first is chance, so that neither name has the better place.
        let swapped: Vec<bool> = (0..config.blocks / 2).map(|_| random.bool()).collect();
        for point in summary::Summary::of(rows).points() {
            let own = rows.rows.iter().filter(|row| {
                (&row.strategy, &row.codec, &row.workload, row.threads, row.ef)
                    == (&point.strategy, &point.codec, &point.workload, point.threads, point.ef)
            });
            let (mut last, mut tainted) = (vec![None; config.blocks], 0);
            for row in own {
                // The last attempt of a block stands for it.
                last[row.block.min(config.blocks - 1)] = Some(row);
            }
            let pairs = |clean: bool| -> Vec<[f64; 2]> {
                let rate = |block: usize| {
                    let row = last[block].filter(|row| !clean || row.tainted.is_empty());
                    row.map(|row| row.ops.per_second()).filter(|rate| *rate > 0.0)
                };
                let pair = |pair: usize| {
                    let [first, second] = [rate(2 * pair)?, rate(2 * pair + 1)?];
                    Some(if swapped[pair] { [second, first] } else { [first, second] })
                };
                (0..config.blocks / 2).filter_map(pair).collect()
            };
            // As comparisons do: clean rows alone, where there are enough of them.
            let per_second =
                Some(pairs(true)).filter(|clean| clean.len() >= LEAST_PAIRS).unwrap_or_else(|| pairs(false));
            tainted += last.iter().flatten().filter(|row| !row.tainted.is_empty()).count();
            let smallest =
                for_blocks.iter().map(|&blocks| smallest(&per_second, blocks, config.seed)).collect();
            points.push(Point {
                strategy: point.strategy.clone(),
                codec: point.codec.clone(),
                workload: point.workload.clone(),
                threads: point.threads,
                ef: point.ef,
                oversubscribed: point.oversubscribed,
                per_second,
                tainted,
                smallest,
            });
        }
        Document {
            schema_version: SCHEMA_VERSION,
            machine,
            build,
            started: rows.run.started.clone(),
            dataset: rows.run.dataset.clone(),
            pairs: config.blocks / 2,
            seconds: config.seconds,
            isolation: config.isolation,
            seed: config.seed,
            for_blocks: for_blocks.to_vec(),
            points,
        }
    }

    /// The smallest effect that is not noise, as a share, for a point of a comparison of so many blocks: from the points that are
    /// most like it, and of these the noisiest. `None` of a document without points.
    pub fn effect_for(&self, point: &summary::Point, blocks: usize, paired: bool) -> Option<f64> {
        let likeness = |own: &Point| {
            let same = [
                own.workload == point.workload,
                own.threads == point.threads,
                own.strategy == point.strategy,
                own.codec == point.codec,
                own.ef == point.ef,
            ];
            // The first that differs decides: a workload tells more than a strategy, and so on.
            same.iter().take_while(|same| **same).count()
        };
        let most = self.points.iter().map(likeness).max()?;
        let like = self.points.iter().filter(|own| likeness(own) == most);
        let effects = like.map(|own| {
            let smallest = smallest(&own.per_second, blocks, self.seed);
            if paired { smallest.paired_percent } else { smallest.unpaired_percent }
        });
        effects.reduce(f64::max).map(|percent| percent / 100.0)
    }

    /// The range over all points of the smallest effect of blocks in pairs, in percent.
    pub fn range_percent(&self, blocks: usize) -> Option<[f64; 2]> {
        let all =
            self.points.iter().map(|point| smallest(&point.per_second, blocks, self.seed).paired_percent);
        all.fold(None, |range, effect| {
            let [low, high] = range.unwrap_or([effect, effect]);
            Some([effect.min(low), effect.max(high)])
        })
    }
}

impl Point {
    /// Over both names.
    pub fn median_rate(&self) -> f64 {
        median(&self.per_second.concat()).unwrap_or(0.0)
    }

    /// The median of what the two of a pair differ by, in percent.
    pub fn spread_percent(&self) -> f64 {
        let differences: Vec<f64> = self.per_second.iter().map(|[a, b]| (a / b).ln().abs()).collect();
        percent(median(&differences).unwrap_or(0.0))
    }
}

/// What a difference of logarithms is in percent.
fn percent(log: f64) -> f64 {
    100.0 * log.exp_m1()
}

/// Draws comparisons of so many blocks from the pairs: their names change places by chance, because nothing tells them apart.
pub(super) fn smallest(pairs: &[[f64; 2]], blocks: usize, seed: u64) -> Smallest {
    if pairs.is_empty() {
        return Smallest { blocks, paired_percent: f64::MAX, unpaired_percent: f64::MAX };
    }
    let mut draws = Draws::new(seed);
    let all = pairs.concat();
    let (mut paired, mut unpaired) = (Vec::new(), Vec::new());
    let mut sample = vec![0.0; blocks];
    for _ in 0..RESAMPLES {
        for value in &mut sample {
            let [a, b] = pairs[draws.one_of(pairs.len())];
            let log = (a / b).ln();
            *value = if draws.coin() { log } else { -log };
        }
        paired.extend(median(&sample).map(f64::abs));
        let mut side = |sample: &mut [f64]| {
            sample.fill_with(|| all[draws.one_of(all.len())].ln());
            median(sample)
        };
        let (one, other) = (side(&mut sample), side(&mut sample));
        unpaired.extend(one.zip(other).map(|(one, other)| (one - other).abs()));
    }
    let at = |values: &[f64]| percent(quantile(values, SHARE).unwrap_or(0.0));
    Smallest { blocks, paired_percent: at(&paired), unpaired_percent: at(&unpaired) }
}

/// Reads what `hnsw-lab noise` wrote.
///
/// # Errors
/// One line that says what is wrong with the file.
pub fn read(path: &Path) -> Result<Document> {
    parse(&output::read_bytes(path, "noise")?, path)
}

/// Reads a document from `bytes`; `path` is only for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Document> {
    let document: Document = output::parse_json(bytes, path, "noise", SCHEMA_VERSION)?;
    // Effects are ratios of rates, and what follows from one that cannot be is no number.
    let is_rate = |rate: &f64| rate.is_finite() && *rate > 0.0;
    let wrong = document.points.iter().position(|point| !point.per_second.as_flattened().iter().all(is_rate));
    if let Some(at) = wrong {
        bail!(
            "{}: point {at} has a rate that is not above 0; restore a copy, or measure again with `hnsw-lab noise --out`",
            path.display()
        );
    }
    Ok(document)
}
