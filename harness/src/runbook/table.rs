//! The tables of `runbook`: one row for each strategy and thread count, then recall at each search step.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Trial};
use super::steps::Kind;
use crate::blocks::{Gathered, legend, with_interval};
use crate::record::Op;
use crate::report::{grouped, plain};

const HEADER: [&str; 15] = [
    "strategy",
    "threads",
    "seconds",
    "inserts/s",
    "deletes/s",
    "replaces/s",
    "searches/s",
    "recall@k",
    "ghosts",
    "live",
    "unreachable",
    "garbage KB, peak",
    "at the end",
    "memory MB",
    "flags",
];

/// Writes both with their legend.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let (config, runbook, data) = (&document.config, &document.runbook, &document.dataset);
    let beside =
        if config.overlap_search { ", one more thread searches while points are changed" } else { "" };
    writeln!(
        out,
        "{} for {}: {} steps with at most {} points of {} live, k = {}, ef = {}{beside}\n",
        runbook.name,
        runbook.set,
        grouped(runbook.steps as f64),
        grouped(runbook.max_points as f64),
        data.name,
        config.k,
        config.ef,
    )?;
    let mut table: Table = plain(&HEADER, false);
    let points = document.points();
    for point in &points {
        table.add_row(cells(point));
    }
    writeln!(
        out,
        "{table}\n\n\
         recall@k: the mean over search steps, against the exact neighbours among the points that are live.\n\
         ghosts: returned points that were not live; there must be none.\n\
         garbage: replaced and not yet freed, and kept for snapshots; the most after a step, and when all that no one needs was freed.\n{}",
        legend(&points, config.blocks)
    )?;
    if document.trials.iter().any(|trial| trial.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    print_steps(&points, out)
}

/// Recall at each search step, a column for each strategy and thread count.
fn print_steps(points: &[Gathered<'_, Trial>], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = points.first().map(|point| point.all[0]).filter(|trial| trial.recall.is_some()) else {
        return Ok(());
    };
    let name = |point: &Gathered<'_, Trial>| format!("{} x{}", point.all[0].strategy, point.all[0].threads);
    let names: Vec<String> = points.iter().map(name).collect();
    let header: Vec<&str> = ["step", "live"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut table: Table = plain(&header, false);
    for (at, step) in first.steps.iter().enumerate().filter(|(_, step)| step.operation == Kind::Search) {
        let mut row = vec![Cell::new(step.number), Cell::new(grouped(step.live as f64))];
        row.extend(
            points.iter().map(|point| Cell::new(recall(point.median(|trial| trial.steps[at].recall)))),
        );
        table.add_row(row);
    }
    writeln!(out, "\nrecall@k at each search step:\n{table}")
}

fn cells(point: &Gathered<'_, Trial>) -> Vec<Cell> {
    let first = point.all[0];
    let rate = |of: fn(&Trial) -> &Option<Op>| {
        with_interval(point.estimate(|trial| Some(of(trial).as_ref()?.per_second)))
    };
    let middle = |of: fn(&Trial) -> f64| point.median(|trial| Some(of(trial))).unwrap_or(0.0);
    // A disturbance excuses no fault: these are of all trials.
    let wrong = point.all.iter().find(|trial| trial.live != trial.expected_live);
    let live = match wrong {
        None => grouped(first.live as f64),
        Some(trial) => format!("{} of {}", grouped(trial.live as f64), grouped(trial.expected_live as f64)),
    };
    let oversubscribed = if first.oversubscribed { "*" } else { "" };
    vec![
        Cell::new(&first.strategy),
        Cell::new(first.threads),
        Cell::new(format!("{:.2}", middle(|trial| trial.seconds))),
        Cell::new(rate(|trial| &trial.ops.insert)),
        Cell::new(rate(|trial| &trial.ops.delete)),
        Cell::new(rate(|trial| &trial.ops.replace)),
        Cell::new(rate(|trial| &trial.ops.search)),
        Cell::new(recall(point.median(|trial| trial.recall))),
        Cell::new(point.all.iter().map(|trial| trial.ghosts()).sum::<u64>()),
        Cell::new(live),
        Cell::new(point.all.iter().map(|trial| trial.unreachable).max().unwrap_or(0)),
        Cell::new(grouped(middle(|trial| trial.garbage_peak_bytes as f64) / 1e3)),
        Cell::new(grouped(middle(|trial| trial.garbage_end_bytes as f64) / 1e3)),
        Cell::new(grouped(middle(|trial| trial.memory.total_bytes as f64) / 1e6)),
        Cell::new(format!("{oversubscribed}{}", point.flags())),
    ]
}

fn recall(recall: Option<f64>) -> String {
    recall.map_or("–".into(), |recall| format!("{recall:.4}"))
}
