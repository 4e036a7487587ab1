//! Distances to f32 rows that are kept as two planes of 16 bits: all high halves together, and all low halves together.
//!
//! The *high plane* of a number is the bf16 nearest to it (of two equally near, the one further from zero); the *low plane*
//! is the low half of its bits, and says, read as a signed number, how far the number is from its high plane. So the two give back every
//! bit, and a search that reads high planes only reads half the bytes, at an error of at most 2⁻⁸ of each component.
//!
//! A line of a plane holds 32 halves, in the order that makes them floats without moving anything across lanes: word `j` is
//! component `j` of the 32 in its low half, and component `16 + j` in its high half. A shift gives the first 16 and a mask the
//! others, which are two lines of an f32 row: so queries are f32 rows as they are, and joined planes are summed up in the
//! order of the f32 kernels, to the same bits.

use super::formula::{self, Formula};
use super::{Isa, LANES, LOOKAHEAD, Metric};
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

/// Components in a line of a plane.
pub const HALVES: usize = 2 * LANES;

/// Rows of up to this many lines are to be fetched before the kernels are called; they fetch longer ones themselves.
const SHORT: usize = 3;

/// The high and the low half of a number.
#[inline(always)]
pub fn split(x: f32) -> (u16, u16) {
    let bits = x.to_bits();
    ((bits.wrapping_add(0x8000) >> 16) as u16, bits as u16)
}

/// The number that was [`split`] into these halves.
#[inline(always)]
pub fn join(high: u16, low: u16) -> f32 {
    f32::from_bits((u32::from(high) << 16).wrapping_add(low as i16 as u32))
}

/// The kernels of one instruction set, one metric and one dimension.
#[derive(Clone, Copy)]
pub struct PlaneKernels {
    isa: Isa,
    metric: Metric,
    lines: usize,
    routines: Routines,
}

/// A query or row, rows, their low planes (ignored where there are none), lines of a plane, distances.
type Many = unsafe fn(*const Line, &[*const Line], &[*const Line], usize, &mut [f32]);

#[derive(Clone, Copy)]
struct Routines {
    to_query: Many,
    to_row: Many,
    joined: Many,
}

impl PlaneKernels {
    /// The kernels for vectors of `dim` components, for the instruction set [in use](Isa::in_use).
    pub fn new(metric: Metric, dim: usize) -> PlaneKernels {
        PlaneKernels::of(metric, dim, Isa::in_use())
    }

    /// The kernels of a given instruction set, or `None` if this machine does not run it.
    pub fn with_isa(metric: Metric, dim: usize, isa: Isa) -> Option<PlaneKernels> {
        isa.is_available().then(|| PlaneKernels::of(metric, dim, isa))
    }

    fn of(metric: Metric, dim: usize, isa: Isa) -> PlaneKernels {
        let lines = dim.div_ceil(HALVES);
        let routines = match metric {
            Metric::L2 => Routines::of::<formula::L2>(isa, lines),
            Metric::InnerProduct => Routines::of::<formula::InnerProduct>(isa, lines),
            Metric::Cosine => Routines::of::<formula::Cosine>(isa, lines),
        };
        PlaneKernels { isa, metric, lines, routines }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The metric computed.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Cache lines of a plane. An f32 query has twice as many, padded with zeros.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// How many rows should be on their way to the cache before a call; the kernels fetch those behind them.
    pub fn lookahead(&self) -> usize {
        if self.lines > SHORT { LOOKAHEAD } else { usize::MAX }
    }

    /// The distances of an f32 query to each high plane of `rows`, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// `query` leads to twice [`PlaneKernels::lines`] lines, each of `rows` to that many, no one writes them meanwhile, and
    /// `out` is at least as long as `rows`.
    #[inline(always)]
    pub unsafe fn to_query(&self, query: *const Line, rows: &[*const Line], out: &mut [f32]) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: the caller's promise; the instruction set was checked when the kernel was chosen.
        unsafe { (self.routines.to_query)(query, rows, rows, self.lines, out) }
    }

    /// The distances of one high plane to each of others, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// As [`PlaneKernels::to_query`], with [`PlaneKernels::lines`] lines behind `from`.
    #[inline(always)]
    pub unsafe fn to_row(&self, from: *const Line, rows: &[*const Line], out: &mut [f32]) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: as above.
        unsafe { (self.routines.to_row)(from, rows, rows, self.lines, out) }
    }

    /// The distances of an f32 query to vectors, given by their high and low planes, into `out[..rows.len()]`: the bits that
    /// the f32 kernels of the same instruction set give.
    ///
    /// # Safety
    /// As [`PlaneKernels::to_query`], for `rests` too, of which there are as many.
    #[inline(always)]
    pub unsafe fn joined(
        &self,
        query: *const Line,
        rows: &[*const Line],
        rests: &[*const Line],
        out: &mut [f32],
    ) {
        debug_assert!(out.len() >= rows.len() && rests.len() == rows.len());
        // SAFETY: as above.
        unsafe { (self.routines.joined)(query, rows, rests, self.lines, out) }
    }
}

impl Routines {
    /// The routines of an available instruction set, for planes of `lines` cache lines.
    fn of<F: Formula>(isa: Isa, lines: usize) -> Routines {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::routines::<F>(lines),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::routines::<F>(lines),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::routines::<F>(lines),
            _ => scalar::routines::<F>(lines),
        }
    }
}
