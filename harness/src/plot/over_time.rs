//! Memory over time while points come and go, a panel per thread count: what was replaced and not yet freed, and by how much the
//! process has grown. Of each point it is the trial in the middle by speed.

use std::collections::BTreeSet;

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use super::{Figure, file_name};
use crate::blocks::Gathered;
use crate::churn::{Document, Trial};
use crate::report::grouped;

const PANEL: (u32, u32) = (900, 560);
const MOST_COLUMNS: usize = 2;

/// What is drawn over the seconds of a window.
struct Quantity {
    /// In the name of the figure.
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// Of the strategies that have none of it.
    none: &'static str,
    of: fn(&Trial) -> Vec<(f64, f64)>,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        name: "garbage",
        title: "garbage over time",
        about: "Replaced and not yet freed, and kept for snapshots",
        none: "none at all",
        of: |trial| trial.garbage.series.iter().map(|(at, bytes)| (*at, *bytes as f64)).collect(),
    },
    Quantity {
        name: "resident",
        title: "resident memory over time",
        about: "By how much the process has grown since there was no index",
        none: "not at all",
        of: |trial| {
            let before = trial.process_before.rss_bytes.unwrap_or(0);
            trial.rss_series.iter().map(|(at, bytes)| (*at, bytes.saturating_sub(before) as f64)).collect()
        },
    },
];

/// Figures of each workload, of what there was any of.
pub(crate) fn figures(document: &Document) -> Result<Vec<Figure>> {
    let workloads = document.config.workloads.keys();
    let wanted = workloads.flat_map(|workload| QUANTITIES.iter().map(move |quantity| (workload, quantity)));
    wanted.filter_map(|(workload, quantity)| figure(document, workload, quantity).transpose()).collect()
}

fn figure(document: &Document, workload: &str, quantity: &Quantity) -> Result<Option<Figure>> {
    let all: Vec<(&Trial, Vec<(f64, f64)>)> = document
        .points()
        .iter()
        .map(Gathered::typical)
        .filter(|trial| trial.workload == workload)
        .map(|trial| (trial, (quantity.of)(trial)))
        .collect();
    let most = all.iter().flat_map(|(_, series)| series).map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    if most == 0.0 {
        return Ok(None);
    }
    let (with, without): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, series)| series.iter().any(|(_, bytes)| *bytes > 0.0));
    let threads: BTreeSet<usize> = with.iter().map(|(trial, _)| trial.threads).collect();
    let columns = threads.len().min(MOST_COLUMNS);
    let rows = threads.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, HEADING + PANEL.1 * rows as u32);
    let title = format!(
        "{workload} · {} · {}, {} x {}",
        quantity.title,
        document.dataset.name,
        grouped(document.dataset.rows as f64),
        document.dataset.dim
    );
    let without: BTreeSet<&str> = without.iter().map(|(trial, _)| trial.strategy.as_str()).collect();
    let without = match without.is_empty() {
        true => String::new(),
        false => format!("; {}: {}", quantity.none, without.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let explanation = format!("{}{without}", quantity.about);
    let longest = with.iter().map(|(trial, _)| trial.seconds).fold(0.0, f64::max);
    let svg = canvas(size, |area| {
        heading(area, &title, &explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        for (threads, cell) in threads.iter().zip(body.split_evenly((rows, columns))) {
            let plural = if *threads == 1 { "" } else { "s" };
            // All panels have the same axes, so that they can be compared.
            let panel = Panel {
                title: format!("Bytes, {threads} thread{plural}"),
                x_name: "seconds".into(),
                x: Axis::from_zero(longest),
                y: Axis::from_zero(most),
                lines: with
                    .iter()
                    .filter(|(trial, _)| trial.threads == *threads)
                    .map(|(trial, series)| line(trial, series))
                    .collect(),
                remarks: Vec::new(),
            };
            panel.draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Some(Figure { name: format!("{}-{}", quantity.name, file_name(workload)), svg }))
}

fn line(trial: &Trial, series: &[(f64, f64)]) -> Line {
    Line {
        name: Some(trial.strategy.clone()),
        colour: strategy_colour(&trial.strategy),
        stroke: Stroke::Fitted,
        marks: series.iter().map(|(seconds, bytes)| Mark::at(*seconds, *bytes)).collect(),
    }
}
