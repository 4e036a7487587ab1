//! The table of `capacity`.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, LineStyle, Table, TableStyle};

use super::document::{Document, Fill, Strategy};

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
/// Resident memory that differs from the exact report by more than this is mentioned.
const RSS_TOLERANCE_PERCENT: f64 = 2.0;

/// How a strategy is called in the table.
fn label(strategy: &str) -> &str {
    match strategy {
        "sequential" => "plain",
        "lockfree" => "lock-free",
        "mvcc" => "MVCC",
        other => other,
    }
}

/// Writes the table with its legend.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let Document { dim, m, ef_construction, .. } = document;
    writeln!(out, "Vectors that fit: {dim} x f32, M = {m}\n")?;
    writeln!(out, "{}\n", table(document))?;
    let last: Vec<&Fill> = document.strategies.iter().filter_map(|strategy| strategy.fills.last()).collect();
    if let Some(largest) = last.first() {
        if document.strategies.iter().any(|strategy| strategy.cells.iter().any(|cell| !cell.measured)) {
            writeln!(out, "~ computed from the bytes per vector of the fill of {}", largest.budget)?;
        }
        let raw = dim * size_of::<f32>();
        let each = document.strategies.iter().zip(&last).map(|(strategy, fill)| {
            let percent = 100.0 * raw as f64 / fill.bytes_per_vector;
            format!("{} {percent:.1} % ({:.1} B)", label(&strategy.name), fill.bytes_per_vector)
        });
        writeln!(
            out,
            "Measured with {} vectors, of the raw count (bytes per vector; raw: {raw} B):\n  {}",
            grouped(largest.vectors),
            each.collect::<Vec<_>>().join(", "),
        )?;
    }
    if document.strategies.iter().any(|strategy| strategy.estimate_percent.is_some()) {
        writeln!(
            out,
            "First estimate: what the project expected for 1024 dimensions before anything was measured."
        )?;
    }
    writeln!(
        out,
        "1 MB = 10^6 bytes, 1 GB = 10^9 bytes. ef_construction = {ef_construction}. Scratch of threads is not counted."
    )?;
    print_rss(&document.strategies, out)
}

fn table(document: &Document) -> Table {
    let mut table = Table::new();
    let bold =
        |name: &str| Cell::new(name).add_attribute(Attribute::Bold).set_alignment(CellAlignment::Right);
    let names = document.strategies.iter().map(|strategy| label(&strategy.name));
    table.load_style(STYLE).set_header(["memory", "raw"].into_iter().chain(names).map(bold));
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for (row, raw) in document.raw.iter().enumerate() {
        let cells = document.strategies.iter().map(|strategy| {
            let cell = &strategy.cells[row];
            let mark = if cell.measured { "" } else { "~" };
            format!("{mark}{}  {:.1} %", grouped(cell.vectors), cell.percent_of_raw)
        });
        let start = [raw.budget.to_string(), grouped(raw.vectors)];
        table.add_row(start.into_iter().chain(cells).map(right));
    }
    if document.strategies.iter().any(|strategy| strategy.estimate_percent.is_some()) {
        let estimates = document.strategies.iter().map(|strategy| {
            strategy.estimate_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"))
        });
        let start = ["first estimate".to_owned(), String::new()];
        table.add_row(start.into_iter().chain(estimates).map(right));
    }
    table
}

/// Says how the growth of the resident memory compares.
fn print_rss(strategies: &[Strategy], out: &mut dyn Write) -> io::Result<()> {
    let known = || {
        strategies.iter().filter_map(|strategy| {
            let difference = strategy.fills.last()?.rss_difference_percent()?;
            Some((label(&strategy.name), difference))
        })
    };
    if known().next().is_none() {
        return Ok(());
    }
    let off: Vec<_> = known().filter(|(_, difference)| difference.abs() > RSS_TOLERANCE_PERCENT).collect();
    if off.is_empty() {
        return writeln!(
            out,
            "The resident memory of the process grew by the same, within {RSS_TOLERANCE_PERCENT} %."
        );
    }
    let each: Vec<_> = off.iter().map(|(name, percent)| format!("{name} {percent:+.1} %")).collect();
    writeln!(
        out,
        "The resident memory of the process grew by more or less than reported: {}.",
        each.join(", ")
    )
}

/// With the thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
