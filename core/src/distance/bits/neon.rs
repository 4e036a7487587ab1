//! Kernels for Arm NEON: a line is four registers.

use super::{BLOCK, LINE, Lines, fields, many_of_planes, mask};
use crate::distance::prefetch;
use core::arch::aarch64::*;

many_of_planes!("neon");

/// Bytes of a register.
const QUARTER: usize = LINE / 4;

/// A register of 4 sums.
type Sum = int32x4_t;

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Sum {
    vdupq_n_s32(0)
}

/// # Safety
/// As `block`: there are lines `from .. from + lines` behind each row, and as many behind `query` for each field.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_plane<const WIDTH: u32, const ROWS: usize>(
    sums: &mut [Sum; ROWS],
    query: *const i8,
    rows: &[*const u8; ROWS],
    from: usize,
    lines: usize,
    ahead: &[*const u8],
) {
    let low = vdupq_n_u8(mask(WIDTH));
    let shift = vdupq_n_s8(-(WIDTH as i8));
    for quarter in 0..4 * lines {
        let (line, offset) = (quarter / 4, quarter % 4 * QUARTER);
        let at = (from + line) * LINE + offset;
        if offset == 0 {
            for row in ahead {
                prefetch(row.wrapping_add(at));
            }
        }
        let mut codes = [low; ROWS];
        for (codes, row) in codes.iter_mut().zip(rows) {
            // SAFETY: the line is one of the row.
            *codes = unsafe { vld1q_u8(row.add(at)) };
        }
        // Sums of two products, at most 15 x 128 x 2 in magnitude, over two fields of 4 bits, four of 2 or eight of 1: below
        // 2^15.
        let mut products = [vdupq_n_s16(0); ROWS];
        for field in 0..fields(WIDTH) {
            // SAFETY: the query has a line for each field of each line.
            let q = unsafe { vld1q_s8(query.add((line * fields(WIDTH) + field) * LINE + offset)) };
            for (products, codes) in products.iter_mut().zip(&mut codes) {
                let numbers = vreinterpretq_s8_u8(vandq_u8(*codes, low));
                *products = vmlal_s8(*products, vget_low_s8(numbers), vget_low_s8(q));
                *products = vmlal_high_s8(*products, numbers, q);
                *codes = vshlq_u8(*codes, shift);
            }
        }
        for (sum, products) in sums.iter_mut().zip(products) {
            *sum = vpadalq_s16(*sum, products);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn shift_left<const BITS: u32>(sum: Sum) -> Sum {
    vshlq_s32(sum, vdupq_n_s32(BITS as i32))
}

#[inline]
#[target_feature(enable = "neon")]
fn total(sum: Sum) -> i32 {
    vaddvq_s32(*sum)
}
