//! Distances of many rows to many columns at once, over 7-bit codes: the kernel of bulk building.
//!
//! A [`Panels`] holds the codes of its columns in groups of [`COLUMNS`], four components of each beside the four of the next:
//! one register of 64 bytes has four components of 16 columns, and meets four components of a row, repeated 16 times. So a
//! sum needs no reduction at its end, and each byte that is loaded is used for [`ROWS`] rows.
//!
//! What is computed is the squared Euclidean distance of the codes without the part that depends on the row alone, so it is
//! exact, the same on every machine, and good for one thing: to compare columns as neighbours of one row. Codes of 7 bits,
//! not 8, because AVX2 adds pairs of products of bytes in 16 bits: 2 x 127 x 64 fits, and 2 x 255 x 128 would not.

use super::Isa;

/// The largest code.
pub const MAX_CODE: u8 = 127;
/// What is subtracted from a code to make it the signed code of a row.
const CENTRE: i32 = 64;
/// Columns of a panel.
pub const COLUMNS: usize = 16;
/// Rows that share the loads of a panel.
pub const ROWS: usize = 8;
/// Lanes of which the minima bound the nearest columns of a row.
const LANES: usize = 2 * COLUMNS;

/// Four components of each of 16 columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Group([[u8; 4]; COLUMNS]);

/// Columns, in panels; see [the module](self).
pub struct Panels {
    /// Groups of a panel: a quarter of the components.
    depth: usize,
    columns: usize,
    groups: Vec<Group>,
    /// The part of the distance that depends on the column alone; large for the columns that fill the last panel.
    terms: Vec<i32>,
}

/// A row as kernels want it: four signed codes in each word.
pub type Row = [i32];

/// Words of a row of `dim` components.
pub const fn words(dim: usize) -> usize {
    dim.div_ceil(4)
}

/// Puts codes, each at most [`MAX_CODE`], into a row.
pub fn pack_row(codes: &[u8], row: &mut Row) {
    debug_assert_eq!(row.len(), words(codes.len()));
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
    // Components that are not there are 0 in columns, so what they are here does not matter.
    for (byte, code) in bytes.iter_mut().zip(codes) {
        *byte = code.wrapping_sub(CENTRE as u8);
    }
}

impl Panels {
    /// No columns, for codes of `dim` components.
    pub fn new(dim: usize) -> Self {
        Panels { depth: words(dim), columns: 0, groups: Vec::new(), terms: Vec::new() }
    }

    /// Removes all columns.
    pub fn clear(&mut self) {
        self.columns = 0;
        self.groups.clear();
        self.terms.clear();
    }

    /// Adds a column of codes, each at most [`MAX_CODE`].
    pub fn push(&mut self, codes: &[u8]) {
        let lane = self.columns % COLUMNS;
        if lane == 0 {
            self.groups.resize(self.groups.len() + self.depth, Group([[0; 4]; COLUMNS]));
            // Far, and still far after a kernel has subtracted what it computes of zeros, which is nothing.
            self.terms.resize(self.terms.len() + COLUMNS, i32::MAX);
        }
        let panel = self.groups.len() - self.depth;
        let groups = &mut self.groups[panel..];
        let (fours, rest) = codes.as_chunks::<4>();
        groups.iter_mut().zip(fours).for_each(|(group, four)| group.0[lane] = *four);
        if let Some(group) = groups.get_mut(fours.len()) {
            group.0[lane][..rest.len()].copy_from_slice(rest);
        }
        // |r - c|^2 = |r|^2 + |c|^2 - 2 r c, and kernels sum (r - CENTRE) c.
        self.terms[self.columns] =
            codes.iter().map(|code| i32::from(*code) * (i32::from(*code) - 2 * CENTRE)).sum();
        self.columns += 1;
    }
}

/// Rows, words of a row, groups, terms of columns, and where the keys go.
type AllKeys = unsafe fn(&[i32], usize, &[Group], &[i32], &mut [i32]);

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
pub struct Tiles {
    /// Writes to `keys` the keys of some rows (each of `depth` words, one after another) and some panels (`groups`, with the
    /// `terms` of their columns), row by row.
    all: AllKeys,
    /// Appends to `found` the columns of keys that are at most the bound, which is lowered first if the keys allow.
    near: unsafe fn(keys: &[i32], k: usize, bound: &mut i32, first: u32, found: &mut Vec<u64>),
}

/// Columns that are compared before their keys are looked at: their keys for [`ROWS`] rows stay in the first cache.
const BLOCK: usize = 64 * COLUMNS;

/// Work space of [`Tiles::nearest`].
#[derive(Default)]
pub struct TileScratch {
    keys: Vec<i32>,
    found: [Vec<u64>; ROWS],
    nearest: Vec<u32>,
}

impl Tiles {
    /// The best kernels that this machine runs, or those of the instruction set that the environment asks for.
    pub fn new() -> Tiles {
        Tiles::of(Isa::in_use())
    }

    /// The best kernels that need no more than this instruction set, or the plainest if this machine does not run it.
    pub fn of(isa: Isa) -> Tiles {
        match isa {
            isa if !isa.is_available() => Tiles { all: keys_scalar, near: near_scalar },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => {
                Tiles { all: x86::keys_vnni, near: x86::near_avx512 }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => Tiles { all: x86::keys_avx2, near: x86::near_avx2 },
            _ => Tiles { all: keys_scalar, near: near_scalar },
        }
    }

    /// The keys of all of `rows` (each of the words of one row, one after another), row by row, each with a key for every
    /// column and some more. The key of a column is its squared distance without a part that is the same in all of a row.
    pub fn keys(&self, rows: &[i32], panels: &Panels, keys: &mut Vec<i32>) {
        let (depth, width) = (panels.depth, panels.terms.len());
        keys.resize(rows.len() / depth * width, 0);
        // SAFETY: the instruction set is available, and there is a key for each row and column.
        unsafe { (self.all)(rows, depth, &panels.groups, &panels.terms, keys) };
    }

    /// For each of `rows` (each of the words of one row, one after another) the `k` nearest columns, in no order, as long as
    /// there are so many. With `own`, row `i` does not count column `own + i`. Calls `each` with the number of the row and
    /// the columns. Of columns that are equally near, the first ones are taken.
    ///
    /// # Panics
    /// When `k` is 0 or above 32.
    pub fn nearest(
        &self,
        rows: &[i32],
        panels: &Panels,
        k: usize,
        own: Option<usize>,
        scratch: &mut TileScratch,
        mut each: impl FnMut(usize, &[u32]),
    ) {
        assert!((1..=LANES).contains(&k), "{k} nearest of a tile");
        let depth = panels.depth;
        let TileScratch { keys, found, nearest } = scratch;
        keys.resize(ROWS * BLOCK, 0);
        for (tile, rows) in rows.chunks(ROWS * depth).enumerate() {
            let count = rows.len() / depth;
            let mut bounds = [i32::MAX; ROWS];
            found.iter_mut().for_each(Vec::clear);
            for (block, terms) in panels.terms.chunks(BLOCK).enumerate() {
                let groups =
                    &panels.groups[block * BLOCK / COLUMNS * depth..][..terms.len() / COLUMNS * depth];
                let keys = &mut keys[..count * terms.len()];
                // SAFETY: the instruction set is available, and there is a key for each row and column.
                unsafe { (self.all)(rows, depth, groups, terms, keys) };
                for (row, keys) in keys.chunks_exact_mut(terms.len()).enumerate() {
                    let own = own.map(|own| own + tile * ROWS + row);
                    if let Some(key) = own.and_then(|own| keys.get_mut(own.wrapping_sub(block * BLOCK))) {
                        *key = i32::MAX;
                    }
                    // SAFETY: the instruction set is available, and keys are whole panels.
                    unsafe {
                        (self.near)(keys, k, &mut bounds[row], (block * BLOCK) as u32, &mut found[row]);
                    }
                }
            }
            for (row, found) in found[..count].iter_mut().enumerate() {
                if found.len() > k {
                    found.select_nth_unstable(k - 1);
                    found.truncate(k);
                }
                nearest.clear();
                nearest.extend(found.iter().map(|pair| *pair as u32));
                each(tile * ROWS + row, nearest);
            }
        }
    }
}

impl Default for Tiles {
    fn default() -> Self {
        Tiles::new()
    }
}

/// A key and its column in one word that sorts as the key does, then by column.
#[inline(always)]
fn pair(key: i32, column: u32) -> u64 {
    u64::from(key as u32 ^ 1 << 31) << 32 | u64::from(column)
}

/// Lowers `bound` to one that `k` keys at least are not above, given the minima of [`LANES`] lanes.
#[inline(always)]
fn lower(bound: &mut i32, mut minima: [i32; LANES], k: usize) {
    let (_, kth, _) = minima.select_nth_unstable(k - 1);
    // No key that counts is as large as that of a column that is not there.
    *bound = (*bound).min(*kth).min(i32::MAX - 1);
}

/// Safe, but as the others to be a kernel.
unsafe fn keys_scalar(rows: &[i32], depth: usize, groups: &[Group], terms: &[i32], keys: &mut [i32]) {
    for (row, keys) in rows.chunks_exact(depth).zip(keys.chunks_exact_mut(terms.len())) {
        let panels = groups.chunks_exact(depth).zip(terms.chunks_exact(COLUMNS));
        for ((panel, terms), keys) in panels.zip(keys.chunks_exact_mut(COLUMNS)) {
            let mut sums = [0i32; COLUMNS];
            for (group, word) in panel.iter().zip(row) {
                let codes = word.to_ne_bytes().map(|byte| i32::from(byte as i8));
                for (sum, column) in sums.iter_mut().zip(&group.0) {
                    *sum += codes.iter().zip(column).map(|(r, c)| r * i32::from(*c)).sum::<i32>();
                }
            }
            for ((key, sum), term) in keys.iter_mut().zip(sums).zip(terms) {
                *key = term - 2 * sum;
            }
        }
    }
}

/// As [`keys_scalar`].
unsafe fn near_scalar(keys: &[i32], k: usize, bound: &mut i32, first: u32, found: &mut Vec<u64>) {
    let mut minima = [i32::MAX; LANES];
    for lanes in keys.chunks(LANES) {
        minima.iter_mut().zip(lanes).for_each(|(minimum, key)| *minimum = (*minimum).min(*key));
    }
    lower(bound, minima, k);
    let near = keys.iter().zip(first..).filter(|(key, _)| **key <= *bound);
    found.extend(near.map(|(key, column)| pair(*key, column)));
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{COLUMNS, Group, LANES, lower, pair};
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
    pub unsafe fn near_avx512(keys: &[i32], k: usize, bound: &mut i32, first: u32, found: &mut Vec<u64>) {
        // SAFETY: each load is of a whole panel of keys, and each store has room for it.
        unsafe {
            let load = |panel: &[i32]| _mm512_loadu_si512(panel.as_ptr().cast());
            let mut least = [_mm512_set1_epi32(i32::MAX); 2];
            for (i, panel) in keys.chunks_exact(COLUMNS).enumerate() {
                least[i & 1] = _mm512_min_epi32(least[i & 1], load(panel));
            }
            let mut minima = [0; LANES];
            _mm512_storeu_si512(minima.as_mut_ptr().cast(), least[0]);
            _mm512_storeu_si512(minima.as_mut_ptr().add(COLUMNS).cast(), least[1]);
            lower(bound, minima, k);
            let limit = _mm512_set1_epi32(*bound);
            for (i, panel) in keys.chunks_exact(COLUMNS).enumerate() {
                let mut near = _mm512_cmple_epi32_mask(load(panel), limit);
                while near != 0 {
                    let lane = near.trailing_zeros();
                    near &= near - 1;
                    found.push(pair(panel[lane as usize], first + (i * COLUMNS) as u32 + lane));
                }
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
    pub unsafe fn near_avx2(keys: &[i32], k: usize, bound: &mut i32, first: u32, found: &mut Vec<u64>) {
        const HALF: usize = COLUMNS / 2;
        // SAFETY: each load is of half a panel of keys, and each store has room for it.
        unsafe {
            let load = |half: &[i32]| _mm256_loadu_si256(half.as_ptr().cast());
            let mut least = [_mm256_set1_epi32(i32::MAX); LANES / HALF];
            for (i, half) in keys.chunks_exact(HALF).enumerate() {
                least[i % (LANES / HALF)] = _mm256_min_epi32(least[i % (LANES / HALF)], load(half));
            }
            let mut minima = [0; LANES];
            for (i, least) in least.into_iter().enumerate() {
                _mm256_storeu_si256(minima.as_mut_ptr().add(i * HALF).cast(), least);
            }
            lower(bound, minima, k);
            let limit = _mm256_set1_epi32(*bound);
            for (i, half) in keys.chunks_exact(HALF).enumerate() {
                let far = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(load(half), limit)));
                let mut near = !far & 0xff;
                while near != 0 {
                    let lane = near.trailing_zeros();
                    near &= near - 1;
                    found.push(pair(half[lane as usize], first + (i * HALF) as u32 + lane));
                }
            }
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes of some vectors, one after another.
    fn codes(dim: usize, count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(0..=MAX_CODE, dim), count)
    }

    fn case() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<u8>>)> {
        prop::sample::select(vec![1, 3, 4, 17, 64, 100])
            .prop_flat_map(|dim| (codes(dim, 1..20), codes(dim, 1..90)))
    }

    fn square(row: &[u8], column: &[u8]) -> i32 {
        row.iter().zip(column).map(|(r, c)| (i32::from(*r) - i32::from(*c)).pow(2)).sum()
    }

    fn packed(rows: &[Vec<u8>], columns: &[Vec<u8>]) -> (Vec<i32>, Panels) {
        let dim = rows[0].len();
        let mut words_of_rows = vec![0; rows.len() * words(dim)];
        words_of_rows.chunks_mut(words(dim)).zip(rows).for_each(|(row, codes)| pack_row(codes, row));
        let mut panels = Panels::new(dim);
        columns.iter().for_each(|codes| panels.push(codes));
        (words_of_rows, panels)
    }

    proptest! {
        #[test]
        fn the_nearest_columns_are_found_with_every_instruction_set((rows, columns) in case(), k in 1usize..=32, own: bool) {
            let (packed_rows, panels) = packed(&rows, &columns);
            for isa in Isa::available() {
                let mut seen = 0;
                Tiles::of(isa).nearest(&packed_rows, &panels, k, own.then_some(0), &mut TileScratch::default(), |i, found| {
                    let mut all: Vec<(i32, u32)> = columns
                        .iter()
                        .zip(0..)
                        .filter(|(_, column)| !own || *column as usize != i)
                        .map(|(codes, column)| (square(&rows[i], codes), column))
                        .collect();
                    all.sort_unstable();
                    let mut nearest: Vec<(i32, u32)> =
                        found.iter().map(|column| (square(&rows[i], &columns[*column as usize]), *column)).collect();
                    nearest.sort_unstable();
                    assert_eq!(&nearest, &all[..k.min(all.len())], "{isa}, row {i}");
                    seen += 1;
                });
                prop_assert_eq!(seen, rows.len());
            }
        }
    }

    #[test]
    fn the_largest_codes_of_the_largest_dimension_do_not_overflow() {
        let dim = crate::error::MAX_DIM;
        let rows = [vec![MAX_CODE; dim], vec![0; dim]];
        let columns = [vec![0; dim], vec![MAX_CODE; dim], vec![MAX_CODE / 2; dim]];
        let (packed_rows, panels) = packed(&rows, &columns);
        for isa in Isa::available() {
            let mut nearest = Vec::new();
            Tiles::of(isa).nearest(
                &packed_rows,
                &panels,
                1,
                None,
                &mut TileScratch::default(),
                |_, found| {
                    nearest.extend_from_slice(found);
                },
            );
            assert_eq!(nearest, [1, 0], "{isa}");
        }
    }

    #[test]
    fn many_columns_are_met_in_blocks() {
        let columns: Vec<Vec<u8>> =
            (0..3 * BLOCK as u32).map(|i| vec![(i * 37 % 128) as u8, (i / 128 % 128) as u8]).collect();
        let rows = vec![vec![64, 3], vec![1, 100]];
        let (packed_rows, panels) = packed(&rows, &columns);
        for isa in Isa::available() {
            Tiles::of(isa).nearest(
                &packed_rows,
                &panels,
                5,
                None,
                &mut TileScratch::default(),
                |row, found| {
                    let mut all: Vec<(i32, u32)> =
                        columns.iter().zip(0..).map(|(codes, i)| (square(&rows[row], codes), i)).collect();
                    all.sort_unstable();
                    let mut found = found.to_vec();
                    found.sort_unstable();
                    let mut expected: Vec<u32> = all[..5].iter().map(|(_, i)| *i).collect();
                    expected.sort_unstable();
                    assert_eq!(found, expected, "{isa}");
                },
            );
        }
    }
}
