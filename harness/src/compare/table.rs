//! The table of `compare`.

use std::fmt::Write as _;

use comfy_table::Cell;

use super::judge::{Compared, Pair, Verdict};
use super::{Comparison, DEFAULT_EFFECT};
use crate::report::{grouped, plain};

const HEADER: [&str; 13] = [
    "workload", "codec", "strategy", "threads", "ef", "blocks", "A ops/s", "B ops/s", "B/A", "95 %",
    "p (Holm)", "recall", "verdict",
];

/// The table with a summary under it.
pub(super) fn text(comparison: &Comparison) -> String {
    let Comparison { a, b, compared, .. } = comparison;
    let commit =
        |commit: &Option<String>| commit.as_deref().map_or(String::new(), |hash| format!(", {hash}"));
    let mut text = format!(
        "A: {} ({}{})\nB: {} ({}{})\n\n",
        a.file,
        a.id,
        commit(&a.git_commit),
        b.file,
        b.id,
        commit(&b.git_commit)
    );
    let mut table = plain(&HEADER, false);
    for pair in &compared.points {
        table.add_row(cells(pair));
    }
    let _ = writeln!(text, "{}\n", table.trim_fmt());
    text + &summary(compared)
}

fn cells(pair: &Pair) -> Vec<Cell> {
    let none = || "–".to_owned();
    let [one, other] = pair.blocks;
    let flags = [(pair.oversubscribed, " *"), (pair.tainted, " !")];
    let flags: String = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
    let recall = if pair.recall_worse { ", worse recall" } else { "" };
    vec![
        Cell::new(&pair.workload),
        Cell::new(&pair.codec),
        Cell::new(&pair.strategy),
        Cell::new(pair.threads),
        Cell::new(pair.ef.map_or_else(none, |ef| ef.to_string())),
        Cell::new(if one == other { one.to_string() } else { format!("{one}/{other}") }),
        Cell::new(grouped(pair.per_second[0])),
        Cell::new(grouped(pair.per_second[1])),
        Cell::new(format!("{:.3}", pair.ratio)),
        Cell::new(pair.interval.map_or_else(none, |[low, high]| format!("{low:.3}-{high:.3}"))),
        Cell::new(format!("{:.3}", pair.p_holm)),
        Cell::new(pair.recall_difference.map_or_else(none, |difference| format!("{difference:+.4}"))),
        Cell::new(format!("{}{recall}{flags}", pair.verdict.name())),
    ]
}

fn summary(compared: &Compared) -> String {
    let count = |verdict| compared.count(verdict);
    let worse_recall = compared.points.iter().filter(|pair| pair.recall_worse).count();
    let mut text = format!(
        "{} points: {} faster, {} slower, {} same, {} too noisy to say",
        compared.points.len(),
        count(Verdict::Faster),
        count(Verdict::Slower),
        count(Verdict::Same),
        count(Verdict::TooNoisy),
    );
    if worse_recall > 0 {
        let _ = write!(text, "; recall is worse at {worse_recall}");
    }
    let interval =
        compared.interval_of_all.map_or(String::new(), |[low, high]| format!(" ({low:.3}-{high:.3})"));
    let _ = writeln!(text, "\nAll together, B/A: {:.3}{interval}, geometric mean", compared.ratio_of_all);
    let effects = compared.points.iter().map(|pair| 100.0 * pair.min_effect);
    let (least, most) = effects.fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
    let range =
        if most - least < 0.05 { format!("{most:.1} %") } else { format!("{least:.1} to {most:.1} %") };
    let origin = match compared.min_effect_from {
        "flag" => "as asked",
        "noise" => "the noise of this machine at so many blocks",
        _ => "by default: the noise of this machine is unknown, and `hnsw-lab noise` measures it",
    };
    let _ = writeln!(text, "Smallest effect that counts: {range} ({origin})");
    debug_assert!(compared.min_effect_from != "default" || (most - DEFAULT_EFFECT).abs() < 1e-9);
    if compared.unmatched != [0, 0] {
        let [one, other] = compared.unmatched;
        let _ = writeln!(text, "Not compared: {one} points that only A has, {other} that only B has");
    }
    if compared.points.iter().any(|pair| pair.oversubscribed) {
        text.push_str("* more threads than allowed CPUs\n");
    }
    if compared.points.iter().any(|pair| pair.tainted) {
        text.push_str("! one side has tainted rows only\n");
    }
    text
}
