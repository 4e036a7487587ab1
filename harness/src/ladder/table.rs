//! The tables of `ladder`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Asked, Climb, Document, Point, Rate, Tried, Way, counted};
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
    if document.sets.iter().any(|climb| !climb.queue.is_empty()) {
        return print_queue(document, out);
    }
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
         Rates are medians over {} blocks (fewer if it was stopped). asked: told when this project began, not measured; nothing is known of its machine, parameters and recall.",
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
    for point in points() {
        distrust(&format!("{} x{}", point.rung, point.threads), &reasons(&point.blocks), out)?;
    }
    Ok(())
}

fn section(document: &Document, climb: &Climb, out: &mut dyn Write) -> io::Result<()> {
    heading(document, climb, out)?;
    let mut table: Table = plain(&HEADER, false);
    for point in &climb.points {
        table.add_row(cells(point));
    }
    for row in asked(&document.asked) {
        table.add_row(row);
    }
    writeln!(out, "{table}")
}

fn heading(document: &Document, climb: &Climb, out: &mut dyn Write) -> io::Result<()> {
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
    )
}

fn cells(point: &Point) -> Vec<Cell> {
    let rate = |rate: &Rate| {
        let gains = [&rate.x_before, &rate.x_first, &rate.x_one_thread];
        let gains = gains.map(|gain| gain.as_ref().map_or("–".into(), times));
        [grouped(rate.per_second.median.round())].into_iter().chain(gains)
    };
    let mut cells = vec![point.rung.clone(), point.threads.to_string()];
    cells.extend(rate(&point.inserts));
    cells.extend(rate(&point.queries));
    cells.push(format!("{:.3}", point.recall.median));
    cells.push(flags(point.oversubscribed, &reasons(&point.blocks)));
    cells.into_iter().map(Cell::new).collect()
}

/// Why not to trust each block that counts.
fn reasons<T: Tried>(blocks: &[T]) -> Vec<&[String]> {
    counted(blocks).map(Tried::tainted).collect()
}

/// Says why not to trust a point: in how many of its blocks, and what for in the first of them.
fn distrust(what: &str, blocks: &[&[String]], out: &mut dyn Write) -> io::Result<()> {
    let all = blocks.len();
    let tainted: Vec<&[String]> = blocks.iter().copied().filter(|reasons| !reasons.is_empty()).collect();
    match tainted.first() {
        None => Ok(()),
        Some(first) => {
            writeln!(out, "! {what}, {} of {all} blocks; the first: {}", tainted.len(), first.join("; "))
        }
    }
}

fn flags(oversubscribed: bool, blocks: &[&[String]]) -> String {
    let tainted = blocks.iter().any(|reasons| !reasons.is_empty());
    let flags = [(oversubscribed, "*"), (tainted, "!")];
    flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect()
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

const QUEUE_HEADER: [&str; 11] = [
    "threads",
    "work on",
    "queries/s",
    "x alone",
    "p50 us",
    "x one thread",
    "p99 us",
    "recall@k",
    "distances",
    "x in order",
    "flags",
];

fn print_queue(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    for climb in &document.sets {
        heading(document, climb, out)?;
        let mut table: Table = plain(&QUEUE_HEADER, false);
        for way in &climb.queue {
            table.add_row(queue_cells(way));
        }
        writeln!(out, "{table}\n")?;
    }
    writeln!(
        out,
        "x alone: queries per second beside as many threads with a query each. x one thread: p50 beside one thread with a query of its own.\n\
         x in order: distances per query of all threads beside a team of one, which takes candidates strictly in order; what is above 1 is computed in vain,\n\
         by a search that looks ahead as well. Medians of ratios within a block (least-most), and of {} blocks.",
        document.config.blocks
    )?;
    let ways = || document.sets.iter().flat_map(|climb| &climb.queue);
    if ways().any(|way| way.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    for way in ways() {
        distrust(&format!("{} x{}", work_on(way), way.threads), &reasons(&way.blocks), out)?;
    }
    Ok(())
}

fn work_on(way: &Way) -> String {
    way.pops.map_or("a query each".into(), |pops| format!("all on one, {pops} at a time"))
}

fn queue_cells(way: &Way) -> Vec<Cell> {
    let ratio = |spread: &Option<Spread>| spread.as_ref().map_or("–".into(), times);
    let cells = [
        way.threads.to_string(),
        work_on(way),
        grouped(way.queries_per_second.median.round()),
        ratio(&way.x_queries),
        format!("{:.1}", way.p50_us.median),
        ratio(&way.x_p50),
        format!("{:.1}", way.p99_us.median),
        format!("{:.4}", way.recall.median),
        grouped(way.distances_per_query.median.round()),
        ratio(&way.x_distances),
        flags(way.oversubscribed, &reasons(&way.blocks)),
    ];
    cells.into_iter().map(Cell::new).collect()
}
