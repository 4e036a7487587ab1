//! Which points of two documents match, and what can be said of each pair.

use std::collections::BTreeMap;

use serde::Serialize;

use super::DEFAULT_EFFECT;
use crate::noise;
use crate::record::{Document, Run};
use crate::stats::{
    self, Draws, Estimate, Interval, LEAST_FOR_INTERVAL, RESAMPLES, holm, least_mann_whitney,
    least_signed_rank, mann_whitney, median, of_sorted_draws, paired_ratios, signed_rank,
};
use crate::summary::{Point, Summary};

/// The chance that anything is called different among all points, if nothing is.
pub const ALPHA: f64 = 0.05;

/// What counts, and what is looked at.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Smallest effect that counts, as a share; what the noise says, else [`DEFAULT_EFFECT`], if `None`.
    pub min_effect: Option<f64>,
    /// Smallest loss of recall that counts.
    pub recall_loss: f64,
    /// Whether block n of both was measured in turn.
    pub paired: bool,
    /// Whether other machines and profiles are no hindrance.
    pub force: bool,
    /// Only this workload.
    pub workload: Option<String>,
    /// Only this strategy.
    pub strategy: Option<String>,
}

/// Why two documents cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Other data.
    #[error("other data ({0} and {1}, or other contents or metric of them)")]
    Data(String, String),
    /// Other indexes or questions.
    #[error("{0}; measure both with the same")]
    Configuration(String),
    /// Another machine, or a build that is not of the same kind.
    #[error("{0}; --force compares all the same")]
    Machine(String),
    /// Nothing in common.
    #[error("no strategy, workload, thread count and ef {what}is in both")]
    NothingMatches {
        /// What was asked for, and a space; or nothing.
        what: String,
    },
    /// No difference however large could be told.
    #[error(
        "too few blocks: with {blocks} and {points} points no difference could be told from chance; measure {needed} blocks \
         (`hnsw-lab sweep --blocks {needed}`) or compare fewer points (--workload, --strategy)"
    )]
    TooFewBlocks {
        /// The most that a point has on both sides.
        blocks: usize,
        /// Points that match.
        points: usize,
        /// Blocks that would do.
        needed: usize,
    },
}

/// What is known of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Faster, by an effect that counts.
    Faster,
    /// Slower, by an effect that counts.
    Slower,
    /// The whole interval lies within what does not count.
    Same,
    /// None of these can be said.
    TooNoisy,
}

impl Verdict {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Same => "same",
            Verdict::TooNoisy => "too noisy",
        }
    }
}

/// A point of both documents.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// Workload.
    pub workload: String,
    /// Codec.
    pub codec: String,
    /// Strategy.
    pub strategy: String,
    /// Worker threads.
    pub threads: usize,
    /// Beam width of searches.
    pub ef: Option<usize>,
    /// Blocks with rows that are used, of either.
    pub blocks: [usize; 2],
    /// Median operations per second, of either.
    pub per_second: [f64; 2],
    /// B over A: of medians, or the median of ratios within blocks where they are paired.
    pub ratio: f64,
    /// 95 % interval of the ratio.
    pub interval: Option<[f64; 2]>,
    /// p of the rank test, before the correction.
    pub p: f64,
    /// p after Holm's correction over all points.
    pub p_holm: f64,
    /// The smallest effect that counts here, as a share.
    pub min_effect: f64,
    /// Median recall of B less that of A.
    pub recall_difference: Option<f64>,
    /// The recall fell by more than what is tolerated, as far as blocks tell.
    pub recall_worse: bool,
    /// More threads than allowed CPUs.
    pub oversubscribed: bool,
    /// One of the sides has tainted rows only.
    pub tainted: bool,
    /// What is known.
    pub verdict: Verdict,
}

/// All points of both.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Whether blocks were taken together.
    pub paired: bool,
    /// [`ALPHA`].
    pub alpha: f64,
    /// Where the smallest effect comes from: `flag`, `noise` or `default`.
    pub min_effect_from: &'static str,
    /// All matched points, in the order of A.
    pub points: Vec<Pair>,
    /// Geometric mean of all ratios.
    pub ratio_of_all: f64,
    /// 95 % interval of it; `None` below three blocks.
    pub interval_of_all: Option<[f64; 2]>,
    /// Points of either document that the other one has not.
    pub unmatched: [usize; 2],
}

impl Compared {
    /// How many points have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.points.iter().filter(|pair| pair.verdict == verdict).count()
    }

    /// How many points are slower, or find less.
    pub fn worse(&self) -> usize {
        self.points.iter().filter(|pair| pair.verdict == Verdict::Slower || pair.recall_worse).count()
    }
}

/// Compares `after` with `before`.
///
/// # Errors
/// What makes them incomparable.
pub fn compare(
    before: &Document,
    after: &Document,
    rules: &Rules,
    noise: Option<&noise::Document>,
) -> Result<Compared, Refusal> {
    comparable(&before.run, &after.run, rules.force)?;
    let (ours, theirs) = (Summary::of(before), Summary::of(after));
    let wanted = |point: &&Point| {
        rules.workload.as_ref().is_none_or(|name| *name == point.workload)
            && rules.strategy.as_ref().is_none_or(|name| *name == point.strategy)
    };
    let find = |point: &Point| theirs.points().iter().find(|other| key(other) == key(point));
    let ours: Vec<&Point> = ours.points().iter().filter(wanted).collect();
    let matched: Vec<(&Point, &Point)> =
        ours.iter().filter_map(|point| Some((*point, find(point)?))).collect();
    if matched.is_empty() {
        let asked = [&rules.workload, &rules.strategy];
        let what: String = asked.into_iter().flatten().map(|name| format!("of `{name}` ")).collect();
        return Err(Refusal::NothingMatches { what });
    }
    enough_blocks(&matched, rules.paired)?;
    let seed = before.run.config.seed;
    let mut points: Vec<Pair> =
        matched.iter().map(|(one, other)| pair(one, other, rules, noise, seed)).collect();
    correct(&mut points, &matched, rules.paired);
    for point in &mut points {
        point.verdict = verdict(point);
    }
    let (ratio_of_all, interval_of_all) = of_all(&matched, rules.paired, seed);
    Ok(Compared {
        paired: rules.paired,
        alpha: ALPHA,
        min_effect_from: match (rules.min_effect, noise) {
            (Some(_), _) => "flag",
            (None, Some(_)) => "noise",
            (None, None) => "default",
        },
        unmatched: [
            ours.len() - matched.len(),
            theirs.points().iter().filter(wanted).count() - matched.len(),
        ],
        points,
        ratio_of_all,
        interval_of_all,
    })
}

fn key(point: &Point) -> (&str, &str, &str, usize, Option<usize>) {
    (&point.workload, &point.codec, &point.strategy, point.threads, point.ef)
}

fn comparable(one: &Run, other: &Run, force: bool) -> Result<(), Refusal> {
    let (data, same) = (&one.dataset, &other.dataset);
    if (&data.digest, &data.metric) != (&same.digest, &same.metric) {
        return Err(Refusal::Data(data.name.clone(), same.name.clone()));
    }
    let figures = |run: &Run| {
        let config = &run.config;
        [
            ("k", config.k.to_string()),
            ("M", config.m.to_string()),
            ("ef_construction", config.ef_construction.to_string()),
            ("alpha", config.alpha.to_string()),
        ]
    };
    let kind = |run: &Run| {
        [
            ("CPU", run.cpu_model().unwrap_or("unknown").to_owned()),
            ("number of allowed CPUs", run.allowed_cpus.len().to_string()),
            ("build profile", run.build.profile.clone()),
            ("isolation", run.config.isolation.name().to_owned()),
        ]
    };
    if let Some(difference) = first_difference(figures(one), figures(other)) {
        return Err(Refusal::Configuration(difference));
    }
    match first_difference(kind(one), kind(other)).filter(|_| !force) {
        Some(difference) => Err(Refusal::Machine(difference)),
        None => Ok(()),
    }
}

fn first_difference<const N: usize>(one: [(&str, String); N], other: [(&str, String); N]) -> Option<String> {
    let differ = one.into_iter().zip(other).find(|((_, one), (_, other))| one != other)?;
    let ((name, one), (_, other)) = differ;
    Some(format!("{name} is {one} in A and {other} in B"))
}

/// Blocks of both, or those that both have where they are paired.
fn blocks(one: &Point, other: &Point, paired: bool) -> [usize; 2] {
    let common = one.blocks.keys().filter(|block| other.blocks.contains_key(block)).count();
    if paired { [common; 2] } else { [one.blocks.len(), other.blocks.len()] }
}

fn least_p([one, other]: [usize; 2], paired: bool) -> f64 {
    if paired { least_signed_rank(one) } else { least_mann_whitney(one, other) }
}

/// That no test could ever find anything would look like good news.
fn enough_blocks(matched: &[(&Point, &Point)], paired: bool) -> Result<(), Refusal> {
    let sizes: Vec<[usize; 2]> = matched.iter().map(|(one, other)| blocks(one, other, paired)).collect();
    let testable = sizes.iter().filter(|size| least_p(**size, paired) <= ALPHA).count();
    let least = sizes.iter().map(|size| least_p(*size, paired)).fold(1.0, f64::min);
    if testable > 0 && least * testable as f64 <= ALPHA {
        return Ok(());
    }
    let needed = (LEAST_FOR_INTERVAL..).find(|&n| least_p([n; 2], paired) * matched.len() as f64 <= ALPHA);
    Err(Refusal::TooFewBlocks {
        blocks: sizes.iter().map(|[one, other]| *one.min(other)).max().unwrap_or(0),
        points: matched.len(),
        needed: needed.unwrap_or(usize::MAX),
    })
}

fn pair(one: &Point, other: &Point, rules: &Rules, noise: Option<&noise::Document>, seed: u64) -> Pair {
    let sizes = blocks(one, other, rules.paired);
    let (ratio, interval, p) =
        if rules.paired { in_blocks(one, other, seed) } else { apart(one, other, seed) };
    let measured = || noise?.effect_for(one, sizes[0].min(sizes[1]), rules.paired);
    let recall = recall_difference(one, other, seed);
    Pair {
        workload: one.workload.clone(),
        codec: one.codec.clone(),
        strategy: one.strategy.clone(),
        threads: one.threads,
        ef: one.ef,
        blocks: sizes,
        per_second: [one.throughput.median, other.throughput.median],
        ratio,
        interval: interval.map(|ends| [ends.low, ends.high]),
        p,
        p_holm: 1.0,
        min_effect: rules.min_effect.or_else(measured).unwrap_or(DEFAULT_EFFECT / 100.0),
        recall_difference: recall.map(|(difference, _)| difference),
        recall_worse: recall.is_some_and(|(difference, ends)| {
            let most = ends.map_or(difference, |ends| ends.high.max(difference));
            most < -rules.recall_loss
        }),
        oversubscribed: one.oversubscribed || other.oversubscribed,
        tainted: one.tainted || other.tainted,
        verdict: Verdict::TooNoisy,
    }
}

/// Ratio, interval and p of blocks that were measured in turn.
fn in_blocks(one: &Point, other: &Point, seed: u64) -> (f64, Option<Interval>, f64) {
    let ratios = paired_ratios(&other.blocks, &one.blocks);
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let estimate = Estimate::of(&ratios, seed);
    let ratio = estimate.map_or(other.throughput.median / one.throughput.median, |estimate| estimate.median);
    (ratio, estimate.and_then(|estimate| estimate.interval), signed_rank(&logs))
}

/// Ratio, interval and p of blocks that have nothing to do with each other.
fn apart(one: &Point, other: &Point, seed: u64) -> (f64, Option<Interval>, f64) {
    let values = |point: &Point| point.blocks.values().copied().collect::<Vec<f64>>();
    let trials = |point: &Point| point.trials.values().cloned().collect::<Vec<_>>();
    let (ours, theirs) = (trials(one), trials(other));
    let ratio = other.throughput.median / one.throughput.median;
    let enough = ours.len() >= LEAST_FOR_INTERVAL && theirs.len() >= LEAST_FOR_INTERVAL;
    let mut draws = Draws::new(seed);
    let drawn =
        || (0..RESAMPLES).filter_map(|_| Some(draws.median(&theirs)? / draws.median(&ours)?)).collect();
    let interval = enough.then(drawn).and_then(of_sorted_draws);
    (ratio, interval, mann_whitney(&values(one), &values(other)))
}

/// By how much the recall of `other` is above that of `one`, with an interval.
fn recall_difference(one: &Point, other: &Point, seed: u64) -> Option<(f64, Option<Interval>)> {
    let blocks =
        |recalls: &BTreeMap<usize, f64>| recalls.values().map(|recall| vec![*recall]).collect::<Vec<_>>();
    let (ours, theirs) = (blocks(&one.recalls), blocks(&other.recalls));
    let mut draws = Draws::new(seed);
    let enough = ours.len() >= LEAST_FOR_INTERVAL && theirs.len() >= LEAST_FOR_INTERVAL;
    let drawn =
        || (0..RESAMPLES).filter_map(|_| Some(draws.median(&theirs)? - draws.median(&ours)?)).collect();
    Some((other.recall? - one.recall?, enough.then(drawn).and_then(of_sorted_draws)))
}

/// Holm's correction over the points that have blocks enough to be tested at all; the others keep a p of 1.
fn correct(points: &mut [Pair], matched: &[(&Point, &Point)], paired: bool) {
    let testable: Vec<usize> = (0..points.len())
        .filter(|&at| least_p(blocks(matched[at].0, matched[at].1, paired), paired) <= ALPHA)
        .collect();
    let p: Vec<f64> = testable.iter().map(|&at| points[at].p).collect();
    for (at, corrected) in testable.into_iter().zip(holm(&p)) {
        points[at].p_holm = corrected;
    }
}

fn verdict(pair: &Pair) -> Verdict {
    let (above, below) = (1.0 + pair.min_effect, 1.0 / (1.0 + pair.min_effect));
    let Some([low, high]) = pair.interval else { return Verdict::TooNoisy };
    let told = pair.p_holm <= ALPHA;
    if told && low > 1.0 && pair.ratio >= above {
        Verdict::Faster
    } else if told && high < 1.0 && pair.ratio <= below {
        Verdict::Slower
    } else if low >= below && high <= above {
        Verdict::Same
    } else {
        Verdict::TooNoisy
    }
}

/// The geometric mean of the ratios of all points, whose blocks are drawn again together: what slows down a block slows down all
/// of its points.
fn of_all(matched: &[(&Point, &Point)], paired: bool, seed: u64) -> (f64, Option<[f64; 2]>) {
    let of = |point: &Point, drawn: &[usize]| {
        let rates: Vec<f64> = drawn.iter().filter_map(|block| point.blocks.get(block).copied()).collect();
        median(&rates)
    };
    let keys = |side: fn(&(&Point, &Point)) -> BTreeMap<usize, f64>| {
        let mut all: Vec<usize> = matched.iter().flat_map(|pair| side(pair).into_keys()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let ours = keys(|(one, _)| one.blocks.clone());
    let theirs = keys(|(_, other)| other.blocks.clone());
    let mean = |one: &[usize], other: &[usize]| {
        let logs: Vec<f64> = matched
            .iter()
            .filter_map(|(before, after)| Some((of(after, other)? / of(before, one)?).ln()))
            .filter(|log| log.is_finite())
            .collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    };
    let mut draws = stats::Draws::new(seed);
    let again = |draws: &mut Draws, all: &[usize]| -> Vec<usize> {
        draws.again(all.len()).into_iter().map(|at| all[at]).collect()
    };
    let drawn: Vec<f64> = (0..RESAMPLES / 2)
        .filter_map(|_| {
            let one = again(&mut draws, &ours);
            let other = if paired { one.clone() } else { again(&mut draws, &theirs) };
            mean(&one, &other)
        })
        .collect();
    let enough = ours.len().min(theirs.len()) >= LEAST_FOR_INTERVAL;
    let interval = of_sorted_draws(drawn).filter(|_| enough).map(|ends| [ends.low, ends.high]);
    (mean(&ours, &theirs).unwrap_or(1.0), interval)
}
