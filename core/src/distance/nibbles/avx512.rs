//! Codes by AVX-512 VNNI: a line is one register, and one instruction multiplies and adds up 64 codes.

use super::super::{LOOKAHEAD, prefetch};
use super::{Layout, Left, Line, Routines, SHORT, ToQuery, ToRow, factors};
use core::arch::x86_64::*;

/// Whether this machine runs these kernels.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

routines_of_nibbles!(#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]);

type Bytes = __m512i;

/// Products of low and of high codes, summed apart so that twice as many sums are in flight, and codes.
type Sums = [__m512i; 3];

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn zeros() -> Sums {
    [_mm512_setzero_si512(); 3]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn bytes(at: *const Line) -> Bytes {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { _mm512_load_si512(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn low(bytes: Bytes) -> Bytes {
    _mm512_and_si512(bytes, _mm512_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn high(bytes: Bytes) -> Bytes {
    low(_mm512_srli_epi16::<4>(bytes))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn and(a: Bytes, b: Bytes) -> Bytes {
    _mm512_and_si512(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add([low, high, sum]: Sums, codes: [Bytes; 2], q: [Bytes; 2]) -> Sums {
    [_mm512_dpbusd_epi32(low, codes[0], q[0]), _mm512_dpbusd_epi32(high, codes[1], q[1]), sum]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_codes([low, high, sum]: Sums, codes: [Bytes; 2]) -> Sums {
    let both = _mm512_add_epi8(codes[0], codes[1]);
    [low, high, _mm512_dpbusd_epi32(sum, both, _mm512_set1_epi8(1))]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([
        _mm512_add_epi32(a[0], a[1]),
        _mm512_add_epi32(b[0], b[1]),
        _mm512_add_epi32(c[0], c[1]),
        _mm512_add_epi32(d[0], d[1]),
    ])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn code_totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([a[2], b[2], c[2], d[2]])
}

/// The sum of the lanes of each of four registers. They are transposed on the way, so that one addition works for all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn horizontal_sums([a, b, c, d]: [__m512i; 4]) -> [i32; 4] {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let abcd = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    let abcd = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
    let mut four = [0; 4];
    // SAFETY: `four` has room for four numbers.
    unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), abcd) };
    four
}
