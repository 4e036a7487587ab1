//! Kernels for AVX-512F: half a cache line of halves is a register of f32, and a query of up to 4 lines stays in registers.

use crate::distance::avx512::horizontal_sums;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::x86_64::*;

code_routine_of_blocks!("avx512f", 1 2 3 4);

/// A query, held widened in registers if it has `LINES` lines, and read line by line if `LINES` is 0.
struct Query<const LINES: usize> {
    held: [[__m512; 2]; LINES],
    at: *const u8,
}

impl<const LINES: usize> Query<LINES> {
    /// # Safety
    /// `at` leads to at least `LINES` lines.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn new<F: Formula>(at: *const u8, _lines: usize) -> Self {
        let mut held = [[_mm512_setzero_ps(); 2]; LINES];
        for (line, held) in held.iter_mut().enumerate() {
            // SAFETY: the line is one of the `LINES` that the caller promises.
            *held = unsafe { load(at, line) };
        }
        Query { held, at }
    }

    /// # Safety
    /// The query has more than `line` lines.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(&self, line: usize) -> [__m512; 2] {
        // SAFETY: the caller's promise, for an unknown number of lines.
        if LINES == 0 { unsafe { load(self.at, line) } } else { self.held[line] }
    }
}

/// The two halves of a line, widened.
///
/// # Safety
/// There are more than `line` lines at `at`, and it is aligned to 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(at: *const u8, line: usize) -> [__m512; 2] {
    let at = at.wrapping_add(line * 64).cast::<__m256i>();
    // SAFETY: the caller's promise.
    unsafe { [_mm512_cvtph_ps(_mm256_load_si256(at)), _mm512_cvtph_ps(_mm256_load_si256(at.add(1)))] }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`. The halves of lines are summed apart: twice as many additions are
/// in flight at once.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const u8; ROWS],
    ahead: &[*const u8; AHEAD],
    lines: usize,
    scale: f32,
    out: *mut f32,
) {
    let mut low = [_mm512_setzero_ps(); 4];
    let mut high = [_mm512_setzero_ps(); 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * 64));
        }
        // SAFETY: the line is one of the `lines` of the query.
        let q = unsafe { query.line(line) };
        for row in 0..ROWS {
            // SAFETY: the line is one of the `lines` of the row.
            let r = unsafe { load(rows[row], line) };
            low[row] = add_terms::<F>(low[row], q[0], r[0]);
            high[row] = add_terms::<F>(high[row], q[1], r[1]);
        }
    }
    for row in 0..ROWS {
        low[row] = _mm512_add_ps(low[row], high[row]);
    }
    let distances = _mm_mul_ps(horizontal_sums(low), _mm_set1_ps(scale));
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        _mm_storeu_ps(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// Adds the terms of half a line.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_terms<F: Formula>(sum: __m512, q: __m512, r: __m512) -> __m512 {
    if F::DIFFERENCES {
        let difference = _mm512_sub_ps(q, r);
        _mm512_fmadd_ps(difference, difference, sum)
    } else {
        _mm512_fmadd_ps(q, r, sum)
    }
}
