//! Planes by AVX-512F: a line of a plane is one register, and gives two of floats.

use super::super::avx512::horizontal_sums;
use super::super::{LOOKAHEAD, prefetch};
use super::{Formula, Line, Routines, SHORT};
use core::arch::x86_64::*;

routines_of_planes!(#[target_feature(enable = "avx512f")]);

type Values = __m512;
type Words = __m512i;
/// First and second lines are summed apart.
type Sums = [__m512; 2];

#[inline]
#[target_feature(enable = "avx512f")]
fn zeros() -> Sums {
    [_mm512_setzero_ps(); 2]
}

/// # Safety
/// `at` leads to a line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn values(at: *const Line) -> Values {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { _mm512_load_ps(at.cast()) }
}

/// # Safety
/// As [`values`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn words(at: *const Line) -> Words {
    // SAFETY: the caller's promise; lines are aligned.
    unsafe { _mm512_load_si512(at.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn planes(high: Words) -> [Values; 2] {
    let second = _mm512_and_si512(high, _mm512_set1_epi32(-0x1_0000));
    [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(high)), _mm512_castsi512_ps(second)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn joined(high: Words, low: Words) -> [Values; 2] {
    let first = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(low));
    let second = _mm512_srai_epi32::<16>(low);
    let [a, b] = planes(high);
    [
        _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), first)),
        _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(b), second)),
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add<F: Formula>(sums: Sums, q: [Values; 2], r: [Values; 2]) -> Sums {
    let mut sums = sums;
    for (sum, (q, r)) in sums.iter_mut().zip(q.into_iter().zip(r)) {
        *sum = if F::DIFFERENCES {
            let difference = _mm512_sub_ps(q, r);
            _mm512_fmadd_ps(difference, difference, *sum)
        } else {
            _mm512_fmadd_ps(q, r, *sum)
        };
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn totals(sums: [Sums; 4]) -> [f32; 4] {
    let [a, b, c, d] = sums;
    let rows = [
        _mm512_add_ps(a[0], a[1]),
        _mm512_add_ps(b[0], b[1]),
        _mm512_add_ps(c[0], c[1]),
        _mm512_add_ps(d[0], d[1]),
    ];
    let mut four = [0.0; 4];
    // SAFETY: `four` has room for four floats.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), horizontal_sums(rows)) };
    four
}
