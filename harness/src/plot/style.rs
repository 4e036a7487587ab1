//! Colours, fonts and canvases: one look for all figures.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Where figures are drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Falls back to what the viewer has; the PNGs have the first one built in.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const FAINT_INK: RGBColor = RGBColor(0x6b, 0x6b, 0x6b);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

pub(super) const TITLE_SIZE: u32 = 34;
pub(super) const PANEL_TITLE_SIZE: u32 = 26;
pub(super) const TEXT_SIZE: u32 = 23;

/// Height that [`heading`] takes.
pub(super) const HEADING: u32 = 118;

/// Okabe and Ito's colours, which people with any colour vision tell apart, and darker ones of Tol's.
const STRATEGIES: [(&str, RGBColor); 10] = [
    ("sequential", RGBColor(0x2a, 0x2a, 0x2a)),
    ("coarse", RGBColor(0xe6, 0x9f, 0x00)),
    ("fine", RGBColor(0x00, 0x72, 0xb2)),
    ("lockfree", RGBColor(0x00, 0x9e, 0x73)),
    ("mvcc", RGBColor(0xc4, 0x5a, 0x96)),
    ("slots", RGBColor(0x56, 0xb4, 0xe9)),
    ("seqlock", RGBColor(0xd5, 0x5e, 0x00)),
    ("batch", RGBColor(0x99, 0x99, 0x33)),
    ("versioned", RGBColor(0x88, 0x22, 0x55)),
    ("sharded", RGBColor(0x33, 0x22, 0x88)),
];

const OTHERS: [RGBColor; 4] = [
    RGBColor(0x11, 0x77, 0x33),
    RGBColor(0xaa, 0x44, 0x99),
    RGBColor(0x66, 0x11, 0x00),
    RGBColor(0x44, 0xaa, 0x99),
];

/// Paul Tol's "muted" scheme, for categories of bytes.
pub(super) const CATEGORIES: [RGBColor; 10] = [
    RGBColor(0xbb, 0xbb, 0xbb),
    RGBColor(0x88, 0xcc, 0xee),
    RGBColor(0xdd, 0xcc, 0x77),
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0xcc, 0x66, 0x77),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0xaa, 0x44, 0x99),
    RGBColor(0x44, 0xaa, 0x99),
    RGBColor(0x11, 0x77, 0x33),
];

/// The colour of a strategy, the same in every figure; a strategy that is not known here gets one by its name.
pub fn strategy_colour(name: &str) -> RGBColor {
    let known = STRATEGIES.iter().find(|(known, _)| *known == name);
    let by_name = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    known.map_or(OTHERS[by_name % OTHERS.len()], |(_, colour)| *colour)
}

/// Text that stands at `h`, `v` of its coordinate.
pub(super) fn text(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle { font: (FONT, size).into_font(), color: colour.to_backend_color(), pos: Pos::new(h, v) }
}

/// As [`text`], bold.
pub(super) fn bold(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let plain = text(size, colour, h, v);
    TextStyle { font: plain.font.style(FontStyle::Bold), ..plain }
}

/// Draws on a new canvas of that size and returns the SVG.
pub(super) fn canvas(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&PAPER)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

/// Title and a line of explanation at the top of a figure.
pub(super) fn heading(area: &Area<'_>, title: &str, explanation: &str) -> anyhow::Result<()> {
    let at = |y| (36, y);
    area.draw_text(title, &bold(TITLE_SIZE, INK, HPos::Left, VPos::Top), at(26))?;
    area.draw_text(explanation, &text(TEXT_SIZE, FAINT_INK, HPos::Left, VPos::Top), at(74))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::vision::{Vision, difference};

    /// The nearest two of all strategies, and how near, for any eyes.
    #[test]
    fn strategies_are_told_apart_by_any_eyes() {
        // On the dark paper of pages the ink is this, and that of `sequential` with it.
        let light_ink = ("sequential", RGBColor(0xe6, 0xe6, 0xe3));
        let mut nearest = (f64::MAX, String::new());
        for vision in Vision::ALL {
            for (at, (one, colour)) in STRATEGIES.iter().enumerate() {
                let others = STRATEGIES[at + 1..].iter().chain((at > 0).then_some(&light_ink));
                for (other, of_other) in others {
                    let apart = difference(*colour, *of_other, vision);
                    if apart < nearest.0 {
                        nearest = (apart, format!("{one} and {other}, {vision:?}"));
                    }
                }
            }
        }
        assert!(nearest.0 > 10.0, "{nearest:?}");
    }
}
