//! What answers are worth, and what garbage there is, while points come and go: a document of `hnsw-lab churn` in the page.

use maud::{Markup, PreEscaped, html};

use super::{inline, named};
use crate::blocks::{Gathered, legend};
use crate::churn::{Document, Site, Told, Trial};
use crate::plot::{Figure, file_name};

/// Sites of one trial that are shown: the most frequent ones.
const MOST_SITES: usize = 12;

pub(super) fn section(document: &Document, drawn: &[Figure]) -> Markup {
    html! {
        p.faint {
            (document.dataset.name) ", k = " (document.config.k) ", ef = " (document.config.ef) ", windows of " (document.config.seconds) " s. "
            "recall: the least and the most that it may be, since points came and went during a search. found: of the points that belong in an answer "
            "whatever the search saw, those that were in it. ghosts: returned points that were not there at any time of the search."
        }
        @let points = document.points();
        p.faint { (legend(&points, document.config.blocks)) " Curves, memory and sites are those of the trial in the middle by speed." }
        @for points in points.chunk_by(|one, other| one.all[0].workload == other.all[0].workload) {
            @let name = &points[0].all[0].workload;
            h3 { (name) }
            @if let Some(workload) = document.config.workloads.get(name) { p { (workload.about) } }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { "strategy" } th { "threads" } th { "searches/s" } th { "inserts/s" } th { "removals/s" } th { "recall@" (document.config.k) }
                    th { "found" } th { "ghosts" } th { "garbage KB, peak" } th { "at the end" } th { "teardown ms" } th { "flags" }
                } }
                tbody { @for point in points { (row(point)) } }
            } }
            @let typical: Vec<&Trial> = points.iter().map(Gathered::typical).collect();
            (memory(&typical))
            @for quantity in ["garbage", "resident"] {
                @for figure in drawn.iter().filter(|figure| figure.name == format!("{quantity}-{}", file_name(name))) {
                    figure id={"figure-" (figure.name)} { div.scroll tabindex="0" { (PreEscaped(inline(&figure.svg))) } }
                }
            }
            @for trial in &typical { @if let Some(sites) = &trial.sites { (by_site(trial, sites)) } }
        }
    }
}

fn row(point: &Gathered<'_, Trial>) -> Markup {
    let first = point.all[0];
    let Told { rates: [searches, inserts, removals], recall, ghosts, garbage: [peak, end], teardown_ms } =
        Told::of(point);
    let ages = || point.counted.iter().flat_map(|trial| &trial.freshness);
    // No sum of counts is too large as a float, not even in a damaged document.
    let due: f64 = ages().map(|age| age.due as f64).sum();
    let found: f64 = ages().map(|age| age.found as f64).sum();
    let found = if due == 0.0 { "–".into() } else { format!("{:.2} %", 100.0 * found / due) };
    let reasons = point.all.iter().flat_map(|trial| &trial.tainted).map(String::as_str).collect::<Vec<_>>();
    html! { tr {
        td { (named(&first.strategy)) } td { (first.threads) }
        td { (searches) } td { (inserts) } td { (removals) }
        td { (recall) } td { (found) }
        td.bad[ghosts > 0.0] { (ghosts) }
        td { (peak) } td { (end) }
        td { (teardown_ms) }
        td title=(reasons.join("; ")) { @if first.oversubscribed { "*" } (point.flags()) }
    } }
}

/// The same memory in three views: what the index counts, what its allocator handed out, what the kernel made resident.
fn memory(trials: &[&Trial]) -> Markup {
    html! { details {
        summary { "memory, by the ledger of the index, its allocator and the kernel" }
        div.scroll tabindex="0" { table {
            thead { tr {
                th { "strategy" } th { "threads" } th { "ledger MB" } th { "allocated MB" } th { "resident MB" } th { "in huge pages" }
                th { "peak resident" } th { "resident after teardown" }
            } }
            tbody { @for trial in trials {
                @let (before, after) = (trial.process_before, trial.process_after);
                @let with = trial.memory.process.unwrap_or_default();
                tr {
                    td { (named(&trial.strategy)) } td { (trial.threads) }
                    td { (format!("{:.2}", trial.memory.total_bytes as f64 / 1e6)) }
                    td { (grown(before.allocated_bytes, with.allocated_bytes)) }
                    td { (grown(before.rss_bytes, with.rss_bytes)) }
                    td { (grown(before.huge_bytes, with.huge_bytes)) }
                    td { (grown(before.rss_bytes, trial.rss_series.iter().map(|(_, bytes)| *bytes).max())) }
                    td { (grown(before.rss_bytes, after.rss_bytes)) }
                }
            } }
        } }
        p.faint {
            "All but the ledger: by how much the process was larger than before the index was made, with what the harness notes of each point. "
            "The peak is of the window, in which threads have their work space and log what they do."
        }
    } }
}

/// `+12.34`, in MB.
fn grown(before: Option<u64>, after: Option<u64>) -> String {
    match before.zip(after) {
        Some((before, after)) => format!("{:+.2}", (after as f64 - before as f64) / 1e6),
        None => "–".into(),
    }
}

/// What was done to atomics and locks, place by place.
fn by_site(trial: &Trial, sites: &[Site]) -> Markup {
    let or_dash = |value: f64| if value == 0.0 { "–".to_owned() } else { format!("{value:.2}") };
    html! { details {
        summary { (trial.strategy) ", " (trial.threads) " threads: by site, for each thousand operations" }
        div.scroll tabindex="0" { table {
            thead { tr { th { "site" } th { "access" } th { "each" } th { "lost" } th { "waited µs" } th { "held µs" } th { "amount" } } }
            tbody { @for site in sites.iter().take(MOST_SITES) { tr {
                td { (site.site) } td { (site.access) } td { (format!("{:.1}", site.count)) }
                td { (or_dash(site.lost)) } td { (or_dash(site.waited_us)) } td { (or_dash(site.held_us)) } td { (or_dash(site.amount)) }
            } } }
        } }
        @if sites.len() > MOST_SITES { p.faint { (sites.len() - MOST_SITES) " less frequent ones are in the document." } }
    } }
}
