//! The table of `churn`.

use std::io::{self, Write};

use comfy_table::{Cell, Table};

use super::document::{Document, Freshness, Site, Trial};
use crate::record::Op;
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
    for trials in document.trials.chunk_by(|one, other| one.workload == other.workload) {
        let name = &trials[0].workload;
        let about = config.workloads.get(name).map_or("", |workload| &workload.about);
        let mut table: Table = plain(&HEADER, false);
        for trial in trials {
            table.add_row(cells(trial));
        }
        writeln!(
            out,
            "{name}: {about}; {} points when the window opened\n\n{table}\n",
            grouped(trials[0].points as f64)
        )?;
    }
    writeln!(
        out,
        "recall@k: the least and the most that it may be, since points came and went during a search.\n\
         found: of the points that belong in an answer whatever the search saw, those that were in it; by age when it began.\n\
         ghosts: returned points that were not there at any time of the search; there must be none.\n\
         garbage: replaced and not yet freed, and kept for snapshots."
    )?;
    if document.trials.iter().any(|trial| trial.oversubscribed) {
        writeln!(out, "* more threads than this process may use CPUs")?;
    }
    for trial in document.trials.iter().filter(|trial| !trial.tainted.is_empty()) {
        writeln!(out, "! {} x{}: {}", trial.strategy, trial.threads, trial.tainted.join("; "))?;
    }
    document.trials.iter().try_for_each(|trial| match &trial.sites {
        Some(sites) => print_sites(trial, sites, out),
        None => Ok(()),
    })
}

const SITES: [&str; 7] = ["site", "access", "each", "lost", "waited us", "held us", "file"];

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
            site.file.clone(),
        ]);
    }
    writeln!(
        out,
        "\n{} x{}, for each thousand operations, by the names of docs/orderings.md (lost: exchanges that failed, locks that were not free):\n{table}",
        trial.strategy, trial.threads
    )
}

fn cells(trial: &Trial) -> Vec<Cell> {
    let rate = |op: &Option<Op>| op.as_ref().map_or("–".into(), |op| grouped(op.per_second));
    let young = trial.freshness.iter().take_while(|class| class.age.ends_with("us") || class.age == "< 1 ms");
    let old = trial.freshness.iter().skip_while(|class| class.age.ends_with("us") || class.age == "< 1 ms");
    let flags = [(trial.oversubscribed, "*"), (!trial.tainted.is_empty(), "!")];
    vec![
        Cell::new(&trial.strategy),
        Cell::new(trial.threads),
        Cell::new(rate(&trial.search)),
        Cell::new(rate(&trial.insert)),
        Cell::new(trial.recall.map_or("–".into(), |[least, most]| format!("{least:.4}-{most:.4}"))),
        Cell::new(share(young)),
        Cell::new(share(old)),
        Cell::new(trial.ghosts),
        Cell::new(grouped(trial.garbage.peak_bytes as f64 / 1e3)),
        Cell::new(grouped(trial.garbage.end_bytes as f64 / 1e3)),
        Cell::new(format!("{:.1}", trial.teardown_ms)),
        Cell::new(flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect::<String>()),
    ]
}

/// `99.8 % of 1,234`.
fn share<'a>(classes: impl Iterator<Item = &'a Freshness>) -> String {
    let (found, due) = classes.fold((0, 0), |(found, due), class| (found + class.found, due + class.due));
    match due {
        0 => "–".into(),
        due => format!("{:.1} % of {}", 100.0 * found as f64 / due as f64, grouped(due as f64)),
    }
}
