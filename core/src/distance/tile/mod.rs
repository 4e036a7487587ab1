//! Distances of many rows to many columns at once, over 7-bit codes: the kernel of bulk building.
//!
//! A [`Panels`] holds the codes of its columns in groups of [`COLUMNS`], four components of each beside the four of the next:
//! one register of 64 bytes has four components of 16 columns, and meets four components of a row, repeated 16 times. So a
//! sum needs no reduction at its end, and each byte that is loaded is used for [`ROWS`] rows.
//!
//! What is computed is the squared Euclidean distance of the codes without the part that depends on the row alone, so it is
//! exact, the same on every machine, and good for one thing: to compare columns as neighbours of one row. Codes of 7 bits,
//! not 8, because AVX2 adds pairs of products of bytes in 16 bits: 2 x 127 x 64 fits, and 2 x 255 x 128 would not.

#[cfg(all(test, not(hnsw_loom)))]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

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

/// The part of a distance that depends on the column alone: |r - c|^2 = |r|^2 + |c|^2 - 2 r c, and kernels sum
/// (r - [`CENTRE`]) c.
pub fn term(codes: &[u8]) -> i32 {
    codes.iter().map(|code| i32::from(*code) * (i32::from(*code) - 2 * CENTRE)).sum()
}

impl Panels {
    /// No columns, for codes of `dim` components.
    pub fn new(dim: usize) -> Self {
        Panels { depth: words(dim), groups: Vec::new(), terms: Vec::new() }
    }

    /// Makes codes the columns, each code at most [`MAX_CODE`], given with the [`term`] of each column.
    pub fn fill<'c>(&mut self, mut columns: impl Iterator<Item = (&'c [u8], i32)>) {
        self.groups.clear();
        self.terms.clear();
        let mut lanes: [&[u8]; COLUMNS] = [&[]; COLUMNS];
        loop {
            let mut count = 0;
            // Far, and still far after a kernel has subtracted what it computes of zeros, which is nothing.
            let mut terms = [i32::MAX; COLUMNS];
            for (codes, term) in columns.by_ref().take(COLUMNS) {
                (lanes[count], terms[count]) = (codes, term);
                count += 1;
            }
            if count == 0 {
                return;
            }
            self.add_panel(&lanes[..count]);
            self.terms.extend_from_slice(&terms);
        }
    }

    /// Group by group, so that each is written once and as a whole.
    fn add_panel(&mut self, lanes: &[&[u8]]) {
        let whole = lanes[0].len() / 4;
        self.groups.extend((0..self.depth).map(|g| {
            let mut group = Group([[0; 4]; COLUMNS]);
            for (four, codes) in group.0.iter_mut().zip(lanes) {
                if g < whole {
                    four.copy_from_slice(&codes[4 * g..][..4]);
                } else {
                    four[..codes.len() - 4 * g].copy_from_slice(&codes[4 * g..]);
                }
            }
            group
        }));
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
    /// Appends to `found` the columns of keys that may be among the `k` least, given the least of each lane so far, which
    /// is brought up to date first.
    near: unsafe fn(keys: &[i32], k: usize, minima: &mut Minima, first: u32, found: &mut Vec<u64>),
    /// Writes the squared distances of the codes `from` and others of the same length, of four at a time.
    apart: unsafe fn(from: &[u8], others: [&[u8]; 4]) -> [i32; 4],
}

/// The least key of each lane: key `i` of a row is in lane `i % LANES`.
type Minima = [i32; LANES];

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
            isa if !isa.is_available() => Tiles { all: keys_scalar, near: near_scalar, apart: apart_scalar },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") => {
                Tiles { all: x86::keys_vnni, near: x86::near_avx512, apart: x86::apart_vnni }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => {
                Tiles { all: x86::keys_avx2, near: x86::near_avx2, apart: x86::apart_avx2 }
            }
            _ => Tiles { all: keys_scalar, near: near_scalar, apart: apart_scalar },
        }
    }

    /// The squared distances of the codes `from` and others, each of the same length.
    pub fn squares<'c>(
        &self,
        from: &[u8],
        others: impl ExactSizeIterator<Item = &'c [u8]>,
        squares: &mut Vec<i32>,
    ) {
        let count = others.len();
        squares.clear();
        squares.reserve(count + 3);
        let mut others = others.inspect(|other| assert_eq!(other.len(), from.len(), "codes of one length"));
        while let Some(other) = others.next() {
            let mut next = || others.next().unwrap_or(other);
            let four = [other, next(), next(), next()];
            // SAFETY: the instruction set is available, and all are as long as `from`.
            squares.extend_from_slice(&unsafe { (self.apart)(from, four) });
        }
        squares.truncate(count);
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
            let mut minima = [[i32::MAX; LANES]; ROWS];
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
                        (self.near)(keys, k, &mut minima[row], (block * BLOCK) as u32, &mut found[row]);
                    }
                }
            }
            for (row, found) in found[..count].iter_mut().enumerate() {
                keep_least(found, k);
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

/// The `k` least of `found`, in no order.
fn keep_least(found: &mut Vec<u64>, k: usize) {
    if found.len() > 2 * k {
        found.select_nth_unstable(k - 1);
        found.truncate(k);
    }
    // Mostly there are a few too many.
    while found.len() > k {
        let (mut last, mut largest) = (0, found[0]);
        for (i, pair) in found.iter().enumerate() {
            (last, largest) = if *pair > largest { (i, *pair) } else { (last, largest) };
        }
        found.swap_remove(last);
    }
}

/// A bound that `k` keys at least are not above: that many of the minima are not. Compares all with all, which registers do
/// faster than any order of fewer comparisons. Small `k` are content with the bounds that half of the lanes offer: each of
/// these has a rank, so the least that will do is hardly above the best.
#[inline(always)]
fn bound(minima: &Minima, k: usize) -> i32 {
    let bound = match k <= COLUMNS {
        true => least_of_rank::<COLUMNS>(minima, k),
        false => least_of_rank::<LANES>(minima, k),
    };
    // No key that counts is as large as that of a column that is not there.
    bound.min(i32::MAX - 1)
}

/// The least of the first `OFFERED` minima that `k` of all minima are not above.
#[inline(always)]
fn least_of_rank<const OFFERED: usize>(minima: &Minima, k: usize) -> i32 {
    let (offered, _) = minima.split_at(OFFERED);
    let mut ranks = [0i32; OFFERED];
    for minimum in minima {
        ranks.iter_mut().zip(offered).for_each(|(rank, bound)| *rank += i32::from(minimum <= bound));
    }
    let bounds = ranks.iter().zip(offered);
    bounds.fold(i32::MAX, |least, (rank, bound)| if *rank >= k as i32 { least.min(*bound) } else { least })
}

/// Appends pairs of the keys of 64 columns at most that `near` has a bit for. `first` is the column of the first key.
#[inline(always)]
fn push_near(keys: &[i32], mut near: u64, first: u32, found: &mut Vec<u64>) {
    found.reserve(near.count_ones() as usize);
    while near != 0 {
        let at = near.trailing_zeros();
        near &= near - 1;
        found.push(pair(keys[at as usize], first + at));
    }
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
unsafe fn near_scalar(keys: &[i32], k: usize, minima: &mut Minima, first: u32, found: &mut Vec<u64>) {
    for lanes in keys.chunks(LANES) {
        minima.iter_mut().zip(lanes).for_each(|(minimum, key)| *minimum = (*minimum).min(*key));
    }
    let bound = bound(minima, k);
    let near = keys.iter().zip(first..).filter(|(key, _)| **key <= bound);
    found.extend(near.map(|(key, column)| pair(*key, column)));
}

/// As [`keys_scalar`].
unsafe fn apart_scalar(from: &[u8], others: [&[u8]; 4]) -> [i32; 4] {
    others.map(|other| square(from, other))
}

/// The squared distance of two codes.
fn square(one: &[u8], other: &[u8]) -> i32 {
    one.iter().zip(other).map(|(x, y)| (i32::from(*x) - i32::from(*y)).pow(2)).sum()
}
