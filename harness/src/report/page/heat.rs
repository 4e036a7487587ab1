//! The colours of the heat map: one hue, lighter or darker by the value, so that they are in order for any eyes and on paper of
//! any colour. The number in the cell says it too.

use maud::{Markup, html};
use plotters::style::RGBColor;

/// Shares up to this one have the same colour.
const LEAST: f64 = 0.3;

/// From the least to the whole, on light paper.
const LIGHT: [RGBColor; 2] = [RGBColor(0xf0, 0xf6, 0xfb), RGBColor(0x62, 0xa8, 0xdc)];

/// The same on dark paper.
const DARK: [RGBColor; 2] = [RGBColor(0x1d, 0x28, 0x31), RGBColor(0x2c, 0x76, 0xb0)];

/// Between the ends, by the share.
fn colour(ends: [RGBColor; 2], share: f64) -> RGBColor {
    // Of rates that are 0 there is no share.
    let share = if share.is_nan() { 0.0 } else { share };
    let at = ((share - LEAST) / (1.0 - LEAST)).clamp(0.0, 1.0);
    let [RGBColor(r, g, b), RGBColor(to_r, to_g, to_b)] = ends;
    let between = |from: u8, to: u8| (f64::from(from) + at * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(between(r, to_r), between(g, to_g), between(b, to_b))
}

/// A cell with this text. The style sheet chooses between the two colours.
pub(super) fn cell(share: f64, text: &str, title: &str) -> Markup {
    let [light, dark] = [LIGHT, DARK].map(|ends| {
        let RGBColor(r, g, b) = colour(ends, share);
        format!("#{r:02x}{g:02x}{b:02x}")
    });
    html! { td title=(title) style={"--light:" (light) ";--dark:" (dark)} { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::vision::{Vision, contrast, difference};

    const STYLE: &str = include_str!("style.css");

    /// The colour of the text in cells, on light and on dark paper, as the style sheet has it.
    fn ink(rule: &str) -> RGBColor {
        let rule = STYLE.split_once(rule).expect("the rule").1.split_once('}').expect("its end").0;
        let digits = rule.split_once("; color: #").expect("a colour").1;
        let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
        RGBColor(channel(0), channel(2), channel(4))
    }

    #[test]
    fn shares_are_told_apart_by_any_eyes() {
        let steps: Vec<f64> = (3..=10).map(|tenth| f64::from(tenth) / 10.0).collect();
        for ends in [LIGHT, DARK] {
            for vision in Vision::ALL {
                let whole = difference(colour(ends, 0.0), colour(ends, 1.0), vision);
                assert!(whole > 35.0, "{vision:?}: {whole}");
                for pair in steps.windows(2) {
                    let step = difference(colour(ends, pair[0]), colour(ends, pair[1]), vision);
                    assert!(step > 5.0, "{vision:?}: {step} from {} to {}", pair[0], pair[1]);
                }
            }
        }
    }

    #[test]
    fn text_is_readable_on_all_of_them() {
        for (ends, ink) in [(LIGHT, ink(".heat td {")), (DARK, ink(".heat td { background: var(--dark)"))] {
            for percent in 0..=100 {
                let contrast = contrast(colour(ends, f64::from(percent) / 100.0), ink);
                assert!(contrast >= 4.5, "{percent}: {contrast}");
            }
        }
    }

    #[test]
    fn more_is_further_from_the_paper_and_what_is_out_of_range_has_an_end() {
        let paper = |ends, share| {
            contrast(
                colour(ends, share),
                if ends == LIGHT { RGBColor(255, 255, 255) } else { RGBColor(0x16, 0x18, 0x1a) },
            )
        };
        for ends in [LIGHT, DARK] {
            assert!(
                (3..10)
                    .all(|tenth| paper(ends, f64::from(tenth) / 10.0)
                        < paper(ends, f64::from(tenth + 1) / 10.0))
            );
            assert_eq!([-1.0, 7.0].map(|share| colour(ends, share)), ends);
            assert_eq!(colour(ends, f64::NAN), ends[0]);
        }
    }
}
