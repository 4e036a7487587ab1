//! Garbage over time while points come and go, a panel per thread count: what was replaced and not yet freed.

use std::collections::BTreeSet;

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use super::{Figure, file_name};
use crate::churn::{Document, Trial};
use crate::report::grouped;

const PANEL: (u32, u32) = (900, 560);
const MOST_COLUMNS: usize = 2;

/// A figure for each workload in which there was garbage at all.
pub(crate) fn figures(document: &Document) -> Result<Vec<Figure>> {
    document.config.workloads.keys().filter_map(|workload| figure(document, workload).transpose()).collect()
}

fn figure(document: &Document, workload: &str) -> Result<Option<Figure>> {
    let trials: Vec<&Trial> = document.trials.iter().filter(|trial| trial.workload == workload).collect();
    let (with, without): (Vec<&Trial>, Vec<&Trial>) =
        trials.into_iter().partition(|trial| trial.garbage.peak_bytes > 0);
    if with.is_empty() {
        return Ok(None);
    }
    let threads: BTreeSet<usize> = with.iter().map(|trial| trial.threads).collect();
    let columns = threads.len().min(MOST_COLUMNS);
    let rows = threads.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, HEADING + PANEL.1 * rows as u32);
    let title = format!(
        "{workload} · garbage over time · {}, {} x {}",
        document.dataset.name,
        grouped(document.dataset.rows as f64),
        document.dataset.dim
    );
    let clean: BTreeSet<&str> = without.iter().map(|trial| trial.strategy.as_str()).collect();
    let clean = match clean.is_empty() {
        true => String::new(),
        false => format!("; none at all: {}", clean.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let explanation = format!("Replaced and not yet freed, and kept for snapshots{clean}");
    let most = with.iter().map(|trial| trial.garbage.peak_bytes).max().unwrap_or(0) as f64;
    let longest = with.iter().map(|trial| trial.seconds).fold(0.0, f64::max);
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
                    .filter(|trial| trial.threads == *threads)
                    .map(|trial| line(trial))
                    .collect(),
                remarks: Vec::new(),
            };
            panel.draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Some(Figure { name: format!("garbage-{}", file_name(workload)), svg }))
}

fn line(trial: &Trial) -> Line {
    Line {
        name: Some(trial.strategy.clone()),
        colour: strategy_colour(&trial.strategy),
        stroke: Stroke::Fitted,
        marks: trial
            .garbage
            .series
            .iter()
            .map(|(seconds, bytes)| Mark::at(*seconds, *bytes as f64))
            .collect(),
    }
}
