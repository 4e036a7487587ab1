//! Kernels for Arm NEON: a cache line is four registers, summed apart.

use super::formula::Formula;
use super::{LANES, LOOKAHEAD, Routines, prefetch};
use core::arch::aarch64::*;

routines_of_blocks!("neon");

/// A query, read line by line: the registers have no room for it beside the sums.
struct Query<const LINES: usize>(*const f32);

impl<const LINES: usize> Query<LINES> {
    fn new(at: *const f32) -> Self {
        Query(at)
    }
}

/// The four quarters of a line.
///
/// # Safety
/// There are more than `line` lines at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(at: *const f32, line: usize) -> [float32x4_t; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let at = at.add(line * LANES);
        [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))]
    }
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const f32; ROWS],
    ahead: &[*const f32; AHEAD],
    lines: usize,
    out: *mut f32,
) {
    let mut quarters = [[vdupq_n_f32(0.0); 4]; 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * LANES).cast());
        }
        // SAFETY: the line is one of the `lines` of the query.
        let q = unsafe { load(query.0, line) };
        for row in 0..ROWS {
            // SAFETY: the line is one of the `lines` of the row.
            let r = unsafe { load(rows[row], line) };
            for quarter in 0..4 {
                quarters[row][quarter] = add_terms::<F>(quarters[row][quarter], q[quarter], r[quarter]);
            }
        }
    }
    let sums = horizontal_sums(quarters);
    let distances = if F::DIFFERENCES { sums } else { vsubq_f32(vdupq_n_f32(F::BASE), sums) };
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        vst1q_f32(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// Adds the terms of a quarter of a line.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn add_terms<F: Formula>(sum: float32x4_t, q: float32x4_t, r: float32x4_t) -> float32x4_t {
    if F::DIFFERENCES {
        let difference = vsubq_f32(q, r);
        vfmaq_f32(sum, difference, difference)
    } else {
        vfmaq_f32(sum, q, r)
    }
}

/// The sum of the lanes of each of four rows, given by quarters.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn horizontal_sums(rows: [[float32x4_t; 4]; 4]) -> float32x4_t {
    let mut sums = [vdupq_n_f32(0.0); 4];
    for (sum, [a, b, c, d]) in sums.iter_mut().zip(rows) {
        *sum = vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d));
    }
    let [a, b, c, d] = sums;
    // Pairwise additions sum the lanes of the four rows and put the sums side by side.
    vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))
}
