//! Dot products of packed small numbers with signed bytes: one scalar definition, and SIMD kernels chosen once at run time.
//!
//! Numbers have 1 to 4 bits and are kept in one *plane*, or in two if 3 bits are to be cut into a high and two low ones. A row
//! has its high plane first, if it has one, then the low; each is whole cache lines. Each byte of a plane holds `8 / width`
//! pieces of numbers, its *fields*, of `width` bits each, the first in the lowest bits. A query has one line of signed bytes
//! per line and field of a row: first those that meet field 0 of the 64 bytes of line 0, then those that meet field 1, and so
//! on, plane by plane. So a kernel unpacks a line by a shift and a mask, without moving a byte. Bytes of a row that hold no
//! numbers may hold anything if the query has zeros for all their fields.
//!
//! Sums are exact, so all instruction sets agree to the bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::Isa;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// How many rows ahead [`BitKernels::many`] prefetches, and how many it computes together.
pub const BLOCK: usize = 4;

/// `many(query, rows, lines, fetch, out)`; see [`BitKernels::many`].
type Many = unsafe fn(*const i8, &[*const u8], Lines, usize, &mut [i32]);

/// How many lines the planes of a row have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The high plane; 0 if there is none.
    pub high: usize,
    /// The low plane.
    pub low: usize,
}

/// The kernels of one instruction set and one number of bits.
#[derive(Clone, Copy)]
pub struct BitKernels {
    isa: Isa,
    many: Many,
}

/// The widths of the high plane, 0 if there is none, and of the low plane of numbers of `bits` bits, 1 to 4.
pub const fn planes(bits: usize) -> [usize; 2] {
    if bits == 3 { [1, 2] } else { [0, bits] }
}

impl BitKernels {
    /// The best kernels that this machine runs for numbers of `BITS` bits, within what `HNSW_ISA` allows.
    pub fn new<const BITS: usize>() -> BitKernels {
        let allowed = Isa::in_use();
        let available = Isa::available().into_iter().rev();
        let isa = available.filter(|isa| *isa <= allowed).find(|isa| BitKernels::runs(*isa));
        BitKernels::of::<BITS>(isa.unwrap_or(Isa::Scalar))
    }

    /// The kernels of a given instruction set, or `None` if this machine does not run them.
    pub fn with_isa<const BITS: usize>(isa: Isa) -> Option<BitKernels> {
        (isa.is_available() && BitKernels::runs(isa)).then(|| BitKernels::of::<BITS>(isa))
    }

    /// Whether an available instruction set comes with all that the kernels need.
    fn runs(isa: Isa) -> bool {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni"),
            _ => true,
        }
    }

    fn of<const BITS: usize>(isa: Isa) -> BitKernels {
        let many = const {
            match BITS {
                1 => many::<0, 1>,
                2 => many::<0, 2>,
                3 => many::<1, 2>,
                4 => many::<0, 4>,
                _ => panic!("numbers have 1 to 4 bits"),
            }
        };
        BitKernels { isa, many: many(isa) }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The dot products of a query with each row, into `out[..rows.len()]`. Prefetches `fetch` lines of every row but the
    /// first [`BLOCK`], or nothing if `fetch` is 0.
    ///
    /// # Safety
    /// Each row leads to planes of at least `lines` lines, the second right behind the first, and the query to as many lines
    /// for each field; no one writes them meanwhile; all are aligned to 64 bytes; `out` is at least as long as `rows`; no sum
    /// overflows an `i32`.
    #[inline(always)]
    pub unsafe fn many(
        &self,
        query: *const i8,
        rows: &[*const u8],
        lines: Lines,
        fetch: usize,
        out: &mut [i32],
    ) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: the caller's promise is the kernel's; the instruction set was checked when the kernel was chosen.
        unsafe { (self.many)(query, rows, lines, fetch, out) }
    }
}

/// The kernel of an instruction set that is available, for planes of these widths.
fn many<const HIGH: u32, const LOW: u32>(isa: Isa) -> Many {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::many::<HIGH, LOW>,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::many::<HIGH, LOW>,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::many::<HIGH, LOW>,
        _ => scalar::many::<HIGH, LOW>,
    }
}

/// Fields of a byte; none in a plane that is not there.
const fn fields(width: u32) -> usize {
    if width == 0 { 0 } else { 8 / width as usize }
}

/// The lowest `width` bits of a byte.
const fn mask(width: u32) -> u8 {
    (1 << width) - 1
}

/// Defines `many` for the instruction set `$feature`, out of what is in scope:
///
/// - `Sum`: a register that sums up; `zero()`, `shift_left(sum)` and `total(sum)`.
/// - `add_plane::<WIDTH, ROWS>(sums, query, rows, from, lines, ahead)`: adds to `sums` what the lines `from .. from + lines` of
///   each row give with a query that starts there, and prefetches these lines of the rows `ahead`.
macro_rules! many_of_planes {
    ($feature:literal) => {
        /// # Safety
        /// See [`super::BitKernels::many`]; and the machine runs this instruction set.
        #[target_feature(enable = $feature)]
        pub(super) unsafe fn many<const HIGH: u32, const LOW: u32>(
            query: *const i8,
            rows: &[*const u8],
            lines: Lines,
            fetch: usize,
            out: &mut [i32],
        ) {
            let mut out = out.as_mut_ptr();
            let mut rows = rows;
            // SAFETY: the caller's promise; `out` advances with `rows`.
            unsafe {
                while let Some((block_rows, rest)) = rows.split_first_chunk::<BLOCK>() {
                    let ahead = &rest[..if fetch == 0 { 0 } else { rest.len().min(BLOCK) }];
                    block::<HIGH, LOW, BLOCK>(query, block_rows, ahead, lines, fetch, out);
                    out = out.add(BLOCK);
                    rows = rest;
                }
                match *rows {
                    [a] => block::<HIGH, LOW, 1>(query, &[a], &[], lines, fetch, out),
                    [a, b] => block::<HIGH, LOW, 2>(query, &[a, b], &[], lines, fetch, out),
                    [a, b, c] => block::<HIGH, LOW, 3>(query, &[a, b, c], &[], lines, fetch, out),
                    _ => {}
                }
            }
        }

        /// Writes the dot products of `ROWS` rows to `out`, and prefetches the rows `ahead`.
        ///
        /// # Safety
        /// As [`super::BitKernels::many`], for `ROWS` rows; `out` has room for `ROWS` sums.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn block<const HIGH: u32, const LOW: u32, const ROWS: usize>(
            query: *const i8,
            rows: &[*const u8; ROWS],
            ahead: &[*const u8],
            Lines { high, low }: Lines,
            fetch: usize,
            out: *mut i32,
        ) {
            let mut sums = [zero(); ROWS];
            // SAFETY: the caller's promise; the query of the low plane follows that of the high one.
            unsafe {
                if HIGH > 0 {
                    add_plane::<HIGH, ROWS>(&mut sums, query, rows, 0, high, ahead);
                    sums.iter_mut().for_each(|sum| *sum = shift_left::<LOW>(*sum));
                }
                let query = query.add(high * fields(HIGH) * LINE);
                add_plane::<LOW, ROWS>(&mut sums, query, rows, high, low, ahead);
            }
            for row in ahead {
                (high + low..fetch).for_each(|line| prefetch(row.wrapping_add(line * LINE)));
            }
            for (row, sum) in sums.into_iter().enumerate() {
                // SAFETY: there is room for `ROWS` sums.
                unsafe { out.add(row).write(total(sum)) };
            }
        }
    };
}
use many_of_planes;
