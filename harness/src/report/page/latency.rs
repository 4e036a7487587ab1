//! How long operations take that come at a given rate: a document of `hnsw-lab latency` in the page.

use maud::{Markup, PreEscaped, html};

use super::{inline, named};
use crate::blocks::{Gathered, legend, with_interval};
use crate::latency::{Document, Point, RateSearch, Timed};
use crate::plot::Figure;
use crate::record;
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
        @for (kind, of) in KINDS { @if document.points.iter().any(|point| of(point).is_some()) {
            h3 { (kind) }
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { "strategy" } th { "threads" } th { "rate/s" } th { "begun/s" } th { "service p50 µs" } th { "p99" }
                    th { "response p50" } th { "p99" } th { "p99.9" } th { "max" } th { "recall@" (config.k) } th { "flags" }
                } }
                tbody { @for point in &points { @if point.all.iter().any(|one| of(one).is_some()) { (row(point, of)) } } }
            } }
        } }
    }
}

type Of = fn(&Point) -> Option<&Timed>;

const KINDS: [(&str, Of); 2] =
    [("searches", |point| point.search.as_ref()), ("inserts", |point| point.insert.as_ref())];

fn row(point: &Gathered<'_, Point>, of: Of) -> Markup {
    let first = point.all[0];
    let saturated = Point::saturated_mostly(point);
    let time =
        |which: &dyn Fn(&Timed) -> f64| point.median(|one| Some(which(of(one)?))).map_or("–".into(), micros);
    let response = |quantile: fn(&record::Latency) -> f64| match saturated {
        true => "–".to_owned(),
        false => time(&|timed| quantile(&timed.response.us)),
    };
    let reasons = point.all.iter().flat_map(|one| &one.tainted).map(String::as_str).collect::<Vec<_>>();
    html! { tr {
        td { (named(&first.strategy)) } td { (first.threads) } td { (grouped(first.rate)) }
        td { (grouped(point.median(|one| Some(one.achieved_per_second)).unwrap_or(0.0))) }
        td { (time(&|timed| timed.service.us.p50)) } td { (time(&|timed| timed.service.us.p99)) }
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
