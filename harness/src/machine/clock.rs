//! How finely and how cheaply this machine tells the time.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// What reading the clock costs and resolves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// The smallest step seen between two readings that differ.
    pub step: Duration,
    /// The mean cost of one reading, in nanoseconds.
    pub cost_ns: f64,
}

/// Measures the clock behind [`Instant`].
pub fn measure() -> Clock {
    const READINGS: u32 = 2000;
    let start = Instant::now();
    for _ in 0..READINGS {
        black_box(Instant::now());
    }
    let cost_ns = start.elapsed().as_nanos() as f64 / f64::from(READINGS);
    let step = (0..200).map(|_| next_step()).min().unwrap_or(Duration::MAX);
    Clock { step, cost_ns }
}

fn next_step() -> Duration {
    let start = Instant::now();
    loop {
        let passed = start.elapsed();
        if !passed.is_zero() {
            return passed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_and_costs_something() {
        let clock = measure();
        assert!(clock.step > Duration::ZERO && clock.step < Duration::from_millis(100), "{clock:?}");
        assert!(clock.cost_ns > 0.1 && clock.cost_ns < 1e6, "{clock:?}");
    }
}
