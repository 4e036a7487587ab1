//! Planes by AVX2 and FMA: a line of a plane is two registers.

use super::super::avx2::{add_terms, horizontal_sums};
use super::super::{LOOKAHEAD, prefetch};
use super::{Formula, Line, Routines, SHORT};
use core::arch::x86_64::*;

routines_of_planes!(#[target_feature(enable = "avx2,fma")]);

type Values = [__m256; 2];
type Words = [__m256i; 2];
/// The two halves of a line are summed apart.
type Sums = [__m256; 2];

#[inline]
#[target_feature(enable = "avx2,fma")]
fn zeros() -> Sums {
    [_mm256_setzero_ps(); 2]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn values(at: *const Line) -> Values {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { [_mm256_load_ps(at.cast()), _mm256_load_ps(at.cast::<f32>().add(8))] }
}

/// # Safety
/// As [`values`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn words(at: *const Line) -> Words {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.cast::<__m256i>().add(1))] }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn planes([a, b]: Words) -> [Values; 2] {
    let mask = _mm256_set1_epi32(-0x1_0000);
    let first = [_mm256_slli_epi32::<16>(a), _mm256_slli_epi32::<16>(b)];
    let second = [_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)];
    [floats(first), floats(second)]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn joined([a, b]: Words, [low_a, low_b]: Words) -> [Values; 2] {
    let [[a0, b0], [a1, b1]] = planes([a, b]);
    [[join_first(a0, low_a), join_first(b0, low_b)], [join_second(a1, low_a), join_second(b1, low_b)]]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn floats([a, b]: Words) -> Values {
    [_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn join_first(plane: __m256, low: __m256i) -> __m256 {
    let low = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(low));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(plane), low))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn join_second(plane: __m256, low: __m256i) -> __m256 {
    let low = _mm256_srai_epi32::<16>(low);
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(plane), low))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add<F: Formula>([mut low, mut high]: Sums, q: [Values; 2], r: [Values; 2]) -> Sums {
    for (q, r) in q.into_iter().zip(r) {
        low = add_terms::<F>(low, q[0], r[0]);
        high = add_terms::<F>(high, q[1], r[1]);
    }
    [low, high]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn totals([a, b, c, d]: [Sums; 4]) -> [f32; 4] {
    let rows = [
        _mm256_add_ps(a[0], a[1]),
        _mm256_add_ps(b[0], b[1]),
        _mm256_add_ps(c[0], c[1]),
        _mm256_add_ps(d[0], d[1]),
    ];
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), horizontal_sums(rows)) };
    four
}
