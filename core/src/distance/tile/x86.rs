//! The kernels for AVX-512 with VNNI and for AVX2.

use super::{COLUMNS, Group, LANES, Minima, bound, push_near, square};
use core::arch::x86_64::*;

/// # Safety
/// AVX-512F and VNNI are available. `rows` is whole rows of `depth` words, `groups` whole panels of `depth` groups, and
/// there is a term for each column and a key for each row and column.
#[target_feature(enable = "avx512f,avx512vnni")]
pub unsafe fn keys_vnni(rows: &[i32], depth: usize, groups: &[Group], terms: &[i32], keys: &mut [i32]) {
    let width = terms.len();
    let (rows_of_four, panels) = (rows.chunks(4 * depth).enumerate(), groups.len() / depth);
    for (four, rows) in rows_of_four {
        let keys = &mut keys[four * 4 * width..];
        // SAFETY: the caller's promises, for up to four of the rows.
        unsafe {
            match rows.len() / depth {
                4 => block_vnni::<4>(rows, depth, groups, panels, terms, keys),
                3 => block_vnni::<3>(rows, depth, groups, panels, terms, keys),
                2 => block_vnni::<2>(rows, depth, groups, panels, terms, keys),
                _ => block_vnni::<1>(rows, depth, groups, panels, terms, keys),
            }
        }
    }
}

/// # Safety
/// As [`keys_vnni`], for `R` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn block_vnni<const R: usize>(
    rows: &[i32],
    depth: usize,
    groups: &[Group],
    panels: usize,
    terms: &[i32],
    keys: &mut [i32],
) {
    let mut panel = 0;
    // SAFETY: panels, and so groups, terms and keys, are those that the caller promises.
    unsafe {
        while panel + 4 <= panels {
            tile_vnni::<R, 4>(rows, depth, groups, panel, terms, keys);
            panel += 4;
        }
        while panel < panels {
            tile_vnni::<R, 1>(rows, depth, groups, panel, terms, keys);
            panel += 1;
        }
    }
}

/// # Safety
/// As [`keys_vnni`], for `R` rows and the `P` panels from `panel` on.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile_vnni<const R: usize, const P: usize>(
    rows: &[i32],
    depth: usize,
    groups: &[Group],
    panel: usize,
    terms: &[i32],
    keys: &mut [i32],
) {
    let mut sums = [[_mm512_setzero_si512(); P]; R];
    let width = terms.len();
    // SAFETY: group `g` of `P` panels and word `g` of `R` rows are there, and so are the terms and keys of their columns.
    unsafe {
        let groups = groups.as_ptr().add(panel * depth);
        for g in 0..depth {
            let mut columns = [_mm512_setzero_si512(); P];
            for (p, columns) in columns.iter_mut().enumerate() {
                *columns = _mm512_load_si512(groups.add(p * depth + g).cast());
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let word = _mm512_set1_epi32(*rows.get_unchecked(r * depth + g));
                for (sum, columns) in sums.iter_mut().zip(columns) {
                    *sum = _mm512_dpbusd_epi32(*sum, columns, word);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (p, sum) in sums.into_iter().enumerate() {
                let at = (panel + p) * COLUMNS;
                let term = _mm512_loadu_si512(terms.as_ptr().add(at).cast());
                let key = _mm512_sub_epi32(term, _mm512_slli_epi32::<1>(sum));
                _mm512_storeu_si512(keys.as_mut_ptr().add(r * width + at).cast(), key);
            }
        }
    }
}

/// # Safety
/// AVX-512F is available, and `keys` are whole panels.
#[target_feature(enable = "avx512f")]
pub unsafe fn near_avx512(keys: &[i32], k: usize, minima: &mut Minima, first: u32, found: &mut Vec<u64>) {
    // SAFETY: each load is of a whole panel of keys, and each store has room for it.
    unsafe {
        let load = |panel: &[i32]| _mm512_loadu_si512(panel.as_ptr().cast());
        let lanes = minima.as_mut_ptr();
        let mut least = [_mm512_loadu_si512(lanes.cast()), _mm512_loadu_si512(lanes.add(COLUMNS).cast())];
        for (i, panel) in keys.chunks_exact(COLUMNS).enumerate() {
            least[i & 1] = _mm512_min_epi32(least[i & 1], load(panel));
        }
        _mm512_storeu_si512(lanes.cast(), least[0]);
        _mm512_storeu_si512(lanes.add(COLUMNS).cast(), least[1]);
        let limit = _mm512_set1_epi32(bound(minima, k));
        for (i, keys) in keys.chunks(64).enumerate() {
            let panels = keys.chunks_exact(COLUMNS).map(|panel| _mm512_cmple_epi32_mask(load(panel), limit));
            // One branch for 64 keys, not one for each panel: hits come as they like.
            let near = panels.rev().fold(0, |near, panel| near << COLUMNS | u64::from(panel));
            push_near(keys, near, first + i as u32 * 64, found);
        }
    }
}

/// # Safety
/// AVX2 is available; else as [`keys_vnni`].
#[target_feature(enable = "avx2")]
pub unsafe fn keys_avx2(rows: &[i32], depth: usize, groups: &[Group], terms: &[i32], keys: &mut [i32]) {
    let ones = _mm256_set1_epi16(1);
    for (row, keys) in rows.chunks_exact(depth).zip(keys.chunks_exact_mut(terms.len())) {
        let panels = groups.chunks_exact(depth).zip(terms.chunks_exact(COLUMNS));
        for ((panel, terms), keys) in panels.zip(keys.chunks_exact_mut(COLUMNS)) {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (group, word) in panel.iter().zip(row) {
                let word = _mm256_set1_epi32(*word);
                for (half, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a group has two halves of 32 bytes.
                    let columns = unsafe { _mm256_loadu_si256(group.0.as_ptr().add(8 * half).cast()) };
                    let pairs = _mm256_maddubs_epi16(columns, word);
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                }
            }
            for (half, sum) in sums.into_iter().enumerate() {
                // SAFETY: a panel has two halves of 8 terms and keys.
                unsafe {
                    let term = _mm256_loadu_si256(terms.as_ptr().add(8 * half).cast());
                    let key = _mm256_sub_epi32(term, _mm256_slli_epi32::<1>(sum));
                    _mm256_storeu_si256(keys.as_mut_ptr().add(8 * half).cast(), key);
                }
            }
        }
    }
}

/// # Safety
/// AVX2 is available, and `keys` are whole panels.
#[target_feature(enable = "avx2")]
pub unsafe fn near_avx2(keys: &[i32], k: usize, minima: &mut Minima, first: u32, found: &mut Vec<u64>) {
    const HALF: usize = COLUMNS / 2;
    // SAFETY: each load is of half a panel of keys, and each store has room for it.
    unsafe {
        let load = |half: &[i32]| _mm256_loadu_si256(half.as_ptr().cast());
        let mut least = [_mm256_setzero_si256(); LANES / HALF];
        for (least, lanes) in least.iter_mut().zip(minima.chunks_exact(HALF)) {
            *least = load(lanes);
        }
        for (i, half) in keys.chunks_exact(HALF).enumerate() {
            least[i % (LANES / HALF)] = _mm256_min_epi32(least[i % (LANES / HALF)], load(half));
        }
        for (i, least) in least.into_iter().enumerate() {
            _mm256_storeu_si256(minima.as_mut_ptr().add(i * HALF).cast(), least);
        }
        let limit = _mm256_set1_epi32(bound(minima, k));
        for (i, keys) in keys.chunks(64).enumerate() {
            let halves = keys.chunks_exact(HALF).map(|half| {
                let far = _mm256_cmpgt_epi32(load(half), limit);
                !_mm256_movemask_ps(_mm256_castsi256_ps(far)) as u64 & 0xff
            });
            let near = halves.rev().fold(0, |near, half| near << HALF | half);
            push_near(keys, near, first + i as u32 * 64, found);
        }
    }
}

/// # Safety
/// AVX-512F, BW and VNNI are available, and the `others` are as long as `from`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn apart_vnni(from: &[u8], others: [&[u8]; 4]) -> [i32; 4] {
    const STEP: usize = 64;
    let mut sums = [_mm512_setzero_si512(); 4];
    let whole = from.len() / STEP * STEP;
    let mut add = |at: usize, mask: __mmask64| {
        // SAFETY: the mask leaves out what is behind the end of `from`, and all are as long.
        unsafe {
            let row = _mm512_maskz_loadu_epi8(mask, from.as_ptr().add(at).cast());
            for (sum, other) in sums.iter_mut().zip(others) {
                let other = _mm512_maskz_loadu_epi8(mask, other.as_ptr().add(at).cast());
                // Codes of 7 bits differ by no more than a signed byte holds.
                let apart = _mm512_abs_epi8(_mm512_sub_epi8(row, other));
                *sum = _mm512_dpbusd_epi32(*sum, apart, apart);
            }
        }
    };
    for at in (0..whole).step_by(STEP) {
        add(at, !0);
    }
    if whole < from.len() {
        add(whole, !0 >> (STEP - from.len() % STEP));
    }
    let [a, b, c, d] =
        sums.map(|sum| _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)));
    totals([a, b, c, d])
}

/// The sum of each register.
#[inline]
#[target_feature(enable = "avx2")]
fn totals([a, b, c, d]: [__m256i; 4]) -> [i32; 4] {
    // Four sums in each half: of neighbours, then of neighbours again.
    let halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    let mut totals = [0; 4];
    // SAFETY: there is room for four sums.
    unsafe { _mm_storeu_si128(totals.as_mut_ptr().cast(), sums) };
    totals
}

/// # Safety
/// AVX2 is available, and the `others` are as long as `from`.
#[target_feature(enable = "avx2")]
pub unsafe fn apart_avx2(from: &[u8], others: [&[u8]; 4]) -> [i32; 4] {
    const STEP: usize = 32;
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 4];
    let whole = from.len() / STEP * STEP;
    for at in (0..whole).step_by(STEP) {
        // SAFETY: so many codes are there, of each.
        unsafe {
            let row = _mm256_loadu_si256(from.as_ptr().add(at).cast());
            for (sum, other) in sums.iter_mut().zip(others) {
                let other = _mm256_loadu_si256(other.as_ptr().add(at).cast());
                let apart = _mm256_abs_epi8(_mm256_sub_epi8(row, other));
                // Two squares of 127 fit in 16 bits.
                let pairs = _mm256_maddubs_epi16(apart, apart);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    let mut totals = totals(sums);
    for (total, other) in totals.iter_mut().zip(others) {
        *total += square(&from[whole..], &other[whole..]);
    }
    totals
}
