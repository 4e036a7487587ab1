//! The tables of `runbook`: one row for each trial, then recall at each search step.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Trial};
use super::steps::Kind;
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
    for trial in &document.trials {
        table.add_row(cells(trial));
    }
    writeln!(
        out,
        "{table}\n\n\
         recall@k: the mean over search steps, against the exact neighbours among the points that are live.\n\
         ghosts: returned points that were not live; there must be none.\n\
         garbage: replaced and not yet freed, and kept for snapshots; the most after a step, and when all that no one needs was freed."
    )?;
    if document.trials.iter().any(|trial| trial.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    for trial in document.trials.iter().filter(|trial| !trial.tainted.is_empty()) {
        writeln!(out, "! {} x{}: {}", trial.strategy, trial.threads, trial.tainted.join("; "))?;
    }
    print_steps(&document.trials, out)
}

/// Recall at each search step, a column for each trial.
fn print_steps(trials: &[Trial], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = trials.first().filter(|trial| trial.recall.is_some()) else { return Ok(()) };
    let names: Vec<String> =
        trials.iter().map(|trial| format!("{} x{}", trial.strategy, trial.threads)).collect();
    let header: Vec<&str> = ["step", "live"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut table: Table = plain(&header, false);
    for (at, step) in first.steps.iter().enumerate().filter(|(_, step)| step.operation == Kind::Search) {
        let mut row = vec![Cell::new(step.number), Cell::new(grouped(step.live as f64))];
        row.extend(trials.iter().map(|trial| Cell::new(recall(trial.steps[at].recall))));
        table.add_row(row);
    }
    writeln!(out, "\nrecall@k at each search step:\n{table}")
}

fn cells(trial: &Trial) -> Vec<Cell> {
    let rate = |op: &Option<Op>| op.as_ref().map_or("–".into(), |op| grouped(op.per_second));
    let flags = [(trial.oversubscribed, "*"), (!trial.tainted.is_empty(), "!")];
    let live = match trial.live == trial.expected_live {
        true => grouped(trial.live as f64),
        false => format!("{} of {}", grouped(trial.live as f64), grouped(trial.expected_live as f64)),
    };
    vec![
        Cell::new(&trial.strategy),
        Cell::new(trial.threads),
        Cell::new(format!("{:.2}", trial.seconds)),
        Cell::new(rate(&trial.ops.insert)),
        Cell::new(rate(&trial.ops.delete)),
        Cell::new(rate(&trial.ops.replace)),
        Cell::new(rate(&trial.ops.search)),
        Cell::new(recall(trial.recall)),
        Cell::new(trial.ghosts()),
        Cell::new(live),
        Cell::new(trial.unreachable),
        Cell::new(grouped(trial.garbage_peak_bytes as f64 / 1e3)),
        Cell::new(grouped(trial.garbage_end_bytes as f64 / 1e3)),
        Cell::new(grouped(trial.memory.total_bytes as f64 / 1e6)),
        Cell::new(flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect::<String>()),
    ]
}

fn recall(recall: Option<f64>) -> String {
    recall.map_or("–".into(), |recall| format!("{recall:.4}"))
}
