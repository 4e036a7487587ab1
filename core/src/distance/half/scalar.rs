//! The definition, in plain Rust.

use super::LANES;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};

/// The kernel, which is the same for every length of rows.
pub(in crate::distance) fn routine<F: Formula>(_lines: usize) -> Routine {
    many::<F>
}

/// The number of a finite half float. Its exponent is too small by 112 once its bits are in the places of an f32; the
/// multiplication mends that, for subnormal numbers too.
#[inline(always)]
fn widen(half: u16) -> f32 {
    let half = u32::from(half);
    let magnitude = f32::from_bits((half & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | (half & 0x8000) << 16)
}

/// # Safety
/// See [`Codes::many`](crate::distance::codes::Codes::many).
unsafe fn many<F: Formula>(query: *const u8, rows: &[*const u8], lines: usize, scale: f32, out: &mut [f32]) {
    // SAFETY: the caller promises `lines` constant cache lines, each of `LANES` halves.
    let query = unsafe { core::slice::from_raw_parts(query.cast::<[u16; LANES]>(), lines) };
    for (i, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(i + LOOKAHEAD).filter(|_| lines > AT_ONCE) {
            (0..lines).for_each(|line| prefetch(ahead.wrapping_add(line * 64)));
        }
        // SAFETY: as for the query.
        let row = unsafe { core::slice::from_raw_parts(row.cast::<[u16; LANES]>(), lines) };
        let mut lanes = [0.0f32; LANES];
        for (q, r) in query.iter().zip(row) {
            for lane in 0..LANES {
                let (q, r) = (widen(q[lane]), widen(r[lane]));
                lanes[lane] += if F::DIFFERENCES { (q - r) * (q - r) } else { q * r };
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        *out = scale * lanes[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_widened_to_its_number() {
        for bits in 0..=u16::MAX {
            let half = half::f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(widen(bits).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}
