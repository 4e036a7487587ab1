//! One plot of lines: axes, bands, marks, and names at the ends of lines instead of a legend.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::style::{Area, FAINT_INK, GRID, INK, PANEL_TITLE_SIZE, PAPER, TEXT_SIZE, bold, text};
use crate::stats::Interval;

/// Room for names at the right.
const NAMES: u32 = 160;

/// Least distance of two names, top to top.
const NAME_PITCH: i32 = 28;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// Measured: a solid line with a mark at each point.
    Measured,
    /// A law within what was measured, or a series of many readings: a thin solid line without marks.
    Fitted,
    /// A level to compare with, or a law beyond what was measured: dashed, without marks.
    Reference,
}

/// A point of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub x: f64,
    pub y: f64,
    pub interval: Option<Interval>,
    /// Drawn hollow: more threads than allowed CPUs.
    pub oversubscribed: bool,
}

impl Mark {
    pub(super) fn at(x: f64, y: f64) -> Mark {
        Mark { x, y, interval: None, oversubscribed: false }
    }
}

/// A line and its name.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Stands at the line's end; none if another line says it.
    pub name: Option<String>,
    pub colour: RGBColor,
    pub stroke: Stroke,
    pub marks: Vec<Mark>,
}

/// A plot of lines over two axes.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    /// Says what the y axis is.
    pub title: String,
    pub x_name: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    /// Small remarks in the plot, each above its place.
    pub remarks: Vec<(f64, f64, String)>,
}

/// A name that wants to stand at the end of its line.
struct Name<'p> {
    text: &'p str,
    colour: RGBColor,
    end: (i32, i32),
    /// Stands where the line ends, even if that is far from the edge.
    stays: bool,
}

impl Panel {
    pub(super) fn draw(&self, area: &Area<'_>) -> anyhow::Result<()> {
        area.draw_text(&self.title, &bold(PANEL_TITLE_SIZE, INK, HPos::Left, VPos::Top), (36, 8))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(60)
            .margin_right(NAMES)
            .margin_bottom(12)
            .x_label_area_size(76)
            .y_label_area_size(104)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(FAINT_INK.stroke_width(2))
            .set_all_tick_mark_size(8)
            .x_label_style(text(TEXT_SIZE, INK, HPos::Center, VPos::Top))
            .y_label_style(text(TEXT_SIZE, INK, HPos::Right, VPos::Center))
            .axis_desc_style(text(TEXT_SIZE, FAINT_INK, HPos::Center, VPos::Top))
            .x_desc(&self.x_name)
            .x_label_formatter(&|value| self.x.label(*value))
            .y_label_formatter(&|value| self.y.label(*value))
            .draw()?;

        for line in &self.lines {
            let band = self.band(line);
            if band.len() > 2 {
                chart.draw_series([Polygon::new(band, line.colour.mix(0.16))])?;
            }
        }
        for line in &self.lines {
            let places: Vec<(f64, f64)> = self.shown(line).map(|mark| (mark.x, mark.y)).collect();
            match line.stroke {
                Stroke::Measured if places.len() > 1 => {
                    chart.draw_series(LineSeries::new(places, line.colour.stroke_width(4)))?;
                }
                Stroke::Measured => {}
                Stroke::Fitted => {
                    chart.draw_series(LineSeries::new(places, line.colour.stroke_width(2)))?;
                }
                Stroke::Reference => {
                    chart.draw_series(DashedLineSeries::new(places, 14, 9, line.colour.stroke_width(3)))?;
                }
            }
        }
        for line in self.lines.iter().filter(|line| line.stroke == Stroke::Measured) {
            for mark in self.shown(line) {
                let place = (mark.x, mark.y);
                let inside = if mark.oversubscribed { PAPER } else { line.colour };
                chart.draw_series([Circle::new(place, 9, inside.filled())])?;
                chart.draw_series([Circle::new(place, 9, line.colour.stroke_width(3))])?;
            }
        }

        let origin = area.get_base_pixel();
        let pixel = |x: f64, y: f64| {
            let at = chart.backend_coord(&(x, y));
            (at.0 - origin.0, at.1 - origin.1)
        };
        for (x, y, remark) in &self.remarks {
            let (left, top) = pixel(*x, *y);
            area.draw_text(
                remark,
                &text(TEXT_SIZE - 3, FAINT_INK, HPos::Center, VPos::Bottom),
                (left, top - 16),
            )?;
        }
        let names: Vec<Name<'_>> = self
            .lines
            .iter()
            .filter_map(|line| {
                let last = self.shown(line).last()?;
                Some(Name {
                    text: line.name.as_deref()?,
                    colour: line.colour,
                    end: pixel(last.x, last.y),
                    stays: line.stroke == Stroke::Reference,
                })
            })
            .collect();
        let (columns, rows) = chart.plotting_area().get_pixel_range();
        let right = columns.end - origin.0;
        draw_names(area, names, right, rows.start - origin.1..rows.end - origin.1)
    }

    fn shown<'p>(&'p self, line: &'p Line) -> impl Iterator<Item = &'p Mark> {
        line.marks.iter().filter(|mark| self.x.shows(mark.x) && self.y.shows(mark.y))
    }

    /// Upper ends of the intervals from left to right, then lower ends back.
    fn band(&self, line: &Line) -> Vec<(f64, f64)> {
        let ends: Vec<(f64, Interval)> = self
            .shown(line)
            .filter_map(|mark| Some((mark.x, mark.interval?)))
            .filter(|(_, interval)| self.y.shows(interval.low) && self.y.shows(interval.high))
            .collect();
        let upper = ends.iter().map(|(x, interval)| (*x, interval.high));
        let lower = ends.iter().rev().map(|(x, interval)| (*x, interval.low));
        upper.chain(lower).collect()
    }
}

/// Writes each name right of the plot, level with its line's end or as near as the others allow.
fn draw_names(
    area: &Area<'_>,
    mut names: Vec<Name<'_>>,
    right: i32,
    rows: std::ops::Range<i32>,
) -> anyhow::Result<()> {
    // Measured lines may end at the same place, and there is room for all of their names at the edge alone.
    for name in names.extract_if(.., |name| name.stays && name.end.0 < right - 120) {
        let at = (name.end.0 + 14, name.end.1 - 14);
        area.draw_text(name.text, &text(TEXT_SIZE, name.colour, HPos::Left, VPos::Center), at)?;
    }
    names.sort_by_key(|name| name.end.1);
    let wanted: Vec<i32> = names.iter().map(|name| name.end.1).collect();
    for (name, level) in names.iter().zip(spread(&wanted, NAME_PITCH, rows)) {
        let start = right + 26;
        let leader = [(name.end.0 + 12, name.end.1), (right + 8, level), (start - 4, level)];
        area.draw(&PathElement::new(leader, name.colour.mix(0.45).stroke_width(1)))?;
        area.draw_text(name.text, &text(TEXT_SIZE, name.colour, HPos::Left, VPos::Center), (start, level))?;
    }
    Ok(())
}

/// Levels near the `wanted` ones (ascending) that are at least `pitch` apart, inside `rows` if they fit.
fn spread(wanted: &[i32], pitch: i32, rows: std::ops::Range<i32>) -> Vec<i32> {
    let mut levels = wanted.to_vec();
    for n in 1..levels.len() {
        levels[n] = levels[n].max(levels[n - 1] + pitch);
    }
    let mut lowest = rows.end;
    for level in levels.iter_mut().rev() {
        *level = (*level).min(lowest);
        lowest = *level - pitch;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn names_keep_their_distance_and_order() {
        assert_eq!(spread(&[10, 100], 20, 0..200), [10, 100]);
        assert_eq!(spread(&[10, 12, 14], 20, 0..200), [10, 30, 50]);
        assert_eq!(spread(&[190, 195, 199], 20, 0..200), [160, 180, 200]);
        assert_eq!(spread(&[], 20, 0..200), [0; 0]);
    }
}
