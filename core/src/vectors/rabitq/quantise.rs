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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::mix;

    /// A random vector of unit length with normal components, by sums of uniform ones.
    fn unit(dim: usize, seed: u64) -> Vec<f32> {
        let uniform = |i: usize| mix(seed ^ mix(i as u64)) as f64 / u64::MAX as f64 - 0.5;
        let normal: Vec<f64> = (0..dim).map(|i| (0..12).map(|j| uniform(12 * i + j)).sum()).collect();
        let length = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
        normal.iter().map(|x| (x / length) as f32).collect()
    }

    #[test]
    fn codes_come_as_near_as_their_bits_allow() {
        // What uniform quantisers of normal variates reach at best (Max, "Quantizing for Minimum Distortion", 1960): the
        // distortions 0.3634, 0.1188, 0.03744, 0.01154 are one minus the squared cosine.
        for (bits, distortion) in [(1, 0.3634), (2, 0.1188), (3, 0.03744), (4, 0.01154)] {
            let mut codes = vec![0; 1024];
            let fits = (0..20).map(|seed| quantise(&unit(1024, seed), bits, &mut codes).cosine());
            let found = fits.map(|cosine| 1.0 - cosine * cosine).sum::<f64>() / 20.0;
            // A little less, since the sums of uniform variates have shorter tails.
            assert!((0.85..1.01).contains(&(found / distortion)), "{bits} bits: {found} for {distortion}");
        }
    }

    #[test]
    fn no_scale_is_much_better_than_the_one_found() {
        for bits in 2..=4 {
            for dim in [3, 10, 100, 768] {
                let unit = unit(dim, dim as u64);
                let found = quantise(&unit, bits, &mut vec![0; dim]).cosine();
                let largest = unit.iter().fold(0.0f32, |l, x| l.max(x.abs()));
                let scales = (1..4000).map(|i| i as f32 / 1000.0 * (1 << (bits - 1)) as f32 / largest);
                let best =
                    scales.map(|scale| f64::from(cosine_at(&unit, bits, scale)).sqrt()).fold(0.0, f64::max);
                assert!(
                    (1.0 - found) <= (1.0 - best) * 1.02 + 1e-6,
                    "{bits} bits, {dim}-d: {found}, best {best}"
                );
            }
        }
    }

    #[test]
    fn the_fit_is_that_of_the_codes() {
        for bits in 1..=4 {
            let unit = unit(77, 1);
            let mut codes = vec![0; 77];
            let fit = quantise(&unit, bits, &mut codes);
            assert!(codes.iter().all(|code| *code < 1 << bits));
            let grid: Vec<f64> = codes.iter().map(|code| f64::from(centred(*code, bits))).collect();
            let product: f64 = grid.iter().zip(&unit).map(|(x, y)| x * f64::from(*y)).sum();
            let square: f64 = grid.iter().map(|x| x * x).sum();
            assert!((fit.product - product).abs() < 1e-9 && (fit.square - square).abs() < 1e-9);
        }
    }

    #[test]
    fn one_large_component_among_zeros_and_equal_components_have_codes() {
        for bits in 1..=4 {
            for dim in [1, 2, 16, 100] {
                let mut axis = vec![0.0; dim];
                axis[dim / 2] = -1.0;
                let equal = vec![1.0 / (dim as f32).sqrt(); dim];
                for vector in [axis, equal.clone()] {
                    let fit = quantise(&vector, bits, &mut vec![0; dim]);
                    assert!(fit.product > 0.0 && fit.cosine() <= 1.0 + 1e-6);
                }
                let cosine = quantise(&equal, bits, &mut vec![0; dim]).cosine();
                assert!((cosine - 1.0).abs() < 1e-6, "{bits} bits: {cosine}");
            }
        }
    }
}
