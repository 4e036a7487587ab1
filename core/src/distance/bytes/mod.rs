//! Kernels over rows of bytes from 0 to [`MAX`].
//!
//! Seven bits are used of eight, for speed: then a byte is the same number with and without a sign, so a difference of two
//! fits a signed byte, and its magnitude serves as both operands of the instructions that multiply unsigned bytes by signed
//! ones. For products, the query is made signed, and what that adds to the sum is known before the first row is read.
//! No sum overflows an i32: 65,536 components x 127 x 127 is 1.06 x 10^9.

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

/// The largest code.
pub const MAX: u8 = 127;

/// The code that stands for zero in products.
pub const ZERO: u8 = 64;

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
        Isa::Avx512 if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") => {
            (isa, avx512::routine::<F>(lines))
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx2 if Isa::Avx2.is_available() => (Isa::Avx2, avx2::routine::<F>(lines)),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (isa, neon::routine::<F>(lines)),
        _ => (Isa::Scalar, scalar::routine::<F>(lines)),
    }
}
