//! Throughput, speed-up and efficiency against threads.

use anyhow::Result;

use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{FAINT_INK, HEADING, canvas, heading, strategy_colour};
use super::{Figure, data_set, file_name};
use crate::record::Document;
use crate::report::scaling::fit_of;
use crate::stats::{Estimate, Interval};
use crate::summary::{BASELINE, Point, Summary};

const SIZE: (u32, u32) = (1_840, 1_080);

/// Beyond this many threads equal ratios are easier to read as equal distances.
const MOST_FOR_LINEAR: usize = 8;

pub(super) fn figure(document: &Document, summary: &Summary, workload: &str) -> Result<Figure> {
    let chosen = summary.chosen_ef(workload);
    let points = summary.at(workload, chosen.ef);
    let config = &document.run.config;
    let beam = chosen.ef.map(|ef| format!(" · ef {ef}")).unwrap_or_default();
    let title = format!("{workload}{beam} · {}", data_set(document, summary));
    let mut explanation = format!("Medians of {} blocks", config.blocks);
    if points.iter().any(|point| point.throughput.interval.is_some()) {
        explanation += ", bands: 95 % intervals";
    }
    if points.iter().any(|point| point.oversubscribed) {
        explanation +=
            &format!(", hollow: more threads than the {} allowed CPUs", document.run.allowed_cpus.len());
    }
    let fitted = fitted(&points, summary.seed());
    if !fitted.is_empty() {
        explanation += ", thin: Universal Scalability Law, dashed beyond what was measured";
    }
    let svg = canvas(SIZE, |area| {
        heading(area, &title, &explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        let (left, right) = body.split_horizontally(1_030);
        let (above, below) = right.split_vertically((SIZE.1 - HEADING) / 2);
        throughput(&points, fitted).draw(&left)?;
        speed_up(summary, &points).draw(&above)?;
        efficiency(summary, &points).draw(&below)
    })?;
    Ok(Figure { name: format!("scaling-{}", file_name(workload)), svg })
}

/// How far beyond the measured thread counts a law is drawn.
const BEYOND: f64 = 2.0;

/// Steps of a curve, of which each is the same ratio of threads.
const STEPS: i32 = 24;

/// The law of each strategy that has one: solid as far as it was measured, then dashed.
fn fitted(points: &[&Point], seed: u64) -> Vec<Line> {
    let mut strategies: Vec<&str> = points.iter().map(|point| point.strategy.as_str()).collect();
    strategies.dedup();
    let curves = strategies.into_iter().filter_map(|strategy| {
        let fit = fit_of(points, strategy, seed).ok()?;
        let (first, last) = (*fit.counts.first()? as f64, *fit.counts.last()? as f64);
        let curve = |stroke: Stroke, from: f64, to: f64| {
            let at = |step: i32| from * (to / from).powf(f64::from(step) / f64::from(STEPS));
            let marks = (0..=STEPS).map(|step| Mark::at(at(step), fit.usl.rate(at(step)))).collect();
            Line { name: None, colour: strategy_colour(strategy), stroke, marks }
        };
        Some([curve(Stroke::Fitted, first, last), curve(Stroke::Reference, last, BEYOND * last)])
    });
    curves.flatten().collect()
}

fn throughput(points: &[&Point], fitted: Vec<Line>) -> Panel {
    let mut lines = measured(points, |point| Some(point.throughput));
    let best = one_thread(points).map(|point| point.throughput.median).fold(0.0, f64::max);
    lines.extend(ideal(points, |threads| best * threads));
    if let Some(base) = one_thread(points).find(|point| point.strategy == BASELINE) {
        let level = base.throughput.median;
        if let Some(line) = reference("sequential 1T", points, |_| level) {
            let measured = lines.iter_mut().find(|line| line.name.as_deref() == Some(BASELINE));
            if let Some(single) = measured.filter(|line| line.marks.len() == 1) {
                single.name = None;
            }
            lines.push(line);
        }
    }
    let beyond = fitted.iter().flat_map(|line| &line.marks).map(|mark| mark.x.round() as usize).max();
    lines.extend(fitted);
    let mut panel = panel("Operations per second", points, lines);
    if let Some(beyond) = beyond {
        let mut threads = thread_counts(points);
        threads.push(beyond);
        threads.sort_unstable();
        threads.dedup();
        panel.x = Axis::threads(&threads);
    }
    panel
}

fn speed_up(summary: &Summary, points: &[&Point]) -> Panel {
    let mut lines = measured(points, |point| summary.over_itself(point));
    lines.retain(|line| line.marks.len() > 1);
    lines.extend(ideal(points, |threads| threads));
    panel("Speed-up over its own 1 thread", points, lines)
}

fn efficiency(summary: &Summary, points: &[&Point]) -> Panel {
    let share = |point: &Point| {
        let each = |value: f64| value / point.threads as f64;
        let ratio = summary.over_itself(point)?;
        let interval = ratio.interval.map(|ends| Interval { low: each(ends.low), high: each(ends.high) });
        Some(Estimate { median: each(ratio.median), interval })
    };
    let mut lines = measured(points, share);
    lines.retain(|line| line.marks.len() > 1);
    lines.extend(ideal(points, |_| 1.0));
    let mut panel = panel("Efficiency: speed-up per thread", points, lines);
    panel.y = Axis::from_zero(highest(&panel.lines)).in_percent();
    panel
}

fn panel(title: &str, points: &[&Point], lines: Vec<Line>) -> Panel {
    let threads = thread_counts(points);
    let values = lines.iter().flat_map(|line| &line.marks).map(|mark| mark.y);
    let y = match threads.last() {
        Some(most) if *most > MOST_FOR_LINEAR => Axis::log(values),
        _ => Axis::from_zero(highest(&lines)),
    };
    Panel {
        title: title.into(),
        x_name: "threads".into(),
        x: Axis::threads(&threads),
        y,
        lines,
        remarks: Vec::new(),
    }
}

/// A line per strategy through `value` of its points, in the order of threads.
fn measured(points: &[&Point], value: impl Fn(&Point) -> Option<Estimate>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for point in points {
        let Some(estimate) = value(point) else { continue };
        let mark = Mark {
            x: point.threads as f64,
            y: estimate.median,
            interval: estimate.interval,
            oversubscribed: point.oversubscribed,
        };
        match lines.iter_mut().find(|line| line.name.as_ref() == Some(&point.strategy)) {
            Some(line) => line.marks.push(mark),
            None => lines.push(Line {
                name: Some(point.strategy.clone()),
                colour: strategy_colour(&point.strategy),
                stroke: Stroke::Measured,
                marks: vec![mark],
            }),
        }
    }
    lines
}

/// What perfect scaling would give, as far as there are CPUs for it.
fn ideal(points: &[&Point], value: impl Fn(f64) -> f64) -> Option<Line> {
    let within: Vec<&Point> = points.iter().copied().filter(|point| !point.oversubscribed).collect();
    let mut line = reference("ideal", &within, value)?;
    line.colour = FAINT_INK;
    Some(line)
}

/// A dashed line over all thread counts of `points`; none where there are fewer than two.
fn reference(name: &str, points: &[&Point], value: impl Fn(f64) -> f64) -> Option<Line> {
    let threads = thread_counts(points);
    let marks = threads.iter().map(|threads| Mark::at(*threads as f64, value(*threads as f64))).collect();
    (threads.len() > 1).then(|| Line {
        name: Some(name.into()),
        colour: strategy_colour(BASELINE),
        stroke: Stroke::Reference,
        marks,
    })
}

fn one_thread<'p>(points: &'p [&Point]) -> impl Iterator<Item = &'p Point> {
    points.iter().copied().filter(|point| point.threads == 1)
}

fn thread_counts(points: &[&Point]) -> Vec<usize> {
    let mut counts: Vec<usize> = points.iter().map(|point| point.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn highest(lines: &[Line]) -> f64 {
    let marks = lines.iter().flat_map(|line| &line.marks);
    marks.map(|mark| mark.interval.map_or(mark.y, |ends| ends.high)).fold(0.0, f64::max)
}
