//! The tables of `latency`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Point, RateSearch, Spread, Timed};
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
    for Point { strategy, threads, rate, tainted, .. } in &document.points {
        if !tainted.is_empty() {
            writeln!(out, "! {strategy} x{threads} at {}: {}", grouped(*rate), tainted.join("; "))?;
        }
    }
    for RateSearch { strategy, threads, tainted, .. } in &document.searches {
        if !tainted.is_empty() {
            writeln!(out, "! search of {strategy} x{threads}: {}", tainted.join("; "))?;
        }
    }
    Ok(())
}

fn searches(document: &Document, p99: f64, out: &mut dyn Write) -> io::Result<()> {
    let mut table: Table = plain(&SEARCHES, false);
    for search in &document.searches {
        let rate = |rate: Option<f64>| rate.map_or("–".into(), grouped);
        table.add_row(vec![
            Cell::new(&search.strategy),
            Cell::new(search.threads),
            Cell::new(search.rate.map_or("none".into(), grouped)),
            Cell::new(search.p99_us.map_or("–".into(), micros)),
            Cell::new(rate(search.failed_rate)),
            Cell::new(grouped(search.closed_per_second)),
            Cell::new(search.windows),
            Cell::new(flags(search.oversubscribed, false, &search.tainted)),
        ]);
    }
    let windows: usize = document.searches.iter().map(|search| search.windows).sum();
    writeln!(
        out,
        "The highest rate at which p99 of the response time is within {} us\n\n{table}\n\n\
         {} windows in all. p99 is the median of the three windows that confirmed the rate. failed at: the lowest rate that did\n\
         not meet the bound. closed loop: without gaps, one operation after another.\n",
        grouped(p99),
        grouped(windows as f64),
    )
}

fn points(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let closed = document.config.closed;
    let header = [HEADER.as_slice(), if closed { &CLOSED } else { &[] }].concat();
    let mut table: Table = plain(&header, false);
    for point in &document.points {
        let kinds = [("search", &point.search), ("insert", &point.insert)];
        for (kind, timed) in kinds.into_iter().filter_map(|(kind, timed)| Some((kind, timed.as_ref()?))) {
            let mut row = cells(point, kind, timed);
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
         begun: operations that began in the window."
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
            "saturated: {} x{} at {}: {} of {} operations had not begun when the window ended, so there is no latency to tell",
            point.strategy,
            point.threads,
            grouped(point.rate),
            grouped(point.backlog as f64),
            grouped(point.offered as f64),
        )?;
    }
    Ok(())
}

fn cells(point: &Point, kind: &str, timed: &Timed) -> Vec<Cell> {
    let service = &timed.service.us;
    let response = |value: fn(&Latency) -> f64| match point.saturated {
        true => Cell::new("–"),
        false => Cell::new(micros(value(&timed.response.us))),
    };
    vec![
        Cell::new(&point.strategy),
        Cell::new(point.threads),
        Cell::new(grouped(point.rate)),
        Cell::new(grouped(point.achieved_per_second)),
        Cell::new(kind),
        Cell::new(micros(service.p50)),
        Cell::new(micros(service.p99)),
        response(|us| us.p50),
        response(|us| us.p99),
        response(|us| us.p999),
        response(|us| us.max),
        Cell::new(format!("{:.4}", point.recall_at_k)),
        Cell::new(flags(point.oversubscribed, point.saturated, &point.tainted)),
    ]
}

fn closed_cells(point: &Point, kind: &str) -> Vec<Cell> {
    let closed = point.closed.as_ref();
    let spread = closed.and_then(|closed| match kind {
        "search" => closed.search.as_ref(),
        _ => closed.insert.as_ref(),
    });
    let time = |value: fn(&Latency) -> f64| {
        Cell::new(spread.map_or("–".into(), |Spread { us, .. }| micros(value(us))))
    };
    vec![
        Cell::new(closed.map_or("–".into(), |closed| grouped(closed.per_second))),
        time(|us| us.p99),
        time(|us| us.p999),
        time(|us| us.max),
    ]
}

fn flags(oversubscribed: bool, saturated: bool, tainted: &[String]) -> String {
    let marks = [(oversubscribed, "*"), (!tainted.is_empty(), "!"), (saturated, "saturated")];
    let set: Vec<&str> = marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect();
    set.join(" ")
}
