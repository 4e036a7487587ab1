//! Kernels for AVX2: a cache line is two registers; neighbouring products are added as i16, which holds two of them, and
//! then as i32.

use super::ZERO;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::x86_64::*;

code_routine_of_blocks!("avx2", 1 2 3);

/// A query, read line by line: sixteen registers have no room for it beside the sums.
struct Query<const LINES: usize> {
    at: *const u8,
    /// What the sums of a row begin with. For products it takes off what comes of the row's codes being [`ZERO`] too large.
    start: __m256i,
}

impl<const LINES: usize> Query<LINES> {
    /// # Safety
    /// `at` leads to `lines` lines.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new<F: Formula>(at: *const u8, lines: usize) -> Self {
        let mut start = _mm256_setzero_si256();
        if !F::DIFFERENCES {
            let zero = _mm256_set1_epi8(ZERO as i8);
            for half in 0..2 * lines {
                // SAFETY: the line is one of the `lines`.
                let q = unsafe { operand::<F>(at, half) };
                start = _mm256_sub_epi32(start, products(zero, q));
            }
        }
        Query { at, start }
    }
}

/// # Safety
/// There are more than `half` half lines at `at`, and it is aligned to 64 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(at: *const u8, half: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_load_si256(at.add(half * 32).cast()) }
}

/// Half a line of a query, as it is compared with rows.
///
/// # Safety
/// As [`load`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn operand<F: Formula>(at: *const u8, half: usize) -> __m256i {
    // SAFETY: the caller's promise.
    let codes = unsafe { load(at, half) };
    if F::DIFFERENCES { codes } else { _mm256_sub_epi8(codes, _mm256_set1_epi8(ZERO as i8)) }
}

/// Products of unsigned and signed bytes, added up by fours.
#[inline]
#[target_feature(enable = "avx2")]
fn products(unsigned: __m256i, signed: __m256i) -> __m256i {
    // Two products are at most 2 x 127 x 127 = 32,258 in magnitude.
    _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned, signed), _mm256_set1_epi16(1))
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx2")]
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
        for half in [2 * line, 2 * line + 1] {
            // SAFETY: the half line is in one of the `lines` of the query.
            let q = unsafe { operand::<F>(query.at, half) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: the half line is in one of the `lines` of the row.
                let r = unsafe { load(*row, half) };
                let terms = if F::DIFFERENCES {
                    let difference = _mm256_abs_epi8(_mm256_sub_epi8(q, r));
                    products(difference, difference)
                } else {
                    products(r, q)
                };
                *sum = _mm256_add_epi32(*sum, terms);
            }
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
#[target_feature(enable = "avx2")]
fn horizontal_sums([a, b, c, d]: [__m256i; 4]) -> __m128i {
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd))
}
