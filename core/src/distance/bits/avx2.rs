//! Kernels for AVX2: a line is two registers.

use super::{BLOCK, LINE, Lines, fields, many_of_planes, mask};
use crate::distance::prefetch;
use core::arch::x86_64::*;

many_of_planes!("avx2");

/// Bytes of a register.
const HALF: usize = LINE / 2;

/// A register of 8 sums.
type Sum = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Sum {
    _mm256_setzero_si256()
}

/// # Safety
/// As `block`: there are lines `from .. from + lines` behind each row, and as many behind `query` for each field.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn add_plane<const WIDTH: u32, const ROWS: usize>(
    sums: &mut [Sum; ROWS],
    query: *const i8,
    rows: &[*const u8; ROWS],
    from: usize,
    lines: usize,
    ahead: &[*const u8],
) {
    let low = _mm256_set1_epi8(mask(WIDTH) as i8);
    let shift = _mm_cvtsi32_si128(WIDTH as i32);
    let ones = _mm256_set1_epi16(1);
    for half in 0..2 * lines {
        let (line, offset) = (half / 2, half % 2 * HALF);
        let at = (from + line) * LINE + offset;
        if offset == 0 {
            for row in ahead {
                prefetch(row.wrapping_add(at));
            }
        }
        let mut codes = [low; ROWS];
        for (codes, row) in codes.iter_mut().zip(rows) {
            // SAFETY: the line is one of the row.
            *codes = unsafe { _mm256_load_si256(row.add(at).cast()) };
        }
        // Sums of two products, at most 15 x 128 x 2 in magnitude, over two fields of 4 bits, four of 2 or eight of 1: below
        // 2^15.
        let mut pairs = [_mm256_setzero_si256(); ROWS];
        for field in 0..fields(WIDTH) {
            let at = (line * fields(WIDTH) + field) * LINE + offset;
            // SAFETY: the query has a line for each field of each line.
            let q = unsafe { _mm256_load_si256(query.add(at).cast()) };
            for (pairs, codes) in pairs.iter_mut().zip(&mut codes) {
                *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(_mm256_and_si256(*codes, low), q));
                *codes = _mm256_srl_epi16(*codes, shift);
            }
        }
        for (sum, pairs) in sums.iter_mut().zip(pairs) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift_left<const BITS: u32>(sum: Sum) -> Sum {
    _mm256_sll_epi32(sum, _mm_cvtsi32_si128(BITS as i32))
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: Sum) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}
