//! A random rotation that takes a vector of `d` components O(d log d) operations, and O(d) memory.
//!
//! A rotation spreads what is in few components over all of them, which is what makes codes of few bits per component good
//! and the error of their estimates known (Gao and Long, "RaBitQ", SIGMOD 2024, section 3.1). A random orthogonal matrix would
//! take d² operations. Instead, rounds of random sign flips and a Hadamard transform (Ailon and Chazelle, "The fast
//! Johnson-Lindenstrauss transform", 2009). The transform works on a power of two of components, so it is laid over the first
//! components in even rounds and over the last in odd ones, and a step of Kac's walk, one half of the vector against the other,
//! carries between what only one of them reaches (as in the authors' RaBitQ library).

use crate::distance::Isa;
use crate::mix::mix;

/// How many rounds. Two give most of what there is to gain; four are what the RaBitQ library takes.
const ROUNDS: usize = 4;

/// A rotation of vectors of one dimension, given by a seed.
pub struct Rotation {
    dim: usize,
    /// The largest power of two up to `dim`.
    block: usize,
    /// By round and component: a random sign; divided by √block within the block, which makes the transform orthogonal.
    factors: Box<[f32]>,
    routine: fn(&Rotation, &mut [f32]),
}

impl Rotation {
    /// A rotation of `dim` components, at least one.
    pub fn new(dim: usize, seed: u64) -> Rotation {
        let block = 1 << dim.ilog2();
        let factors = vec![1.0; ROUNDS * dim].into_boxed_slice();
        let routine = match Isa::in_use() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Rotation::rotate_avx512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Rotation::rotate_avx2,
            _ => Rotation::rotate_here,
        };
        let mut rotation = Rotation { dim, block, factors, routine };
        let scale = 1.0 / (block as f32).sqrt();
        for round in 0..ROUNDS {
            let start = rotation.start(round);
            rotation.factors[round * dim + start..][..block].fill(scale);
        }
        for (i, factor) in rotation.factors.iter_mut().enumerate() {
            let random = mix(seed ^ mix(i as u64));
            *factor = factor.copysign(if random & 1 == 0 { 1.0 } else { -1.0 });
        }
        rotation
    }

    /// Where the block of a round starts.
    #[inline(always)]
    fn start(&self, round: usize) -> usize {
        if round.is_multiple_of(2) { 0 } else { self.dim - self.block }
    }

    /// Rotates a vector. All instruction sets give the same bits: they do the same operations, more or fewer at once.
    pub fn rotate(&self, vector: &mut [f32]) {
        (self.routine)(self, vector)
    }

    #[inline(always)]
    fn rotate_here(&self, vector: &mut [f32]) {
        for round in 0..ROUNDS {
            self.scale(round, vector);
            hadamard(&mut vector[self.start(round)..][..self.block]);
            self.walk(vector);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn rotate_avx2(&self, vector: &mut [f32]) {
        #[target_feature(enable = "avx2")]
        fn rotate(rotation: &Rotation, vector: &mut [f32]) {
            rotation.rotate_here(vector);
        }
        // SAFETY: chosen only if the machine runs it.
        unsafe { rotate(self, vector) }
    }

    #[cfg(target_arch = "x86_64")]
    fn rotate_avx512(&self, vector: &mut [f32]) {
        #[target_feature(enable = "avx512f")]
        fn rotate(rotation: &Rotation, vector: &mut [f32]) {
            rotation.rotate_here(vector);
        }
        // SAFETY: chosen only if the machine runs it.
        unsafe { rotate(self, vector) }
    }

    /// Undoes [`Rotation::rotate`]: each step is its own transpose.
    pub fn unrotate(&self, vector: &mut [f32]) {
        for round in (0..ROUNDS).rev() {
            self.walk(vector);
            hadamard(&mut vector[self.start(round)..][..self.block]);
            self.scale(round, vector);
        }
    }

    #[inline(always)]
    fn scale(&self, round: usize, vector: &mut [f32]) {
        for (x, factor) in vector.iter_mut().zip(&self.factors[round * self.dim..]) {
            *x *= factor;
        }
    }

    /// Turns each component of the first half and its partner in the second by 45 degrees, unless the block reaches all.
    #[inline(always)]
    fn walk(&self, vector: &mut [f32]) {
        if self.block == self.dim {
            return;
        }
        let (first, second) = vector.split_at_mut(self.dim / 2);
        for (a, b) in first.iter_mut().zip(second) {
            (*a, *b) =
                ((*a + *b) * core::f32::consts::FRAC_1_SQRT_2, (*a - *b) * core::f32::consts::FRAC_1_SQRT_2);
        }
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.factors)
    }
}

/// The Hadamard transform of a power of two of components, without its factor.
#[inline(always)]
fn hadamard(vector: &mut [f32]) {
    let mut half = vector.len() / 2;
    // Halves of at least a register are added to each other as they lie ...
    while half >= SMALL {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (first, second) = pair.split_at_mut(half);
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
    // ... and what is left are transforms of one register each, or of a shorter vector.
    let (chunks, rest) = vector.as_chunks_mut::<SMALL>();
    for chunk in chunks {
        butterflies(chunk);
    }
    butterflies(rest);
}

/// Components of a transform that stays in registers.
const SMALL: usize = 16;

#[inline(always)]
fn butterflies(vector: &mut [f32]) {
    let mut half = vector.len() / 2;
    while half > 0 {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (first, second) = pair.split_at_mut(half);
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components from -1 to 1.
    fn random(dim: usize, seed: u64) -> Vec<f32> {
        (0..dim).map(|i| mix(seed ^ mix(i as u64)) as i64 as f32 / i64::MAX as f32).collect()
    }

    fn product(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    fn rotated(rotation: &Rotation, vector: &[f32]) -> Vec<f32> {
        let mut vector = vector.to_vec();
        rotation.rotate(&mut vector);
        vector
    }

    #[test]
    fn lengths_and_inner_products_are_kept_in_every_dimension() {
        for dim in (1..=300).chain([768, 1000, 1023, 1024, 1025, 1536]) {
            let rotation = Rotation::new(dim, 1);
            let (a, b) = (random(dim, 2), random(dim, 3));
            let (c, d) = (rotated(&rotation, &a), rotated(&rotation, &b));
            let error = 1e-6 * (product(&a, &a) * product(&b, &b)).sqrt();
            for (before, after) in [((&a, &a), (&c, &c)), ((&b, &b), (&d, &d)), ((&a, &b), (&c, &d))] {
                let (before, after) = (product(before.0, before.1), product(after.0, after.1));
                assert!((before - after).abs() <= 2.0 * error, "{dim}-d: {after} for {before}");
            }
        }
    }

    #[test]
    fn a_rotation_is_undone() {
        for dim in (1..=130).chain([300, 1024]) {
            let rotation = Rotation::new(dim, 4);
            let vector = random(dim, 5);
            let mut back = rotated(&rotation, &vector);
            rotation.unrotate(&mut back);
            let error = vector.iter().zip(&back).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(error < 1e-5, "{dim}-d: off by {error}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for dim in [1, 2, 3, 16, 17, 100, 128, 300, 1024] {
            let rotation = Rotation::new(dim, 6);
            let vector = random(dim, 7);
            let mut plain = vector.clone();
            rotation.rotate_here(&mut plain);
            assert_eq!(rotated(&rotation, &vector), plain, "{dim}-d");
            #[cfg(target_arch = "x86_64")]
            for (isa, routine) in [
                (Isa::Avx2, Rotation::rotate_avx2 as fn(&Rotation, &mut [f32])),
                (Isa::Avx512, Rotation::rotate_avx512),
            ] {
                if isa.is_available() {
                    let mut other = vector.clone();
                    routine(&rotation, &mut other);
                    assert_eq!(other, plain, "{isa} {dim}-d");
                }
            }
        }
    }

    /// No component of a rotated axis is much larger than the others; that is what rotating is for.
    #[test]
    fn a_single_component_is_spread_over_all() {
        for dim in [64usize, 100, 129, 200, 255, 384, 768, 1000, 1024] {
            let rotation = Rotation::new(dim, 8);
            for axis in [0, 1, dim / 2, dim - 1] {
                let mut vector = vec![0.0; dim];
                vector[axis] = 1.0;
                let largest = rotated(&rotation, &vector).iter().fold(0.0f32, |l, x| l.max(x.abs()));
                // Of `dim` normal variates of variance 1 / dim, the largest is about √(2 ln dim / dim).
                let usual = (2.0 * (dim as f32).ln() / dim as f32).sqrt();
                assert!(largest < 2.0 * usual, "axis {axis} of {dim}: {largest}, usual is {usual}");
            }
        }
    }

    #[test]
    fn another_seed_is_another_rotation() {
        let vector = random(100, 9);
        assert_ne!(rotated(&Rotation::new(100, 1), &vector), rotated(&Rotation::new(100, 2), &vector));
        assert_eq!(rotated(&Rotation::new(100, 1), &vector), rotated(&Rotation::new(100, 1), &vector));
    }
}
