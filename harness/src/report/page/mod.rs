//! A result document as one page of HTML that needs neither a network nor a script.
//!
//! The figures are those of `hnsw-lab plot`, as SVG in the page; the colours of paper and ink in them become variables, so that
//! the page can be light or dark. Whatever a document says is escaped by `maud`.

mod churn;
mod compare;
mod heat;
mod latency;
mod laws;
mod provenance;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Beside, grouped};
use crate::plot::{self, Figure, figures, strategy_colour};
use crate::record::Document;
use crate::stats::Estimate;
use crate::summary::Summary;

const STYLE: &str = include_str!("style.css");

/// Figures by the beginning of their names, in the order of the page, with what they show.
const FIGURES: [(&str, &str, &str); 4] = [
    (
        "scaling",
        "Scaling",
        "Throughput, speed-up over one thread of the same strategy, and efficiency, against threads. Hollow marks are runs with more threads than allowed CPUs: no evidence of scaling.",
    ),
    ("recall-qps", "Recall and throughput", "What a wider beam costs and buys, at each thread count."),
    (
        "latency",
        "Latency",
        "The share of operations that take longer than so long. A closed loop: service time, without any queue.",
    ),
    ("memory", "Memory", "Bytes above the raw vectors, by what they are for."),
];

/// The page.
///
/// # Errors
/// A histogram that cannot be read.
pub(super) fn page(document: &Document, beside: &Beside<'_>) -> anyhow::Result<String> {
    let Beside { churned, offered, noise } = *beside;
    let responses = offered.map(plot::response).transpose()?.unwrap_or_default();
    let over_time = churned.map(plot::over_time).transpose()?.unwrap_or_default();
    let (summary, drawn) = (Summary::of(document), figures(document)?);
    let rankings = compare::rankings(&summary, noise);
    let data = &document.run.dataset;
    let title = format!("{}: {} x {}, {}", data.name, grouped(data.base_count as f64), data.dim, data.metric);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "HNSW Lab · " (title) }
                // An empty icon, or a browser would ask for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "How many cores can share one HNSW graph: " (title) }
                    (provenance::line(document))
                    nav { ul {
                        li { a href="#summary" { "Summary" } }
                        @for (prefix, name, _) in FIGURES { @if drawn.iter().any(|figure| figure.name.starts_with(prefix)) {
                            li { a href={"#" (prefix)} { (name) } }
                        } }
                        li { a href="#laws" { "Scaling laws" } }
                        @if offered.is_some() { li { a href="#offered" { "At a given rate" } } }
                        @if churned.is_some() { li { a href="#churn" { "Under writes" } } }
                        li { a href="#strategies" { "Strategies by workload" } }
                        li { a href="#contention" { "Contention" } }
                        li { a href="#points" { "All points" } }
                        li { a href="#provenance" { "Provenance" } }
                        li { a href="#limits" { "What was not controlled" } }
                    } }
                }
                main {
                    section id="summary" { h2 { "Summary" } (compare::summary(document, &summary, &rankings, noise)) }
                    @for (prefix, name, what) in FIGURES { (drawings(prefix, name, what, &drawn)) }
                    section id="laws" { h2 { "Scaling laws" } (laws::section(&summary)) }
                    @if let Some(offered) = offered {
                        section id="offered" { h2 { "Operations at a given rate" } (latency::section(offered, &responses)) }
                    }
                    @if let Some(churned) = churned {
                        section id="churn" { h2 { "While points come and go" } (churn::section(churned, &over_time)) }
                    }
                    section id="strategies" { h2 { "Strategies by workload" } (compare::heat_map(&summary, &rankings, noise.is_some())) }
                    section id="contention" { h2 { "Contention" } (tables::contention(document)) }
                    section id="points" { h2 { "All points" } (tables::points(document, &summary)) }
                    section id="provenance" { h2 { "Provenance" } (provenance::all(document)) }
                    section id="limits" { h2 { "What was not controlled" } (provenance::limits(document)) }
                }
            }
        }
    };
    Ok(page.into_string())
}

/// All figures whose names begin so; nothing if there are none.
fn drawings(prefix: &str, name: &str, what: &str, drawn: &[Figure]) -> Markup {
    let own: Vec<&Figure> = drawn.iter().filter(|figure| figure.name.starts_with(prefix)).collect();
    html! {
        @if !own.is_empty() {
            section id=(prefix) {
                h2 { (name) }
                p.faint { (what) }
                @for figure in own {
                    figure id={"figure-" (figure.name)} { div.scroll tabindex="0" { (PreEscaped(inline(&figure.svg))) } }
                }
            }
        }
    }
}

/// An SVG document as an element of the page, in the page's colours.
fn inline(svg: &str) -> String {
    let mut text = svg.find("<svg").map_or(svg, |begin| &svg[begin..]).to_owned();
    for (colour, variable) in [
        ("\"#FFFFFF\"", "\"var(--paper)\""),
        ("\"#222222\"", "\"var(--ink)\""),
        ("\"#6B6B6B\"", "\"var(--faint)\""),
        ("\"#E4E4E4\"", "\"var(--grid)\""),
        // That of `sequential` is too dark for dark paper.
        ("\"#2A2A2A\"", "\"var(--ink)\""),
    ] {
        text = text.replace(colour, variable).replace(&colour.to_lowercase(), variable);
    }
    text
}

/// The name of a strategy with its colour, which is the same everywhere.
fn named(strategy: &str) -> Markup {
    let plotters::style::RGBColor(r, g, b) = strategy_colour(strategy);
    let colour =
        if strategy == crate::summary::BASELINE { "var(--ink)".into() } else { format!("rgb({r},{g},{b})") };
    html! { span.key style={"background:" (colour)} {} (strategy) }
}

/// `1.92 (1.88-1.97)`.
fn ratio(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(interval) => format!("{:.2} ({:.2}-{:.2})", estimate.median, interval.low, interval.high),
        None => format!("{:.2}", estimate.median),
    }
}

/// `52,310 (51,900-52,800)`.
fn rate(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(interval) => {
            format!("{} ({}-{})", grouped(estimate.median), grouped(interval.low), grouped(interval.high))
        }
        None => grouped(estimate.median),
    }
}
