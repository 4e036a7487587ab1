//! One window on an index: workers that do what their schedules say.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hnsw_core::sync::CachePadded;

use super::arrivals::{Kind, Offer};
use super::rate::Probe;
use super::timing::micros;
use super::wall::Wall;
use super::worker::{self, Ending, Worked};
use crate::churn::Clock;
use crate::data::Dataset;
use crate::machine::{Disturbance, Noise};
use crate::sweep::workers::{self, Turn};
use crate::sweep::{Bed, Hands};

/// Searches of each worker before the window opens: they size the scratch and fill the caches.
const WARM_UP: usize = 64;

/// What all windows of a subject share.
pub(super) struct Shape<'a> {
    pub(super) dataset: &'a Dataset,
    /// Where workers run.
    pub(super) cpus: &'a [Option<usize>],
    /// Rows that are in the index.
    pub(super) filled: usize,
    pub(super) k: usize,
    pub(super) ef: usize,
}

/// When an operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// When it was meant to.
    Open,
    /// When the last one has ended.
    Closed,
}

/// What happened in a window.
pub(super) struct Happened {
    pub(super) worked: Worked,
    /// The length of the window in seconds; without a rate, to the end of the last operation.
    pub(super) seconds: f64,
    /// Operations that may be left without the rate being said to be too high.
    patience: u64,
    /// The first row that was not inserted.
    pub(super) next_row: usize,
    /// What the machine did meanwhile.
    pub(super) seen: Disturbance,
    /// Why not to trust it, but for what the machine did.
    pub(super) tainted: Vec<String>,
    pub(super) interrupted: bool,
}

/// Offers operations for so long, or until there are no rows left to insert.
pub(super) fn open_window(
    bed: &dyn Bed,
    shape: &Shape<'_>,
    offer: &Offer,
    way: Loop,
    length: Duration,
    stop: &AtomicBool,
) -> Happened {
    let length = length.as_nanos() as u64;
    let rows = shape.dataset.len() - shape.filled;
    // Without a rate nobody knows how many rows are needed; the workers end when there are none.
    let window = if offer.rate.is_finite() { offer.fitting(length, rows).max(1) } else { length };
    let patience = ((offer.rate * window as f64 / 1e9 / 100.0) as u64).max(offer.workers as u64);
    let next_row = CachePadded::new(AtomicUsize::new(shape.filled));
    let origin = OnceLock::new();
    bed.quiesce();
    let ran = workers::run(
        shape.cpus,
        None,
        stop,
        Noise::now,
        |worker| {
            let mut hands = bed.hands();
            for query in (shape.first_query(worker)..).take(WARM_UP) {
                hands.search(shape.query(query), shape.k, shape.ef);
            }
            hands
        },
        |turn, mut hands| {
            let wall = Wall { clock: *origin.get_or_init(Clock::start), turn };
            let schedule = offer.schedule(turn.worker);
            let operate = shape.operations(turn, &mut *hands, &next_row);
            match way {
                Loop::Open => worker::open(schedule, window, patience, &wall, operate),
                Loop::Closed => worker::closed(schedule, window, &wall, operate),
            }
        },
    );
    let (before, after) = &ran.observed;
    let mut worked = Worked::new();
    ran.results.iter().for_each(|one| worked.merge(one));
    let seen = after.disturbance(before);
    let mut tainted: Vec<String> = ran.unpinned.into_iter().collect();
    tainted.extend((worked.refused > 0).then(|| format!("the index refused {} operations", worked.refused)));
    let next_row = next_row.into_inner().into_inner().min(shape.dataset.len());
    let seconds = if offer.rate.is_finite() { window } else { worked.ended.max(1) } as f64 / 1e9;
    Happened { worked, seconds, patience, next_row, seen, tainted, interrupted: ran.interrupted }
}

impl Shape<'_> {
    /// Workers start at different queries, so that they do not walk the same paths at the same time.
    fn first_query(&self, worker: usize) -> usize {
        worker * self.dataset.query_count() / self.cpus.len()
    }

    /// Queries are walked in a circle.
    fn query(&self, number: usize) -> &[f32] {
        self.dataset.query(number % self.dataset.query_count())
    }

    /// What a worker does with the index.
    fn operations<'h>(
        &'h self,
        turn: &Turn<'_>,
        hands: &'h mut (dyn Hands + 'h),
        next_row: &'h AtomicUsize,
    ) -> impl FnMut(Kind) -> Ending + 'h {
        let mut query = self.first_query(turn.worker);
        move |kind| match kind {
            Kind::Search => {
                query += 1;
                match hands.search(self.query(query), self.k, self.ef) {
                    None => Ending::Refused,
                    Some(hits) if hits < self.k => Ending::Short,
                    Some(_) => Ending::Done,
                }
            }
            Kind::Insert => {
                // Relaxed [latency-row]: hands out numbers; the rows themselves never change.
                let row = next_row.fetch_add(1, Ordering::Relaxed);
                match row < self.dataset.len() {
                    true if hands.insert(self.dataset.row(row)) => Ending::Done,
                    true => Ending::Refused,
                    false => Ending::NoRow,
                }
            }
        }
    }
}

impl Happened {
    /// Whether the rate was too high.
    pub(super) fn saturated(&self) -> bool {
        self.worked.backlog > self.patience
    }

    /// Operations that began in the window, per second.
    pub(super) fn achieved(&self) -> f64 {
        (self.worked.offered - self.worked.backlog) as f64 / self.seconds
    }

    /// Operations that were done, by the time that it took; of a closed loop.
    pub(super) fn per_second(&self) -> f64 {
        self.worked.done() as f64 / self.seconds.max(self.worked.ended as f64 / 1e9)
    }

    /// What a search for a rate sees of it: the response times of searches, or of inserts where nothing searches.
    pub(super) fn probe(&self) -> Probe {
        let Worked { search, insert, .. } = &self.worked;
        let timing = if search.count() > 0 { search } else { insert };
        Probe { p99: micros(&timing.response, 0.99), saturated: self.saturated() }
    }
}
