//! How colours look to people who see fewer of them, so that tests can ask whether they are told apart.
//!
//! - What dichromats see: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color
//!   Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15 (6), 2009: the matrices of severity 1.0, for
//!   linear RGB.
//! - How different two colours are: ΔE of CIE 1976, the distance in L*a*b* under D65, with the transfer function and the primaries
//!   of sRGB (IEC 61966-2-1). A difference of about 2 is just seen side by side; figures have colours far apart from each other.
//! - Whether text is readable on a colour: the contrast ratio of WCAG 2.

use plotters::style::RGBColor;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vision {
    /// All three kinds of cones.
    Normal,
    /// None for long waves.
    Protanopia,
    /// None for middle waves.
    Deuteranopia,
}

impl Vision {
    pub(crate) const ALL: [Vision; 3] = [Vision::Normal, Vision::Protanopia, Vision::Deuteranopia];

    /// What becomes of linear RGB.
    const fn matrix(self) -> [[f64; 3]; 3] {
        match self {
            Vision::Normal => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Vision::Protanopia => [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
            Vision::Deuteranopia => [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        }
    }
}

/// sRGB to linear XYZ under D65.
const XYZ: [[f64; 3]; 3] =
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];

/// The white of D65.
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];

fn times(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(factor, value)| factor * value).sum())
}

fn linear(RGBColor(r, g, b): RGBColor) -> [f64; 3] {
    [r, g, b].map(|channel| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

fn lab(colour: RGBColor, vision: Vision) -> [f64; 3] {
    let seen = times(vision.matrix(), linear(colour)).map(|channel| channel.clamp(0.0, 1.0));
    let [x, y, z] = times(XYZ, seen);
    let [x, y, z] = [x / WHITE[0], y / WHITE[1], z / WHITE[2]].map(|ratio| {
        if ratio > 216.0 / 24389.0 { ratio.cbrt() } else { (24389.0 / 27.0 * ratio + 16.0) / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// ΔE of two colours for such eyes.
pub(crate) fn difference(one: RGBColor, other: RGBColor, vision: Vision) -> f64 {
    let (one, other) = (lab(one, vision), lab(other, vision));
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

/// From 1, no contrast, to 21, black on white.
pub(crate) fn contrast(one: RGBColor, other: RGBColor) -> f64 {
    let luminance = |colour| times(XYZ, linear(colour))[1] + 0.05;
    let (one, other) = (luminance(one), luminance(other));
    one.max(other) / one.min(other)
}

#[test]
fn greys_stay_and_red_and_green_come_nearer() {
    let (white, black) = (RGBColor(255, 255, 255), RGBColor(0, 0, 0));
    let (red, green) = (RGBColor(200, 60, 0), RGBColor(90, 130, 0));
    assert!((contrast(white, black) - 21.0).abs() < 1e-3);
    for vision in Vision::ALL {
        assert!((difference(white, black, vision) - 100.0).abs() < 0.1, "{vision:?}");
        let grey = lab(RGBColor(128, 128, 128), vision);
        assert!(grey[1].abs() < 0.1 && grey[2].abs() < 0.1, "{vision:?}: {grey:?}");
    }
    let normal = difference(red, green, Vision::Normal);
    let [protan, deutan] =
        [Vision::Protanopia, Vision::Deuteranopia].map(|vision| difference(red, green, vision));
    assert!(normal > 60.0 && protan < normal / 2.0 && deutan < normal / 2.0, "{normal} {protan} {deutan}");
}
