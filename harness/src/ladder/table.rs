//! The tables of `ladder`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Asked, Climb, Document, Point, Rate};
use crate::limit::Spread;
use crate::report::{grouped, plain};

const HEADER: [&str; 12] = [
    "rung",
    "threads",
    "inserts/s",
    "x before",
    "x first",
    "x 1 thread",
    "queries/s",
    "x before",
    "x first",
    "x 1 thread",
    "recall@k",
    "flags",
];

/// Writes a table for each set, with legends.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for (number, climb) in document.sets.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        section(document, climb, out)?;
    }
    let points = || document.sets.iter().flat_map(|climb| &climb.points);
    writeln!(
        out,
        "\nx before: beside the rung before it; x first: beside the first; both at the same thread count, medians of ratios within a block (least-most).\n\
         Rates are medians over {} blocks. asked: told when this project began, not measured; nothing is known of its machine, parameters and recall.",
        document.config.blocks
    )?;
    let mut told: Vec<&str> = Vec::new();
    for point in points() {
        if !told.contains(&point.rung.as_str()) {
            told.push(&point.rung);
            writeln!(out, "{}: {}", point.rung, point.adds)?;
        }
    }
    writeln!(out, "{}", unsaid(document))?;
    if points().any(|point| point.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    for point in points().filter(|point| !point.tainted.is_empty()) {
        writeln!(out, "! {} x{}: {}", point.rung, point.threads, point.tainted.join("; "))?;
    }
    Ok(())
}

fn section(document: &Document, climb: &Climb, out: &mut dyn Write) -> io::Result<()> {
    let (config, data) = (&document.config, &climb.dataset);
    writeln!(
        out,
        "{}: {} x {}, M = {}, ef_construction = {}, ef = {}, k = {}, {} queries\n",
        data.name,
        grouped(data.rows as f64),
        data.dim,
        config.m,
        config.ef_construction,
        config.ef,
        config.k,
        grouped(data.queries as f64),
    )?;
    let mut table: Table = plain(&HEADER, false);
    for point in &climb.points {
        table.add_row(cells(point));
    }
    for row in asked(&document.asked) {
        table.add_row(row);
    }
    writeln!(out, "{table}")
}

fn cells(point: &Point) -> Vec<Cell> {
    let rate = |rate: &Rate| {
        let gains = [&rate.x_before, &rate.x_first, &rate.x_one_thread];
        let gains = gains.map(|gain| gain.as_ref().map_or("–".into(), times));
        [grouped(rate.per_second.median.round())].into_iter().chain(gains)
    };
    let flags = [(point.oversubscribed, "*"), (!point.tainted.is_empty(), "!")];
    let mut cells = vec![point.rung.clone(), point.threads.to_string()];
    cells.extend(rate(&point.inserts));
    cells.extend(rate(&point.queries));
    cells.push(format!("{:.3}", point.recall.median));
    cells.push(flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect());
    cells.into_iter().map(Cell::new).collect()
}

/// `1.52 (1.49-1.55)`.
fn times(spread: &Spread) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.2} ({least:.2}-{most:.2})")
}

/// What was asked, in the columns of what was measured.
fn asked(asked: &Asked) -> [Vec<Cell>; 3] {
    let range = |[least, most]: [f64; 2]| format!("{}-{}", grouped(least), grouped(most));
    let row = |name: &str, cores: usize, [rate, queries]: [String; 2], [first, one]: [&str; 2]| {
        let (cores, nothing) = (cores.to_string(), "–");
        let row = [name, &cores, &rate, nothing, first, one, &queries, nothing, first, one, nothing, "asked"];
        row.map(Cell::new).to_vec()
    };
    let one_core = range(asked.gain_on_one_core);
    let all_cores = range(asked.gain_of_cores);
    let nothing = || ["–".to_owned(), "–".to_owned()];
    [
        row(
            "asked: start",
            1,
            [asked.start_inserts_per_second, asked.start_queries_per_second].map(grouped),
            ["–", "–"],
        ),
        row("asked: one core", 1, nothing(), [&one_core, "–"]),
        row(
            "asked: all cores",
            asked.cores,
            [range(asked.inserts_per_second), range(asked.queries_per_second)],
            ["–", &all_cores],
        ),
    ]
}

/// What this machine, or this set, cannot say about what was asked.
fn unsaid(document: &Document) -> String {
    let Asked { rows, dim, cores, .. } = document.asked;
    let have = document.machine.allowed_cores;
    let mut text = format!(
        "What was asked is about {} x {dim}, and its gain on one core is beside a program that is not here: x first is beside `{}`.",
        grouped(rows as f64),
        document.config.rungs.first().map_or("nothing", String::as_str),
    );
    if have < cores {
        text.push_str(&format!(
            " This process may use {have} of the {cores} cores that the ranges are for: whether they are reached there, where locks are contended and memory \
             is shared by more, is not measured here, and two threads do not tell it."
        ));
    }
    text
}
