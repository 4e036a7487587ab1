//! Huge pages: large arrays that are read here and there miss the cache of address translations on small ones.

use rayon::prelude::*;

/// Bytes of a huge page. Arrays of this size and above deserve some.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Asks for huge pages in a range that was just allocated and not yet written, where it holds any and the system has them.
pub(crate) fn advise(at: *mut u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(hnsw_loom)))]
    {
        let before = at.align_offset(HUGE_PAGE);
        if let Some(bytes) =
            bytes.checked_sub(before).map(|bytes| bytes & !(HUGE_PAGE - 1)).filter(|bytes| *bytes > 0)
        {
            // SAFETY: whole pages of the range; the advice changes no content. A refusal is no error: it is a hint.
            unsafe { libc::madvise(at.wrapping_add(before).cast(), bytes, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(hnsw_loom))))]
    let _ = (at, bytes);
}

/// Collects elements into a vector in huge pages, as far as it goes. Each thread is the first to touch what it makes.
pub(crate) fn collect<T: Send>(elements: impl IndexedParallelIterator<Item = T>) -> Vec<T> {
    let mut vec = Vec::with_capacity(elements.len());
    let room = vec.spare_capacity_mut();
    advise(room.as_mut_ptr().cast(), size_of_val(room));
    vec.par_extend(elements);
    vec
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn any_range_may_be_asked_for() {
        for elements in [0, 1, 100, HUGE_PAGE / 8 - 1, HUGE_PAGE / 8, HUGE_PAGE / 2 + 3] {
            let vec = collect((0..elements).into_par_iter().map(|i| i as u64));
            assert!(vec.iter().copied().eq(0..elements as u64));
        }
    }
}
