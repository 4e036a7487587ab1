//! Codes by Arm NEON: a line is four registers. Products are added up in 16 bits within a line: of each code with a byte of at
//! most 127, sixteen times 15 * 127 is below 2¹⁵.

use super::super::{LOOKAHEAD, prefetch};
use super::{Layout, Left, Line, Routines, SHORT, ToQuery, ToRow, factors};
use core::arch::aarch64::*;

routines_of_nibbles!(#[target_feature(enable = "neon")]);

type Bytes = [uint8x16_t; 4];

/// The sums of products and of codes.
type Sums = [int32x4_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn zeros() -> Sums {
    [vdupq_n_s32(0); 2]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn bytes(at: *const Line) -> Bytes {
    let at: *const u8 = at.cast();
    // SAFETY: the caller's promise.
    unsafe { [vld1q_u8(at), vld1q_u8(at.add(16)), vld1q_u8(at.add(32)), vld1q_u8(at.add(48))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn low(bytes: Bytes) -> Bytes {
    and(bytes, [vdupq_n_u8(15); 4])
}

#[inline]
#[target_feature(enable = "neon")]
fn high(mut bytes: Bytes) -> Bytes {
    for quarter in &mut bytes {
        *quarter = vshrq_n_u8::<4>(*quarter);
    }
    bytes
}

#[inline]
#[target_feature(enable = "neon")]
fn and(mut a: Bytes, b: Bytes) -> Bytes {
    for (a, b) in a.iter_mut().zip(b) {
        *a = vandq_u8(*a, b);
    }
    a
}

#[inline]
#[target_feature(enable = "neon")]
fn add([products, sum]: Sums, codes: [Bytes; 2], q: [Bytes; 2]) -> Sums {
    let mut line = vdupq_n_s16(0);
    for (codes, q) in codes.into_iter().zip(q) {
        for (codes, q) in codes.into_iter().zip(q) {
            let (codes, q) = (vreinterpretq_s8_u8(codes), vreinterpretq_s8_u8(q));
            line = vmlal_s8(line, vget_low_s8(codes), vget_low_s8(q));
            line = vmlal_high_s8(line, codes, q);
        }
    }
    [vpadalq_s16(products, line), sum]
}

#[inline]
#[target_feature(enable = "neon")]
fn add_codes([products, sum]: Sums, codes: [Bytes; 2]) -> Sums {
    let mut line = vdupq_n_u8(0);
    for quarter in codes.into_iter().flatten() {
        line = vaddq_u8(line, quarter);
    }
    let sums = vpaddlq_u16(vpaddlq_u8(line));
    [products, vaddq_s32(sum, vreinterpretq_s32_u32(sums))]
}

#[inline]
#[target_feature(enable = "neon")]
fn totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([a[0], b[0], c[0], d[0]])
}

#[inline]
#[target_feature(enable = "neon")]
fn code_totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([a[1], b[1], c[1], d[1]])
}

/// The sum of the lanes of each of four registers.
#[inline]
#[target_feature(enable = "neon")]
fn horizontal_sums([a, b, c, d]: [int32x4_t; 4]) -> [i32; 4] {
    let mut four = [0; 4];
    // SAFETY: `four` has room for four numbers.
    unsafe { vst1q_s32(four.as_mut_ptr(), vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))) };
    four
}
