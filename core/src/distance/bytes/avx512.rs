//! Kernels for AVX-512 with VNNI: a cache line of 64 codes is a register, multiplied and added up by one instruction.

use super::ZERO;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::x86_64::*;

code_routine_of_blocks!("avx512f,avx512bw,avx512vnni", 1 2 3 4 6 8);

/// A query, held in registers if it has `LINES` lines, and read line by line if `LINES` is 0. For products, its codes are
/// taken less [`ZERO`].
struct Query<const LINES: usize> {
    held: [__m512i; LINES],
    at: *const u8,
    /// What the sums of a row begin with. For products it takes off what comes of the row's codes being [`ZERO`] too large.
    start: __m512i,
}

impl<const LINES: usize> Query<LINES> {
    /// # Safety
    /// `at` leads to `lines` lines, which is `LINES` if that is not 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn new<F: Formula>(at: *const u8, lines: usize) -> Self {
        let mut query = Query { held: [_mm512_setzero_si512(); LINES], at, start: _mm512_setzero_si512() };
        // SAFETY: only lines below `lines`, or `LINES`, are read.
        unsafe {
            for line in 0..LINES {
                query.held[line] = operand::<F>(at, line);
            }
            if !F::DIFFERENCES {
                let zero = _mm512_set1_epi8(ZERO as i8);
                let mut excess = _mm512_setzero_si512();
                for line in 0..lines {
                    excess = _mm512_dpbusd_epi32(excess, zero, query.line::<F>(line));
                }
                query.start = _mm512_sub_epi32(_mm512_setzero_si512(), excess);
            }
        }
        query
    }

    /// # Safety
    /// The query has more than `line` lines.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn line<F: Formula>(&self, line: usize) -> __m512i {
        // SAFETY: the caller's promise, for an unknown number of lines.
        if LINES == 0 { unsafe { operand::<F>(self.at, line) } } else { self.held[line] }
    }
}

/// # Safety
/// There are more than `line` lines at `at`, and it is aligned to 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn load(at: *const u8, line: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_load_si512(at.add(line * 64).cast()) }
}

/// A line of a query, as it is compared with rows.
///
/// # Safety
/// As [`load`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn operand<F: Formula>(at: *const u8, line: usize) -> __m512i {
    // SAFETY: the caller's promise.
    let codes = unsafe { load(at, line) };
    if F::DIFFERENCES { codes } else { _mm512_sub_epi8(codes, _mm512_set1_epi8(ZERO as i8)) }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const u8; ROWS],
    ahead: &[*const u8; AHEAD],
    lines: usize,
    scale: f32,
    out: *mut f32,
) {
    let mut sums = [query.start; 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * 64));
        }
        // SAFETY: the line is one of the `lines` of the query.
        let q = unsafe { query.line::<F>(line) };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the line is one of the `lines` of the row.
            let r = unsafe { load(*row, line) };
            *sum = if F::DIFFERENCES {
                let difference = _mm512_abs_epi8(_mm512_sub_epi8(q, r));
                _mm512_dpbusd_epi32(*sum, difference, difference)
            } else {
                _mm512_dpbusd_epi32(*sum, r, q)
            };
        }
    }
    let distances = _mm_mul_ps(_mm_cvtepi32_ps(horizontal_sums(sums)), _mm_set1_ps(scale));
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        _mm_storeu_ps(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// The sum of the lanes of each of four registers. They are transposed on the way, so that one addition works for all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn horizontal_sums([a, b, c, d]: [__m512i; 4]) -> __m128i {
    // Per 128 bits: a0+a2, b0+b2, a1+a3, b1+b3; the same of c and d; then the sums of a, b, c, d.
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let abcd = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd))
}
