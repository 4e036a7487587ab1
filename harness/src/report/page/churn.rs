//! What answers are worth, and what garbage there is, while points come and go: a document of `hnsw-lab churn` in the page.

use maud::{Markup, PreEscaped, html};

use super::{inline, named};
use crate::churn::{Document, Site, Trial};
use crate::plot::{Figure, file_name};
use crate::record::Op;
use crate::report::grouped;

/// Sites of one trial that are shown: the most frequent ones.
const MOST_SITES: usize = 12;

pub(super) fn section(document: &Document, drawn: &[Figure]) -> Markup {
    html! {
        p.faint {
            (document.dataset.name) ", k = " (document.config.k) ", ef = " (document.config.ef) ", windows of " (document.config.seconds) " s. "
            "recall: the least and the most that it may be, since points came and went during a search. found: of the points that belong in an answer "
            "whatever the search saw, those that were in it. ghosts: returned points that were not there at any time of the search."
        }
        @for trials in document.trials.chunk_by(|one, other| one.workload == other.workload) {
            @let name = &trials[0].workload;
            h3 { (name) }
            @if let Some(workload) = document.config.workloads.get(name) { p { (workload.about) } }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { "strategy" } th { "threads" } th { "searches/s" } th { "inserts/s" } th { "removals/s" } th { "recall@" (document.config.k) }
                    th { "found" } th { "ghosts" } th { "garbage KB, peak" } th { "at the end" } th { "teardown ms" } th { "flags" }
                } }
                tbody { @for trial in trials { (row(trial)) } }
            } }
            (memory(trials))
            @for quantity in ["garbage", "resident"] {
                @for figure in drawn.iter().filter(|figure| figure.name == format!("{quantity}-{}", file_name(name))) {
                    figure id={"figure-" (figure.name)} { div.scroll tabindex="0" { (PreEscaped(inline(&figure.svg))) } }
                }
            }
            @for trial in trials { @if let Some(sites) = &trial.sites { (by_site(trial, sites)) } }
        }
    }
}

fn row(trial: &Trial) -> Markup {
    let rate = |op: &Option<Op>| op.as_ref().map_or("–".into(), |op| grouped(op.per_second));
    // No sum of counts is too large as a float, not even in a damaged document.
    let due: f64 = trial.freshness.iter().map(|age| age.due as f64).sum();
    let found: f64 = trial.freshness.iter().map(|age| age.found as f64).sum();
    let found = if due == 0.0 { "–".into() } else { format!("{:.2} %", 100.0 * found / due) };
    html! { tr {
        td { (named(&trial.strategy)) } td { (trial.threads) }
        td { (rate(&trial.search)) } td { (rate(&trial.insert)) } td { (rate(&trial.remove)) }
        td { (trial.recall.map_or("–".into(), |[least, most]| format!("{least:.4}-{most:.4}"))) } td { (found) }
        td.bad[trial.ghosts > 0] { (trial.ghosts) }
        td { (grouped(trial.garbage.peak_bytes as f64 / 1e3)) } td { (grouped(trial.garbage.end_bytes as f64 / 1e3)) }
        td { (format!("{:.1}", trial.teardown_ms)) }
        td title=(trial.tainted.join("; ")) { @if trial.oversubscribed { "*" } @if !trial.tainted.is_empty() { "!" } }
    } }
}

/// The same memory in three views: what the index counts, what its allocator handed out, what the kernel made resident.
fn memory(trials: &[Trial]) -> Markup {
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
            thead { tr { th { "site" } th { "access" } th { "each" } th { "lost" } th { "waited µs" } th { "held µs" } } }
            tbody { @for site in sites.iter().take(MOST_SITES) { tr {
                td { (site.site) } td { (site.access) } td { (format!("{:.1}", site.count)) }
                td { (or_dash(site.lost)) } td { (or_dash(site.waited_us)) } td { (or_dash(site.held_us)) }
            } } }
        } }
        @if sites.len() > MOST_SITES { p.faint { (sites.len() - MOST_SITES) " less frequent ones are in the document." } }
    } }
}
