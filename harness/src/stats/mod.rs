//! What a few repetitions say, and how far to believe it: medians, bootstrap intervals, paired ratios, rank tests.
//! Never best-of, never means.
//!
//! - `bootstrap`: intervals, from blocks drawn again and trials drawn again within them.
//! - `rank`: tests that ask for no distribution, exact where values are few.
//! - [`holm`]: many tests at once.
//!
//! All draws are seeded: the same values give the same figures.

mod bootstrap;
mod rank;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use bootstrap::{
    CONFIDENCE, Draws, RESAMPLES, bootstrap_median, hierarchical_median, of_sorted_draws, order_statistics,
    reach,
};
pub use rank::{least_mann_whitney, least_signed_rank, mann_whitney, signed_rank};

/// Below this many blocks there is no interval: it would only repeat the values.
pub const LEAST_FOR_INTERVAL: usize = 3;

/// The value below which a share `q` (0 to 1) of `values` lies, interpolated between neighbours; `None` if there are
/// no values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

/// The middle value, or the mean of the two in the middle; `None` if there are no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // Between equal ends there is nothing to interpolate, and infinite ones would give NaN.
    if below == above { Some(below) } else { Some(below + (above - below) * at.fract()) }
}

/// A range that holds the true value with a stated confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Half of its length: the `x` in "± x".
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// A median with its interval, where there are enough values for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Median over blocks.
    pub median: f64,
    /// 95 % interval of the median.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// The estimate from one value per block; `None` if there are no values.
    pub fn of(values: &[f64], seed: u64) -> Option<Estimate> {
        Some(Estimate { median: median(values)?, interval: bootstrap_median(values, seed) })
    }

    /// The estimate from the trials of each block: the median of their medians. `None` if there are no trials.
    pub fn of_trials(blocks: &[Vec<f64>], seed: u64) -> Option<Estimate> {
        let medians: Vec<f64> = blocks.iter().filter_map(|trials| median(trials)).collect();
        Some(Estimate { median: median(&medians)?, interval: hierarchical_median(blocks, seed) })
    }

    /// Whether it lies above `bound` as far as these blocks can tell: the whole interval, or the median where there
    /// is no interval.
    pub fn exceeds(&self, bound: f64) -> bool {
        self.interval.map_or(self.median, |interval| interval.low) > bound
    }
}

/// `above / below` for each block that has both; what slows a whole block down cancels out.
pub fn paired_ratios(above: &BTreeMap<usize, f64>, below: &BTreeMap<usize, f64>) -> Vec<f64> {
    above
        .iter()
        .filter_map(|(block, value)| Some(value / below.get(block).filter(|base| **base > 0.0)?))
        .collect()
}

/// Holm's step-down correction: what each p is worth beside the others, so that the chance of any false alarm among
/// all of them stays below the level that the results are held against. In the order of `p`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&one, &other| p[one].total_cmp(&p[other]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((p[at] * (p.len() - rank) as f64).min(1.0));
        corrected[at] = least;
    }
    corrected
}
