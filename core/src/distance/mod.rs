//! Distances between f32 rows: one scalar definition, and SIMD kernels chosen once at run time.
//!
//! Kernels work on rows that are padded with zeros to a multiple of [`LANES`] floats and aligned to 64 bytes, so none has
//! a tail. `many` computes one query against several rows, which is what a hop of a graph search needs: the loads of
//! several rows are in flight at once, and the next [`LOOKAHEAD`] rows are prefetched meanwhile.
//!
//! A distance is repeatable: with one instruction set, the same two rows give the same bits, from `one` and from any place
//! in `many`, either way round. Instruction sets differ from each other by rounding only.

#[macro_use]
mod blocks;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bits;
pub mod bytes;
pub mod codes;
mod formula;
pub mod half;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod nibbles;
pub mod planes;
mod scalar;
pub(crate) mod tile;

use core::fmt;
use formula::Formula;

pub use isa::{Isa, IsaError};

/// Rows are padded to a multiple of this many floats: one cache line, one AVX-512 register.
pub const LANES: usize = 16;

/// How many rows ahead [`Kernels::many`] prefetches. So its caller should prefetch the first `LOOKAHEAD` rows, as early as
/// it can, and no more.
pub const LOOKAHEAD: usize = 4;

/// How far apart two vectors are. Smaller is nearer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Squared Euclidean distance.
    L2,
    /// The negated inner product.
    InnerProduct,
    /// One minus the cosine of the angle. Rows are stored with unit length.
    Cosine,
}

impl Metric {
    /// The name in flags and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::InnerProduct => "ip",
            Metric::Cosine => "cosine",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kernels of one instruction set, one metric and one dimension.
#[derive(Clone, Copy)]
pub struct Kernels {
    isa: Isa,
    metric: Metric,
    padded: usize,
    routines: Routines,
}

/// What [`Kernels::one`] and [`Kernels::many`] call.
#[derive(Clone, Copy)]
struct Routines {
    one: unsafe fn(*const f32, *const f32, usize) -> f32,
    many: unsafe fn(*const f32, &[*const f32], usize, &mut [f32]),
}

impl Kernels {
    /// The best kernels that this machine runs for vectors of `dim` components, or those that the environment variable
    /// `HNSW_ISA` names (`scalar`, `neon`, `avx2`, `avx512`) if the machine runs them; see [`Isa::from_env`].
    pub fn new(metric: Metric, dim: usize) -> Kernels {
        Kernels::of(metric, dim, Isa::in_use())
    }

    /// The kernels of a given instruction set, or `None` if this machine does not run it.
    pub fn with_isa(metric: Metric, dim: usize, isa: Isa) -> Option<Kernels> {
        isa.is_available().then(|| Kernels::of(metric, dim, isa))
    }

    /// The kernels of an instruction set that is available.
    fn of(metric: Metric, dim: usize, isa: Isa) -> Kernels {
        let lines = dim.div_ceil(LANES);
        let routines = match metric {
            Metric::L2 => Routines::of::<formula::L2>(isa, lines),
            Metric::InnerProduct => Routines::of::<formula::InnerProduct>(isa, lines),
            Metric::Cosine => Routines::of::<formula::Cosine>(isa, lines),
        };
        Kernels { isa, metric, padded: lines * LANES, routines }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The metric computed.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Floats of a row: the dimension, rounded up to a multiple of [`LANES`].
    #[inline(always)]
    pub fn padded(&self) -> usize {
        self.padded
    }

    /// The distance of `a` and `b`.
    ///
    /// # Safety
    /// `dim` is [`Kernels::padded`]. Both pointers lead to `dim` floats that no one writes meanwhile, and are aligned to 64
    /// bytes.
    #[inline(always)]
    pub unsafe fn one(&self, a: *const f32, b: *const f32, dim: usize) -> f32 {
        debug_assert_eq!(dim, self.padded);
        // SAFETY: the caller's promise is the kernel's; the instruction set was checked when the kernel was chosen.
        unsafe { (self.routines.one)(a, b, dim) }
    }

    /// The distances of `query` to each of `rows`, into `out[..rows.len()]`. Prefetches every row but the first
    /// [`LOOKAHEAD`].
    ///
    /// # Safety
    /// As [`Kernels::one`], for `query` and every row; `out` is at least as long as `rows`.
    #[inline(always)]
    pub unsafe fn many(&self, query: *const f32, rows: &[*const f32], dim: usize, out: &mut [f32]) {
        debug_assert!(dim == self.padded && out.len() >= rows.len());
        // SAFETY: as above.
        unsafe { (self.routines.many)(query, rows, dim, out) }
    }
}

impl Routines {
    /// The routines of an available instruction set, for rows of `lines` cache lines.
    fn of<F: Formula>(isa: Isa, lines: usize) -> Routines {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::routines::<F>(lines),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::routines::<F>(lines),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::routines::<F>(lines),
            _ => scalar::routines::<F>(),
        }
    }
}

/// Hints that the cache line at `at` will be read. Never faults, whatever the address.
#[inline(always)]
pub fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch of any address is allowed and has no effect but on the cache.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast())
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of any address is allowed and has no effect but on the cache.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, preserves_flags, readonly))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
