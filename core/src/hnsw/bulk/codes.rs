//! Vectors in 7-bit codes, for one use: to find near ones quickly.

use crate::distance::tile::{MAX_CODE, Panels, Tiles, pack_row, term, words};
use crate::distance::{Metric, prefetch};
use crate::mix::mix;
use rayon::prelude::*;

/// Vectors of which the range of components is learned.
const SAMPLE: usize = 2_000;
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

impl<'r> Codes<'r> {
    /// Codes for the rows of a row-major array. All components have one scale, so that distances of codes follow Euclidean
    /// distances (of unit vectors, for the cosine metric); each has an origin of its own, its mean.
    pub fn new(rows: &'r [f32], dim: usize, metric: Metric, tiles: Tiles) -> Self {
        let count = rows.len() / dim;
        let length = |row: &[f32]| match metric {
            Metric::Cosine => row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32,
            Metric::L2 | Metric::InnerProduct => 1.0,
        };
        let sample: Vec<&[f32]> = (0..SAMPLE.min(count))
            .map(|i| if count > SAMPLE { (mix(i as u64) % count as u64) as usize } else { i })
            .map(|row| &rows[row * dim..][..dim])
            .collect();
        let mut mean = vec![0.0f64; dim];
        for &row in &sample {
            let scale = 1.0 / length(row);
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(x * scale));
        }
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / sample.len() as f64) as f32).collect();
        let mut deviations: Vec<f32> = sample
            .iter()
            .flat_map(|row| {
                let scale = 1.0 / length(row);
                row.iter().zip(&mean).map(move |(x, mean)| (x * scale - mean).abs())
            })
            .collect();
        let rank = deviations.len() - 1 - deviations.len() / TAIL;
        let (_, range, _) = deviations.select_nth_unstable_by(rank, f32::total_cmp);
        let half = f32::from(MAX_CODE) / 2.0;
        // From a range of nothing nothing can be told, and any step will do.
        let step = if *range > 1e-30 { half / *range } else { 1.0 };
        let (mut codes, mut terms) = (vec![0; rows.len()], vec![0; count]);
        let chunks = codes.par_chunks_mut(GRAIN * dim).zip(terms.par_chunks_mut(GRAIN));
        chunks.zip(rows.par_chunks(GRAIN * dim)).for_each(|((codes, terms), rows)| {
            for ((codes, term_of), row) in codes.chunks_mut(dim).zip(terms).zip(rows.chunks(dim)) {
                let scale = 1.0 / length(row);
                for ((code, x), mean) in codes.iter_mut().zip(row).zip(&mean) {
                    // Rounds; the conversion cuts off, at 0 too.
                    let value = (x * scale - mean) * step + half + 0.5;
                    *code = value.min(f32::from(MAX_CODE)) as u8;
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

    /// The vectors of a group.
    pub fn gather(&self, points: impl Iterator<Item = u32>) -> Vec<f32> {
        points.flat_map(|point| &self.rows[point as usize * self.dim..][..self.dim]).copied().collect()
    }

    /// Codes made for the vectors of a group.
    pub fn local<'g>(&self, rows: &'g [f32]) -> Codes<'g> {
        Codes::new(rows, self.dim, self.metric, self.tiles)
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

    /// No columns yet.
    pub fn panels(&self) -> Panels {
        Panels::new(self.dim)
    }
}
