//! Planes by Arm NEON: a line of a plane is four registers.

use super::super::neon::{add_terms, horizontal_sums};
use super::super::{LOOKAHEAD, prefetch};
use super::{Formula, Line, Routines, SHORT};
use core::arch::aarch64::*;

routines_of_planes!(#[target_feature(enable = "neon")]);

type Values = [float32x4_t; 4];
type Words = [uint32x4_t; 4];
/// The quarters of a line are summed apart.
type Sums = [float32x4_t; 4];

#[inline]
#[target_feature(enable = "neon")]
fn zeros() -> Sums {
    [vdupq_n_f32(0.0); 4]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn values(at: *const Line) -> Values {
    let at: *const f32 = at.cast();
    // SAFETY: the caller's promise.
    unsafe { [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))] }
}

/// # Safety
/// As [`values`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn words(at: *const Line) -> Words {
    let at: *const u32 = at.cast();
    // SAFETY: the caller's promise.
    unsafe { [vld1q_u32(at), vld1q_u32(at.add(4)), vld1q_u32(at.add(8)), vld1q_u32(at.add(12))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn planes(high: Words) -> [Values; 2] {
    let [mut first, mut second] = [zeros(); 2];
    for quarter in 0..4 {
        first[quarter] = vreinterpretq_f32_u32(vshlq_n_u32::<16>(high[quarter]));
        second[quarter] = vreinterpretq_f32_u32(vandq_u32(high[quarter], vdupq_n_u32(0xFFFF_0000)));
    }
    [first, second]
}

#[inline]
#[target_feature(enable = "neon")]
fn joined(high: Words, low: Words) -> [Values; 2] {
    let [mut first, mut second] = planes(high);
    for quarter in 0..4 {
        let low = vreinterpretq_s32_u32(low[quarter]);
        let (a, b) = (vreinterpretq_s32_f32(first[quarter]), vreinterpretq_s32_f32(second[quarter]));
        first[quarter] = vreinterpretq_f32_s32(vaddq_s32(a, vshrq_n_s32::<16>(vshlq_n_s32::<16>(low))));
        second[quarter] = vreinterpretq_f32_s32(vaddq_s32(b, vshrq_n_s32::<16>(low)));
    }
    [first, second]
}

#[inline]
#[target_feature(enable = "neon")]
fn add<F: Formula>(mut sums: Sums, q: [Values; 2], r: [Values; 2]) -> Sums {
    for (q, r) in q.into_iter().zip(r) {
        for quarter in 0..4 {
            sums[quarter] = add_terms::<F>(sums[quarter], q[quarter], r[quarter]);
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "neon")]
fn totals(sums: [Sums; 4]) -> [f32; 4] {
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats.
    unsafe { vst1q_f32(four.as_mut_ptr(), horizontal_sums(sums)) };
    four
}
