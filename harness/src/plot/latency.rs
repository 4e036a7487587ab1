//! How many operations take longer than so long: the complementary distribution of latency, a panel per thread count.
//!
//! A row keeps quantiles, not the distribution, so a line joins four points of it: the medians over blocks of p50, p90, p99 and
//! p99.9. Both axes are logarithmic: a tail that no mean shows is a line that goes on to the right.

use std::collections::BTreeSet;

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use super::{Figure, data_set, file_name};
use crate::record::{Document, Latency, Row};
use crate::stats::median;
use crate::summary::{Point, Summary};

const PANEL: (u32, u32) = (900, 620);
const MOST_COLUMNS: usize = 2;

type Quantile = (f64, fn(&Latency) -> f64);

/// The share of operations that take longer, and the quantile that says how long.
const QUANTILES: [Quantile; 4] = [
    (0.5, |latency| latency.p50),
    (0.1, |latency| latency.p90),
    (0.01, |latency| latency.p99),
    (0.001, |latency| latency.p999),
];

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
    let explanation =
        "Down and to the left is better. Marks: p50, p90, p99, p99.9; closed loop, so service time";
    let x = || Axis::log(lines.iter().flat_map(|(_, line)| &line.marks).map(|mark| mark.x));
    let svg = canvas(size, |area| {
        heading(area, &title, explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        for (threads, cell) in threads.iter().zip(body.split_evenly((rows, columns))) {
            let own = lines.iter().filter(|(of, _)| of == threads).map(|(_, line)| line.clone());
            panel(*threads, x(), own.collect()).draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Some(Figure { name: format!("latency-{}", file_name(workload)), svg }))
}

/// All panels have the same axes, so that they can be compared.
fn panel(threads: usize, x: Axis, lines: Vec<Line>) -> Panel {
    let oversubscribed = lines.iter().flat_map(|line| &line.marks).any(|mark| mark.oversubscribed);
    let plural = if threads == 1 { "" } else { "s" };
    let beyond = if oversubscribed { ", more than allowed CPUs" } else { "" };
    Panel {
        title: format!("Share that takes longer, {threads} thread{plural}{beyond}"),
        x_name: "microseconds".into(),
        x,
        y: Axis::log(QUANTILES.iter().map(|(share, _)| *share)).in_percent(),
        lines,
        remarks: Vec::new(),
    }
}

fn line(document: &Document, point: &Point) -> Option<(usize, Line)> {
    let is_of = |row: &&Row| {
        (&row.strategy, &row.codec, &row.workload, row.threads, row.ef)
            == (&point.strategy, &point.codec, &point.workload, point.threads, point.ef)
    };
    let timed: Vec<&Latency> = document
        .rows
        .iter()
        .filter(is_of)
        .filter_map(|row| row.ops.named().next().map(|(_, op)| &op.latency_us))
        .collect();
    let mark = |(share, quantile): &Quantile| {
        let micros = median(&timed.iter().map(|latency| quantile(latency)).collect::<Vec<_>>())?;
        Some(Mark { oversubscribed: point.oversubscribed, ..Mark::at(micros, *share) })
    };
    let marks: Vec<Mark> = QUANTILES.iter().filter_map(mark).collect();
    let line = Line {
        name: Some(point.strategy.clone()),
        colour: strategy_colour(&point.strategy),
        stroke: Stroke::Measured,
        marks,
    };
    (!line.marks.is_empty()).then_some((point.threads, line))
}
