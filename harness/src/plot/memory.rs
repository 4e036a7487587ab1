//! Bytes above the raw vectors: a bar per strategy, a colour per category.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{even_ticks, short};
use super::style::{
    Area, CATEGORIES, FAINT_INK, GRID, HEADING, INK, TEXT_SIZE, bold, canvas, heading, strategy_colour, text,
};
use super::{Figure, data_set};
use crate::record::Document;
use crate::summary::{Point, Summary};

const WIDTH: i32 = 1_640;
const BARS_LEFT: i32 = 220;
const BARS_RIGHT: i32 = 1_350;
const PITCH: i32 = 84;
const THICKNESS: i32 = 50;
const LEGEND: i32 = 74;

/// None where the document has no rows.
pub(super) fn figure(document: &Document, summary: &Summary) -> Result<Option<Figure>> {
    let bars: Vec<&Point> =
        summary.strategies().into_iter().filter_map(|strategy| standing_for(summary, strategy)).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let title = format!("Memory above the vectors · {}", data_set(document, summary));
    let height = HEADING as i32 + LEGEND + PITCH * bars.len() as i32 + 70;
    let svg = canvas((WIDTH as u32, height as u32), |area| {
        heading(
            area,
            &title,
            "Bytes per vector by purpose; beside each bar its sum, as a share of the raw vectors, and when it was read",
        )?;
        legend(area, &bars)?;
        draw_bars(area, &bars)
    })?;
    Ok(Some(Figure { name: "memory".into(), svg }))
}

/// The point whose memory stands for a strategy: its build with the most threads that had a CPU each, or failing
/// that the like of its first workload.
fn standing_for<'s>(summary: &'s Summary, strategy: &str) -> Option<&'s Point> {
    let mut workloads = summary.workloads();
    workloads.sort_by_key(|workload| *workload != "build");
    workloads.into_iter().find_map(|workload| {
        summary
            .of_workload(workload)
            .filter(|point| point.strategy == strategy)
            .max_by_key(|point| (!point.oversubscribed, point.threads))
    })
}

fn legend(area: &Area<'_>, bars: &[&Point]) -> Result<()> {
    let mut left = BARS_LEFT;
    let top = HEADING as i32 + 14;
    for (category, colour) in CATEGORIES.iter().enumerate() {
        let Some((name, _)) = bars[0].overhead_per_point.get(category) else { continue };
        if bars.iter().all(|bar| bar.overhead_per_point[category].1 <= 0.0) {
            continue;
        }
        area.draw(&Rectangle::new([(left, top), (left + 24, top + 24)], colour.filled()))?;
        area.draw_text(name, &text(TEXT_SIZE, INK, HPos::Left, VPos::Center), (left + 34, top + 12))?;
        left += 60 + 15 * name.len() as i32;
    }
    Ok(())
}

fn draw_bars(area: &Area<'_>, bars: &[&Point]) -> Result<()> {
    let sum = |bar: &Point| bar.overhead_per_point.iter().map(|(_, bytes)| bytes).sum::<f64>();
    let most = bars.iter().map(|bar| sum(bar)).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let column = |bytes: f64| BARS_LEFT + ((BARS_RIGHT - BARS_LEFT) as f64 * bytes / most).round() as i32;
    let first = HEADING as i32 + LEGEND;
    let bottom = first + PITCH * bars.len() as i32;
    for bytes in even_ticks(0.0, most) {
        let x = column(bytes);
        area.draw(&PathElement::new([(x, first - 6), (x, bottom)], GRID.stroke_width(2)))?;
        let label = format!("{} B", short(bytes));
        area.draw_text(&label, &text(TEXT_SIZE, FAINT_INK, HPos::Center, VPos::Top), (x, bottom + 12))?;
    }
    for (position, bar) in bars.iter().enumerate() {
        let top = first + PITCH * position as i32 + (PITCH - THICKNESS) / 2;
        let middle = top + THICKNESS / 2;
        let name = bold(TEXT_SIZE, strategy_colour(&bar.strategy), HPos::Right, VPos::Center);
        area.draw_text(&bar.strategy, &name, (BARS_LEFT - 18, middle))?;
        let mut below = 0.0;
        for ((_, bytes), colour) in bar.overhead_per_point.iter().zip(CATEGORIES) {
            let (left, right) = (column(below), column(below + bytes));
            below += bytes;
            if right > left {
                area.draw(&Rectangle::new([(left, top), (right, top + THICKNESS)], colour.filled()))?;
            }
        }
        let end = (column(below) + 16, middle - 14);
        let total = format!("{:.1} B · +{:.2} %", below, bar.overhead_percent);
        area.draw_text(&total, &text(TEXT_SIZE, INK, HPos::Left, VPos::Center), end)?;
        let when = format!("{}, {}T", bar.workload, bar.threads);
        let small = text(TEXT_SIZE - 4, FAINT_INK, HPos::Left, VPos::Center);
        area.draw_text(&when, &small, (end.0, middle + 14))?;
    }
    Ok(())
}
