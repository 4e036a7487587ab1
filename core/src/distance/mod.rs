//! Distances between f32 rows: one scalar definition, and SIMD kernels chosen once at run time.
//!
//! Kernels work on rows that are padded with zeros to a multiple of [`LANES`] floats and aligned to 64 bytes, so none has
//! a tail. `many` computes one query against several rows, which is what a hop of a graph search needs: the loads of
//! several rows are in flight at once.

mod scalar;

use core::fmt;

/// Rows are padded to a multiple of this many floats: one cache line, one AVX-512 register.
pub const LANES: usize = 16;

/// Kernels fetch the lines of the row this many rows ahead of the one they compute; the caller fetches those of the first.
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

/// An instruction set that a kernel is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust; runs everywhere and defines the result.
    Scalar,
    /// Arm NEON.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
}

/// The kernels of one instruction set and one metric.
#[derive(Clone, Copy)]
pub struct Kernels {
    isa: Isa,
    metric: Metric,
    one: unsafe fn(*const f32, *const f32, usize) -> f32,
    many: unsafe fn(*const f32, &[*const f32], usize, &mut [f32]),
}

impl Kernels {
    /// The best kernels that this machine runs, or those that the environment variable `HNSW_ISA` names
    /// (`scalar`, `neon`, `avx2`, `avx512`) if the machine runs them.
    pub fn new(metric: Metric) -> Kernels {
        Kernels { isa: Isa::Scalar, metric, one: scalar::l2_one, many: scalar::l2_many }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The metric computed.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The distance of `a` and `b`.
    ///
    /// # Safety
    /// Both point to `dim` floats that no one writes meanwhile, are aligned to 64 bytes, and `dim` is a multiple of
    /// [`LANES`].
    #[inline(always)]
    pub unsafe fn one(&self, a: *const f32, b: *const f32, dim: usize) -> f32 {
        // SAFETY: the caller's promise is the kernel's; the instruction set was checked when the kernel was chosen.
        unsafe { (self.one)(a, b, dim) }
    }

    /// The distances of `query` to each of `rows`, into `out[..rows.len()]`.
    ///
    /// # Safety
    /// As [`Kernels::one`], for `query` and every row; `out` is at least as long as `rows`.
    #[inline(always)]
    pub unsafe fn many(&self, query: *const f32, rows: &[*const f32], dim: usize, out: &mut [f32]) {
        debug_assert!(out.len() >= rows.len());
        // SAFETY: as above.
        unsafe { (self.many)(query, rows, dim, out) }
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
