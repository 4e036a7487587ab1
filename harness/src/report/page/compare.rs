//! Which strategy is the fastest where, and where that cannot be said.

use maud::{Markup, html};

use super::{named, rate, ratio};
use crate::record::Document;
use crate::stats::Estimate;
use crate::summary::{BASELINE, Point, Summary};

/// The strategies of a workload at the most threads that are no more than CPUs, best first.
struct Ranking<'s> {
    codec: &'s str,
    workload: &'s str,
    threads: usize,
    ef: Option<usize>,
    /// Each with its ratio to the best.
    places: Vec<(&'s Point, Option<Estimate>)>,
}

impl Ranking<'_> {
    /// Whether the ratio of a place to the best leaves it open which of the two is faster. Without an interval it always does.
    fn is_tied(ratio: &Option<Estimate>) -> bool {
        ratio.and_then(|ratio| ratio.interval).is_none_or(|interval| interval.high >= 1.0)
    }
}

fn rankings(summary: &Summary) -> Vec<Ranking<'_>> {
    let of = |codec, workload| {
        let chosen = summary.chosen_ef(workload);
        let points: Vec<&Point> = summary
            .of_workload(workload)
            .filter(|point| point.codec == codec && point.ef == chosen.ef && !point.oversubscribed)
            .collect();
        let threads = points.iter().map(|point| point.threads).max()?;
        // A strategy without parallelism has no more than one thread to offer.
        let most = |point: &&&Point| {
            points.iter().all(|other| other.strategy != point.strategy || other.threads <= point.threads)
        };
        let mut own: Vec<&Point> = points.iter().filter(most).copied().collect();
        own.sort_by(|a, b| b.throughput.median.total_cmp(&a.throughput.median));
        let best = *own.first()?;
        let places = own.iter().map(|point| (*point, summary.between(point, best))).collect();
        Some(Ranking { codec, workload, threads, ef: chosen.ef, places })
    };
    let codecs = summary.codecs();
    let pairs = summary
        .workloads()
        .into_iter()
        .flat_map(|workload| codecs.iter().map(move |codec| (*codec, workload)));
    pairs.filter_map(|(codec, workload)| of(codec, workload)).collect()
}

/// What the figures say, before the figures.
pub(super) fn summary(document: &Document, summary: &Summary) -> Markup {
    let rankings = rankings(summary);
    let rows = document.rows.len();
    let tainted = document.rows.iter().filter(|row| !row.tainted.is_empty()).count();
    let unreachable: u64 = document.rows.iter().map(|row| row.graph.unreachable).max().unwrap_or(0);
    let short: u64 = document.rows.iter().filter_map(|row| row.short_answers).sum();
    let codecs = summary.codecs().len() > 1;
    html! {
        div.cards {
            div.card { b { (rows) " trials" } (document.run.config.blocks) " blocks in random order; medians over blocks, with 95 % bootstrap intervals" }
            div.card { b { (tainted) " tainted" } "trials in which the machine was disturbed; kept and marked" }
            div.card { b { (unreachable) " unreachable" } "points in the worst graph; the contract promises 0" }
            div.card { b { (short) " short answers" } "with fewer neighbours than asked for; the contract promises 0" }
        }
        div.scroll tabindex="0" { table {
            caption { "The fastest at the most threads that are not more than CPUs. "
                "Tied: by the paired ratios of the blocks it cannot be said which is faster; with fewer than 3 blocks everything is." }
            thead { tr {
                th { "workload" } @if codecs { th { "codec" } }
                th { "threads" } th { "ef" } th { "fastest" } th { "operations/s" } th { "over " (BASELINE) ", 1 thread" } th { "tied with it" }
            } }
            tbody { @for ranking in &rankings { @if let Some((best, _)) = ranking.places.first() { tr {
                td { (ranking.workload) } @if codecs { td { (ranking.codec) } }
                td { (best.threads) } td { (ranking.ef.map_or("–".into(), |ef| ef.to_string())) }
                td { (named(&best.strategy)) } td { (rate(&best.throughput)) }
                td { (summary.over_baseline(best).map_or("–".into(), |over| ratio(&over))) }
                td.wrap { @for (at, (point, _)) in ranking.places.iter().skip(1).filter(|(_, over)| Ranking::is_tied(over)).enumerate() {
                    @if at > 0 { ", " } (named(&point.strategy))
                } }
            } } } }
        } }
    }
}

/// Strategies against workloads.
pub(super) fn heat_map(summary: &Summary) -> Markup {
    let rankings = rankings(summary);
    let codecs = summary.codecs().len() > 1;
    html! {
        p.faint { "Throughput over that of the fastest strategy of the column, at the most threads that are not more than CPUs (a strategy without parallelism: one). "
            "=: tied with the fastest." }
        div.scroll tabindex="0" { table.heat {
            thead { tr {
                th { "strategy" }
                @for ranking in &rankings { th { (ranking.workload) @if codecs { br; (ranking.codec) } br; "x" (ranking.threads) } }
            } }
            tbody { @for strategy in summary.strategies() { tr {
                td { (named(strategy)) }
                @for ranking in &rankings { (cell(ranking, strategy)) }
            } } }
        } }
    }
}

fn cell(ranking: &Ranking<'_>, strategy: &str) -> Markup {
    let place = ranking.places.iter().position(|(point, _)| point.strategy == strategy);
    let Some((at, (point, over))) = place.map(|at| (at, &ranking.places[at])) else {
        return html! { td.none { "–" } };
    };
    let best = ranking.places[0].0.throughput.median;
    let share = over.map_or(point.throughput.median / best, |over| over.median);
    // From a light red to a light green, both under dark text, and the number says it too.
    let hue = 20.0 + 110.0 * ((share - 0.3) / 0.7).clamp(0.0, 1.0);
    let tie = if at == 0 || Ranking::is_tied(over) { " =" } else { "" };
    let title = format!("{strategy}, {} threads: {}", point.threads, rate(&point.throughput));
    html! { td title=(title) style={"background:hsl(" (format!("{hue:.0}")) ",62%,76%)"} { (format!("{share:.2}")) (tie) } }
}
