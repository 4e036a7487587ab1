//! Codes by AVX2: a line is two registers. Products are added up in 16 bits within a line: of each code with a byte of at most
//! 127, eight times 15 * 127 is below 2¹⁵.

use super::super::{LOOKAHEAD, prefetch};
use super::{Layout, Left, Line, Routines, SHORT, ToQuery, ToRow, factors};
use core::arch::x86_64::*;

routines_of_nibbles!(#[target_feature(enable = "avx2")]);

type Bytes = [__m256i; 2];

/// The sums of products and of codes.
type Sums = [__m256i; 2];

#[inline]
#[target_feature(enable = "avx2")]
fn zeros() -> Sums {
    [_mm256_setzero_si256(); 2]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bytes(at: *const Line) -> Bytes {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.cast::<__m256i>().add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn low([a, b]: Bytes) -> Bytes {
    let mask = _mm256_set1_epi8(15);
    [_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn high([a, b]: Bytes) -> Bytes {
    low([_mm256_srli_epi16::<4>(a), _mm256_srli_epi16::<4>(b)])
}

#[inline]
#[target_feature(enable = "avx2")]
fn and(a: Bytes, b: Bytes) -> Bytes {
    [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add([products, sum]: Sums, codes: [Bytes; 2], q: [Bytes; 2]) -> Sums {
    let [[a, b], [c, d]] = codes;
    let low = _mm256_add_epi16(_mm256_maddubs_epi16(a, q[0][0]), _mm256_maddubs_epi16(b, q[0][1]));
    let high = _mm256_add_epi16(_mm256_maddubs_epi16(c, q[1][0]), _mm256_maddubs_epi16(d, q[1][1]));
    let pairs = _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1));
    [_mm256_add_epi32(products, pairs), sum]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_codes([products, sum]: Sums, codes: [Bytes; 2]) -> Sums {
    let [[a, b], [c, d]] = codes;
    let four = _mm256_add_epi8(_mm256_add_epi8(a, b), _mm256_add_epi8(c, d));
    // Sums of eight bytes, in 64 bits each: the upper half of each is 0.
    [products, _mm256_add_epi32(sum, _mm256_sad_epu8(four, _mm256_setzero_si256()))]
}

#[inline]
#[target_feature(enable = "avx2")]
fn totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([a[0], b[0], c[0], d[0]])
}

#[inline]
#[target_feature(enable = "avx2")]
fn code_totals([a, b, c, d]: [Sums; 4]) -> [i32; 4] {
    horizontal_sums([a[1], b[1], c[1], d[1]])
}

/// The sum of the lanes of each of four registers. They are transposed on the way, so that one addition works for all.
#[inline]
#[target_feature(enable = "avx2")]
fn horizontal_sums([a, b, c, d]: [__m256i; 4]) -> [i32; 4] {
    let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    let abcd = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    let abcd = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
    let mut four = [0; 4];
    // SAFETY: `four` has room for four numbers.
    unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), abcd) };
    four
}
