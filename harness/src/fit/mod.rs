//! Laws of scaling, fitted to throughput over thread counts.
//!
//! - [`usl`]: Gunther's Universal Scalability Law, with what it says of the peak.
//! - [`amdahl`]: the same without crosstalk, which has no peak.
//! - `curve`: the least squares that both use.
//!
//! A fit describes what was measured; beyond it, it is a guess with a band. So there is none below [`LEAST_COUNTS`] thread
//! counts, and a warning below [`ENOUGH_COUNTS`].

pub mod amdahl;
mod curve;
#[cfg(test)]
mod tests;
pub mod usl;

use std::collections::BTreeMap;

use crate::stats::{Draws, Interval, RESAMPLES, median, of_sorted_draws};

/// Three figures are fitted, so three thread counts would fit exactly whatever they are.
pub const LEAST_COUNTS: usize = 4;

/// Below this many thread counts a fit is shown with a warning.
pub const ENOUGH_COUNTS: usize = 6;

/// Operations per second at one thread count, by block.
pub type Blocks = BTreeMap<usize, f64>;

/// A thread count and what it reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Threads.
    pub threads: f64,
    /// Operations per second.
    pub rate: f64,
}

/// Why there is no fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too few thread counts.
    #[error(
        "no fit: {counts} thread counts within the allowed CPUs, and a fit wants at least {LEAST_COUNTS}, better {ENOUGH_COUNTS}"
    )]
    TooFew {
        /// Distinct thread counts that are not oversubscribed.
        counts: usize,
    },
    /// Rates that no law of scaling describes: zero, or not numbers.
    #[error("no fit: a rate is not above zero")]
    NotPositive,
}

/// What scaling a strategy shows in one workload.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Thread counts that went into it, ascending.
    pub counts: Vec<usize>,
    /// The law, and its bands.
    pub usl: usl::Usl,
    /// Its figures over blocks drawn again; `None` of fewer than three blocks.
    pub bands: Option<Bands>,
    /// The law without crosstalk.
    pub amdahl: amdahl::Amdahl,
    /// Root of the mean square of the residuals of both, as a share of each rate.
    pub residual: [f64; 2],
}

/// 95 % bands over blocks drawn again, the same ones for all thread counts.
#[derive(Clone, Debug)]
pub struct Bands {
    /// Of sigma.
    pub sigma: Interval,
    /// Of kappa.
    pub kappa: Interval,
    /// Of the threads at the peak; infinite where a fit has none.
    pub peak: Interval,
    /// The laws of all draws, for bands of a curve.
    draws: Vec<usl::Usl>,
}

impl Bands {
    /// The band of the rate at so many threads.
    pub fn at(&self, threads: f64) -> Option<Interval> {
        of_sorted_draws(self.draws.iter().map(|law| law.rate(threads)).collect())
    }
}

/// Fits both laws to the rates at each thread count, by block. The counts must not be oversubscribed.
///
/// # Errors
/// Too few thread counts, or rates that are not above zero.
pub fn scaling(points: &BTreeMap<usize, Blocks>, seed: u64) -> Result<Scaling, Refusal> {
    scaling_of_draws(points, seed, RESAMPLES / 2)
}

/// [`scaling`], with bands from so many draws.
fn scaling_of_draws(points: &BTreeMap<usize, Blocks>, seed: u64, count: usize) -> Result<Scaling, Refusal> {
    let points: BTreeMap<usize, &Blocks> = points
        .iter()
        .filter(|(_, blocks)| !blocks.is_empty())
        .map(|(threads, blocks)| (*threads, blocks))
        .collect();
    if points.len() < LEAST_COUNTS {
        return Err(Refusal::TooFew { counts: points.len() });
    }
    if points.values().flat_map(|blocks| blocks.values()).any(|rate| !rate.is_finite() || *rate <= 0.0) {
        return Err(Refusal::NotPositive);
    }
    let middle = |blocks: &Blocks| median(&blocks.values().copied().collect::<Vec<_>>());
    let loads: Vec<Load> = points
        .iter()
        .filter_map(|(threads, blocks)| Some(Load { threads: *threads as f64, rate: middle(blocks)? }))
        .collect();
    let (usl, amdahl) = (usl::fit(&loads), amdahl::fit(&loads));
    let residual = [
        curve::relative_residual(&loads, |threads| usl.rate(threads)),
        curve::relative_residual(&loads, |threads| amdahl.rate(threads)),
    ];
    Ok(Scaling {
        counts: points.keys().copied().collect(),
        usl,
        bands: bands(&points, seed, count),
        amdahl,
        residual,
    })
}

fn bands(points: &BTreeMap<usize, &Blocks>, seed: u64, count: usize) -> Option<Bands> {
    let all: std::collections::BTreeSet<usize> =
        points.values().flat_map(|blocks| blocks.keys().copied()).collect();
    if all.len() < crate::stats::LEAST_FOR_INTERVAL {
        return None;
    }
    let all: Vec<usize> = all.into_iter().collect();
    let mut random = Draws::new(seed);
    let mut draws = Vec::with_capacity(count);
    for _ in 0..count {
        let drawn: Vec<usize> = random.again(all.len()).into_iter().map(|at| all[at]).collect();
        let loads: Vec<Load> = points
            .iter()
            .filter_map(|(threads, blocks)| {
                let mut rates: Vec<f64> =
                    drawn.iter().filter_map(|block| blocks.get(block).copied()).collect();
                if rates.is_empty() {
                    // None of the drawn blocks has a row that is trusted: draw from those that have.
                    let own: Vec<f64> = blocks.values().copied().collect();
                    rates = random.again(own.len()).into_iter().map(|at| own[at]).collect();
                }
                Some(Load { threads: *threads as f64, rate: median(&rates)? })
            })
            .collect();
        draws.push(usl::fit(&loads));
    }
    let of = |figure: &dyn Fn(&usl::Usl) -> f64| of_sorted_draws(draws.iter().map(figure).collect());
    Some(Bands {
        sigma: of(&|law| law.sigma)?,
        kappa: of(&|law| law.kappa)?,
        peak: of(&|law| law.peak().unwrap_or(f64::INFINITY))?,
        draws,
    })
}
