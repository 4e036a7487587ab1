//! The definition of the dot product, in plain Rust.

use super::{BLOCK, LINE, Lines, fields, mask};
use crate::distance::prefetch;

/// # Safety
/// See [`super::BitKernels::many`].
pub(super) unsafe fn many<const HIGH: u32, const LOW: u32>(
    query: *const i8,
    rows: &[*const u8],
    Lines { high, low }: Lines,
    fetch: usize,
    out: &mut [i32],
) {
    let query_lines = high * fields(HIGH) + low * fields(LOW);
    // SAFETY: the caller promises this many lines behind the query.
    let query = unsafe { core::slice::from_raw_parts(query, query_lines * LINE) };
    let (query_high, query_low) = query.split_at(high * fields(HIGH) * LINE);
    for (i, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(i + BLOCK) {
            (0..fetch).for_each(|line| prefetch(ahead.wrapping_add(line * LINE)));
        }
        // SAFETY: the caller promises this many lines behind each row.
        let row = unsafe { core::slice::from_raw_parts(*row, (high + low) * LINE) };
        let (row_high, row_low) = row.split_at(high * LINE);
        *out = (plane::<HIGH>(query_high, row_high) << LOW) + plane::<LOW>(query_low, row_low);
    }
}

/// The dot product of a query with a plane; 0 for a plane that is not there.
fn plane<const WIDTH: u32>(query: &[i8], plane: &[u8]) -> i32 {
    let mut lanes = [0i32; LINE];
    for (line, codes) in plane.chunks_exact(LINE).enumerate() {
        for field in 0..fields(WIDTH) {
            let query = &query[(line * fields(WIDTH) + field) * LINE..][..LINE];
            for ((lane, code), q) in lanes.iter_mut().zip(codes).zip(query) {
                *lane += i32::from(code >> (field as u32 * WIDTH) & mask(WIDTH)) * i32::from(*q);
            }
        }
    }
    lanes.iter().sum()
}
