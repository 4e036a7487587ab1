//! How many operations take longer than so long: the complementary distribution of latency, a panel per thread count.
//!
//! A line joins the medians over blocks of what each share of [`TAIL`] takes longer than, down to the smallest share that every block
//! has. Rows of earlier programs, and of one call, know quantiles alone: p50, p90, p99 and p99.9. Both axes are logarithmic: a tail that no mean
//! shows is a line that goes on to the right.

use std::collections::BTreeSet;

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use super::{Figure, data_set, file_name};
use crate::record::{Document, Latency, Op, Row, TAIL};
use crate::stats::median;
use crate::summary::{Point, Summary};

const PANEL: (u32, u32) = (900, 620);
const MOST_COLUMNS: usize = 2;

/// Shares of operations that take longer than p50, p90, p99 and p99.9.
const QUANTILES: [f64; 4] = [0.5, 0.1, 0.01, 0.001];

/// What each share takes longer than; a share and so many microseconds.
fn tail(op: &Op) -> Vec<(f64, f64)> {
    let Latency { p50, p90, p99, p999, .. } = op.latency_us;
    match op.tail_us[..] {
        [] => QUANTILES.into_iter().zip([p50, p90, p99, p999]).collect(),
        ref tail => TAIL.into_iter().zip(tail.iter().copied()).collect(),
    }
}

/// The medians of the shares that all have.
fn medians(tails: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    let Some(first) = tails.first() else { return Vec::new() };
    let of = |share: f64| {
        let at = |tail: &Vec<(f64, f64)>| Some(tail.iter().find(|point| point.0 == share)?.1);
        let all: Vec<f64> = tails.iter().map(at).collect::<Option<_>>()?;
        Some((share, median(&all)?))
    };
    first.iter().filter_map(|(share, _)| of(*share)).collect()
}

/// None where nothing was timed.
pub(super) fn figure(document: &Document, summary: &Summary, workload: &str) -> Result<Option<Figure>> {
    let chosen = summary.chosen_ef(workload);
    let points = summary.at(workload, chosen.ef);
    let lines: Vec<(usize, Line)> = points.iter().filter_map(|point| line(document, point)).collect();
    let Some(timed) = points.first().map(|point| point.timed).filter(|_| !lines.is_empty()) else {
        return Ok(None);
    };
    let threads: BTreeSet<usize> = lines.iter().map(|(threads, _)| *threads).collect();
    let columns = threads.len().min(MOST_COLUMNS);
    let rows = threads.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, HEADING + PANEL.1 * rows as u32);
    let beam = chosen.ef.map(|ef| format!(" · ef {ef}")).unwrap_or_default();
    let title = format!("{workload}{beam} · latency of one {timed} · {}", data_set(document, summary));
    let explanation = "Down and to the left is better. Closed loop, so service time";
    let marks = || lines.iter().flat_map(|(_, line)| &line.marks);
    // All panels have the same axes, so that they can be compared.
    let axes = || (Axis::log(marks().map(|mark| mark.x)), Axis::log(marks().map(|mark| mark.y)).in_percent());
    let svg = canvas(size, |area| {
        heading(area, &title, explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        for (threads, cell) in threads.iter().zip(body.split_evenly((rows, columns))) {
            let own = lines.iter().filter(|(of, _)| of == threads).map(|(_, line)| line.clone());
            panel(*threads, axes(), own.collect()).draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Some(Figure { name: format!("latency-{}", file_name(workload)), svg }))
}

fn panel(threads: usize, (x, y): (Axis, Axis), lines: Vec<Line>) -> Panel {
    let oversubscribed = lines.iter().flat_map(|line| &line.marks).any(|mark| mark.oversubscribed);
    let plural = if threads == 1 { "" } else { "s" };
    let beyond = if oversubscribed { ", more than allowed CPUs" } else { "" };
    Panel {
        title: format!("Share that takes longer, {threads} thread{plural}{beyond}"),
        x_name: "microseconds".into(),
        x,
        y,
        lines,
        remarks: Vec::new(),
    }
}

fn line(document: &Document, point: &Point) -> Option<(usize, Line)> {
    let is_of = |row: &&Row| {
        (&row.strategy, &row.codec, &row.workload, row.threads, row.ef)
            == (&point.strategy, &point.codec, &point.workload, point.threads, point.ef)
    };
    let timed = document.rows.iter().filter(is_of).filter_map(|row| row.ops.named().next());
    let tails: Vec<_> = timed.map(|(_, op)| tail(op)).collect();
    let mark = |(share, micros)| Mark { oversubscribed: point.oversubscribed, ..Mark::at(micros, share) };
    let marks: Vec<Mark> = medians(&tails).into_iter().map(mark).collect();
    let line = Line {
        name: Some(point.strategy.clone()),
        colour: strategy_colour(&point.strategy),
        stroke: Stroke::Measured,
        marks,
    };
    (!line.marks.is_empty()).then_some((point.threads, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_some_block_does_not_have_are_left_out() {
        let tails = [
            vec![(0.5, 1.0), (0.1, 2.0), (0.01, 9.0)],
            vec![(0.5, 3.0), (0.1, 4.0)],
            vec![(0.5, 5.0), (0.1, 9.0), (0.01, 9.0)],
        ];
        assert_eq!(medians(&tails), [(0.5, 3.0), (0.1, 4.0)]);
        assert_eq!(medians(&[]), []);
    }
}
