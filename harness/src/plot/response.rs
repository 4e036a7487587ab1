//! How long operations take that come at a given rate: the complementary distribution, from all counts of the window in the middle
//! of its point, a panel per thread count and rate. Solid: from the intended start, so queueing included; dashed: from the actual
//! start. Where the two part, an operation waited for those before it.

use anyhow::Result;

use super::Figure;
use super::axis::Axis;
use super::panel::{Line, Mark, Panel, Stroke};
use super::style::{HEADING, canvas, heading, strategy_colour};
use crate::latency::{Document, KINDS, Kind, Point, Spread, Timed};
use crate::report::grouped;

const PANEL: (u32, u32) = (900, 620);
const MOST_COLUMNS: usize = 2;
/// Places of a line for each tenfold share.
const PLACES: i32 = 16;

/// One for each kind of operation that there was. Where the rate was searched for, each strategy has its own.
pub(crate) fn figures(document: &Document) -> Result<Vec<Figure>> {
    let kinds = KINDS.iter().filter(|kind| kind.is_of(&document.points));
    kinds.map(|kind| figure(document, kind)).collect()
}

/// Threads, and the rate if all strategies had the same.
type Place = (usize, Option<f64>);

fn figure(document: &Document, &Kind { name, open, .. }: &Kind) -> Result<Figure> {
    let mut places: Vec<(Place, Vec<Line>)> = Vec::new();
    for point in document.gathered() {
        let typical = point.typical();
        let Some(timed) = open(typical) else { continue };
        let rate = (!document.config.rates.is_empty()).then_some(typical.rate);
        let place = (typical.threads, rate);
        let lines = lines(typical, timed)?;
        match places.iter_mut().find(|(own, _)| *own == place) {
            Some((_, own)) => own.extend(lines),
            None => places.push((place, lines)),
        }
    }
    let columns = places.len().clamp(1, MOST_COLUMNS);
    let rows = places.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, HEADING + PANEL.1 * rows as u32);
    let data = &document.dataset;
    let rows_of_set = grouped(data.rows as f64);
    let title = format!(
        "{name} at a given rate · ef {} · {}, {rows_of_set} x {}",
        document.config.ef, data.name, data.dim
    );
    let explanation = "Solid: from the intended start, queueing included; dashed: from the actual start";
    // All panels have the same axes, so that they can be compared.
    let marks = || places.iter().flat_map(|(_, lines)| lines).flat_map(|line| &line.marks);
    let (x, y) = (Axis::log(marks().map(|mark| mark.x)), Axis::log(marks().map(|mark| mark.y)).in_percent());
    let svg = canvas(size, |area| {
        heading(area, &title, explanation)?;
        let (_, body) = area.split_vertically(HEADING);
        for ((place, lines), cell) in places.iter().zip(body.split_evenly((rows, columns))) {
            let panel = Panel {
                title: titled(place),
                x_name: "microseconds".into(),
                x: x.clone(),
                y: y.clone(),
                lines: lines.clone(),
                remarks: Vec::new(),
            };
            panel.draw(&cell)?;
        }
        Ok(())
    })?;
    Ok(Figure { name: format!("response-{name}"), svg })
}

fn titled((threads, rate): &Place) -> String {
    let plural = if *threads == 1 { "" } else { "s" };
    match rate {
        Some(rate) => {
            format!("Share that takes longer, {threads} thread{plural}, {} per second", grouped(*rate))
        }
        None => format!(
            "Share that takes longer, {threads} thread{plural}, each at the rate it was found to serve"
        ),
    }
}

/// Response and service times. Those of a saturated window are told by neither: they grow with the window.
fn lines(point: &Point, timed: &Timed) -> Result<Vec<Line>> {
    let line = |spread: &Spread, name: Option<&str>, stroke| -> Result<Line> {
        let times = spread.times()?;
        let step = |at: i32| 10_f64.powf(-f64::from(at) / f64::from(PLACES));
        let shares = (0..).map(step).take_while(|share| share * timed.count as f64 >= 1.0);
        let mark = |share: f64| Mark::at(times.value_at_quantile(1.0 - share) as f64 / 1e3, share);
        Ok(Line {
            name: name.map(str::to_owned),
            colour: strategy_colour(&point.strategy),
            stroke,
            marks: shares.map(mark).collect(),
        })
    };
    if point.saturated {
        return Ok(Vec::new());
    }
    Ok(vec![
        line(&timed.response, Some(&point.strategy), Stroke::Fitted)?,
        line(&timed.service, None, Stroke::Reference)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_window_goes_through_all_of_its_counts() {
        let document = crate::latency::tests::measured(&[
            "--rate",
            "400",
            "--threads",
            "2",
            "--seconds",
            "0.5",
            "--strategies",
            "slots",
            "--blocks",
            "1",
        ]);
        let mut point = document.points[0].clone();
        point.saturated = false;
        let timed = point.search.clone().unwrap();
        let [response, service] = &lines(&point, &timed).unwrap()[..] else { panic!("two lines") };
        for (line, spread) in [(response, &timed.response), (service, &timed.service)] {
            let times = spread.times().unwrap();
            assert!(line.marks.len() > 32, "{}", line.marks.len());
            assert!(line.marks.is_sorted_by(|one, next| one.x <= next.x && one.y > next.y));
            for mark in &line.marks {
                let longer =
                    times.iter_recorded().filter(|step| step.value_iterated_to() as f64 / 1e3 > mark.x);
                let share = longer.map(|step| step.count_at_value()).sum::<u64>() as f64 / timed.count as f64;
                // One operation, and three digits of a time, are the grain.
                assert!(share <= mark.y + 1.5 / timed.count as f64, "{share} at {mark:?}");
            }
        }
        let drawn = figures(&document).unwrap();
        assert_eq!(drawn.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>(), ["response-search"]);
        assert!(drawn[0].svg.contains("400 per second") && drawn[0].svg.contains("slots"));
        point.saturated = true;
        assert!(lines(&point, &timed).unwrap().is_empty());
    }
}
