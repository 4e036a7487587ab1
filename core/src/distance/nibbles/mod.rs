//! Distances to rows of 4-bit codes, each with a scale and a centre of its own.
//!
//! # A row
//! A row stands for the vector whose component `i` is `centre + scale * (code[i] - 7.5)`, with codes from 0 to 15. With
//! `half` = half of the dimension, rounded up, byte `b < half` holds code `b` in its low four bits and code `half + b` in its
//! high ones. The last 12 bytes of the last line are the [`Factors`]; what is between is zero.
//!
//! # What is computed
//! Of two vectors only their inner product has to be summed up, and of that only a sum of products of small whole numbers:
//! everything else is a few operations per row, on its factors and on [`Terms`] that are the same for all rows. Sums are exact,
//! and the last steps are the same code for all instruction sets: they all give the same bits. So do two rows either way round.
//!
//! A query is a row of signed bytes, in two lines for each line of codes: the first belongs to the low four bits, the second to
//! the high ones. It is zero where a row has factors or nothing, so kernels need not know where codes end. Two rows are compared
//! with *masks* in place of the query, of the same shape: 15 where there is a code, else 0.

use super::{Isa, LOOKAHEAD};
use crate::vectors::Line;

#[macro_use]
mod blocks;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

/// Bytes in a line.
const BYTES: usize = size_of::<Line>();

/// Rows of up to this many lines are to be fetched before the kernels are called; they fetch longer ones themselves.
const SHORT: usize = 3;

/// What the codes of a row have to be multiplied by, and what has to be added, to give a distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// The difference of two adjacent codes.
    pub scale: f32,
    /// What would have the code 7.5.
    pub centre: f32,
    /// Whatever is to be added to distances, times [`Terms::bias`].
    pub bias: f32,
}

/// How a distance comes from an inner product: it is `base + bias * b + weight * product`, if that is not below `floor`. There
/// `b` is the bias of the row, or the sum of the biases of two rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// The part that is the same for all rows.
    pub base: f32,
    /// The weight of [`Factors::bias`].
    pub bias: f32,
    /// The weight of the inner product.
    pub weight: f32,
    /// The least distance.
    pub floor: f32,
}

/// A query is a row of bytes, and this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// How a distance comes from an inner product.
    pub terms: Terms,
    /// What its bytes are multiplied by.
    pub scale: f32,
    /// The sum of its bytes, times 7.5.
    pub shift: f32,
    /// The sum of its components.
    pub total: f32,
}

/// Where the codes of a vector of some dimension are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    dim: usize,
}

impl Layout {
    /// The layout for vectors of `dim` components.
    pub fn new(dim: usize) -> Layout {
        Layout { dim }
    }

    /// Components of a vector.
    pub fn dim(self) -> usize {
        self.dim
    }

    /// Bytes of codes.
    pub fn half(self) -> usize {
        self.dim.div_ceil(2)
    }

    /// Lines of codes; a query has twice as many.
    pub fn code_lines(self) -> usize {
        self.half().div_ceil(BYTES)
    }

    /// Lines of a row.
    pub fn lines(self) -> usize {
        self.bytes().div_ceil(BYTES)
    }

    /// Bytes of codes and factors.
    pub fn bytes(self) -> usize {
        self.half() + size_of::<[f32; 3]>()
    }

    /// Writes codes, of 0 to 15 each, and their factors into a row of zeros.
    pub fn write(self, codes: &[u8], factors: Factors, row: &mut [Line]) {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
        let (low, high) = codes.split_at(self.half());
        bytes[..low.len()].copy_from_slice(low);
        bytes.iter_mut().zip(high).for_each(|(byte, code)| *byte |= code << 4);
        let floats: &mut [f32] = bytemuck::cast_slice_mut(row);
        let at = floats.len() - 3;
        floats[at..].copy_from_slice(&[factors.scale, factors.centre, factors.bias]);
    }

    /// The codes of a row, in order.
    pub fn codes(self, row: &[Line]) -> impl Iterator<Item = u8> {
        let bytes: &[u8] = &bytemuck::cast_slice(row)[..self.half()];
        bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4)).take(self.dim)
    }

    /// The sum of the codes of a row.
    pub fn sum(self, row: &[Line]) -> u32 {
        let bytes: &[u8] = &bytemuck::cast_slice(row)[..self.half()];
        bytes.iter().map(|byte| u32::from(byte & 15) + u32::from(byte >> 4)).sum()
    }

    /// The factors of a row.
    pub fn factors(self, row: &[Line]) -> Factors {
        let [.., scale, centre, bias] = row[self.lines() - 1].0;
        Factors { scale, centre, bias }
    }

    /// Where component `i` is in a query of bytes.
    pub fn place(self, i: usize) -> usize {
        let (b, high) = if i < self.half() { (i, 0) } else { (i - self.half(), BYTES) };
        b / BYTES * 2 * BYTES + high + b % BYTES
    }
}

/// The kernels of one instruction set and one dimension, for all metrics.
#[derive(Clone, Copy)]
pub struct NibbleKernels {
    layout: Layout,
    routines: Routines,
}

/// The layout of rows, what all are compared with, rows, distances.
type Many<L> = unsafe fn(Layout, L, &[*const Line], &mut [f32]);

#[derive(Clone, Copy)]
struct Routines {
    to_query: Many<ToQuery>,
    to_row: Many<ToRow>,
}

/// What is compared with rows: bytes in lines, and what makes distances of two sums.
trait Left: Copy {
    /// The row that the bytes are masks for; `None` if they are a query.
    fn from(&self) -> Option<*const Line>;
    /// The bytes of a query, or masks.
    fn bytes(&self) -> *const Line;
    /// The distance to a row with these factors, of which the sum of products and that of codes (0 for queries) are known.
    fn distance(&self, row: Factors, layout: Layout, product: i32, sum: i32) -> f32;
}

#[derive(Clone, Copy)]
struct ToQuery {
    bytes: *const Line,
    query: Query,
}

#[derive(Clone, Copy)]
struct ToRow {
    masks: *const Line,
    from: *const Line,
    factors: Factors,
    sum: i32,
    terms: Terms,
}

impl Left for ToQuery {
    #[inline(always)]
    fn from(&self) -> Option<*const Line> {
        None
    }

    #[inline(always)]
    fn bytes(&self) -> *const Line {
        self.bytes
    }

    #[inline(always)]
    fn distance(&self, row: Factors, _layout: Layout, product: i32, _sum: i32) -> f32 {
        let Query { terms, scale, shift, total } = self.query;
        let product = row.centre * total + row.scale * (scale * (product as f32 - shift));
        terms.distance(row.bias, product)
    }
}

impl Left for ToRow {
    #[inline(always)]
    fn from(&self) -> Option<*const Line> {
        Some(self.from)
    }

    #[inline(always)]
    fn bytes(&self) -> *const Line {
        self.masks
    }

    #[inline(always)]
    fn distance(&self, row: Factors, layout: Layout, product: i32, sum: i32) -> f32 {
        // Codes less 7.5, times 2 so that they are whole: their sums, and the sum of their products.
        let dim = layout.dim as i64;
        let (sums, product) = (i64::from(self.sum) + i64::from(sum), i64::from(product));
        let products = (4 * product - 30 * sums + 225 * dim) as f32;
        let (left_sum, right_sum) =
            ((2 * i64::from(self.sum) - 15 * dim) as f32, (2 * i64::from(sum) - 15 * dim) as f32);
        let left = self.factors;
        let mixed = (left.centre * row.scale) * right_sum + (row.centre * left.scale) * left_sum;
        let product = (left.centre * row.centre) * dim as f32
            + 0.5 * mixed
            + 0.25 * ((left.scale * row.scale) * products);
        self.terms.distance(left.bias + row.bias, product)
    }
}

impl Terms {
    #[inline(always)]
    fn distance(&self, bias: f32, product: f32) -> f32 {
        let distance = self.base + self.bias * bias + self.weight * product;
        if distance < self.floor { self.floor } else { distance }
    }
}

impl NibbleKernels {
    /// The kernels for vectors of `dim` components, for the instruction set [in use](Isa::in_use).
    pub fn new(dim: usize) -> NibbleKernels {
        NibbleKernels::of(dim, Isa::in_use())
    }

    /// The kernels of a given instruction set, or `None` if this machine does not run it. Those of [`Isa::Avx512`] need
    /// AVX-512BW and VNNI; without these, they are those of [`Isa::Avx2`].
    pub fn with_isa(dim: usize, isa: Isa) -> Option<NibbleKernels> {
        isa.is_available().then(|| NibbleKernels::of(dim, isa))
    }

    fn of(dim: usize, isa: Isa) -> NibbleKernels {
        let layout = Layout::new(dim);
        NibbleKernels { layout, routines: Routines::of(isa, layout.code_lines()) }
    }

    /// Where codes and factors are.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How many rows should be on their way to the cache before a call; the kernels fetch those behind them.
    pub fn lookahead(&self) -> usize {
        if self.layout.lines() > SHORT { LOOKAHEAD } else { usize::MAX }
    }

    /// The distances of a query, of which these are the `bytes`, to each of `rows`, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// `bytes` leads to twice [`Layout::code_lines`] lines, each of `rows` to [`Layout::lines`], no one writes them meanwhile,
    /// and `out` is at least as long as `rows`.
    #[inline(always)]
    pub unsafe fn to_query(&self, bytes: *const Line, query: &Query, rows: &[*const Line], out: &mut [f32]) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: the caller's promise; the instruction set was checked when the kernel was chosen.
        unsafe { (self.routines.to_query)(self.layout, ToQuery { bytes, query: *query }, rows, out) }
    }

    /// The distances of a row to each of `rows`, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// As [`NibbleKernels::to_query`], for `masks` in place of the bytes of a query, and for `from` as one of the rows.
    #[inline(always)]
    pub unsafe fn to_row(
        &self,
        masks: *const Line,
        terms: &Terms,
        from: *const Line,
        rows: &[*const Line],
        out: &mut [f32],
    ) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: the caller's promise.
        let row = unsafe { core::slice::from_raw_parts(from, self.layout.lines()) };
        let (factors, sum) = (self.layout.factors(row), self.layout.sum(row) as i32);
        let left = ToRow { masks, from, factors, sum, terms: *terms };
        // SAFETY: as above; the instruction set was checked when the kernel was chosen.
        unsafe { (self.routines.to_row)(self.layout, left, rows, out) }
    }
}

impl Routines {
    /// The routines of an available instruction set.
    fn of(isa: Isa, code_lines: usize) -> Routines {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if avx512::is_available() => avx512::routines(code_lines),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 if Isa::Avx2.is_available() => avx2::routines(code_lines),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::routines(code_lines),
            _ => scalar::routines(code_lines),
        }
    }
}

/// The factors of a row of this many lines.
///
/// # Safety
/// `row` leads to a row that has them.
#[inline(always)]
unsafe fn factors(row: *const Line, lines: usize) -> Factors {
    // SAFETY: they are the last three floats of the last line.
    let [scale, centre, bias] = unsafe { *row.add(lines).cast::<[f32; 3]>().sub(1) };
    Factors { scale, centre, bias }
}
