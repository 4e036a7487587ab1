//! All points, and what threads waited for.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{named, rate, ratio};
use crate::record::{Contention, Document, Row};
use crate::report::{grouped, micros};
use crate::summary::{Point, Summary};

/// Every point, ef by ef, workload by workload; folded, because they are many.
pub(super) fn points(document: &Document, summary: &Summary) -> Markup {
    html! {
        @for workload in summary.workloads() { @for codec in summary.codecs() {
            @let points: Vec<&Point> = summary.of_workload(workload).filter(|point| point.codec == codec).collect();
            @if !points.is_empty() { details {
                summary { (workload) " · " (codec) ": " (points.len()) " points" }
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th { "strategy" } th { "threads" } th { "ef" } th { "operations/s (95 %)" } th { "over itself, 1 thread" } th { "over sequential" }
                        th { "p50 µs" } th { "p99 µs" } th { "distances" } th { "recall@" (document.run.config.k) } th { "memory +%" } th { "unreachable" } th { "flags" }
                    } }
                    tbody { @for point in points { (row(summary, point)) } }
                } }
            } }
        } }
        p.faint { "*: more threads than allowed CPUs. !: at least one block is tainted; the document says why." }
    }
}

fn row(summary: &Summary, point: &Point) -> Markup {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    html! { tr {
        td { (named(&point.strategy)) } td { (point.threads) } td { (or_dash(point.ef.map(|ef| ef.to_string()))) }
        td { (rate(&point.throughput)) }
        td { (or_dash(summary.over_itself(point).map(|over| ratio(&over)))) }
        td { (or_dash(summary.over_baseline(point).map(|over| ratio(&over)))) }
        td { (or_dash(point.p50.map(micros))) } td { (or_dash(point.p99.map(micros))) }
        td { (or_dash(point.evaluations.map(grouped))) }
        td { (or_dash(point.recall.map(|recall| format!("{recall:.4}")))) }
        td { (format!("{:.2}", point.overhead_percent)) }
        td.bad[point.unreachable > 0] { (point.unreachable) }
        td { @if point.oversubscribed { "*" } @if point.tainted { "!" } }
    } }
}

type Count = fn(&Contention) -> u64;

/// Counts of contention by name, and what they count.
const COUNTS: [(&str, Count); 5] = [
    ("lock waits", |of| of.lock_waits),
    ("CAS failures", |of| of.cas_failures),
    ("commit conflicts", |of| of.commit_conflicts),
    ("read retries", |of| of.read_retries),
    ("versions walked", |of| of.versions_walked),
];

/// What threads waited for and repeated, for each thousand operations: a number that does not depend on how fast the machine is.
pub(super) fn contention(document: &Document) -> Markup {
    let mut groups: BTreeMap<(usize, usize, &str, usize), Vec<&Row>> = BTreeMap::new();
    let rank =
        |names: &[String], name: &str| names.iter().position(|other| other == name).unwrap_or(names.len());
    let config = &document.run.config;
    for row in &document.rows {
        let key = (
            rank(&config.workloads, &row.workload),
            rank(&config.strategies, &row.strategy),
            row.codec.as_str(),
            row.threads,
        );
        groups.entry(key).or_default().push(row);
    }
    let told = |rows: &[&Row], count: Count| {
        // No sum of counts is too large as a float, not even in a damaged document.
        let total: f64 = rows.iter().map(|row| count(&row.contention) as f64).sum();
        let operations: f64 =
            rows.iter().flat_map(|row| row.ops.named()).map(|(_, op)| op.count as f64).sum();
        1e3 * total / operations.max(1.0)
    };
    let busy: Vec<(&Row, [f64; COUNTS.len()])> = groups
        .values()
        .map(|rows| (rows[0], COUNTS.map(|(_, count)| told(rows, count))))
        .filter(|(_, counts)| counts.iter().any(|count| *count > 0.0))
        .collect();
    let several = config.codecs().count() > 1;
    html! {
        p.faint { "For each thousand operations, over all blocks. Points that are not listed waited for nothing and repeated nothing." }
        @if busy.is_empty() { p { "No thread waited for anything." } } @else {
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { "strategy" } th { "workload" } @if several { th { "codec" } } th { "threads" }
                    @for (name, _) in COUNTS { th { (name) } }
                } }
                tbody { @for (row, counts) in busy { tr {
                    td { (named(&row.strategy)) } td { (row.workload) } @if several { td { (row.codec) } } td { (row.threads) }
                    @for count in counts { td { @if count > 0.0 { (format!("{count:.2}")) } @else { "–" } } }
                } } }
            } }
        }
    }
}
