//! Kernels for AVX-512 with VNNI, which multiplies 64 unsigned bytes by signed ones and adds them up by fours at once.

use super::{BLOCK, LINE, Lines, fields, many_of_planes, mask};
use crate::distance::prefetch;
use core::arch::x86_64::*;

many_of_planes!("avx512f,avx512bw,avx512vnni");

/// A register of 16 sums.
type Sum = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> Sum {
    _mm512_setzero_si512()
}

/// # Safety
/// As `block`: there are lines `from .. from + lines` behind each row, and as many behind `query` for each field.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_plane<const WIDTH: u32, const ROWS: usize>(
    sums: &mut [Sum; ROWS],
    query: *const i8,
    rows: &[*const u8; ROWS],
    from: usize,
    lines: usize,
    ahead: &[*const u8],
) {
    let low = _mm512_set1_epi8(mask(WIDTH) as i8);
    for line in 0..lines {
        let at = (from + line) * LINE;
        for row in ahead {
            prefetch(row.wrapping_add(at));
        }
        let mut codes = [low; ROWS];
        for (codes, row) in codes.iter_mut().zip(rows) {
            // SAFETY: the line is one of the row.
            *codes = unsafe { _mm512_load_si512(row.add(at).cast()) };
        }
        for field in 0..fields(WIDTH) {
            // SAFETY: the query has a line for each field of each line.
            let q = unsafe { _mm512_load_si512(query.add((line * fields(WIDTH) + field) * LINE).cast()) };
            for (sum, codes) in sums.iter_mut().zip(&mut codes) {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_and_si512(*codes, low), q);
                *codes = _mm512_srli_epi16::<WIDTH>(*codes);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn shift_left<const BITS: u32>(sum: Sum) -> Sum {
    _mm512_slli_epi32::<BITS>(sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total(sum: Sum) -> i32 {
    _mm512_reduce_add_epi32(sum)
}
