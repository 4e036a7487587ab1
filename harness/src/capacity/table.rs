//! The table of `capacity`.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, LineStyle, Table, TableStyle};

use super::document::{Document, Fill, Strategy};

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
/// A growth that differs from the exact report by more than this is mentioned.
const GROWTH_TOLERANCE_PERCENT: f64 = 2.0;

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
    print_growth(&document.strategies, out)
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

/// Says how what the process took compares with what the ledger says.
fn print_growth(strategies: &[Strategy], out: &mut dyn Write) -> io::Result<()> {
    type Difference = fn(&Fill) -> Option<f64>;
    let views: [(&str, Difference); 2] = [
        ("What the allocator handed out", Fill::allocated_difference_percent),
        ("The resident memory of the process", Fill::rss_difference_percent),
    ];
    for (what, difference) in views {
        let known: Vec<(&str, f64)> = strategies
            .iter()
            .filter_map(|strategy| Some((label(&strategy.name), difference(strategy.fills.last()?)?)))
            .collect();
        let off: Vec<String> = known
            .iter()
            .filter(|(_, difference)| difference.abs() > GROWTH_TOLERANCE_PERCENT)
            .map(|(name, percent)| format!("{name} {percent:+.1} %"))
            .collect();
        match (known.is_empty(), off.is_empty()) {
            (true, _) => {}
            (false, true) => writeln!(out, "{what} grew by the same, within {GROWTH_TOLERANCE_PERCENT} %.")?,
            (false, false) => {
                writeln!(out, "{what} grew by more or less than reported: {}.", off.join(", "))?
            }
        }
    }
    Ok(())
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
