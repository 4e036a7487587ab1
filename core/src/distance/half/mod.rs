//! Kernels over rows of IEEE half floats, which are widened to f32 and added up as such.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::Isa;
use super::codes::{Routine, Sum};
use super::formula::{Formula, InnerProduct, L2};

/// Half floats of a cache line.
pub const LANES: usize = 32;

/// The kernel of an available instruction set, or of the next plainer one that has what it takes.
pub(super) fn routine(sum: Sum, lines: usize, isa: Isa) -> (Isa, Routine) {
    match sum {
        Sum::Squares => of::<L2>(lines, isa),
        Sum::Products => of::<InnerProduct>(lines, isa),
    }
}

fn of<F: Formula>(lines: usize, isa: Isa) -> (Isa, Routine) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (isa, avx512::routine::<F>(lines)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if is_x86_feature_detected!("f16c") => (isa, avx2::routine::<F>(lines)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (isa, neon::routine::<F>(lines)),
        _ => (Isa::Scalar, scalar::routine::<F>(lines)),
    }
}
