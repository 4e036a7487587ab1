//! Which strategy is the fastest where, and where that cannot be said.

use maud::{Markup, html};

use super::{heat, named, rate, ratio};
use crate::noise;
use crate::record::Document;
use crate::report::{blocks, smallest};
use crate::stats::Estimate;
use crate::summary::{BASELINE, Point, Summary};

/// The strategies of a workload at the most threads that are no more than CPUs, best first.
pub(super) struct Ranking<'s> {
    codec: &'s str,
    workload: &'s str,
    threads: usize,
    ef: Option<usize>,
    places: Vec<Place<'s>>,
}

/// A strategy in a ranking.
struct Place<'s> {
    point: &'s Point,
    /// Its ratio to the best.
    over: Option<Estimate>,
    /// The smallest effect beside the best that is not noise, as a share, where that was measured.
    effect: Option<f64>,
}

impl Place<'_> {
    /// Whether it is open which of the two is faster, this one or the best: the ratio does not say, as it never does without an
    /// interval, or noise alone differs by as much.
    fn is_tied(&self) -> bool {
        let within_noise =
            |ratio: Estimate| self.effect.is_some_and(|effect| ratio.median * (1.0 + effect) > 1.0);
        let open = |ratio: Estimate| ratio.interval.is_none_or(|interval| interval.high >= 1.0);
        self.over.is_none_or(|ratio| open(ratio) || within_noise(ratio))
    }
}

/// All of them, with what `noise` says of differences.
pub(super) fn rankings<'s>(summary: &'s Summary, noise: Option<&noise::Document>) -> Vec<Ranking<'s>> {
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
        let place = |point: &&'s Point| {
            let common = point.blocks.keys().filter(|block| best.blocks.contains_key(block)).count();
            // The noisier of the two decides.
            let effects = [*point, best].map(|point| noise?.effect_for(point, common, true));
            Place {
                point,
                over: summary.between(point, best),
                effect: effects.into_iter().flatten().reduce(f64::max),
            }
        };
        let places = own.iter().map(place).collect();
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
pub(super) fn summary(
    document: &Document,
    summary: &Summary,
    rankings: &[Ranking<'_>],
    noise: Option<&noise::Document>,
) -> Markup {
    let rows = document.rows.len();
    let tainted = document.rows.iter().filter(|row| !row.tainted.is_empty()).count();
    let unreachable: u64 = document.rows.iter().map(|row| row.graph.unreachable).max().unwrap_or(0);
    let short: u64 = document.rows.iter().filter_map(|row| row.short_answers).fold(0, u64::saturating_add);
    let codecs = summary.codecs().len() > 1;
    html! {
        div.cards {
            div.card { b { (rows) " trials" } (document.run.config.blocks) " blocks in random order; medians over blocks, with 95 % bootstrap intervals" }
            div.card { b { (tainted) " tainted" } "trials in which the machine was disturbed; kept and marked" }
            div.card { b { (unreachable) " unreachable" } "points in the worst graph; the contract promises 0" }
            div.card { b { (short) " short answers" } "with fewer neighbours than asked for; the contract promises 0" }
        }
        p { (smallest(blocks(summary), noise)) }
        div.scroll tabindex="0" { table {
            caption { "The fastest at the most threads that are not more than CPUs. "
                "Tied: by the paired ratios of the blocks it cannot be said which is faster; with fewer than 3 blocks everything is."
                @if noise.is_some() { " Differences that are noise on this machine are ties as well." } }
            thead { tr {
                th { "workload" } @if codecs { th { "codec" } }
                th { "threads" } th { "ef" } th { "fastest" } th { "operations/s" } th { "over " (BASELINE) ", 1 thread" } @if noise.is_some() { th { "noise below" } } th { "tied with it" }
            } }
            tbody { @for ranking in rankings { @if let Some(Place { point: best, effect, .. }) = ranking.places.first() { tr {
                td { (ranking.workload) } @if codecs { td { (ranking.codec) } }
                td { (best.threads) } td { (ranking.ef.map_or("–".into(), |ef| ef.to_string())) }
                td { (named(&best.strategy)) } td { (rate(&best.throughput)) }
                td { (summary.over_baseline(best).map_or("–".into(), |over| ratio(&over))) }
                @if noise.is_some() { td { (effect.map_or("–".into(), percent)) } }
                td.wrap { @for (at, place) in ranking.places.iter().skip(1).filter(|place| place.is_tied()).enumerate() {
                    @if at > 0 { ", " } (named(&place.point.strategy))
                } }
            } } } }
        } }
    }
}

/// `3.1 %`; a point without pairs says nothing.
fn percent(effect: f64) -> String {
    if effect < 1e3 { format!("{:.1} %", 100.0 * effect) } else { "–".into() }
}

/// Strategies against workloads.
pub(super) fn heat_map(summary: &Summary, rankings: &[Ranking<'_>], with_noise: bool) -> Markup {
    let codecs = summary.codecs().len() > 1;
    html! {
        p.faint { "Throughput over that of the fastest strategy of the column, at the most threads that are not more than CPUs (a strategy without parallelism: one). "
            "=: tied with the fastest" @if with_noise { ", or apart by no more than noise" } "." }
        div.scroll tabindex="0" { table.heat {
            thead { tr {
                th { "strategy" }
                @for ranking in rankings { th { (ranking.workload) @if codecs { br; (ranking.codec) } br; "x" (ranking.threads) } }
            } }
            tbody { @for strategy in summary.strategies() { tr {
                td { (named(strategy)) }
                @for ranking in rankings { (cell(ranking, strategy)) }
            } } }
        } }
    }
}

fn cell(ranking: &Ranking<'_>, strategy: &str) -> Markup {
    let at = ranking.places.iter().position(|place| place.point.strategy == strategy);
    let Some((at, place)) = at.map(|at| (at, &ranking.places[at])) else {
        return html! { td.none { "–" } };
    };
    let (point, best) = (place.point, ranking.places[0].point.throughput.median);
    let share = place.over.map_or(point.throughput.median / best, |over| over.median);
    let tie = if at == 0 || place.is_tied() { " =" } else { "" };
    let title = format!("{strategy}, {} threads: {}", point.threads, rate(&point.throughput));
    heat::cell(share, &format!("{share:.2}{tie}"), &title)
}
