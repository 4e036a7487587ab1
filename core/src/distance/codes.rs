//! Distances between rows of codes. [`bytes`] and [`mod@half`] have the kernels.
//!
//! A kernel adds up products or squared differences over all components of two rows, padding included, and multiplies the
//! sum by a scale that takes it to the units of the metric. Rows are whole cache lines. As with
//! [`Kernels`](super::Kernels), a distance is repeatable: one instruction set gives the same bits for the same two rows, from
//! any place in a batch and either way round.

use super::{Isa, LOOKAHEAD, bytes, half};

/// The most lines of rows that are so short that all rows of a batch are best fetched at once, before the first is read.
pub(super) const AT_ONCE: usize = 3;

/// A kernel: query, rows, lines of each, scale, distances.
pub(super) type Routine = unsafe fn(*const u8, &[*const u8], usize, f32, &mut [f32]);

/// What a kernel adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Squared differences.
    Squares,
    /// Products.
    Products,
}

/// The kernel for one kind of codes, one instruction set and one length of rows.
#[derive(Clone, Copy)]
pub struct Codes {
    isa: Isa,
    lines: usize,
    scale: f32,
    routine: Routine,
}

impl Codes {
    /// Rows of bytes from 0 to [`bytes::MAX`]. Products are those of the differences from [`bytes::ZERO`]. Sums are whole
    /// numbers, so all instruction sets give the same bits.
    pub fn bytes(sum: Sum, lines: usize, scale: f32, isa: Isa) -> Codes {
        let (isa, routine) = bytes::routine(sum, lines, isa);
        Codes { isa, lines, scale, routine }
    }

    /// Rows of finite IEEE half floats, added up as f32.
    pub fn half(sum: Sum, lines: usize, scale: f32, isa: Isa) -> Codes {
        let (isa, routine) = half::routine(sum, lines, isa);
        Codes { isa, lines, scale, routine }
    }

    /// The instruction set in use: the one asked for, or a plainer one if that has no kernel for these codes.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Cache lines of a row.
    #[inline(always)]
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// How many rows the caller of [`Codes::many`] should fetch before it.
    #[inline(always)]
    pub fn lookahead(&self) -> usize {
        if self.lines <= AT_ONCE { usize::MAX } else { LOOKAHEAD }
    }

    /// The distances of `query` to each of `rows`, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// `query` and each row lead to [`Codes::lines`] cache lines of valid codes that no one writes meanwhile, aligned to 64
    /// bytes; `out` is at least as long as `rows`.
    #[inline(always)]
    pub unsafe fn many(&self, query: *const u8, rows: &[*const u8], out: &mut [f32]) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: the caller's promise is the kernel's; the instruction set was checked when the kernel was chosen.
        unsafe { (self.routine)(query, rows, self.lines, self.scale, out) }
    }
}
