//! What some workloads tell besides a rate: where the time of an insert goes, and what readers and writers leave each other.

use comfy_table::{Cell, Table};
use hnsw_core::hnsw::Phase;

use super::{cell, grouped, micros, plain};
use crate::stats::{Estimate, median};
use crate::summary::{Point, Summary};
use crate::sweep::Workload;

/// Shares of the time of an insert; none where it was not asked for.
pub(super) fn phases(points: &[&Point], terminal: bool) -> Option<Table> {
    let header: Vec<String> = Phase::ALL.iter().map(|phase| format!("{} %", phase.name())).collect();
    let header: Vec<&str> = ["strategy", "threads", "µs per insert"]
        .into_iter()
        .chain(header.iter().map(String::as_str))
        .collect();
    let mut table = plain(&header, terminal);
    for point in points {
        let Some(phases) = &point.phases else { continue };
        let whole: f64 = phases.iter().sum();
        let mut row = vec![Cell::new(&point.strategy), Cell::new(point.threads), Cell::new(micros(whole))];
        row.extend(phases.iter().map(|part| Cell::new(format!("{:.1}", 100.0 * part / whole))));
        table.add_row(row);
    }
    (table.row_count() > 0).then_some(table)
}

/// What each role of `reader-writer` reaches, and what share that is of what it reaches alone; none for other workloads.
pub(super) fn roles(summary: &Summary, points: &[&Point], terminal: bool) -> Option<Table> {
    let header = [
        "strategy",
        "threads",
        "reads/s",
        "of alone",
        "± 95 %",
        "inserts/s",
        "of alone",
        "± 95 %",
        "short answers",
    ];
    let mut table = plain(&header, terminal);
    for point in points.iter().filter(|point| point.workload == Workload::ReaderWriter.name()) {
        let reads = summary.kept(point, |point| &point.searches, Workload::ReaderAlone.name());
        let inserts = summary.kept(point, |point| &point.inserts, Workload::WriterAlone.name());
        let rate = |blocks: Vec<f64>| cell(median(&blocks).map(grouped));
        let [reads_kept, reads_width] = kept(reads);
        let [inserts_kept, inserts_width] = kept(inserts);
        table.add_row(vec![
            Cell::new(&point.strategy),
            Cell::new(point.threads),
            rate(point.searches.values().copied().collect()),
            reads_kept,
            reads_width,
            rate(point.inserts.values().copied().collect()),
            inserts_kept,
            inserts_width,
            cell(point.short_answers.map(|short| short.to_string())),
        ]);
    }
    (table.row_count() > 0).then_some(table)
}

/// A ratio and half the width of its interval, in percent.
fn kept(ratio: Option<Estimate>) -> [Cell; 2] {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let width = ratio.and_then(|ratio| ratio.interval).map(|interval| percent(interval.half_width()));
    [cell(ratio.map(|ratio| percent(ratio.median))), cell(width)]
}
