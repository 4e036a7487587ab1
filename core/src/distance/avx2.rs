//! Kernels for AVX2 and FMA: a cache line is two registers, summed apart.

use super::formula::Formula;
use super::{LANES, LOOKAHEAD, Routines, prefetch};
use core::arch::x86_64::*;

routines_of_blocks!("avx2,fma");

/// A query, read line by line: sixteen registers have no room for it beside the sums.
struct Query<const LINES: usize>(*const f32);

impl<const LINES: usize> Query<LINES> {
    fn new(at: *const f32) -> Self {
        Query(at)
    }
}

/// The two halves of a line.
///
/// # Safety
/// There are more than `line` lines at `at`, and it is aligned to 64 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load(at: *const f32, line: usize) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_load_ps(at.add(line * LANES)), _mm256_load_ps(at.add(line * LANES + 8))] }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const f32; ROWS],
    ahead: &[*const f32; AHEAD],
    lines: usize,
    out: *mut f32,
) {
    let mut low = [_mm256_setzero_ps(); 4];
    let mut high = [_mm256_setzero_ps(); 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * LANES).cast());
        }
        // SAFETY: the line is one of the `lines` of the query.
        let q = unsafe { load(query.0, line) };
        for row in 0..ROWS {
            // SAFETY: the line is one of the `lines` of the row.
            let r = unsafe { load(rows[row], line) };
            low[row] = add_terms::<F>(low[row], q[0], r[0]);
            high[row] = add_terms::<F>(high[row], q[1], r[1]);
        }
    }
    for row in 0..ROWS {
        low[row] = _mm256_add_ps(low[row], high[row]);
    }
    let sums = horizontal_sums(low);
    let distances = if F::DIFFERENCES { sums } else { _mm_sub_ps(_mm_set1_ps(F::BASE), sums) };
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        _mm_storeu_ps(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// Adds the terms of half a line.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add_terms<F: Formula>(sum: __m256, q: __m256, r: __m256) -> __m256 {
    if F::DIFFERENCES {
        let difference = _mm256_sub_ps(q, r);
        _mm256_fmadd_ps(difference, difference, sum)
    } else {
        _mm256_fmadd_ps(q, r, sum)
    }
}

/// The sum of the lanes of each of four registers. They are transposed on the way, so that one addition works for all.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn horizontal_sums([a, b, c, d]: [__m256; 4]) -> __m128 {
    // Per 128 bits: a0+a2, b0+b2, a1+a3, b1+b3; the same of c and d; then the sums of a, b, c, d.
    let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let abcd = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xEE>(ab, cd));
    _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps::<1>(abcd))
}
