//! Robust summaries of a few repetitions: medians, bootstrap intervals, paired ratios. Never best-of, never means.

use std::collections::BTreeMap;

/// Below this many values there is no interval: it would only repeat the values.
pub const LEAST_FOR_INTERVAL: usize = 3;

const RESAMPLES: usize = 2_000;

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
    Some(below + (above - below) * at.fract())
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

/// The 95 % percentile-bootstrap interval of the median; `None` below [`LEAST_FOR_INTERVAL`] values.
/// The same values, in any order, and seed give the same interval.
pub fn bootstrap_median(values: &[f64], seed: u64) -> Option<Interval> {
    if values.len() < LEAST_FOR_INTERVAL {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sample = vec![0.0; sorted.len()];
    let mut medians: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        sample.fill_with(|| sorted[random.usize(..sorted.len())]);
        medians.extend(median(&sample));
    }
    medians.sort_by(f64::total_cmp);
    Some(Interval { low: quantile_of_sorted(&medians, 0.025)?, high: quantile_of_sorted(&medians, 0.975)? })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_data() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(median(&values[..4]), Some(2.5));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 0.25), Some(2.0));
        assert_eq!(quantile(&values, 0.9), Some(4.6));
        assert_eq!(quantile(&values, 1.0), Some(5.0));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn bootstrap_needs_three_values_and_is_repeatable() {
        assert_eq!(bootstrap_median(&[1.0, 2.0], 1), None);
        let values = [10.0, 11.0, 12.0, 13.0, 50.0];
        let interval = bootstrap_median(&values, 7).expect("five values");
        assert_eq!(Some(interval), bootstrap_median(&[50.0, 12.0, 10.0, 13.0, 11.0], 7));
        assert!(interval.low >= 10.0 && interval.low < 12.0, "{interval:?}");
        assert!(interval.high > 12.0 && interval.high <= 50.0, "{interval:?}");
        let constant = bootstrap_median(&[3.0; 4], 7).expect("four values");
        assert_eq!(constant, Interval { low: 3.0, high: 3.0 });
        assert_eq!(constant.half_width(), 0.0);
    }

    /// The interval must hold the true median in about 95 of 100 samples; here 0, of a symmetric distribution.
    #[test]
    fn bootstrap_covers_the_true_median() {
        let mut random = fastrand::Rng::with_seed(42);
        let covered = (0..200)
            .filter(|seed| {
                let sample: Vec<f64> = (0..25).map(|_| random.f64() + random.f64() - 1.0).collect();
                let interval = bootstrap_median(&sample, *seed).expect("25 values");
                interval.low <= 0.0 && interval.high >= 0.0
            })
            .count();
        assert!((180..=200).contains(&covered), "{covered} of 200 intervals cover the median");
    }

    #[test]
    fn ratios_pair_blocks_and_skip_those_without_partner() {
        let above = BTreeMap::from([(0, 20.0), (1, 30.0), (2, 50.0), (3, 9.0)]);
        let below = BTreeMap::from([(0, 10.0), (1, 10.0), (3, 0.0)]);
        assert_eq!(paired_ratios(&above, &below), vec![2.0, 3.0]);
    }

    #[test]
    fn exceeding_asks_for_the_whole_interval() {
        let interval = Some(Interval { low: 0.9, high: 1.4 });
        assert!(!Estimate { median: 1.2, interval }.exceeds(1.0));
        assert!(Estimate { median: 1.2, interval: None }.exceeds(1.0));
    }
}
