//! Kernels for Arm NEON: a cache line is four registers; products are widened to 16 bits and added up by pairs in 32.

use super::ZERO;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};
use core::arch::aarch64::*;

code_routine_of_blocks!("neon", 1 2 3);

/// A query, read line by line: the registers have no room for it beside the sums.
struct Query<const LINES: usize>(*const u8);

impl<const LINES: usize> Query<LINES> {
    fn new<F: Formula>(at: *const u8, _lines: usize) -> Self {
        Query(at)
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
    rows: &[*const u8; ROWS],
    ahead: &[*const u8; AHEAD],
    lines: usize,
    scale: f32,
    out: *mut f32,
) {
    let mut sums = [vdupq_n_s32(0); 4];
    for line in 0..lines {
        for row in ahead {
            prefetch(row.wrapping_add(line * 64));
        }
        for at in (line * 64..line * 64 + 64).step_by(16) {
            // SAFETY: the quarter line is in one of the `lines` of the query.
            let q = unsafe { vld1q_u8(query.0.add(at)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: the quarter line is in one of the `lines` of the row.
                let r = unsafe { vld1q_u8(row.add(at)) };
                let (a, b) = if F::DIFFERENCES {
                    // At most 127, so signed as well as unsigned.
                    let difference = vreinterpretq_s8_u8(vabdq_u8(q, r));
                    (difference, difference)
                } else {
                    (signed(q), signed(r))
                };
                *sum = vpadalq_s16(*sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
                *sum = vpadalq_s16(*sum, vmull_s8(vget_high_s8(a), vget_high_s8(b)));
            }
        }
    }
    let [a, b, c, d] = sums;
    // Pairwise additions sum the lanes of the four rows and put the sums side by side.
    let sums = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
    let distances = vmulq_n_f32(vcvtq_f32_s32(sums), scale);
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats, and `out` for `ROWS` of them.
    unsafe {
        vst1q_f32(four.as_mut_ptr(), distances);
        out.copy_from_nonoverlapping(four.as_ptr(), ROWS);
    }
}

/// Codes less [`ZERO`].
#[inline]
#[target_feature(enable = "neon")]
fn signed(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(vsubq_u8(codes, vdupq_n_u8(ZERO)))
}
