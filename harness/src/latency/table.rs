//! The tables of `latency`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, KINDS, Kind, Point};
use crate::blocks::{Gathered, legend, with_interval};
use crate::record::Latency;
use crate::report::{grouped, micros, plain};

const HEADER: [&str; 13] = [
    "strategy",
    "threads",
    "rate/s",
    "begun/s",
    "kind",
    "service p50",
    "p99",
    "response p50",
    "p99",
    "p99.9",
    "max us",
    "recall@k",
    "flags",
];
const CLOSED: [&str; 4] = ["closed/s", "p99", "p99.9", "max us"];
const SEARCHES: [&str; 8] =
    ["strategy", "threads", "highest rate/s", "p99 us", "failed at", "closed loop/s", "windows", "flags"];

/// Writes the tables with their legend.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let (config, data) = (&document.config, &document.dataset);
    let writes = match config.writes {
        0.0 => String::new(),
        share => format!(", {:.0} % of the operations insert", 100.0 * share),
    };
    writeln!(
        out,
        "{} of {} points of {} in the index, {} arrivals{writes}, windows of {} s, k = {}, ef = {}\n",
        grouped(config.filled as f64),
        grouped(data.rows as f64),
        data.name,
        config.arrivals.name(),
        config.seconds,
        config.k,
        config.ef,
    )?;
    if let Some(p99) = config.p99_us {
        searches(document, p99, out)?;
    }
    if !document.points.is_empty() {
        points(document, out)?;
    }
    if document.points.iter().any(|point| point.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    Ok(())
}

fn searches(document: &Document, p99: f64, out: &mut dyn Write) -> io::Result<()> {
    let mut table: Table = plain(&SEARCHES, false);
    let gathered = Gathered::of(&document.searches);
    for point in &gathered {
        let first = point.all[0];
        table.add_row(vec![
            Cell::new(&first.strategy),
            Cell::new(first.threads),
            // A search that found none counts as one that found 0.
            Cell::new(with_interval(point.estimate(|search| Some(search.rate.unwrap_or(0.0))))),
            Cell::new(point.median(|search| search.p99_us).map_or("–".into(), micros)),
            Cell::new(point.median(|search| search.failed_rate).map_or("–".into(), grouped)),
            Cell::new(with_interval(point.estimate(|search| Some(search.closed_per_second)))),
            Cell::new(point.all.iter().map(|search| search.windows).sum::<usize>()),
            Cell::new(flags(first.oversubscribed, false, &point.flags())),
        ]);
    }
    let windows: usize = document.searches.iter().map(|search| search.windows).sum();
    writeln!(
        out,
        "The highest rate at which p99 of the response time is within {} us\n\n{table}\n\n\
         {} windows in all. p99 is the median of the three windows that confirmed the rate. failed at: the lowest rate that did\n\
         not meet the bound. closed loop: without gaps, one operation after another.\n{}\n",
        grouped(p99),
        grouped(windows as f64),
        legend(&gathered, document.config.blocks),
    )
}

fn points(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let closed = document.config.closed;
    let header = [HEADER.as_slice(), if closed { &CLOSED } else { &[] }].concat();
    let mut table: Table = plain(&header, false);
    let gathered = document.gathered();
    for point in &gathered {
        for kind in KINDS.iter().filter(|kind| kind.is_of(point.all.iter().copied())) {
            let mut row = cells(point, kind);
            if closed {
                row.extend(closed_cells(point, kind));
            }
            table.add_row(row);
        }
    }
    writeln!(
        out,
        "{table}\n\n\
         Times in microseconds. service: from the actual start of an operation; response: from the intended one, queueing included.\n\
         begun: operations that began in the window.\n{}",
        legend(&gathered, document.config.blocks)
    )?;
    if closed {
        writeln!(
            out,
            "closed: the same gaps, but no operation begins before the last one has ended; times from the actual start."
        )?;
    }
    for point in document.points.iter().filter(|point| point.saturated) {
        writeln!(
            out,
            "saturated: {} x{} at {}, block {}: {} of {} operations had not begun when the window ended, so there is no latency to tell",
            point.strategy,
            point.threads,
            grouped(point.rate),
            point.block,
            grouped(point.backlog as f64),
            grouped(point.offered as f64),
        )?;
    }
    Ok(())
}

fn cells(point: &Gathered<'_, Point>, kind: &Kind) -> Vec<Cell> {
    let first = point.all[0];
    let service = |of| Cell::new(kind.service(point, of));
    let response = |of| Cell::new(kind.response(point, of));
    let recall = point.median(|one| Some(one.recall_at_k)).unwrap_or(0.0);
    vec![
        Cell::new(&first.strategy),
        Cell::new(first.threads),
        Cell::new(grouped(first.rate)),
        Cell::new(grouped(point.median(|one| Some(one.achieved_per_second)).unwrap_or(0.0))),
        Cell::new(kind.name),
        service(|us| us.p50),
        service(|us| us.p99),
        response(|us| us.p50),
        response(|us| us.p99),
        response(|us| us.p999),
        response(|us| us.max),
        Cell::new(format!("{recall:.4}")),
        Cell::new(flags(first.oversubscribed, Point::saturated_mostly(point), &point.flags())),
    ]
}

fn closed_cells(point: &Gathered<'_, Point>, kind: &Kind) -> Vec<Cell> {
    let time = |of: fn(&Latency) -> f64| {
        let median = point.median(|one| Some(of(&(kind.closed)(one.closed.as_ref()?)?.us)));
        Cell::new(median.map_or("–".into(), micros))
    };
    let rate = point.median(|one| Some(one.closed.as_ref()?.per_second));
    vec![
        Cell::new(rate.map_or("–".into(), grouped)),
        time(|us| us.p99),
        time(|us| us.p999),
        time(|us| us.max),
    ]
}

fn flags(oversubscribed: bool, saturated: bool, blocks: &str) -> String {
    let marks = [(oversubscribed, "*"), (!blocks.is_empty(), blocks), (saturated, "saturated")];
    let set: Vec<&str> = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
    set.join(" ")
}
