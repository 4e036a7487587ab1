//! How long operations took.

use crate::record::{Latency, Op};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Longest latency that is told from longer ones: one hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Latencies of one kind of operation by one worker, to three significant digits; merged when the workers are done, so that
/// nothing is shared while they run.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // These bounds are valid: 1 <= 1, and the highest is more than twice the lowest.
        Latencies(Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("valid bounds"))
    }

    /// Adds one operation.
    #[inline]
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(took.as_nanos().min(u128::from(LONGEST_NANOS)) as u64);
    }

    /// Adds those of another worker.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    /// The operations of a window of this length; `None` if there was none.
    pub fn op(&self, seconds: f64) -> Option<Op> {
        let count = self.0.len();
        let micros = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (count > 0).then(|| Op {
            count,
            per_second: count as f64 / seconds,
            latency_us: Latency {
                p50: micros(0.5),
                p90: micros(0.9),
                p99: micros(0.99),
                p999: micros(0.999),
                max: self.0.max() as f64 / 1e3,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_workers_count_as_one() {
        let (mut a, mut b) = (Latencies::new(), Latencies::new());
        (1..=99).for_each(|us| a.record(Duration::from_micros(us)));
        b.record(Duration::from_micros(100));
        a.merge(&b);
        let op = a.op(2.0).unwrap();
        assert_eq!((op.count, op.per_second), (100, 50.0));
        assert!((op.latency_us.p50 - 50.0).abs() < 0.1 && (op.latency_us.max - 100.0).abs() < 0.2);
        assert!(op.latency_us.p50 <= op.latency_us.p99 && op.latency_us.p999 <= op.latency_us.max);
    }

    #[test]
    fn no_operations_are_no_op() {
        assert!(Latencies::new().op(1.0).is_none());
    }
}
