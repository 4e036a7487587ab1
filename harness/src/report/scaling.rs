//! The laws of scaling of each strategy in each workload, or why there are none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{grouped, plain};
use crate::fit::{ENOUGH_COUNTS, Refusal, Scaling, scaling};
use crate::stats::Interval;
use crate::summary::{BASELINE, Point, Summary};

pub(super) const HEADER: [&str; 11] = [
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

/// What is to be said of the laws of scaling.
pub(super) struct Laws {
    /// One for each fit, in the order of the header.
    pub(super) rows: Vec<Vec<String>>,
    /// Sentences: what the columns mean, what is weak, what has no fit.
    pub(super) notes: Vec<String>,
}

/// The section: a table with a line for each fit, and a line for what has none. Nothing where there is no strategy to speak of.
pub(super) fn section(summary: &Summary, workloads: &[&str], terminal: bool) -> Option<String> {
    let Laws { rows, notes } = laws(summary, workloads);
    let mut text = String::new();
    if !rows.is_empty() {
        let mut table = plain(&HEADER, terminal);
        table.add_rows(rows);
        let _ = writeln!(
            text,
            "\nScaling: X(N) = λN / (1 + σ(N-1) + κN(N-1)), fitted to medians over blocks; bands over blocks drawn again\n{}",
            table.trim_fmt()
        );
    }
    for note in notes {
        let begin = if text.is_empty() { "\nScaling: " } else { "" };
        let _ = writeln!(text, "{begin}{note}");
    }
    (!text.is_empty()).then_some(text)
}

/// The fits of all strategies but the one without synchronisation.
pub(super) fn laws(summary: &Summary, workloads: &[&str]) -> Laws {
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
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
                        let mut row = vec![(*workload).to_owned(), codec.clone(), strategy.to_owned()];
                        row.extend(cells(&fit, cost));
                        rows.push(row);
                    }
                    Err(refusal) => refused.push(refusal),
                }
            }
        }
    }
    if !rows.is_empty() {
        notes.push(
            "off: root mean square of what the fit misses. COST: threads needed to beat `sequential` on one thread."
                .to_owned(),
        );
        if few {
            notes.push(format!(
                "Fits to fewer than {ENOUGH_COUNTS} thread counts are weak: take σ and κ for orders of magnitude, and no peak from them."
            ));
        }
    }
    // What most lack; the reasons are alike.
    let typical = refused.iter().max_by_key(|refusal| match refusal {
        Refusal::TooFew { counts } => *counts,
        Refusal::NotPositive => usize::MAX,
    });
    if let Some(refusal) = typical {
        let of_all = if rows.is_empty() { String::new() } else { format!("{} more have ", refused.len()) };
        notes.push(format!("{of_all}{refusal}."));
    }
    Laws { rows, notes }
}

fn cells(fit: &Scaling, cost: Option<Option<usize>>) -> Vec<String> {
    let bands = fit.bands.as_ref();
    let most = fit.counts.last().copied().unwrap_or(1);
    let share = |value: f64, band: Option<Interval>| {
        let band =
            band.map_or(String::new(), |ends| format!(" ({}-{})", figure(ends.low), figure(ends.high)));
        format!("{}{band}", figure(value))
    };
    let threads = |peak: f64| if peak.is_finite() { format!("{peak:.0}") } else { "none".into() };
    let peak = fit.usl.peak().unwrap_or(f64::INFINITY);
    let beyond = if peak.is_finite() && peak > most as f64 { " extrapolated" } else { "" };
    let band = bands.map(|bands| format!(" ({}-{})", threads(bands.peak.low), threads(bands.peak.high)));
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let counts = fit.counts.len();
    let cost = cost.map(|cost| cost.map_or(format!("never within {most}"), |threads| threads.to_string()));
    vec![
        format!("{counts}, to {most}{}", if counts < ENOUGH_COUNTS { " (weak)" } else { "" }),
        grouped(fit.usl.lambda),
        share(fit.usl.sigma, bands.map(|bands| bands.sigma)),
        share(fit.usl.kappa, bands.map(|bands| bands.kappa)),
        format!("{}{}{beyond}", threads(peak), band.unwrap_or_default()),
        percent(fit.residual[0]),
        format!("{}, {}", figure(fit.amdahl.serial), percent(fit.residual[1])),
        cost.unwrap_or_else(|| "–".into()),
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
