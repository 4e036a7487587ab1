//! Seeded data sets, the same on every machine and for any number of threads.
//!
//! Every row has its own stream of ChaCha8 (key: seed and generator; stream: role and row), so rows can be made in any order
//! and the first rows do not depend on how many there are. Only operations that IEEE 754 rounds exactly are used: integer
//! to float, addition, multiplication, division, square root.

use super::dataset::{Dataset, DatasetError};
use hnsw_core::distance::Metric;
use hnsw_core::error::MAX_DIM;
use hnsw_core::graph::MAX_NODES;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use thiserror::Error;

/// How much to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Base rows.
    pub rows: usize,
    /// Components of a vector.
    pub dim: usize,
    /// Queries, drawn from the same distribution by separate streams.
    pub queries: usize,
    /// The same seed gives the same data.
    pub seed: u64,
}

/// The `seed` workload: with [`uniform`], and `k` = [`SEED_K`].
pub const SEED_WORKLOAD: Shape = Shape { rows: 100_000, dim: 128, queries: 10_000, seed: 42 };
/// Neighbours asked for in the `seed` workload.
pub const SEED_K: usize = 10;

/// A data set cannot be generated.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// Rows or queries.
    #[error("the number of {what} is {count}; it must be from 1 to {MAX_NODES}")]
    Count {
        /// `rows` or `queries`.
        what: &'static str,
        /// What was asked for.
        count: usize,
    },
    /// Dimension.
    #[error("the dimension is {0}; it must be from 1 to {MAX_DIM}")]
    Dim(usize),
    /// Intrinsic dimension.
    #[error("the intrinsic dimension is {intrinsic}; it must be from 1 to the dimension ({dim})")]
    Intrinsic {
        /// What was asked for.
        intrinsic: usize,
        /// The dimension.
        dim: usize,
    },
    /// Memory.
    #[error("{rows} rows of {dim} do not fit the memory; ask for fewer")]
    Memory {
        /// Rows.
        rows: usize,
        /// Dimension.
        dim: usize,
    },
    /// The generated vectors are refused.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Rows uniform in the unit cube, L2: no structure at all, the hardest case for its dimension.
///
/// # Errors
/// When a number is out of range or memory does not suffice.
pub fn uniform(shape: &Shape) -> Result<Dataset, GenerateError> {
    shape.check()?;
    let streams = Streams::new(shape.seed, b"uniform");
    let fill = |role, count| {
        rows(count, shape.dim, |row, vector| {
            let mut rng = streams.at(role, row);
            vector.fill_with(|| unit(&mut rng));
        })
    };
    let Shape { rows: n, dim, seed, .. } = *shape;
    Ok(Dataset::new(
        format!("uniform-{n}x{dim}-s{seed}"),
        Metric::L2,
        dim,
        fill(Role::Base, n)?,
        fill(Role::Query, shape.queries)?,
        format!("generated: uniform in the unit cube, seed {seed}"),
    )?)
}

/// Rows in clusters, L2. Each cluster is a bell of radius about 1 in a random `intrinsic`-dimensional subspace, its axes
/// decaying as 1/sqrt(1 + j), plus noise of length 0.01 in all dimensions; centres are about 2 apart.
///
/// There is a cluster per 1,000 rows, at most 100, and fewer where their axes would take more than 64 MB.
///
/// # Errors
/// When a number is out of range or memory does not suffice.
pub fn clustered(shape: &Shape, intrinsic: usize) -> Result<Dataset, GenerateError> {
    shape.check()?;
    let Shape { rows: n, dim, queries, seed } = *shape;
    if intrinsic == 0 || intrinsic > dim {
        return Err(GenerateError::Intrinsic { intrinsic, dim });
    }
    let streams = Streams::new(seed, b"clustered");
    let most = ((64 << 20) / (4 * intrinsic * dim)).clamp(1, 100);
    let clusters = n.div_ceil(1_000).min(most);
    // Per cluster: the centre, then the axes.
    let stride = (1 + intrinsic) * dim;
    let frames = rows(clusters, stride, |cluster, frame| {
        let mut rng = streams.at(Role::Cluster, cluster);
        let total: f32 = (0..intrinsic).map(|j| 1.0 / (1 + j) as f32).sum();
        for (number, vector) in frame.chunks_exact_mut(dim).enumerate() {
            vector.fill_with(|| bell(&mut rng));
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            let wanted = match number {
                0 => 1.5,
                axis => (1.0 / (axis as f32 * total)).sqrt(),
            };
            vector.iter_mut().for_each(|x| *x *= wanted / length);
        }
    })?;
    let noise = 0.01 / (dim as f32).sqrt();
    let fill = |role, count| {
        rows(count, dim, |row, vector| {
            let mut rng = streams.at(role, row);
            let cluster = ((u64::from(rng.next_u32()) * clusters as u64) >> 32) as usize;
            let (centre, axes) = frames[cluster * stride..][..stride].split_at(dim);
            vector.copy_from_slice(centre);
            for axis in axes.chunks_exact(dim) {
                let along = bell(&mut rng);
                vector.iter_mut().zip(axis).for_each(|(x, a)| *x += along * a);
            }
            vector.iter_mut().for_each(|x| *x += noise * bell(&mut rng));
        })
    };
    Ok(Dataset::new(
        format!("clustered-{n}x{dim}-i{intrinsic}-s{seed}"),
        Metric::L2,
        dim,
        fill(Role::Base, n)?,
        fill(Role::Query, queries)?,
        format!("generated: {clusters} clusters of intrinsic dimension {intrinsic}, seed {seed}"),
    )?)
}

impl Shape {
    fn check(&self) -> Result<(), GenerateError> {
        if self.dim == 0 || self.dim > MAX_DIM {
            return Err(GenerateError::Dim(self.dim));
        }
        for (what, count) in [("rows", self.rows), ("queries", self.queries)] {
            if count == 0 || count > MAX_NODES {
                return Err(GenerateError::Count { what, count });
            }
        }
        Ok(())
    }
}

/// What a stream is for.
#[derive(Clone, Copy)]
enum Role {
    Base,
    Query,
    Cluster,
}

/// The streams of one seed.
struct Streams {
    key: [u8; 32],
}

impl Streams {
    fn new(seed: u64, generator: &[u8]) -> Streams {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..8 + generator.len()].copy_from_slice(generator);
        Streams { key }
    }

    fn at(&self, role: Role, row: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream((role as u64) << 32 | row as u64);
        rng
    }
}

/// `count` rows of `dim`, made in parallel.
fn rows(
    count: usize,
    dim: usize,
    make: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<Vec<f32>, GenerateError> {
    let too_large = || GenerateError::Memory { rows: count, dim };
    let length = count.checked_mul(dim).ok_or_else(too_large)?;
    let mut values: Vec<f32> = Vec::new();
    values.try_reserve_exact(length).map_err(|_| too_large())?;
    values.resize(length, 0.0);
    values.par_chunks_exact_mut(dim).enumerate().with_min_len(16).for_each(|(row, vector)| make(row, vector));
    Ok(values)
}

/// Uniform in [0, 1), with all 24 bits that an f32 has there.
fn unit(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// Bell-shaped with mean 0 and variance 1: the sum of four uniform numbers of 16 bits. A true normal variable would need a
/// logarithm, which differs between platforms.
fn bell(rng: &mut ChaCha8Rng) -> f32 {
    let bits = rng.next_u64();
    let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u32 & 0xffff).sum();
    const DEVIATION: f32 = 37837.227; // sqrt(4 / 12) * 2^16
    (sum as f32 - 2.0 * 65535.0) / DEVIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape = Shape { rows: 2_000, dim: 32, queries: 100, seed: 7 };

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn threads_do_not_change_the_data() {
        let all = |threads| {
            in_pool(threads, || [uniform(&SMALL).unwrap(), clustered(&SMALL, 8).unwrap()].map(|d| d.digest()))
        };
        assert_eq!(all(1), all(5));
    }

    #[test]
    fn platforms_do_not_change_the_data() {
        let digests = [uniform(&SMALL).unwrap(), clustered(&SMALL, 8).unwrap()]
            .map(|d| d.digest().to_hex().to_string());
        assert_eq!(digests.each_ref().map(|d| &d[..16]), ["0cf55cbcdbf29cae", "23361e152c2e04eb"]);
    }

    #[test]
    fn seeds_roles_and_rows_change_the_data() {
        let set = uniform(&SMALL).unwrap();
        assert_ne!(set.row(0), set.row(1));
        assert_ne!(set.row(0), set.query(0));
        assert_ne!(set.row(0), uniform(&Shape { seed: 8, ..SMALL }).unwrap().row(0));
        let longer = uniform(&Shape { rows: 3_000, ..SMALL }).unwrap();
        assert_eq!(
            set.base(),
            &longer.base()[..set.base().len()],
            "the first rows do not depend on the number"
        );
    }

    #[test]
    fn uniform_fills_the_cube() {
        let set = uniform(&SMALL).unwrap();
        let mean = set.base().iter().sum::<f32>() / set.base().len() as f32;
        assert!(set.base().iter().all(|x| (0.0..1.0).contains(x)));
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
    }

    #[test]
    fn the_bell_has_variance_one() {
        let mut rng = Streams::new(1, b"test").at(Role::Base, 0);
        let (n, mut sum, mut squares) = (200_000, 0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(bell(&mut rng));
            sum += x;
            squares += x * x;
        }
        assert!((sum / f64::from(n)).abs() < 0.01, "mean {}", sum / f64::from(n));
        assert!((squares / f64::from(n) - 1.0).abs() < 0.01, "variance {}", squares / f64::from(n));
    }

    #[test]
    fn impossible_shapes_are_refused_in_one_line() {
        let message = |shape: Shape, intrinsic| clustered(&shape, intrinsic).unwrap_err().to_string();
        assert!(message(Shape { rows: 0, ..SMALL }, 4).contains("number of rows is 0"));
        assert!(message(Shape { queries: 0, ..SMALL }, 4).contains("number of queries is 0"));
        assert!(message(Shape { dim: 0, ..SMALL }, 4).contains("dimension is 0"));
        assert!(message(SMALL, 0).contains("intrinsic dimension is 0"));
        assert!(message(SMALL, 33).contains("to the dimension (32)"));
        let huge = Shape { rows: MAX_NODES, dim: MAX_DIM, ..SMALL };
        assert!(uniform(&huge).unwrap_err().to_string().contains("do not fit the memory"));
    }
}
