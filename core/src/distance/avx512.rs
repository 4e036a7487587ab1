//! Kernels for AVX-512F: a cache line is a register, and a query of up to 8 lines stays in registers.

use super::formula::Formula;
use super::{LANES, LOOKAHEAD, Routines, prefetch};
use core::arch::x86_64::*;

routines_of_blocks!("avx512f");

/// A query, held in registers if it has `LINES` lines, and read line by line if `LINES` is 0.
struct Query<const LINES: usize> {
    held: [__m512; LINES],
    at: *const f32,
}

impl<const LINES: usize> Query<LINES> {
    /// # Safety
    /// `at` leads to at least `LINES` lines.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn new(at: *const f32) -> Self {
        let mut held = [_mm512_setzero_ps(); LINES];
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
    unsafe fn line(&self, line: usize) -> __m512 {
        // SAFETY: the caller's promise, for an unknown number of lines.
        if LINES == 0 { unsafe { load(self.at, line) } } else { self.held[line] }
    }
}

/// # Safety
/// There are more than `line` lines at `at`, and it is aligned to 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(at: *const f32, line: usize) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_load_ps(at.add(line * LANES)) }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`. Even and odd lines are summed apart: twice as many additions
/// are in flight at once.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const f32; ROWS],
    ahead: &[*const f32; AHEAD],
    lines: usize,
    out: *mut f32,
) {
    let mut even = [_mm512_setzero_ps(); 4];
    let mut odd = [_mm512_setzero_ps(); 4];
    let mut line = 0;
    // SAFETY: only lines below `lines` are read.
    unsafe {
        while line + 2 <= lines {
            add_line::<F, LINES, ROWS, AHEAD>(&mut even, query, rows, ahead, line);
            add_line::<F, LINES, ROWS, AHEAD>(&mut odd, query, rows, ahead, line + 1);
            line += 2;
        }
        if line < lines {
            add_line::<F, LINES, ROWS, AHEAD>(&mut even, query, rows, ahead, line);
        }
    }
    for row in 0..ROWS {
        even[row] = _mm512_add_ps(even[row], odd[row]);
    }
    let sums = horizontal_sums(even);
    let distances = if F::DIFFERENCES { sums } else { _mm_sub_ps(_mm_set1_ps(F::BASE), sums) };
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        _mm_storeu_ps(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// Adds the terms of one line of each row to its sums.
///
/// # Safety
/// `query` and the `rows` have more than `line` lines.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add_line<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    sums: &mut [__m512; 4],
    query: &Query<LINES>,
    rows: &[*const f32; ROWS],
    ahead: &[*const f32; AHEAD],
    line: usize,
) {
    for row in ahead {
        prefetch(row.wrapping_add(line * LANES).cast());
    }
    // SAFETY: the caller's promise.
    let q = unsafe { query.line(line) };
    for (sum, row) in sums.iter_mut().zip(rows) {
        // SAFETY: the caller's promise.
        let r = unsafe { load(*row, line) };
        *sum = if F::DIFFERENCES {
            let difference = _mm512_sub_ps(q, r);
            _mm512_fmadd_ps(difference, difference, *sum)
        } else {
            _mm512_fmadd_ps(q, r, *sum)
        };
    }
}

/// The sum of the lanes of each of four registers. They are transposed on the way, so that one addition works for all.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn horizontal_sums([a, b, c, d]: [__m512; 4]) -> __m128 {
    // Per 128 bits: a0+a2, b0+b2, a1+a3, b1+b3; the same of c and d; then the sums of a, b, c, d.
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let abcd = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xEE>(ab, cd));
    let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(abcd)));
    let abcd = _mm256_add_ps(_mm512_castps512_ps256(abcd), high);
    _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps::<1>(abcd))
}
