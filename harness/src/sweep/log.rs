//! What a worker did, and how long it took.

use crate::record::{Latency, Op, TAIL};
use hdrhistogram::Histogram;
use hnsw_core::hnsw::{Phase, Stopwatch};
use std::time::Duration;

/// What one worker measured; merged when all are done, so that nothing is shared while they run.
#[derive(Clone)]
pub struct Log {
    /// Its searches.
    pub searches: Tally,
    /// Its inserts.
    pub inserts: Tally,
    /// Answers with fewer neighbours than `expected`.
    pub short: u64,
    /// Operations that the index refused. There should be none: data and plan were checked.
    pub refused: u64,
    /// Lists that were changed at a set rate.
    pub updates: u64,
    /// Bytes of its scratch.
    pub scratch_bytes: usize,
    /// What its inserts spent their time on, where that was asked.
    pub phases: [Duration; Phase::ALL.len()],
    /// Neighbours that each search must find.
    expected: usize,
}

impl Log {
    /// Nothing yet; a search is short if it finds fewer than `expected` neighbours.
    pub fn new(expected: usize) -> Self {
        Log {
            searches: Tally::new(),
            inserts: Tally::new(),
            short: 0,
            refused: 0,
            updates: 0,
            scratch_bytes: 0,
            phases: Default::default(),
            expected,
        }
    }

    /// Adds what inserts spent their time on.
    pub fn spent(&mut self, watch: &Stopwatch) {
        for (spent, phase) in self.phases.iter_mut().zip(Phase::ALL) {
            *spent += watch.spent(phase);
        }
    }

    /// Adds those of another worker.
    pub fn merge(&mut self, other: &Log) {
        self.searches.merge(&other.searches);
        self.inserts.merge(&other.inserts);
        self.short += other.short;
        self.refused += other.refused;
        self.updates += other.updates;
        self.scratch_bytes += other.scratch_bytes;
        for (spent, more) in self.phases.iter_mut().zip(other.phases) {
            *spent += more;
        }
    }
}

impl hnsw_erased::Log for Log {
    fn inserted(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], done: bool) {
        self.inserts.add(took, 1);
        self.inserts.count_work(before, after);
        self.refused += u64::from(!done);
    }

    fn searched(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], hits: Option<usize>) {
        self.searches.add(took, 1);
        self.searches.count_work(before, after);
        self.refused += u64::from(hits.is_none());
        self.short += u64::from(hits.is_some_and(|hits| self.is_short(hits)));
    }

    fn searched_each(&mut self, took: Duration, before: [u64; 2], after: [u64; 2], counts: [u64; 3]) {
        let [asked, found, short] = counts;
        self.searches.add(took, asked);
        self.searches.count_work(before, after);
        self.refused += asked - found;
        self.short += short;
    }

    fn is_short(&self, hits: usize) -> bool {
        hits < self.expected
    }
}

/// Longest latency that is told from longer ones: one hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Operations of one kind, with latencies to three significant digits.
#[derive(Clone)]
pub struct Tally {
    latencies: Histogram<u64>,
    operations: u64,
    /// Distances and hops, of operations that count them.
    work: Option<[u64; 2]>,
}

impl Tally {
    /// None yet.
    pub fn new() -> Self {
        // These bounds are valid: 1 <= 1, and the highest is more than twice the lowest.
        let latencies = Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("valid bounds");
        Tally { latencies, operations: 0, work: None }
    }

    /// Adds one call that did so many operations.
    #[inline]
    pub fn add(&mut self, took: Duration, operations: u64) {
        self.latencies.saturating_record(took.as_nanos().min(u128::from(LONGEST_NANOS)) as u64);
        self.operations += operations;
    }

    #[inline]
    fn count_work(&mut self, before: [u64; 2], after: [u64; 2]) {
        let [evaluations, hops] = self.work.unwrap_or_default();
        self.work = Some([evaluations + after[0] - before[0], hops + after[1] - before[1]]);
    }

    /// Adds those of another worker.
    pub fn merge(&mut self, other: &Tally) {
        self.latencies.add(&other.latencies).expect("histograms of the same bounds");
        self.operations += other.operations;
        self.work = match (self.work, other.work) {
            (Some(own), Some(more)) => Some([own[0] + more[0], own[1] + more[1]]),
            (own, more) => own.or(more),
        };
    }

    /// How many there were.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Distances and hops of one operation, on average; `None` where they were not counted.
    pub fn work_per_operation(&self) -> Option<[f64; 2]> {
        Some(self.work?.map(|total| total as f64 / self.operations as f64))
    }

    /// See [`Op::tail_us`].
    fn tail(&self) -> impl Iterator<Item = f64> {
        let timed = self.latencies.len() as f64;
        let shares = TAIL.into_iter().take_while(move |share| share * timed >= 1.0);
        shares.map(|share| self.latencies.value_at_quantile(1.0 - share) as f64 / 1e3)
    }

    /// The operations of a window of this length; `None` if there was none.
    pub fn op(&self, seconds: f64) -> Option<Op> {
        let micros = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let work = self.work_per_operation();
        (self.operations > 0).then(|| Op {
            count: self.operations,
            per_second: self.operations as f64 / seconds,
            latency_us: Latency {
                p50: micros(0.5),
                p90: micros(0.9),
                p99: micros(0.99),
                p999: micros(0.999),
                max: self.latencies.max() as f64 / 1e3,
            },
            tail_us: self.tail().collect(),
            evaluations_per_op: work.map(|[evaluations, _]| evaluations),
            hops_per_op: work.map(|[_, hops]| hops),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hnsw_erased::Log as _;

    #[test]
    fn merged_workers_count_as_one() {
        let (mut a, mut b) = (Log::new(10), Log::new(10));
        (1..=99).for_each(|us| a.searched(Duration::from_micros(us), [5, 1], [9, 3], Some(10)));
        b.searched(Duration::from_micros(100), [0, 0], [104, 2], Some(9));
        b.inserted(Duration::from_micros(7), [104, 2], [105, 3], false);
        a.merge(&b);
        let op = a.searches.op(2.0).unwrap();
        assert_eq!((op.count, op.per_second), (100, 50.0));
        assert_eq!((op.evaluations_per_op, op.hops_per_op), (Some(5.0), Some(2.0)));
        assert!((op.latency_us.p50 - 50.0).abs() < 0.1 && (op.latency_us.max - 100.0).abs() < 0.2);
        assert!(op.latency_us.p50 <= op.latency_us.p99 && op.latency_us.p999 <= op.latency_us.max);
        // One of a hundred operations is the smallest share that has one.
        assert_eq!(op.tail_us.len(), 11);
        for (share, us) in TAIL.iter().zip(&op.tail_us) {
            assert!((us - 100.0 * (1.0 - share)).abs() < 1.2, "{share}: {us}");
        }
        assert_eq!((a.short, a.refused), (1, 1));
        assert_eq!(a.inserts.op(2.0).map(|op| op.count), Some(1));
    }

    #[test]
    fn a_call_of_many_operations_counts_them_and_is_timed_once() {
        let mut calls = Tally::new();
        calls.add(Duration::from_micros(300), 100);
        calls.add(Duration::from_micros(500), 100);
        let op = calls.op(1.0).unwrap();
        assert_eq!((op.count, op.per_second, op.evaluations_per_op), (200, 200.0, None));
        assert!((op.latency_us.max - 500.0).abs() < 1.0);
    }

    #[test]
    fn no_operations_are_no_op() {
        assert!(Tally::new().op(1.0).is_none());
    }
}
