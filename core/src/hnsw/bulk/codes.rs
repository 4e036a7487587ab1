//! Vectors in 7-bit codes, for one use: to find near ones quickly.

use super::spare::Spare;
use crate::distance::tile::{MAX_CODE, Panels, TileScratch, Tiles, pack_row, term, words};
use crate::distance::{Metric, prefetch};
use crate::huge;
use crate::mix::mix;
use rayon::iter::repeat_n;
use rayon::prelude::*;

/// Vectors of which the range of components is learned.
const SAMPLE: usize = 2_000;
/// Components of a group of which its own range is learned: it is learned for each group.
const SAMPLE_OF_GROUP: usize = 1 << 15;
/// The fewest vectors of a group that it is learned of.
const FEWEST_OF_GROUP: usize = 32;
/// One part in this many of the components is outside of the range, and coded as its end.
const TAIL: usize = 500;
/// Rows that one thread codes at a time.
const GRAIN: usize = 256;
/// Square of the difference that components of two codes have, on average, if codes can tell how far apart the vectors are:
/// rounding adds 1/6 to it.
const CLEAR: i32 = 8;

/// The codes of some vectors, one after another.
pub(super) struct Codes<'r> {
    rows: &'r [f32],
    dim: usize,
    metric: Metric,
    tiles: Tiles,
    codes: Vec<u8>,
    /// What [`term`] says of each vector.
    terms: Vec<i32>,
    /// A squared distance of codes in units of the metric.
    unit: f32,
}

/// Work space for what is done to a group.
pub(super) struct Work {
    pub tile: TileScratch,
    pub panels: Panels,
    pub rows: Vec<i32>,
    /// The vectors of a group, and what codes of its own need.
    vectors: Vec<f32>,
    buffers: Buffers,
}

impl Work {
    /// For vectors of `dim` components.
    pub fn spare(dim: usize) -> Spare<Work> {
        Spare::new(move || Work {
            tile: TileScratch::default(),
            panels: Panels::new(dim),
            rows: Vec::new(),
            vectors: Vec::new(),
            buffers: Buffers::default(),
        })
    }
}

/// What codes are kept in, and learned in.
#[derive(Default)]
struct Buffers {
    codes: Vec<u8>,
    terms: Vec<i32>,
    deviations: Vec<f32>,
}

impl<'r> Codes<'r> {
    /// Codes for the rows of a row-major array. All components have one scale, so that distances of codes follow Euclidean
    /// distances (of unit vectors, for the cosine metric); each has an origin of its own, its mean.
    pub fn new(rows: &'r [f32], dim: usize, metric: Metric, tiles: Tiles) -> Self {
        let mut buffers = Buffers { codes: huge::collect(repeat_n(0, rows.len())), ..Buffers::default() };
        Codes::learned(rows, dim, metric, tiles, SAMPLE, &mut buffers)
    }

    /// The same, with the number of vectors to learn from, and in these buffers.
    fn learned(
        rows: &'r [f32],
        dim: usize,
        metric: Metric,
        tiles: Tiles,
        sample: usize,
        buffers: &mut Buffers,
    ) -> Self {
        let count = rows.len() / dim;
        let length = |row: &[f32]| match metric {
            Metric::Cosine => row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32,
            Metric::L2 | Metric::InnerProduct => 1.0,
        };
        let sample: Vec<&[f32]> = (0..sample.min(count))
            .map(|i| if count > sample { (mix(i as u64) % count as u64) as usize } else { i })
            .map(|row| &rows[row * dim..][..dim])
            .collect();
        let mut mean = vec![0.0f64; dim];
        for &row in &sample {
            let scale = 1.0 / length(row);
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(x * scale));
        }
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / sample.len() as f64) as f32).collect();
        let Buffers { codes, terms, deviations } = buffers;
        deviations.clear();
        for &row in &sample {
            let scale = 1.0 / length(row);
            deviations.extend(row.iter().zip(&mean).map(|(x, mean)| (x * scale - mean).abs()));
        }
        let rank = deviations.len() - 1 - deviations.len() / TAIL;
        let (_, range, _) = deviations.select_nth_unstable_by(rank, f32::total_cmp);
        let half = f32::from(MAX_CODE) / 2.0;
        // From a range of nothing nothing can be told, and any step will do.
        let step = if *range > 1e-30 { half / *range } else { 1.0 };
        let (mut codes, mut terms) = (std::mem::take(codes), std::mem::take(terms));
        codes.resize(rows.len(), 0);
        terms.resize(count, 0);
        let chunks = codes.par_chunks_mut(GRAIN * dim).zip(terms.par_chunks_mut(GRAIN));
        chunks.zip(rows.par_chunks(GRAIN * dim)).for_each(|((codes, terms), rows)| {
            for ((codes, term_of), row) in codes.chunks_mut(dim).zip(terms).zip(rows.chunks(dim)) {
                let scale = 1.0 / length(row);
                for ((code, x), mean) in codes.iter_mut().zip(row).zip(&mean) {
                    let value = ((x * scale - mean) * step + half).clamp(0.0, f32::from(MAX_CODE));
                    *code = rounded(value);
                }
                *term_of = term(codes);
            }
        });
        let unit = match metric {
            Metric::L2 | Metric::InnerProduct => 1.0 / (step * step),
            // The square of the distance of unit vectors is twice the cosine distance.
            Metric::Cosine => 0.5 / (step * step),
        };
        Codes { rows, dim, metric, tiles, codes, terms, unit }
    }

    /// The kernels that compare them.
    pub fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    pub fn len(&self) -> usize {
        self.codes.len() / self.dim
    }

    fn of(&self, point: u32) -> &[u8] {
        &self.codes[point as usize * self.dim..][..self.dim]
    }

    /// A squared distance of codes in units of the metric.
    pub fn distance(&self, square: i32) -> f32 {
        square as f32 * self.unit
    }

    /// Whether vectors that are this far apart by code are so in truth.
    pub fn clear(&self, square: i32) -> bool {
        square / self.dim as i32 >= CLEAR
    }

    /// Whether codes tell the distances in a group of points.
    pub fn tell(&self, mut points: impl ExactSizeIterator<Item = u32>) -> bool {
        let between = points.len().div_ceil(32).max(1);
        let mut before = points.next().unwrap_or(0);
        let (mut sum, mut pairs) = (0i64, 0);
        for point in points.step_by(between) {
            let squares = self
                .of(before)
                .iter()
                .zip(self.of(point))
                .map(|(x, y)| (i32::from(*x) - i32::from(*y)).pow(2));
            sum += i64::from(squares.sum::<i32>());
            pairs += 1;
            before = point;
        }
        pairs == 0 || self.clear((sum / pairs) as i32)
    }

    /// Calls `each` with codes that tell the distances in a group, and the number of each of its points there: these, or, where the
    /// group is a small part of the whole and all are alike in it, codes of its own.
    pub fn for_group<R>(
        &self,
        points: &[u32],
        work: &mut Work,
        each: impl FnOnce(&Codes<'_>, &(dyn Fn(usize) -> u32 + Sync), &mut Work) -> R,
    ) -> R {
        if self.tell(points.iter().copied()) {
            return each(self, &|i| points[i], work);
        }
        let mut vectors = std::mem::take(&mut work.vectors);
        vectors.clear();
        for point in points {
            vectors.extend_from_slice(&self.rows[*point as usize * self.dim..][..self.dim]);
        }
        let sample = (SAMPLE_OF_GROUP / self.dim).max(FEWEST_OF_GROUP);
        let own = Codes::learned(&vectors, self.dim, self.metric, self.tiles, sample, &mut work.buffers);
        let result = each(&own, &|i| i as u32, work);
        (work.buffers.codes, work.buffers.terms) = (own.codes, own.terms);
        work.vectors = vectors;
        result
    }

    /// Makes points rows of a tile.
    pub fn rows(&self, points: impl ExactSizeIterator<Item = u32>, rows: &mut Vec<i32>) {
        rows.clear();
        rows.resize(points.len() * words(self.dim), 0);
        rows.chunks_exact_mut(words(self.dim))
            .zip(points)
            .for_each(|(row, point)| pack_row(self.of(point), row));
    }

    /// Makes points the columns of a tile.
    pub fn columns(&self, points: impl Iterator<Item = u32>, panels: &mut Panels) {
        panels.fill(points.map(|point| (self.of(point), self.terms[point as usize])));
    }

    /// The squared distances of codes of a point and others.
    pub fn squares(&self, from: u32, others: impl ExactSizeIterator<Item = u32>, squares: &mut Vec<i32>) {
        self.tiles.squares(self.of(from), others.map(|other| self.of(other)), squares);
    }

    /// Fetches the codes of a point into the cache.
    pub fn fetch(&self, point: u32) {
        // More lines than these the machine fetches ahead by itself.
        self.of(point).chunks(64).take(2).for_each(|line| prefetch(line.as_ptr()));
    }
}

/// The nearest integer of a value that a byte holds. What is added leaves it in the last bits of the sum, so no conversion is needed
/// that checks each value for itself.
fn rounded(value: f32) -> u8 {
    (value + (1 << 23) as f32).to_bits() as u8
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_the_nearest_integer() {
        for value in 0..=u32::from(MAX_CODE) * 100 {
            let value = value as f32 / 100.0;
            assert!((f32::from(rounded(value)) - value).abs() <= 0.5, "{value}");
        }
    }
}
