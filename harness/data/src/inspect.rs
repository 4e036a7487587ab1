//! What vectors look like: ranges, lengths, duplicates, and how many dimensions they really have.

use super::dataset::hash_values;
use super::read::Matrix;
use super::truth::{Space, Watch};
use hnsw_core::distance::Metric;
use rayon::prelude::*;
use std::collections::HashSet;
use std::fmt;

/// Rows that the intrinsic dimension is estimated from, and neighbours of each.
const LID_SAMPLE: usize = 200;
const LID_NEIGHBOURS: usize = 100;

/// What the vectors of a file look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Rows.
    pub rows: usize,
    /// Components of a row.
    pub dim: usize,
    /// Type of the values in the file.
    pub element: &'static str,
    /// Smallest and largest component.
    pub values: (f32, f32),
    /// Smallest and largest Euclidean length of a row.
    pub norms: (f64, f64),
    /// Rows that are equal to an earlier one, bit by bit.
    pub duplicates: usize,
    /// Local intrinsic dimension; `None` if there are too few different rows.
    pub lid: Option<Lid>,
    /// BLAKE3 of the values as little-endian f32.
    pub digest: blake3::Hash,
}

/// Local intrinsic dimension by maximum likelihood (Levina and Bickel) at the 100 nearest neighbours of 200 sampled rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lid {
    /// The median over the sample.
    pub median: f64,
    /// The inverse of the mean inverse (MacKay and Ghahramani's correction), less moved by outliers upwards.
    pub mean_inverse: f64,
}

impl Profile {
    /// Looks at all rows; reports its progress and stops early (without the intrinsic dimension) if `watch` says so.
    pub fn of(vectors: &Matrix<f32>, watch: Watch<'_>) -> Profile {
        let dim = vectors.dim;
        let rows = || vectors.values.par_chunks_exact(dim);
        let range = |(a, b): (f32, f32), (c, d): (f32, f32)| (a.min(c), b.max(d));
        let norm = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let fingerprints: Vec<[u8; 16]> = rows().map(fingerprint).collect();
        let different = fingerprints.iter().collect::<HashSet<_>>().len();
        let mut hasher = blake3::Hasher::new();
        hash_values(&mut hasher, &vectors.values);
        Profile {
            rows: vectors.rows(),
            dim,
            element: vectors.element.name(),
            values: vectors
                .values
                .par_iter()
                .map(|&x| (x, x))
                .reduce(|| (f32::INFINITY, f32::NEG_INFINITY), range),
            norms: rows()
                .map(|row| (norm(row), norm(row)))
                .reduce(|| (f64::INFINITY, 0.0), |(a, b), (c, d)| (a.min(c), b.max(d))),
            duplicates: fingerprints.len() - different,
            lid: lid(&vectors.values, dim, watch),
            digest: hasher.finalize(),
        }
    }
}

/// Equal for equal rows; different, but for an accident of 1 in 2^64 pairs, for different ones.
fn fingerprint(row: &[f32]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hash_values(&mut hasher, row);
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

fn lid(base: &[f32], dim: usize, watch: Watch<'_>) -> Option<Lid> {
    let rows = base.len() / dim;
    let sample = LID_SAMPLE.min(rows);
    let queries: Vec<f32> =
        (0..sample).flat_map(|i| &base[i * rows / sample * dim..][..dim]).copied().collect();
    let space = Space { metric: Metric::L2, dim, base, queries: &queries };
    // One more, because each row finds itself.
    let truth = space.nearest(LID_NEIGHBOURS + 1, watch).ok()?;
    let inverse = |squares: &[f32]| {
        // Distances of components above 1e15 may overflow.
        let far = squares.last().map(|&d| f64::from(d)).filter(|d| d.is_finite())?;
        // log(d / far) of distances is half of that of their squares.
        let logs: Vec<f64> =
            squares.iter().filter(|&&d| d > 0.0).map(|&d| (f64::from(d) / far).ln() / 2.0).collect();
        let sum: f64 = logs.iter().sum();
        // The farthest contributes log 1 = 0 and is not counted.
        (logs.len() > 2 && sum < 0.0).then(|| -sum / (logs.len() - 1) as f64)
    };
    let mut inverses: Vec<f64> = truth.distances.chunks_exact(truth.k).filter_map(inverse).collect();
    if inverses.is_empty() {
        return None;
    }
    inverses.sort_by(f64::total_cmp);
    let mean = inverses.iter().sum::<f64>() / inverses.len() as f64;
    Some(Lid { median: 1.0 / inverses[inverses.len() / 2], mean_inverse: 1.0 / mean })
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  shape       {} x {} {}", self.rows, self.dim, self.element)?;
        writeln!(f, "  values      {} .. {}", self.values.0, self.values.1)?;
        writeln!(f, "  norms       {:.4} .. {:.4}", self.norms.0, self.norms.1)?;
        writeln!(f, "  duplicates  {}", self.duplicates)?;
        match self.lid {
            Some(lid) => writeln!(
                f,
                "  intrinsic   {:.1} (median; {:.1} by mean inverse)",
                lid.median, lid.mean_inverse
            )?,
            None => writeln!(f, "  intrinsic   unknown: too few different rows")?,
        }
        writeln!(f, "  digest      {}", self.digest.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Element, generate};
    use super::*;

    fn profile(dim: usize, values: &[f32]) -> Profile {
        let rows_in_file = values.len() / dim;
        let matrix = Matrix { values: values.to_vec(), dim, rows_in_file, element: Element::F32 };
        Profile::of(&matrix, Watch::none())
    }

    #[test]
    fn ranges_and_duplicates_are_counted() {
        let seen = profile(2, &[3.0, 4.0, 0.0, -1.0, 3.0, 4.0, 3.0, 4.0]);
        assert_eq!((seen.rows, seen.dim, seen.duplicates), (4, 2, 2));
        assert_eq!((seen.values, seen.norms), ((-1.0, 4.0), (1.0, 5.0)));
        assert!(seen.to_string().contains("4 x 2 f32"), "{seen}");
    }

    #[test]
    fn equal_rows_have_no_dimension() {
        assert_eq!(profile(1, &[1.0; 50]).lid, None);
        assert_eq!(profile(3, &[1.0; 3]).lid, None);
        assert_eq!(profile(1, &[f32::MAX, -f32::MAX, 0.0, 1.0, 2.0]).lid, None);
    }

    #[test]
    fn the_intrinsic_dimension_is_found_whatever_the_dimension() {
        let shape = generate::Shape { rows: 5_000, dim: 64, queries: 1, seed: 3 };
        let estimate = |intrinsic| {
            let set = generate::clustered(&shape, intrinsic).unwrap();
            profile(64, set.base()).lid.unwrap().median
        };
        let (low, high) = (estimate(4), estimate(16));
        assert!((2.5..5.5).contains(&low), "{low}");
        assert!((8.0..18.0).contains(&high), "{high}");
    }
}
