//! The definition, in plain Rust.

use super::ZERO;
use crate::distance::codes::{AT_ONCE, Routine};
use crate::distance::formula::Formula;
use crate::distance::{LOOKAHEAD, prefetch};

/// The kernel, which is the same for every length of rows.
pub(in crate::distance) fn routine<F: Formula>(_lines: usize) -> Routine {
    many::<F>
}

/// # Safety
/// See [`Codes::many`](crate::distance::codes::Codes::many).
unsafe fn many<F: Formula>(query: *const u8, rows: &[*const u8], lines: usize, scale: f32, out: &mut [f32]) {
    let bytes = lines * 64;
    // SAFETY: the caller promises `lines` constant cache lines.
    let query = unsafe { core::slice::from_raw_parts(query, bytes) };
    for (i, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(i + LOOKAHEAD).filter(|_| lines > AT_ONCE) {
            (0..bytes).step_by(64).for_each(|at| prefetch(ahead.wrapping_add(at)));
        }
        // SAFETY: as for the query.
        let row = unsafe { core::slice::from_raw_parts(*row, bytes) };
        let terms = query.iter().zip(row).map(|(&q, &r)| {
            if F::DIFFERENCES {
                let difference = i32::from(q) - i32::from(r);
                difference * difference
            } else {
                (i32::from(q) - i32::from(ZERO)) * (i32::from(r) - i32::from(ZERO))
            }
        });
        *out = scale * terms.sum::<i32>() as f32;
    }
}
