//! The grid point whose direction is nearest to that of a vector.
//!
//! A code of B bits per component stands for the vector of half-integers u - (2^B - 1) / 2, u = 0 .. 2^B. Only its direction
//! counts: the length is kept apart. Which point has the best direction depends on how the vector is scaled before it is
//! rounded to the grid (Gao et al., "Practical and Asymptotically Optimal Quantization of High-Dimensional Vectors in Euclidean
//! Space for Approximate Nearest Neighbor Search", 2024, section 3.2). They walk through all scales at which the code changes;
//! here it is the best of a few dozen scales, which comes within the noise of it and takes a tenth of the time.

/// What a code stands for: half-integers, in units of the grid.
#[inline(always)]
pub fn centred(code: u8, bits: usize) -> f32 {
    f32::from(code) - centre_of_grid(bits)
}

/// The middle between the smallest and the largest code.
#[inline(always)]
pub fn centre_of_grid(bits: usize) -> f32 {
    ((1u32 << bits) - 1) as f32 / 2.0
}

/// How well a grid point fits a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The inner product of grid point and vector.
    pub product: f64,
    /// The squared length of the grid point.
    pub square: f64,
}

impl Fit {
    /// The cosine of the angle between them, for a vector of unit length.
    pub fn cosine(self) -> f64 {
        self.product / self.square.sqrt()
    }
}

/// Scales tried in a first pass over the whole range, and in a second around the best of the first.
const TRIALS: usize = 16;

/// Writes the code of each component of `unit`, which has unit length and at least one component, and tells how well it fits.
pub fn quantise(unit: &[f32], bits: usize, codes: &mut [u8]) -> Fit {
    let scale = if bits == 1 { 1.0 } else { best_scale(unit, bits) };
    let levels = (1u32 << bits) as f32;
    let (mut product, mut square) = (0.0f64, 0.0f64);
    for (x, code) in unit.iter().zip(codes) {
        *code = (x * scale + levels / 2.0).clamp(0.0, levels - 1.0) as u8;
        let centred = f64::from(centred(*code, bits));
        product += centred * f64::from(*x);
        square += centred * centred;
    }
    Fit { product, square }
}

/// The factor that brings `unit` to the scale of the grid where rounding turns it least.
fn best_scale(unit: &[f32], bits: usize) -> f32 {
    let largest = unit.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    // The scale at which the largest component just meets the end of the grid. Twice or thrice of it clips some components and
    // resolves the others better, which pays unless they are few.
    let unclipped = (1 << (bits - 1)) as f32 / largest;
    let mut best = (0.0, unclipped);
    let (mut centre, mut step) = (2.0, 2.4 / TRIALS as f32);
    for _ in 0..2 {
        for trial in 0..=TRIALS {
            let scale = unclipped * (centre + (trial as f32 - TRIALS as f32 / 2.0) * step);
            let cosine = cosine_at(unit, bits, scale);
            if cosine > best.0 {
                best = (cosine, scale);
            }
        }
        centre = best.1 / unclipped;
        step *= 2.0 / TRIALS as f32;
    }
    best.1
}

/// The square of the cosine, up to a factor, that `scale` reaches; in lanes, so that it can be vectorised.
fn cosine_at(unit: &[f32], bits: usize, scale: f32) -> f32 {
    const LANES: usize = 16;
    let end = ((1 << (bits - 1)) as f32) - 0.5;
    let (mut product, mut square) = ([0.0f32; LANES], [0.0f32; LANES]);
    for chunk in unit.chunks(LANES) {
        for ((x, product), square) in chunk.iter().zip(&mut product).zip(&mut square) {
            // Truncation towards zero and a half: the nearest half-integer, by magnitude.
            let magnitude = x.abs();
            let centred = ((magnitude * scale) as i32 as f32 + 0.5).min(end);
            *product += centred * magnitude;
            *square += centred * centred;
        }
    }
    let (product, square): (f32, f32) = (product.iter().sum(), square.iter().sum());
    product * product / square
}
