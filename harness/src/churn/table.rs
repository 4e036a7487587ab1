//! The table of `churn`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Freshness, Site, Told, Trial};
use crate::blocks::{Gathered, legend};
use crate::report::{grouped, plain};

const HEADER: [&str; 12] = [
    "strategy",
    "threads",
    "searches/s",
    "inserts/s",
    "recall@k",
    "found < 1 ms",
    "found older",
    "ghosts",
    "garbage KB, peak",
    "at the end",
    "teardown ms",
    "flags",
];

/// Writes a table for each workload, with their legend.
pub(super) fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    let (config, data) = (&document.config, &document.dataset);
    writeln!(
        out,
        "{}: {} rows of {} components, k = {}, ef = {}\n",
        data.name,
        grouped(data.rows as f64),
        data.dim,
        config.k,
        config.ef
    )?;
    let points = document.points();
    for points in points.chunk_by(|one, other| one.all[0].workload == other.all[0].workload) {
        let first = points[0].all[0];
        let name = &first.workload;
        let about = config.workloads.get(name).map_or("", |workload| &workload.about);
        let mut table: Table = plain(&HEADER, false);
        for point in points {
            table.add_row(cells(point));
        }
        writeln!(
            out,
            "{name}: {about}; {} points when the window opened\n\n{table}\n",
            grouped(first.points as f64)
        )?;
    }
    writeln!(
        out,
        "recall@k: the least and the most that it may be, since points came and went during a search.\n\
         found: of the points that belong in an answer whatever the search saw, those that were in it; by age when it began.\n\
         ghosts: returned points that were not there at any time of the search; there must be none.\n\
         garbage: replaced and not yet freed, and kept for snapshots.\n{}",
        legend(&points, config.blocks)
    )?;
    if document.trials.iter().any(|trial| trial.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    points.iter().map(Gathered::typical).try_for_each(|trial| match &trial.sites {
        Some(sites) => print_sites(trial, sites, out),
        None => Ok(()),
    })
}

const SITES: [&str; 8] = ["site", "access", "each", "lost", "waited us", "held us", "amount", "file"];

/// Every site, for each thousand operations.
fn print_sites(trial: &Trial, sites: &[Site], out: &mut dyn Write) -> io::Result<()> {
    let mut table: Table = plain(&SITES, false);
    let or_dash = |value: f64| if value == 0.0 { "–".to_owned() } else { format!("{value:.2}") };
    for site in sites {
        table.add_row([
            site.site.clone(),
            site.access.clone(),
            format!("{:.1}", site.count),
            or_dash(site.lost),
            or_dash(site.waited_us),
            or_dash(site.held_us),
            or_dash(site.amount),
            site.file.clone(),
        ]);
    }
    writeln!(
        out,
        "\n{} x{}, for each thousand operations, by the names of docs/orderings.md (lost: exchanges that failed, locks that were not free; amount: bytes, distances or sessions, as `access` says):\n{table}",
        trial.strategy, trial.threads
    )
}

fn cells(point: &Gathered<'_, Trial>) -> Vec<Cell> {
    let first = point.all[0];
    let Told { rates: [searches, inserts, _], recall, ghosts, garbage: [peak, end], teardown_ms } =
        Told::of(point);
    let classes = |young: bool| {
        let fresh = |class: &&Freshness| class.age.ends_with("us") || class.age == "< 1 ms";
        let all = point.counted.iter().flat_map(|trial| &trial.freshness);
        share(all.filter(move |class| fresh(class) == young))
    };
    let oversubscribed = if first.oversubscribed { "*" } else { "" };
    vec![
        Cell::new(&first.strategy),
        Cell::new(first.threads),
        Cell::new(searches),
        Cell::new(inserts),
        Cell::new(recall),
        Cell::new(classes(true)),
        Cell::new(classes(false)),
        Cell::new(ghosts),
        Cell::new(peak),
        Cell::new(end),
        Cell::new(teardown_ms),
        Cell::new(format!("{oversubscribed}{}", point.flags())),
    ]
}

/// `99.8 % of 1,234`.
fn share<'a>(classes: impl Iterator<Item = &'a Freshness>) -> String {
    // No sum of counts is too large as a float, not even in a damaged document.
    let add = |(found, due), class: &Freshness| (found + class.found as f64, due + class.due as f64);
    let (found, due) = classes.fold((0.0, 0.0), add);
    if due == 0.0 { "–".into() } else { format!("{:.1} % of {}", 100.0 * found / due, grouped(due)) }
}
