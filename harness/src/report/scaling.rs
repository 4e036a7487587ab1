//! The laws of scaling of each strategy in each workload, or why there are none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::Cell;

use super::{cell, grouped, plain};
use crate::fit::{ENOUGH_COUNTS, Refusal, Scaling, scaling};
use crate::stats::Interval;
use crate::summary::{BASELINE, Point, Summary};

const HEADER: [&str; 11] = [
    "workload",
    "codec",
    "strategy",
    "counts",
    "λ ops/s",
    "σ (95 %)",
    "κ (95 %)",
    "peak threads (95 %)",
    "off %",
    "Amdahl serial, off %",
    "COST",
];

/// The fit of the points of one strategy; those of more threads than CPUs say nothing of scaling.
pub(crate) fn fit_of(points: &[&Point], strategy: &str, seed: u64) -> Result<Scaling, Refusal> {
    let own = points.iter().filter(|point| point.strategy == strategy && !point.oversubscribed);
    let blocks: BTreeMap<usize, _> = own.map(|point| (point.threads, point.blocks.clone())).collect();
    scaling(&blocks, seed)
}

/// The section: a table with a line for each fit, and a line for what has none. Nothing where there is no strategy to speak of.
pub(super) fn section(summary: &Summary, workloads: &[&str], terminal: bool) -> Option<String> {
    let mut table = plain(&HEADER, terminal);
    let mut refused: Vec<Refusal> = Vec::new();
    let mut few = false;
    for workload in workloads {
        for (codec, summary) in summary.by_codec() {
            let points = summary.at(workload, summary.chosen_ef(workload).ef);
            let costs: BTreeMap<String, Option<usize>> =
                summary.threads_to_beat_baseline(&points).into_iter().collect();
            let baseline = points.iter().any(|point| point.strategy == BASELINE && point.threads == 1);
            for strategy in summary.strategies() {
                if strategy == BASELINE || !points.iter().any(|point| point.strategy == strategy) {
                    continue;
                }
                match fit_of(&points, strategy, summary.seed()) {
                    Ok(fit) => {
                        few |= fit.counts.len() < ENOUGH_COUNTS;
                        let cost = costs.get(strategy).copied().filter(|_| baseline);
                        let mut row = vec![Cell::new(workload), Cell::new(&codec), Cell::new(strategy)];
                        row.extend(cells(&fit, cost));
                        table.add_row(row);
                    }
                    Err(refusal) => refused.push(refusal),
                }
            }
        }
    }
    let mut text = String::new();
    if table.row_count() > 0 {
        let _ = writeln!(
            text,
            "\nScaling: X(N) = λN / (1 + σ(N-1) + κN(N-1)), fitted to medians over blocks; bands over blocks drawn again\n{}",
            table.trim_fmt()
        );
        text.push_str(
            "off: root mean square of what the fit misses. COST: threads needed to beat `sequential` on one thread.\n",
        );
        if few {
            let _ = writeln!(
                text,
                "Fits to fewer than {ENOUGH_COUNTS} thread counts are weak: take σ and κ for orders of magnitude, and no peak from them."
            );
        }
    }
    // What most lack; the reasons are alike.
    let typical = refused.iter().max_by_key(|refusal| match refusal {
        Refusal::TooFew { counts } => *counts,
        Refusal::NotPositive => usize::MAX,
    });
    if let Some(refusal) = typical {
        let of_all =
            if table.row_count() > 0 { format!("{} more have ", refused.len()) } else { String::new() };
        let line = if text.is_empty() { "\nScaling: " } else { "" };
        let _ = writeln!(text, "{line}{of_all}{refusal}.");
    }
    (!text.is_empty()).then_some(text)
}

fn cells(fit: &Scaling, cost: Option<Option<usize>>) -> Vec<Cell> {
    let bands = fit.bands.as_ref();
    let most = fit.counts.last().copied().unwrap_or(1);
    let share = |value: f64, band: Option<Interval>| {
        let band =
            band.map_or(String::new(), |ends| format!(" ({}-{})", figure(ends.low), figure(ends.high)));
        Cell::new(format!("{}{band}", figure(value)))
    };
    let threads = |peak: f64| if peak.is_finite() { format!("{peak:.0}") } else { "none".into() };
    let peak = fit.usl.peak().unwrap_or(f64::INFINITY);
    let beyond = if peak.is_finite() && peak > most as f64 { " extrapolated" } else { "" };
    let band = bands.map(|bands| format!(" ({}-{})", threads(bands.peak.low), threads(bands.peak.high)));
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let counts = fit.counts.len();
    vec![
        Cell::new(format!("{counts}, to {most}{}", if counts < ENOUGH_COUNTS { " (weak)" } else { "" })),
        Cell::new(grouped(fit.usl.lambda)),
        share(fit.usl.sigma, bands.map(|bands| bands.sigma)),
        share(fit.usl.kappa, bands.map(|bands| bands.kappa)),
        Cell::new(format!("{}{}{beyond}", threads(peak), band.unwrap_or_default())),
        Cell::new(percent(fit.residual[0])),
        Cell::new(format!("{}, {}", figure(fit.amdahl.serial), percent(fit.residual[1]))),
        cell(cost.map(|cost| cost.map_or(format!("never within {most}"), |threads| threads.to_string()))),
    ]
}

/// A share in three significant digits, however small.
fn figure(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        small if small < 0.001 => format!("{small:.1e}"),
        _ => format!("{value:.4}"),
    }
}
