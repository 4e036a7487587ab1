//! How long operations took.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::document::{Spread, Timed};
use crate::record::Latency;

/// Longest time that is told from longer ones: one hour.
const LONGEST: u64 = Duration::from_secs(3600).as_nanos() as u64;

/// Times of one kind of operation of one worker, in nanoseconds, to three significant digits.
#[derive(Clone)]
pub(super) struct Timing {
    /// From the actual start to the end.
    pub(super) service: Histogram<u64>,
    /// From the intended start to the end.
    pub(super) response: Histogram<u64>,
}

impl Timing {
    pub(super) fn new() -> Timing {
        // These bounds are valid: 1 <= 1, and the highest is more than twice the lowest.
        let empty = Histogram::new_with_bounds(1, LONGEST, 3).expect("valid bounds");
        Timing { service: empty.clone(), response: empty }
    }

    /// Adds an operation.
    #[inline]
    pub(super) fn add(&mut self, due: u64, start: u64, end: u64) {
        self.service.saturating_record(end.saturating_sub(start).min(LONGEST));
        self.response.saturating_record(end.saturating_sub(due).min(LONGEST));
    }

    /// Adds those of another worker.
    pub(super) fn merge(&mut self, other: &Timing) {
        self.service.add(&other.service).expect("histograms of the same bounds");
        self.response.add(&other.response).expect("histograms of the same bounds");
    }

    pub(super) fn count(&self) -> u64 {
        self.service.len()
    }

    /// For a document; `None` if there was no operation.
    pub(super) fn told(&self) -> Result<Option<Timed>> {
        let told = || {
            Ok(Timed {
                count: self.count(),
                service: spread(&self.service)?,
                response: spread(&self.response)?,
            })
        };
        (self.count() > 0).then(told).transpose()
    }
}

/// A time in microseconds below which that share of the operations was.
pub(super) fn micros(times: &Histogram<u64>, share: f64) -> f64 {
    times.value_at_quantile(share) as f64 / 1e3
}

/// Quantiles, and all counts.
pub(super) fn spread(times: &Histogram<u64>) -> Result<Spread> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(times, &mut bytes).context("a histogram cannot be written")?;
    Ok(Spread {
        us: Latency {
            p50: micros(times, 0.5),
            p90: micros(times, 0.9),
            p99: micros(times, 0.99),
            p999: micros(times, 0.999),
            max: times.max() as f64 / 1e3,
        },
        histogram: STANDARD.encode(bytes),
    })
}

/// The histogram that a document holds.
pub(super) fn histogram(text: &str) -> Result<Histogram<u64>> {
    let none = || "a histogram in it cannot be read";
    let bytes = STANDARD.decode(text).with_context(none)?;
    Deserializer::new().deserialize(&mut &*bytes).map_err(|error| anyhow!("{error}")).with_context(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_counts_from_the_intended_start_and_service_from_the_actual_one() {
        let (mut a, mut b) = (Timing::new(), Timing::new());
        a.add(1_000, 1_000, 6_000);
        b.add(2_000, 6_000, 11_000);
        // Clocks of two processors may differ by a little.
        b.add(9_000, 9_000, 8_999);
        a.merge(&b);
        assert_eq!((a.count(), a.response.len()), (3, 3));
        let close = |value: u64, wanted: u64| value.abs_diff(wanted) * 1_000 <= wanted;
        assert!(close(a.service.max(), 5_000) && close(a.response.max(), 9_000));
        assert_eq!(a.service.min(), 0);
    }

    #[test]
    fn a_document_holds_all_counts_in_the_form_of_other_tools() {
        let mut timing = Timing::new();
        (0..10_000u64).for_each(|n| timing.add(0, n * n / 7, n * n));
        let told = timing.told().unwrap().unwrap();
        // The cookie of a compressed histogram of version 2.
        assert!(told.response.histogram.starts_with("HISTF"), "{}", &told.response.histogram[..8]);
        let again = histogram(&told.response.histogram).unwrap();
        assert_eq!(again, timing.response);
        assert!((again.value_at_quantile(0.99) as f64 / 1e3 - told.response.us.p99).abs() < 1e-9);
        assert_ne!(histogram(&told.service.histogram).unwrap(), again);
        for damaged in ["", "HIST", "HISTFAAA", &told.service.histogram[..40], "§"] {
            assert!(histogram(damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn no_operations_are_told_as_none() {
        assert_eq!(Timing::new().told().unwrap(), None);
    }
}
