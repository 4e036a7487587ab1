//! One axis: what it covers, where its ticks are and what they say.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Equal ratios are equal distances. Zero has no place on it.
    Log,
}

/// A range of values with ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    range: Range<f64>,
    ticks: Vec<f64>,
    percent: bool,
}

impl Axis {
    /// Thread counts on a log scale, with a tick at each, or at powers of two where there are many.
    pub(super) fn threads(counts: &[usize]) -> Axis {
        let low = counts.iter().copied().min().unwrap_or(1) as f64;
        let high = counts.iter().copied().max().unwrap_or(1) as f64;
        let ticks: Vec<f64> =
            counts.iter().filter(|n| counts.len() <= 8 || n.is_power_of_two()).map(|n| *n as f64).collect();
        // Room beside the first and last marks, and a width even for a single count.
        Axis { scale: Scale::Log, range: low / 1.13..high * 1.13, ticks, percent: false }
    }

    /// From zero to a little above `highest`.
    pub(super) fn from_zero(highest: f64) -> Axis {
        let high = usable(highest) * 1.06;
        Axis { scale: Scale::Linear, range: 0.0..high, ticks: even_ticks(0.0, high), percent: false }
    }

    /// Around `values`, no further than `most`.
    pub(super) fn around(values: impl Iterator<Item = f64>, most: f64) -> Axis {
        let (low, high) = extent(values).unwrap_or((0.0, most));
        let margin = ((high - low) * 0.08).max(0.002 * most);
        let (low, high) = ((low - margin).max(0.0), (high + margin).min(most));
        Axis { scale: Scale::Linear, range: low..high, ticks: even_ticks(low, high), percent: false }
    }

    /// Around `values`, which must be above zero, on a log scale.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = extent(values.filter(|value| *value > 0.0)).unwrap_or((1.0, 10.0));
        let (low, high) = (low / 1.25, high * 1.25);
        Axis { scale: Scale::Log, ticks: log_ticks(low, high), range: low..high, percent: false }
    }

    /// The same with ticks in percent.
    pub(super) fn in_percent(self) -> Axis {
        Axis { percent: true, ..self }
    }

    /// Whether `value` can be shown.
    pub(super) fn shows(&self, value: f64) -> bool {
        value.is_finite() && (self.scale == Scale::Linear || value > 0.0)
    }

    /// What the tick at `value` says.
    pub(super) fn label(&self, value: f64) -> String {
        match self.percent {
            // As many decimals as the first digit needs.
            true if value > 0.0 && value < 0.01 => format!("{} %", value * 100.0),
            true => format!("{:.0} %", value * 100.0),
            false => short(value),
        }
    }

    /// Where `value` lies, in units in which the axis is even.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log2(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let (low, high) = (self.place(self.range.start), self.place(self.range.end));
        // Values far outside, which only a damaged file has, stay near enough for whole pixels.
        let share = ((self.place(*value) - low) / (high - low)).clamp(-1.0, 2.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Lines and labels at the ticks; nothing between them.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

fn usable(highest: f64) -> f64 {
    if highest.is_finite() && highest > 0.0 { highest } else { 1.0 }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |extent, value| {
        let (low, high) = extent.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// About six round steps from `low` to `high`.
pub(super) fn even_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|round| round * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil();
    (0..10).map(|n| (first + f64::from(n)) * step).take_while(|tick| *tick <= high).collect()
}

/// 1, 2, 5 of each decade; only the decades where there are many; powers of ten between.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let ticks = |digits: &[f64]| -> Vec<f64> {
        decades
            .clone()
            .flat_map(|decade| digits.iter().map(move |digit| digit * 10_f64.powi(decade)))
            .filter(|tick| (low..=high).contains(tick))
            .collect()
    };
    let fine = ticks(&[1.0, 2.0, 5.0]);
    match fine.len() {
        0..=2 => ticks(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]),
        3..=9 => fine,
        _ => ticks(&[1.0]),
    }
}

/// A number in a few characters: `950`, `12.5k`, `3M`, `0.95`.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 999_999_500.0 => (value / 1e9, "G"),
        size if size >= 999_950.0 => (value / 1e6, "M"),
        size if size >= 1_000.0 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if value.abs() >= 100.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let pairs = [
            (0.0, "0"),
            (0.95, "0.95"),
            (950.0, "950"),
            (12_500.0, "12.5k"),
            (999_960.0, "1M"),
            (3e6, "3M"),
            (2.5e9, "2.5G"),
        ];
        for (value, text) in pairs {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(even_ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(even_ticks(0.0, 26_000.0), [0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0]);
        assert_eq!(log_ticks(90.0, 1_100.0), [100.0, 200.0, 500.0, 1_000.0]);
        assert_eq!(log_ticks(0.5, 2e6), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }

    #[test]
    fn degenerate_data_gives_an_axis() {
        for axis in [
            Axis::from_zero(0.0),
            Axis::from_zero(f64::NAN),
            Axis::from_zero(f64::INFINITY),
            Axis::around([].into_iter(), 1.0),
            Axis::around([1.0].into_iter(), 1.0),
            Axis::log([].into_iter()),
            Axis::log([0.0, 5.0].into_iter()),
            Axis::threads(&[]),
            Axis::threads(&[7]),
        ] {
            let range = axis.range();
            assert!(range.start.is_finite() && range.start < range.end && range.end.is_finite(), "{axis:?}");
            assert!((0..=100).contains(&axis.map(&range.end, (0, 100))), "{axis:?}");
        }
    }

    #[test]
    fn many_thread_counts_are_labelled_at_powers_of_two() {
        let counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
        let axis = Axis::threads(&counts);
        let labels: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
        assert_eq!(labels, ["1", "2", "4", "8", "16", "32"]);
    }
}
