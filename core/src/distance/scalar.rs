//! The definition of each distance, in plain Rust.

/// # Safety
/// See [`super::Kernels::one`].
pub(super) unsafe fn l2_one(a: *const f32, b: *const f32, dim: usize) -> f32 {
    // SAFETY: the caller promises `dim` readable floats behind both.
    let (a, b) = unsafe { (core::slice::from_raw_parts(a, dim), core::slice::from_raw_parts(b, dim)) };
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// # Safety
/// See [`super::Kernels::many`].
pub(super) unsafe fn l2_many(query: *const f32, rows: &[*const f32], dim: usize, out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out) {
        // SAFETY: the caller's promise holds for each row.
        *out = unsafe { l2_one(query, *row, dim) };
    }
}
