//! The table of `limit`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Point, Spread};
use crate::report::{grouped, plain};

const HEADER: [&str; 9] =
    ["rows", "bytes", "MB", "threads", "gather ns/row", "GB/s", "dependent ns", "sequential GB/s", "flags"];

/// Writes the table with its legend.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let mut table: Table = plain(&HEADER, false);
    for point in &document.points {
        table.add_row(cells(point));
    }
    writeln!(out, "What memory allows: median of windows (least-most)\n\n{table}\n")?;
    writeln!(
        out,
        "gather: a thread reads random rows that were prefetched ahead, as a search does; GB/s of all threads.\n\
         dependent: a load that needs the one before. sequential: each thread reads its part in order.\n\
         MB and GB are 10^6 and 10^9 bytes."
    )?;
    if document.points.iter().any(|point| point.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    for point in document.points.iter().filter(|point| !point.tainted.is_empty()) {
        let Point { rows, bytes, threads, tainted, .. } = point;
        writeln!(out, "! {rows} rows of {bytes} bytes, {threads} threads: {}", tainted.join("; "))?;
    }
    Ok(())
}

fn cells(point: &Point) -> Vec<Cell> {
    let flags = [(point.oversubscribed, "*"), (!point.tainted.is_empty(), "!")];
    vec![
        Cell::new(grouped(point.rows as f64)),
        Cell::new(grouped(point.bytes as f64)),
        Cell::new(grouped((point.rows * point.row_bytes) as f64 / 1e6)),
        Cell::new(point.threads),
        spread(&point.gather_ns),
        spread(&point.gather_gb_per_second),
        spread(&point.chase_ns),
        spread(&point.sequential_gb_per_second),
        Cell::new(flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect::<String>()),
    ]
}

/// `27.1 (26.8-28.0)`.
fn spread(spread: &Spread) -> Cell {
    let Spread { median, least, most } = spread;
    Cell::new(format!("{median:.1} ({least:.1}-{most:.1})"))
}
