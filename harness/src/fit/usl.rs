//! The Universal Scalability Law: X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)).
//!
//! N. J. Gunther, "Guerrilla Capacity Planning" (2007). lambda is the rate of one thread, sigma the share of the work that
//! threads queue for (contention), kappa what each pair of them spends on agreeing (crosstalk, coherence). Neither can be
//! below zero; the fit is bounded so.

use super::{Load, curve};

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// Operations per second of one thread.
    pub lambda: f64,
    /// Contention, from 0.
    pub sigma: f64,
    /// Crosstalk, from 0.
    pub kappa: f64,
}

impl Usl {
    /// Operations per second of so many threads.
    pub fn rate(&self, threads: f64) -> f64 {
        self.lambda * threads / (1.0 + self.sigma * (threads - 1.0) + self.kappa * threads * (threads - 1.0))
    }

    /// The number of threads beyond which more of them reach less; `None` without crosstalk, for then there is none.
    pub fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0).then(|| ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt().max(1.0))
    }

    /// What the rate approaches but never reaches, where there is no peak; `None` where it grows without end.
    pub fn ceiling(&self) -> Option<f64> {
        (self.kappa == 0.0 && self.sigma > 0.0).then(|| self.lambda / self.sigma)
    }
}

/// The law nearest to `loads` in the sense of least squares of rates, as R's package `usl` fits it.
pub fn fit(loads: &[Load]) -> Usl {
    let [lambda, sigma, kappa] = curve::least_squares(loads, true);
    Usl { lambda, sigma, kappa }
}
