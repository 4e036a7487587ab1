//! Which tag holds which row, step by step.

use std::ops::Range;

use anyhow::{Result, bail, ensure};

use super::steps::{Runbook, Step};

/// A live point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) tag: u32,
    pub(super) row: u32,
}

/// The rows of live tags.
#[derive(Clone, Debug)]
pub(super) struct Tags {
    /// By tag; every tag was a row when it was inserted.
    rows: Vec<Option<u32>>,
    live: usize,
}

impl Tags {
    /// No tag is live; the data set has so many rows.
    pub(super) fn none(rows: usize) -> Tags {
        Tags { rows: vec![None; rows], live: 0 }
    }

    /// How many are live.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The row of a tag; none if it is not live.
    pub(super) fn row(&self, tag: u32) -> Option<u32> {
        self.rows.get(tag as usize).copied().flatten()
    }

    /// Live points by tag.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
        self.rows.iter().zip(0..).filter_map(|(row, tag)| Some(Point { tag, row: (*row)? }))
    }

    /// Does what a step says, which was checked.
    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::Insert(rows) => rows.clone().for_each(|row| self.set(row, Some(row))),
            Step::Delete(tags) => tags.clone().for_each(|tag| self.set(tag, None)),
            Step::Replace { tags, rows } => {
                tags.clone().zip(rows.clone()).for_each(|(tag, row)| self.set(tag, Some(row)));
            }
            Step::Search => (),
        }
    }

    fn set(&mut self, tag: u32, row: Option<u32>) {
        let place = &mut self.rows[tag as usize];
        self.live = self.live + usize::from(row.is_some()) - usize::from(place.is_some());
        *place = row;
    }

    /// Whether a step can be done now.
    fn check(&self, number: usize, step: &Step, max_points: usize) -> Result<()> {
        let name = step.kind().name();
        let within = |what: &str, range: &Range<u32>| {
            let rows = self.rows.len();
            ensure!(
                range.end as usize <= rows,
                "step {number} ({name}): its {what} end before {}, and the data set has {rows} rows; give a larger one with --dataset",
                range.end
            );
            Ok(())
        };
        match step {
            Step::Search => return Ok(()),
            Step::Insert(rows) => within("rows", rows)?,
            Step::Delete(tags) => within("tags", tags)?,
            Step::Replace { tags, rows } => {
                within("tags", tags)?;
                within("rows", rows)?;
            }
        }
        let inserts = matches!(step, Step::Insert(_));
        match step.tags().find(|&tag| self.row(tag).is_some() == inserts) {
            Some(tag) if inserts => {
                bail!("step {number} ({name}): tag {tag} is live already; delete it first, or replace it")
            }
            Some(tag) => bail!("step {number} ({name}): tag {tag} is not live; insert it first"),
            None => (),
        }
        let live = self.live + if inserts { step.tags().len() } else { 0 };
        ensure!(
            live <= max_points,
            "step {number} ({name}): {live} points would be live, and max_pts is {max_points}; delete some first or raise max_pts"
        );
        Ok(())
    }
}

/// Refuses a runbook with a step that cannot be done on a data set of so many rows.
pub(super) fn check(runbook: &Runbook, rows: usize) -> Result<()> {
    let mut tags = Tags::none(rows);
    for (number, step) in (1..).zip(&runbook.steps) {
        tags.check(number, step, runbook.max_points)?;
        tags.apply(step);
    }
    Ok(())
}
