//! How long operations take that come at a given rate: a document of `hnsw-lab latency` in the page.

use maud::{Markup, PreEscaped, html};

use super::{inline, named};
use crate::blocks::{Gathered, legend, with_interval};
use crate::latency::{Document, KINDS, Kind, Point, RateSearch};
use crate::plot::Figure;
use crate::report::{grouped, micros};

pub(super) fn section(document: &Document, drawn: &[Figure]) -> Markup {
    let config = &document.config;
    let points = document.gathered();
    let searches = Gathered::of(&document.searches);
    html! {
        p.faint {
            (document.dataset.name) ", " (grouped(config.filled as f64)) " points when a window opens, k = " (config.k) ", ef = " (config.ef) ", "
            (config.arrivals.name()) " arrivals, windows of " (config.seconds) " s, " (format!("{:.0}", 100.0 * config.writes)) " % inserts. "
            "response: from when an operation was meant to begin, so with the time it waited for others; service: from when it began. "
            (legend(&points, config.blocks))
        }
        @if let Some(bound) = config.p99_us { (found(&searches, bound)) }
        @for figure in drawn { figure id={"figure-" (figure.name)} { div.scroll tabindex="0" { (PreEscaped(inline(&figure.svg))) } } }
        @for kind in KINDS.iter().filter(|kind| kind.is_of(&document.points)) {
            h3 { (kind.name) }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { "strategy" } th { "threads" } th { "rate/s" } th { "begun/s" } th { "service p50 µs" } th { "p99" }
                    th { "response p50" } th { "p99" } th { "p99.9" } th { "max" } th { "recall@" (config.k) } th { "flags" }
                } }
                tbody { @for point in points.iter().filter(|point| kind.is_of(point.all.iter().copied())) { (row(point, kind)) } }
            } }
        }
    }
}

fn row(point: &Gathered<'_, Point>, kind: &Kind) -> Markup {
    let first = point.all[0];
    let saturated = Point::saturated_mostly(point);
    let service = |of| kind.service(point, of);
    let response = |of| kind.response(point, of);
    let reasons = point.all.iter().flat_map(|one| &one.tainted).map(String::as_str).collect::<Vec<_>>();
    html! { tr {
        td { (named(&first.strategy)) } td { (first.threads) } td { (grouped(first.rate)) }
        td { (grouped(point.median(|one| Some(one.achieved_per_second)).unwrap_or(0.0))) }
        td { (service(|us| us.p50)) } td { (service(|us| us.p99)) }
        td { (response(|us| us.p50)) } td { (response(|us| us.p99)) } td { (response(|us| us.p999)) } td { (response(|us| us.max)) }
        td { (format!("{:.4}", point.median(|one| Some(one.recall_at_k)).unwrap_or(0.0))) }
        td title=(reasons.join("; ")) { @if first.oversubscribed { "*" } (point.flags()) @if saturated { " saturated" } }
    } }
}

fn found(searches: &[Gathered<'_, RateSearch>], bound: f64) -> Markup {
    html! {
        h3 { "The highest rate at which p99 of the response time is within " (grouped(bound)) " µs" }
        div.scroll tabindex="0" { table {
            thead { tr { th { "strategy" } th { "threads" } th { "rate/s" } th { "p99 µs" } th { "failed at" } th { "closed loop/s" } th { "flags" } } }
            tbody { @for search in searches {
                @let first = search.all[0];
                tr {
                    td { (named(&first.strategy)) } td { (first.threads) }
                    td { (with_interval(search.estimate(|one| Some(one.rate.unwrap_or(0.0))))) }
                    td { (search.median(|one| one.p99_us).map_or("–".into(), micros)) }
                    td { (search.median(|one| one.failed_rate).map_or("–".into(), grouped)) }
                    td { (with_interval(search.estimate(|one| Some(one.closed_per_second)))) }
                    td { @if first.oversubscribed { "*" } (search.flags()) }
                }
            } }
        } }
    }
}
