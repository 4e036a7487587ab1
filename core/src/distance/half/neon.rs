//! Kernels for Arm NEON: a quarter of a cache line is a register of halves, and two of f32.

use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::neon::add_terms;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::aarch64::*;
use core::arch::asm;

code_routine_of_blocks!("neon", 1 2 3);

/// A query, read line by line: the registers have no room for it beside the sums.
struct Query<const LINES: usize>(*const u8);

impl<const LINES: usize> Query<LINES> {
    fn new<F: Formula>(at: *const u8, _lines: usize) -> Self {
        Query(at)
    }
}

/// Eight halves, widened. The intrinsics for it are not stable yet; the instructions are part of NEON.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(at: *const u8) -> [float32x4_t; 2] {
    // SAFETY: the caller's promise.
    let halves = unsafe { vld1q_u16(at.cast()) };
    let (low, high): (float32x4_t, float32x4_t);
    // SAFETY: both instructions read and write nothing but these registers.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) low, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) high, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    [low, high]
}

/// Writes the distances of `ROWS` (1 to 4) rows to `out`. The two halves of each quarter are summed apart: twice as many
/// additions are in flight at once.
///
/// # Safety
/// `query` has `lines` lines, and so have the `rows`; `out` has room for `ROWS` floats.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn block<F: Formula, const LINES: usize, const ROWS: usize, const AHEAD: usize>(
    query: &Query<LINES>,
    rows: &[*const u8; ROWS],
    ahead: &[*const u8; AHEAD],
    lines: usize,
    scale: f32,
    out: *mut f32,
) {
    let mut low = [vdupq_n_f32(0.0); 4];
    let mut high = [vdupq_n_f32(0.0); 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * 64));
        }
        for at in (line * 64..line * 64 + 64).step_by(16) {
            // SAFETY: the quarter line is in one of the `lines` of the query.
            let q = unsafe { load(query.0.add(at)) };
            for row in 0..ROWS {
                // SAFETY: the quarter line is in one of the `lines` of the row.
                let r = unsafe { load(rows[row].add(at)) };
                low[row] = add_terms::<F>(low[row], q[0], r[0]);
                high[row] = add_terms::<F>(high[row], q[1], r[1]);
            }
        }
    }
    for row in 0..ROWS {
        low[row] = vaddq_f32(low[row], high[row]);
    }
    let [a, b, c, d] = low;
    // Pairwise additions sum the lanes of the four rows and put the sums side by side.
    let sums = vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
    let distances = vmulq_n_f32(sums, scale);
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        vst1q_f32(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}
