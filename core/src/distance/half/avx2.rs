//! Kernels for AVX2, FMA and F16C: a quarter of a cache line of halves is a register of f32.

use crate::distance::avx2::{add_terms, horizontal_sums};
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::x86_64::*;

code_routine_of_blocks!("avx2,fma,f16c", 1 2 3);

/// A query, read line by line: sixteen registers have no room for it beside the sums.
struct Query<const LINES: usize>(*const u8);

impl<const LINES: usize> Query<LINES> {
    fn new<F: Formula>(at: *const u8, _lines: usize) -> Self {
        Query(at)
    }
}

/// Eight halves, widened.
///
/// # Safety
/// They are there, and `at` is aligned to 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load(at: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtph_ps(_mm_load_si128(at.cast())) }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`. Even and odd quarters of lines are summed apart: twice as many
/// additions are in flight at once.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const u8; ROWS],
    ahead: &[*const u8; AHEAD],
    lines: usize,
    scale: f32,
    out: *mut f32,
) {
    let mut even = [_mm256_setzero_ps(); 4];
    let mut odd = [_mm256_setzero_ps(); 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * 64));
        }
        for at in [line * 64, line * 64 + 32] {
            // SAFETY: all 32 bytes are in one of the `lines` of the query.
            let q = unsafe { [load(query.0.add(at)), load(query.0.add(at + 16))] };
            for row in 0..ROWS {
                // SAFETY: and in one of the `lines` of the row.
                let r = unsafe { [load(rows[row].add(at)), load(rows[row].add(at + 16))] };
                even[row] = add_terms::<F>(even[row], q[0], r[0]);
                odd[row] = add_terms::<F>(odd[row], q[1], r[1]);
            }
        }
    }
    for row in 0..ROWS {
        even[row] = _mm256_add_ps(even[row], odd[row]);
    }
    let distances = _mm_mul_ps(horizontal_sums(even), _mm_set1_ps(scale));
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        _mm_storeu_ps(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}
