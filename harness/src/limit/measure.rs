//! The three figures: each is taken in several windows, by as many threads at a time as are asked about.

use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::Shape;
use super::document::{Point, Spread};
use super::memory::{Sum, WorkingSet};
use crate::data::TruthError;
use crate::machine::Noise;
use crate::sweep::workers::{self, Turn};

/// Windows of each figure.
const WINDOWS: usize = 5;
/// Cache lines that are on their way while a row is read. How many a core can have is its own affair, so the best of these counts.
const LINES_AHEAD: [usize; 4] = [32, 64, 128, 256];
/// Loads between two looks at the clock.
const LOADS: usize = 256;

/// Threads that measure together.
pub(super) struct Crew<'a> {
    pub(super) cpus: Vec<Option<usize>>,
    /// For each figure.
    pub(super) time: Duration,
    pub(super) stop: &'a AtomicBool,
    /// Why threads were not pinned, if they should have been.
    pub(super) unpinned: Option<String>,
}

/// What a thread did in a window.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rows: usize,
    seconds: f64,
}

impl Pace {
    fn nanoseconds(&self) -> f64 {
        1e9 * self.seconds / self.rows as f64
    }
}

/// The rows of a list, from a place on.
struct Walk<'a> {
    list: &'a [u32],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Windows begin at places of their own, so that none finds in the cache what the last one read.
    fn new(list: &'a [u32], window: usize) -> Walk<'a> {
        Walk { list, at: list.len() / WINDOWS * window }
    }

    /// The row so far ahead.
    #[inline(always)]
    fn row(&self, ahead: usize) -> usize {
        self.list[(self.at + ahead) & (self.list.len() - 1)] as usize
    }
}

impl Crew<'_> {
    /// All figures of a working set.
    pub(super) fn point(mut self, shape: &Shape, set: &WorkingSet, oversubscribed: bool) -> Result<Point> {
        let before = Noise::now();
        let threads = self.cpus.len();
        let lists: Vec<Vec<u32>> = (0..threads).map(|worker| set.list(worker)).collect();
        let (ahead, gather) = self.best_gather(set, &lists)?;
        let chase = self
            .windows(1, |window, worker, turn| chase(set, Walk::new(&lists[worker], window).row(0), turn))?;
        let stream =
            self.windows(1, |_, worker, turn| stream(set, share(set.rows(), worker, threads), turn))?;
        // Bytes per nanosecond are GB per second.
        let rate = |window: &Vec<Pace>| -> f64 {
            window.iter().map(|pace| set.row_bytes() as f64 / pace.nanoseconds()).sum()
        };
        Ok(Point {
            rows: shape.rows,
            bytes: shape.bytes,
            row_bytes: set.row_bytes(),
            threads,
            oversubscribed,
            gather_ns: Spread::of(gather.iter().map(|window| mean(window))),
            gather_gb_per_second: Spread::of(gather.iter().map(rate)),
            lines_ahead: ahead * set.lines(),
            chase_ns: Spread::of(chase.iter().map(|window| mean(window))),
            sequential_gb_per_second: Spread::of(stream.iter().map(rate)),
            tainted: Noise::now().since(&before, oversubscribed).into_iter().chain(self.unpinned).collect(),
        })
    }

    /// The number of rows ahead that suits this machine, and the windows with it.
    fn best_gather(&mut self, set: &WorkingSet, lists: &[Vec<u32>]) -> Result<(usize, Vec<Vec<Pace>>)> {
        let mut tried: Vec<(usize, Vec<Vec<Pace>>)> = Vec::new();
        let mut choices: Vec<usize> = LINES_AHEAD.iter().map(|lines| (lines / set.lines()).max(1)).collect();
        choices.dedup();
        for &ahead in &choices {
            let windows = self.windows(choices.len(), |window, worker, turn| {
                gather(set, Walk::new(&lists[worker], window), ahead, turn)
            })?;
            tried.push((ahead, windows));
        }
        let median = |windows: &[Vec<Pace>]| Spread::of(windows.iter().map(|window| mean(window))).median;
        tried.sort_by(|(_, one), (_, other)| median(one).total_cmp(&median(other)));
        Ok(tried.swap_remove(0))
    }

    /// What each thread did in each of the windows, if the time for a figure is to be shared by `parts`.
    fn windows(
        &mut self,
        parts: usize,
        work: impl Fn(usize, usize, &Turn<'_>) -> Pace + Sync,
    ) -> Result<Vec<Vec<Pace>>> {
        let limit = self.time / (WINDOWS * parts) as u32;
        let mut windows = Vec::new();
        for window in 0..WINDOWS {
            let done = workers::run(
                &self.cpus,
                Some(limit),
                self.stop,
                || (),
                // Once in vain: page tables and code come into the caches.
                |worker| work(window, worker, &Turn::ended(worker)),
                |turn, _vain| work(window, turn.worker, turn),
            );
            if done.interrupted {
                return Err(TruthError::Cancelled.into());
            }
            self.unpinned = self.unpinned.take().or(done.unpinned);
            windows.push(done.results);
        }
        Ok(windows)
    }
}

/// The rows that one of the threads reads in order: at least one.
fn share(rows: usize, worker: usize, workers: usize) -> Range<usize> {
    let part = |worker: usize| rows * worker / workers;
    let start = part(worker).min(rows - 1);
    start..part(worker + 1).max(start + 1)
}

/// Nanoseconds that a thread took for a row, over all threads.
fn mean(paces: &[Pace]) -> f64 {
    paces.iter().map(Pace::nanoseconds).sum::<f64>() / paces.len() as f64
}

/// Repeats `loads`, which says how many rows it read, until the window is over.
#[inline(always)]
fn paced(turn: &Turn<'_>, mut loads: impl FnMut() -> usize) -> Pace {
    let (began, mut rows) = (Instant::now(), 0);
    loop {
        rows += loads();
        if turn.is_over() {
            return Pace { rows, seconds: began.elapsed().as_secs_f64() };
        }
    }
}

/// Reads random rows, while those that come `ahead` rows later are prefetched.
fn gather(set: &WorkingSet, mut walk: Walk<'_>, ahead: usize, turn: &Turn<'_>) -> Pace {
    let mut sum = Sum::default();
    let pace = paced(turn, || {
        for _ in 0..LOADS {
            set.prefetch(walk.row(ahead));
            set.read(walk.row(0), &mut sum);
            walk.at += 1;
        }
        LOADS
    });
    black_box(sum);
    pace
}

/// Follows the ring: no load can begin before the last one has ended.
fn chase(set: &WorkingSet, start: usize, turn: &Turn<'_>) -> Pace {
    let mut row = start;
    let pace = paced(turn, || {
        for _ in 0..LOADS {
            row = set.next(row);
        }
        LOADS
    });
    black_box(row);
    pace
}

/// Reads rows in order, again and again.
fn stream(set: &WorkingSet, rows: Range<usize>, turn: &Turn<'_>) -> Pace {
    let (mut sum, mut left) = (Sum::default(), rows.clone());
    let pace = paced(turn, || {
        if left.is_empty() {
            left = rows.clone();
        }
        let some = left.start..left.end.min(left.start + LOADS);
        left.start = some.end;
        some.clone().for_each(|row| set.read(row, &mut sum));
        some.len()
    });
    black_box(sum);
    pace
}
