//! What a strategy costs: its rate per thread beside that of the strategy without any synchronisation, on one thread.

use comfy_table::{Cell, Table};

use super::{cell, flags, grouped, plain};
use crate::record::Document;
use crate::summary::{BASELINE, Point, Summary};
use crate::sweep::Workload;

/// Workloads whose rate per thread can be held against the baseline.
pub(super) const WORKLOADS: [Workload; 4] =
    [Workload::Search, Workload::SearchWriter, Workload::SearchBatch, Workload::Build];

/// What a workload is compared with: searches beside a writer with searches alone.
fn base_of(workload: &str) -> &str {
    if workload == Workload::SearchWriter.name() { Workload::Search.name() } else { workload }
}

/// What stands beside the name of a workload.
pub(super) fn explanation(document: &Document, summary: &Summary, workload: Workload) -> String {
    let mut text = String::new();
    if let Some(ef) = summary.chosen_ef(workload.name()).ef {
        text += &format!(" · ef {ef}");
    }
    if let Some(rate) = document.run.config.update_rate.filter(|_| workload == Workload::SearchWriter) {
        text += &format!(" · beside a writer of {} lists/s", grouped(rate));
    }
    text + &format!(" · against {BASELINE} {} on one thread", base_of(workload.name()))
}

/// A line for each strategy and thread count; none where the document has not got the baseline or the workload.
pub(super) fn table(summary: &Summary, workload: &str, terminal: bool) -> Option<Table> {
    let ef = summary.chosen_ef(workload).ef;
    let base = summary
        .at(base_of(workload), ef)
        .into_iter()
        .find(|point| point.strategy == BASELINE && point.threads == 1)?;
    let mut table = plain(
        &[
            "strategy",
            "threads",
            "ops/s",
            "x sequential / thread",
            "± 95 %",
            "tax %",
            "dist/op",
            "hops/op",
            "ns/hop more",
            "lists/s",
            "flags",
        ],
        terminal,
    );
    for point in summary.at(workload, ef) {
        table.add_row(cells(summary, point, base));
    }
    (table.row_count() > 0).then_some(table)
}

fn cells(summary: &Summary, point: &Point, base: &Point) -> Vec<Cell> {
    let ratio = summary.per_thread_over(point, base);
    let signed = |value: f64| format!("{value:+.1}");
    // The time of one operation on one thread beyond that of the baseline, spread over the lists that it reads.
    let nanos = |point: &Point| 1e9 * point.threads as f64 / point.throughput.median;
    let more = point.hops.filter(|hops| *hops > 0.0).map(|hops| signed((nanos(point) - nanos(base)) / hops));
    let width =
        ratio.and_then(|ratio| ratio.interval).map(|interval| format!("{:.3}", interval.half_width()));
    vec![
        Cell::new(&point.strategy),
        Cell::new(point.threads),
        Cell::new(grouped(point.throughput.median)),
        cell(ratio.map(|ratio| format!("{:.3}", ratio.median))),
        cell(width),
        cell(ratio.map(|ratio| signed(100.0 * (1.0 - ratio.median)))),
        cell(point.evaluations.map(grouped)),
        cell(point.hops.map(grouped)),
        cell(more),
        cell(point.updates.map(grouped)),
        Cell::new(flags(point)),
    ]
}
