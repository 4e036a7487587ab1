//! Codes of one to four bits per component whose distances are estimated without bias and with a known error.
//!
//! After RaBitQ (Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
//! Nearest Neighbor Search", SIGMOD 2024) and its extension to several bits (Gao et al., "Practical and Asymptotically Optimal
//! Quantization of High-Dimensional Vectors in Euclidean Space for Approximate Nearest Neighbor Search", 2024). A vector v is
//! taken relative to a centre c and rotated at random: r = R(v - c). Its length |r| is kept, and of its direction the grid
//! point x of [`quantise`]. For a query q, with s = R(q - c),
//!
//! ```text
//! <r, s>  is estimated by  <x, s> |r|² / <x, r>
//! ```
//!
//! which is exact along x, and without bias across it, since the rotation is random. The standard error is
//! |r| |s| tan(r, x) / √(d - 1). From <r, s>, |r| and what is known of q and c alone, follow all metrics:
//!
//! ```text
//! |v - q|² = |r|² + |s|² - 2 <r, s>          <v, q> = <r, s> + <v, c> + <q, c> - |c|²
//! ```
//!
//! # A row
//! Codes of B bits, laid out for [`BitKernels`], and in the last 12 bytes the three factors of the
//! estimate, behind the codes in the same cache line if there is room.
//!
//! # A query
//! Rotated, with 8 bits per component (of both signs), which adds an error far below that of the codes.

mod quantise;
mod rotation;

use super::codec::{check_dim, check_vector, scale};
use super::{Codec, Line, Lossy, bytes_of};
use crate::distance::Metric;
use crate::distance::bits::{self, BitKernels};
use crate::error::ConfigError;
use quantise::{centre_of_grid, centred, quantise};
use rotation::Rotation;

/// Seeds the rotation.
const SEED: u64 = 0x5241_4249_5451;

/// How many rows [`Codec::distances`] takes at once.
const CHUNK: usize = 32;

/// The most lines of rows that are all fetched before the first is read; longer ones are fetched a few rows ahead.
const AT_ONCE: usize = 16;

/// Vectors and queries nearer to the centre than this are taken to be there: factors could overflow, and the square of what is
/// neglected is no f32 above zero.
const NEGLIGIBLE: f32 = 1e-30;

/// By how many standard errors an estimate is taken to be too high at most, when candidates are given up: 1.9, as in the
/// RaBitQ paper (section 3.2.2), which then holds for 97 of 100 estimates.
const DEVIATIONS: f32 = 1.9;

/// Rows of `BITS` (1 to 4) bits per component; see the module.
pub struct RaBitQ<const BITS: usize> {
    metric: Metric,
    kernels: BitKernels,
    rotation: Rotation,
    /// The mean of the sample.
    centre: Box<[f32]>,
    /// The constant of the estimate between two rows: |c|² for the inner product, 1 + |c|² for cosine.
    base: f32,
    shape: Shape,
    /// Lines of each row that kernels fetch.
    fetch: usize,
}

/// Where things are in a row.
#[derive(Clone, Copy)]
struct Shape {
    dim: usize,
    /// The planes of the codes.
    planes: [Plane; 2],
    /// Lines of a row.
    lines: usize,
}

/// A plane of the codes; see [`bits`].
#[derive(Clone, Copy)]
struct Plane {
    /// Bits of a piece of a code; 0 if the plane is not there.
    width: usize,
    /// How far up in a code the piece is.
    shift: usize,
    /// Bytes that hold pieces.
    bytes: usize,
    /// The first line of the row that holds some, and of the query.
    line: usize,
    query_line: usize,
}

/// Successive components whose pieces lie in the same field of successive bytes.
struct Run {
    components: core::ops::Range<usize>,
    plane: Plane,
    /// The first of the bytes in the row, and the field in them.
    byte: usize,
    field: usize,
    /// The first of the bytes in the query.
    query_byte: usize,
}

/// What a row knows of its vector besides the direction: the distance to a query is estimated as
/// `add + slope * <x, s>` and a term of the query; the standard error of that is `error * |s|`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Factors {
    add: f32,
    slope: f32,
    error: f32,
}

/// A query of [`RaBitQ`].
pub struct Query {
    /// The rotated query in signed bytes, laid out for [`BitKernels`].
    bytes: Vec<Line>,
    /// What a byte counts.
    unit: f32,
    /// The inner product of the query with the middle of the grid, which codes count from 0.
    middle: f32,
    /// The part of a distance that depends on the query alone.
    add: f32,
    /// The length of the query from the centre.
    length: f32,
    /// Space for the rotation.
    rotated: Vec<f32>,
}

impl Plane {
    fn new(dim: usize, width: usize, shift: usize, line: usize, query_line: usize) -> Plane {
        Plane { width, shift, bytes: (dim * width).div_ceil(8), line, query_line }
    }

    fn lines(&self) -> usize {
        self.bytes.div_ceil(bits::LINE)
    }

    fn fields(&self) -> usize {
        8usize.checked_div(self.width).unwrap_or(0)
    }
}

impl Run {
    /// The piece of a code, in its field of a byte.
    fn put(&self, code: u8) -> u8 {
        (code >> self.plane.shift & self.mask()) << (self.field * self.plane.width)
    }

    /// The piece of a code, out of a byte.
    fn get(&self, byte: u8) -> u8 {
        (byte >> (self.field * self.plane.width) & self.mask()) << self.plane.shift
    }

    fn mask(&self) -> u8 {
        (1 << self.plane.width) - 1
    }
}

impl Shape {
    fn new(dim: usize, bits: usize) -> Shape {
        let [high, low] = bits::planes(bits);
        let high = Plane::new(dim, high, low, 0, 0);
        let low = Plane::new(dim, low, 0, high.lines(), high.lines() * high.fields());
        let bytes = high.lines() * bits::LINE + low.bytes + size_of::<Factors>();
        Shape { dim, planes: [high, low], lines: bytes.div_ceil(bits::LINE) }
    }

    /// Lines of a query.
    fn query_lines(&self) -> usize {
        self.planes.iter().map(|plane| plane.lines() * plane.fields()).sum()
    }

    /// Calls `visit` for each run of components.
    fn runs(&self, mut visit: impl FnMut(Run)) {
        for plane in self.planes {
            let mut start = 0;
            for line in 0..plane.lines() {
                let width = (plane.bytes - line * bits::LINE).min(bits::LINE);
                for field in 0..plane.fields() {
                    let end = (start + width).min(self.dim);
                    visit(Run {
                        components: start..end,
                        plane,
                        byte: (plane.line + line) * bits::LINE,
                        field,
                        query_byte: (plane.query_line + line * plane.fields() + field) * bits::LINE,
                    });
                    start = end;
                }
            }
        }
    }
}

impl<const BITS: usize> RaBitQ<BITS> {
    /// A codec around a centre of as many components as the vectors have.
    fn new(metric: Metric, centre: Box<[f32]>) -> Self {
        let dim = centre.len();
        let square: f64 = centre.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let base = match metric {
            Metric::L2 => 0.0,
            Metric::InnerProduct => square,
            Metric::Cosine => 1.0 + square,
        };
        let shape = Shape::new(dim, BITS);
        RaBitQ {
            metric,
            kernels: BitKernels::new::<BITS>(),
            rotation: Rotation::new(dim, SEED),
            centre,
            base: base as f32,
            shape,
            fetch: if shape.lines <= AT_ONCE { 0 } else { shape.lines },
        }
    }

    /// The factors of a row.
    ///
    /// # Safety
    /// `row` leads to a written row of this codec.
    #[inline(always)]
    unsafe fn factors(&self, row: *const Line) -> Factors {
        // SAFETY: they are the last bytes of the row's lines; `Factors` is plain data.
        unsafe { row.add(self.shape.lines).cast::<Factors>().sub(1).read() }
    }

    /// The codes of a row.
    fn codes(&self, row: &[Line]) -> Vec<u8> {
        let row: &[u8] = bytemuck::cast_slice(row);
        let mut codes = vec![0; self.shape.dim];
        self.shape.runs(|run| {
            for (code, byte) in codes[run.components.clone()].iter_mut().zip(&row[run.byte..]) {
                *code |= run.get(*byte);
            }
        });
        codes
    }

    /// How often an inner product is taken away in a distance.
    fn times(&self) -> f32 {
        if self.metric == Metric::L2 { 2.0 } else { 1.0 }
    }

    /// Writes the rotated difference of a vector from the centre to `rotated`; returns its squared length and the inner
    /// product of the vector with the centre.
    fn relative(&self, vector: &[f32], rotated: &mut [f32]) -> (f64, f64) {
        // Several sums side by side, so that they can be vectorised.
        const LANES: usize = 8;
        let scale = scale(vector, self.metric);
        let (mut squares, mut products) = ([0.0f64; LANES], [0.0f64; LANES]);
        let components = vector.chunks(LANES).zip(self.centre.chunks(LANES));
        for ((vector, centre), to) in components.zip(rotated.chunks_mut(LANES)) {
            for (lane, ((&x, &c), to)) in vector.iter().zip(centre).zip(to).enumerate() {
                let (x, c) = (f64::from(x) * scale, f64::from(c));
                squares[lane] += (x - c) * (x - c);
                products[lane] += x * c;
                *to = (x - c) as f32;
            }
        }
        self.rotation.rotate(rotated);
        (squares.iter().sum(), products.iter().sum())
    }

    /// Distances of a query, given by its parts, to rows.
    ///
    /// # Safety
    /// As [`Codec::distances`]; `bytes` are those of a [`Query`] of this codec.
    #[inline(always)]
    unsafe fn estimates(
        &self,
        bytes: *const Line,
        unit: f32,
        middle: f32,
        add: f32,
        rows: &[*const Line],
        out: &mut [f32],
    ) {
        let mut sums = [0i32; CHUNK];
        for (rows, out) in rows.chunks(CHUNK).zip(out.chunks_mut(CHUNK)) {
            let [high, low] = self.shape.planes.map(|plane| plane.lines());
            // SAFETY: the caller's promise.
            unsafe {
                let lines = bits::Lines { high, low };
                self.kernels.many(bytes.cast(), bytes_of(rows), lines, self.fetch, &mut sums);
                for ((row, sum), out) in rows.iter().zip(&sums).zip(out) {
                    let factors = self.factors(*row);
                    *out = factors.add + factors.slope * (unit * *sum as f32 - middle) + add;
                }
            }
        }
    }
}

impl<const BITS: usize> Codec for RaBitQ<BITS> {
    type Query = Query;
    const NAME: &'static str = match BITS {
        1 => "rabitq1",
        2 => "rabitq2",
        3 => "rabitq3",
        4 => "rabitq4",
        _ => panic!("RaBitQ takes 1 to 4 bits"),
    };
    const REFINES: bool = false;

    fn train(dim: usize, metric: Metric, sample: &[f32]) -> Result<Self, ConfigError> {
        check_dim(dim)?;
        let mut sums = vec![0.0f64; dim];
        let mut count = 0;
        for vector in sample.chunks_exact(dim).filter(|v| check_vector(v, dim, metric).is_ok()) {
            let scale = scale(vector, metric);
            sums.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x) * scale);
            count += 1;
        }
        Ok(RaBitQ::new(metric, sums.iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect()))
    }

    fn dim(&self) -> usize {
        self.shape.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn lines(&self) -> usize {
        self.shape.lines
    }

    fn lookahead(&self) -> usize {
        if self.fetch == 0 { usize::MAX } else { bits::BLOCK }
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.centre) + self.rotation.bytes()
    }

    fn vector_bytes(&self) -> usize {
        self.shape.planes.iter().map(|plane| plane.bytes).sum::<usize>() + size_of::<Factors>()
    }

    fn encode(&self, vector: &[f32], row: &mut [Line], _rest: &mut [Line]) {
        let dim = self.shape.dim;
        let mut rotated = vec![0.0; dim];
        let (square, product) = self.relative(vector, &mut rotated);
        let length = square.sqrt();
        let row: &mut [u8] = bytemuck::cast_slice_mut(row);
        let mut factors = Factors { add: 0.0, slope: 0.0, error: 0.0 };
        if length > f64::from(NEGLIGIBLE) {
            rotated.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
            let mut codes = vec![0; dim];
            let fit = quantise(&rotated, BITS, &mut codes);
            self.shape.runs(|run| {
                for (byte, code) in row[run.byte..].iter_mut().zip(&codes[run.components.clone()]) {
                    *byte |= run.put(*code);
                }
            });
            let cosine = fit.cosine().min(1.0);
            let tangent = (1.0 - cosine * cosine).sqrt() / cosine;
            let error = length * tangent / (dim.max(2) as f64 - 1.0).sqrt();
            let times = f64::from(self.times());
            factors.slope = (-times * length / fit.product) as f32;
            factors.error = (times * error) as f32;
        }
        factors.add = match self.metric {
            Metric::L2 => square as f32,
            Metric::InnerProduct | Metric::Cosine => (f64::from(self.base) - product) as f32,
        };
        let end = row.len();
        row[end - size_of::<Factors>()..].copy_from_slice(bytemuck::bytes_of(&factors));
    }

    fn decode(&self, row: &[Line], _rest: &[Line]) -> Vec<f32> {
        // SAFETY: the lines are a row.
        let length = unsafe { self.factors(row.as_ptr()) }.slope / -self.times();
        let mut vector: Vec<f32> = self.codes(row).iter().map(|code| length * centred(*code, BITS)).collect();
        self.rotation.unrotate(&mut vector);
        vector.iter_mut().zip(&self.centre).for_each(|(x, c)| *x += c);
        vector
    }

    fn query(&self) -> Query {
        Query {
            bytes: vec![Line([0.0; 16]); self.shape.query_lines()],
            unit: 0.0,
            middle: 0.0,
            add: 0.0,
            length: 0.0,
            rotated: vec![0.0; self.shape.dim],
        }
    }

    fn prepare(&self, vector: &[f32], query: &mut Query) {
        if query.rotated.len() != self.shape.dim {
            *query = self.query();
        }
        let (square, product) = self.relative(vector, &mut query.rotated);
        let largest = query.rotated.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let per_unit = if largest > NEGLIGIBLE { 127.0 / largest } else { 0.0 };
        query.unit = largest / 127.0;
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut query.bytes);
        let mut sum = 0;
        for x in &mut query.rotated {
            // Adding and taking away 1.5 x 2^23 rounds to the nearest whole number.
            *x = *x * per_unit + 12_582_912.0 - 12_582_912.0;
            sum += *x as i32;
        }
        self.shape.runs(|run| {
            for (x, byte) in query.rotated[run.components].iter().zip(&mut bytes[run.query_byte..]) {
                *byte = *x as i8;
            }
        });
        query.middle = query.unit * sum as f32 * centre_of_grid(BITS);
        query.length = square.sqrt() as f32;
        query.add = match self.metric {
            Metric::L2 => square as f32,
            Metric::InnerProduct | Metric::Cosine => -product as f32,
        };
    }

    #[inline(always)]
    unsafe fn distances(&self, query: &Query, rows: &[*const Line], out: &mut [f32]) {
        let Query { bytes, unit, middle, add, .. } = query;
        // SAFETY: the caller's promise.
        unsafe { self.estimates(bytes.as_ptr(), *unit, *middle, *add, rows, out) }
    }

    unsafe fn distances_between(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        let mut bytes = vec![Line([0.0; 16]); self.shape.query_lines()];
        // SAFETY: the caller's promise.
        let (codes, factors) = unsafe {
            let row = core::slice::from_raw_parts(from, self.shape.lines);
            (self.codes(row), self.factors(from))
        };
        // The grid point of `from`, doubled, is whole numbers, and a query without error.
        let signed: &mut [i8] = bytemuck::cast_slice_mut(&mut bytes);
        self.shape.runs(|run| {
            for (code, byte) in codes[run.components.clone()].iter().zip(&mut signed[run.query_byte..]) {
                *byte = (centred(*code, BITS) * 2.0) as i8;
            }
        });
        let sum: f32 = codes.iter().map(|code| centred(*code, BITS)).sum();
        let unit = factors.slope / -self.times();
        let middle = unit * sum * centre_of_grid(BITS);
        // SAFETY: the caller's promise.
        unsafe { self.estimates(bytes.as_ptr(), unit / 2.0, middle, factors.add - self.base, rows, out) }
    }

    #[inline(always)]
    unsafe fn at_least(&self, query: &Query, row: *const Line, estimate: f32) -> f32 {
        // SAFETY: the caller's promise.
        let error = unsafe { self.factors(row) }.error;
        estimate - DEVIATIONS * error * query.length
    }

    fn shortlist(&self, _k: usize, ef: usize) -> usize {
        ef
    }
}

impl<const BITS: usize> Lossy for RaBitQ<BITS> {
    const RERANKED: &'static str = match BITS {
        1 => "rabitq1+f32",
        2 => "rabitq2+f32",
        3 => "rabitq3+f32",
        4 => "rabitq4+f32",
        _ => panic!("RaBitQ takes 1 to 4 bits"),
    };
    const TOO_COARSE: bool = true;
    const ESTIMATES: bool = true;
}

#[cfg(test)]
mod tests;
