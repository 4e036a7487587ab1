//! Amdahl's law: X(N) = lambda N / (1 + sigma (N - 1)), which is the Universal Scalability Law without crosstalk.
//!
//! Where it fits as well as the other one, the measured range shows no sign of a peak.

use super::{Load, curve};

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amdahl {
    /// Operations per second of one thread.
    pub lambda: f64,
    /// The share of the work that is done by one thread at a time, from 0.
    pub serial: f64,
}

impl Amdahl {
    /// Operations per second of so many threads.
    pub fn rate(&self, threads: f64) -> f64 {
        self.lambda * threads / (1.0 + self.serial * (threads - 1.0))
    }

    /// The most that any number of threads can be faster than one; `None` where there is no bound.
    pub fn most_speed_up(&self) -> Option<f64> {
        (self.serial > 0.0).then(|| 1.0 / self.serial)
    }
}

/// The law nearest to `loads` in the sense of least squares of rates.
pub fn fit(loads: &[Load]) -> Amdahl {
    let [lambda, serial, _none] = curve::least_squares(loads, false);
    Amdahl { lambda, serial }
}
