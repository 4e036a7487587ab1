//! Recall against throughput: what a beam width buys and costs, a panel per thread count.

use std::collections::BTreeSet;

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use super::{Figure, data_set, file_name};
use crate::record::Document;
use crate::summary::{BASELINE, Point, Summary};

const PANEL: (u32, u32) = (900, 620);
const MOST_COLUMNS: usize = 2;

/// None where the workload has fewer than two beam widths.
pub(super) fn figure(document: &Document, summary: &Summary, workload: &str) -> Result<Option<Figure>> {
    let points: Vec<&Point> = summary.of_workload(workload).filter(|point| point.recall.is_some()).collect();
    let efs: BTreeSet<usize> = points.iter().filter_map(|point| point.ef).collect();
    if efs.len() < 2 {
        return Ok(None);
    }
    let threads: BTreeSet<usize> = points.iter().map(|point| point.threads).collect();
    let columns = threads.len().min(MOST_COLUMNS);
    let rows = threads.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, HEADING + PANEL.1 * rows as u32);
    let title = format!("{workload} · {}", data_set(document, summary));
    let efs = efs.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let explanation = format!("Up and to the right is better. Marks: ef {efs}");
    let svg = canvas(size, |area| {
        heading(area, &title, &explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        for (threads, cell) in threads.iter().zip(body.split_evenly((rows, columns))) {
            panel(document.run.config.k, &points, *threads).draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Some(Figure { name: format!("recall-qps-{}", file_name(workload)), svg }))
}

/// All panels have the same axes, so that they can be compared.
fn panel(k: usize, points: &[&Point], threads: usize) -> Panel {
    let mut lines: Vec<Line> = Vec::new();
    let mut strategies: Vec<&str> = points.iter().map(|point| point.strategy.as_str()).collect();
    strategies.dedup();
    for strategy in strategies {
        let of = |threads: usize| curve(points, strategy, threads);
        let (marks, stroke, name) = match of(threads) {
            marks if marks.is_empty() && strategy == BASELINE => (of(1), Stroke::Reference, "sequential 1T"),
            marks => (marks, Stroke::Measured, strategy),
        };
        if !marks.is_empty() {
            lines.push(Line { name: Some(name.into()), colour: strategy_colour(strategy), stroke, marks });
        }
    }
    let oversubscribed = lines.iter().flat_map(|line| &line.marks).any(|mark| mark.oversubscribed);
    let plural = if threads == 1 { "" } else { "s" };
    let beyond = if oversubscribed { ", more than allowed CPUs" } else { "" };
    Panel {
        title: format!("Operations per second, {threads} thread{plural}{beyond}"),
        x_name: format!("recall@{k}"),
        x: Axis::around(points.iter().filter_map(|point| point.recall), 1.0),
        y: Axis::log(points.iter().map(|point| point.throughput.median)),
        lines,
        remarks: remarks(points, threads),
    }
}

fn curve(points: &[&Point], strategy: &str, threads: usize) -> Vec<Mark> {
    points
        .iter()
        .filter(|point| point.strategy == strategy && point.threads == threads)
        .filter_map(|point| {
            let oversubscribed = point.oversubscribed;
            Some(Mark { oversubscribed, ..Mark::at(point.recall?, point.throughput.median) })
        })
        .collect()
}

/// Each beam width, above its fastest point.
fn remarks(points: &[&Point], threads: usize) -> Vec<(f64, f64, String)> {
    let here = || points.iter().filter(|point| point.threads == threads);
    let efs: BTreeSet<usize> = here().filter_map(|point| point.ef).collect();
    let fastest = |ef: usize| {
        here()
            .filter(|point| point.ef == Some(ef))
            .max_by(|a, b| a.throughput.median.total_cmp(&b.throughput.median))
    };
    efs.into_iter()
        .filter_map(|ef| {
            let point = fastest(ef)?;
            Some((point.recall?, point.throughput.median, format!("ef {ef}")))
        })
        .collect()
}
