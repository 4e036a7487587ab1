//! What a worker does next.

use super::workers::Turn;
use crate::data::Dataset;
use hnsw_erased::Step;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A round of operations that repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Operations in it.
    pub steps: usize,
    /// How many of them are inserts.
    pub inserts: usize,
    /// Whether a worker that finds no row left ends the window for all: else the others would go on with another mix
    /// than the row says, or with fewer competitors.
    pub ends: bool,
    /// Rows that a worker takes at a time: few, so that all end together, and more than one, so that they seldom meet at
    /// the counter.
    pub chunk: usize,
    /// Queries of a call that searches.
    pub queries: usize,
    /// Operations that a worker does however late it gets its CPU: a row without operations says nothing.
    pub least: usize,
}

impl Round {
    /// Inserts until no row is left.
    pub const BUILD: Round = Round { steps: 1, inserts: 1, ends: false, chunk: 8, queries: 1, least: 0 };
    /// Searches until the window is over.
    pub const SEARCH: Round = Round { steps: 1, inserts: 0, ends: true, chunk: 1, queries: 1, least: 1 };
    /// Searches in calls of many queries until the window is over.
    pub const SEARCH_EACH: Round = Round { queries: 128, ..Round::SEARCH };
    /// Inserts until the window is over.
    pub const WRITE: Round = Round::of(1, 1);

    /// `inserts` in each `steps` operations; one whole round at least, so that there are some of each kind.
    pub const fn of(steps: usize, inserts: usize) -> Round {
        Round { steps, inserts, ends: true, chunk: 1, queries: 1, least: steps }
    }
}

/// The operations of one worker in one window.
pub struct Script<'a> {
    turn: &'a Turn<'a>,
    dataset: &'a Dataset,
    round: Round,
    /// The first row that no worker has taken.
    next_row: &'a AtomicUsize,
    /// Rows that are taken and not yet inserted.
    rows: std::ops::Range<usize>,
    query: usize,
    /// Where in the round the worker begins.
    first: usize,
    taken: usize,
    k: usize,
    ef: usize,
}

impl<'a> Script<'a> {
    /// For one of `threads` workers that share `next_row`.
    pub fn new(
        turn: &'a Turn<'a>,
        threads: usize,
        dataset: &'a Dataset,
        round: Round,
        next_row: &'a AtomicUsize,
        (k, ef): (usize, usize),
    ) -> Self {
        Script {
            turn,
            dataset,
            round,
            next_row,
            rows: 0..0,
            // Workers start at different queries, so that they do not walk the same paths at the same time, and enter the
            // round at different steps, so that inserts do not come in volleys.
            query: turn.worker * dataset.query_count() / threads,
            first: turn.worker * round.steps / threads,
            taken: 0,
            k,
            ef,
        }
    }

    fn row(&mut self) -> Option<&'a [f32]> {
        if self.rows.is_empty() {
            // Relaxed [script-rows]: hands out numbers; the rows themselves never change.
            let from = self.next_row.fetch_add(self.round.chunk, Ordering::Relaxed);
            self.rows = from.min(self.dataset.len())..(from + self.round.chunk).min(self.dataset.len());
        }
        let row = self.rows.next();
        if row.is_none() && self.round.ends {
            self.turn.end();
        }
        row.map(|row| self.dataset.row(row))
    }

    fn search(&mut self) -> Step<'a> {
        let (dataset, k, ef) = (self.dataset, self.k, self.ef);
        let from = self.query;
        // A call never goes beyond the last query: those that are together in memory are asked together.
        let count = self.round.queries.min(dataset.query_count() - from);
        self.query = (from + count) % dataset.query_count();
        if self.round.queries == 1 {
            return Step::Search { query: dataset.query(from), k, ef };
        }
        let queries = &dataset.queries()[from * dataset.dim()..(from + count) * dataset.dim()];
        Step::SearchEach { queries, count, k, ef }
    }
}

impl hnsw_erased::Script for Script<'_> {
    fn next(&mut self) -> Option<Step<'_>> {
        if self.taken >= self.round.least && self.turn.is_over() {
            return None;
        }
        let inserts = (self.first + self.taken) % self.round.steps < self.round.inserts;
        self.taken += 1;
        if inserts { self.row().map(Step::Insert) } else { Some(self.search()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generate::{Shape, uniform};
    use crate::sweep::workers;
    use hnsw_erased::Script as _;
    use std::sync::atomic::AtomicBool;

    fn dataset() -> Dataset {
        uniform(&Shape { rows: 50, dim: 4, queries: 7, seed: 1 }).unwrap()
    }

    /// The kinds of operations of each worker: true for inserts.
    fn kinds(round: Round, threads: usize, next_row: &AtomicUsize) -> Vec<Vec<bool>> {
        let (data, stop) = (dataset(), AtomicBool::new(false));
        let work = |turn: &Turn<'_>, ()| {
            let mut script = Script::new(turn, threads, &data, round, next_row, (3, 5));
            let mut kinds = Vec::new();
            while let Some(step) = script.next() {
                kinds.push(matches!(step, Step::Insert(_)));
            }
            kinds
        };
        let limit = Some(std::time::Duration::from_millis(20));
        workers::run(&vec![None; threads], limit, &stop, || (), |_| (), work).results
    }

    #[test]
    fn a_build_takes_each_row_once() {
        let next = AtomicUsize::new(0);
        let kinds = kinds(Round::BUILD, 3, &next).concat();
        assert_eq!(kinds, vec![true; 50]);
    }

    #[test]
    fn rounds_repeat_until_no_row_is_left() {
        let next = AtomicUsize::new(40);
        let kinds = kinds(Round::of(5, 1), 1, &next).concat();
        assert!(kinds.iter().enumerate().all(|(step, insert)| *insert == (step % 5 == 0)), "{kinds:?}");
        assert!(kinds.iter().filter(|insert| **insert).count() <= 10);
    }

    #[test]
    fn searches_never_take_a_row() {
        let next = AtomicUsize::new(0);
        let kinds = kinds(Round::SEARCH, 2, &next);
        assert!(kinds.iter().all(|worker| !worker.is_empty() && worker.iter().all(|insert| !insert)));
        assert_eq!(next.into_inner(), 0);
    }
}
