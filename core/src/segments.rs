//! Arrays that grow while other threads read them, and whose elements never move.
//!
//! A [`Segments<T>`] is an array of rows of `stride` elements each. Rows come into being segment by segment; a segment
//! is never moved, copied or freed before the array is. Growing stops no one: readers go on with what they have, and
//! two growers race with one compare-and-swap.
//!
//! Segment sizes follow the shape of floating-point numbers: [`OCTAVE`] segments of one size, then as many of twice
//! that size, and so on. So the spine has a fixed and small length for any number of rows, the unused tail of `n` rows is less
//! than `n / OCTAVE` rows and one segment of the first size, and large arrays get segments large enough for huge pages. A true capacity
//! makes the tail vanish: the last segment ends at it.
//!
//! # Invariants
//! - I1: a spine slot goes from null to a segment once and never changes again.
//! - I2: a segment is fully initialised before its pointer is in the spine.
//! - I3: a segment is installed only after the one before it.
//! - I4: segment `s` holds the rows `start(s) .. min(end(s), capacity)`.
//!
//! # Synchronisation
//! - `segment-install` (Release) with `segment-read` (Acquire): whoever sees the pointer sees the initialised elements.
//! - `segment-install` (Release) with `segment-probe` (Acquire): whoever sees a segment while growing sees its predecessors.
//!
//! # Progress
//! Reading is wait-free, growing lock-free: a grower that loses the race frees its segment and uses the winner's.
//!
//! # Memory
//! Whole segments, and the spine. Everything is freed when the array is dropped.

use crate::huge::{self, HUGE_PAGE};
use crate::sync::{AtomicPtr, Ordering};
use core::alloc::Layout;
use core::marker::PhantomData;

/// Segments of one size before the size doubles.
pub const OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 5;
/// The first segments have at least this many bytes.
const MIN_SEGMENT_BYTES: usize = if cfg!(hnsw_loom) { 1 } else { 16 << 10 };

/// A concurrently growing array of rows; see [the module](self).
pub struct Segments<T> {
    /// log2 of the number of rows in each segment of the first octave.
    base_bits: u32,
    stride: usize,
    capacity: usize,
    spine: Box<[AtomicPtr<T>]>,
    init: fn() -> T,
    owns: PhantomData<T>,
}

// SAFETY: the array owns its elements and hands out only `&T`; nothing in it is tied to a thread.
unsafe impl<T: Send> Send for Segments<T> {}
// SAFETY: shared access gives `&T` (needs T: Sync) and growing moves freshly made values into the array (needs T: Send).
unsafe impl<T: Send + Sync> Sync for Segments<T> {}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: usize,
    offset: usize,
}

impl<T> Segments<T> {
    /// An array of up to `capacity` rows of `stride` elements, holding no memory yet but its spine. New elements are
    /// made by `init`.
    ///
    /// # Panics
    /// When `stride` or `capacity` is 0, or a row is larger than 1 GiB.
    pub fn new(stride: usize, capacity: usize, init: fn() -> T) -> Self {
        Self::sized(stride, capacity, (capacity < crate::graph::MAX_NODES).then_some(capacity), init)
    }

    /// As [`Segments::new`], with segments sized for about `expected` rows, or for slow growth from nothing if that is not
    /// known.
    ///
    /// # Panics
    /// As [`Segments::new`].
    pub fn sized(stride: usize, capacity: usize, expected: Option<usize>, init: fn() -> T) -> Self {
        assert!(stride > 0 && capacity > 0, "an array of nothing");
        let row_bytes = stride * size_of::<T>().max(1);
        assert!(row_bytes <= 1 << 30, "a row of {row_bytes} bytes");
        let few = MIN_SEGMENT_BYTES.div_ceil(row_bytes);
        // If the size is known the whole array fits the first octave, and a segment is a huge page if the array is large
        // enough to deserve any. Nothing is wasted where the bound is true, because the last segment ends at it.
        let expected = expected.unwrap_or(0);
        let octave = expected.div_ceil(OCTAVE);
        let huge = if expected * row_bytes >= HUGE_PAGE { HUGE_PAGE.div_ceil(row_bytes) } else { 0 };
        let rows = few.max(octave).max(huge).next_power_of_two();
        let mut array = Segments {
            base_bits: rows.trailing_zeros(),
            stride,
            capacity,
            spine: Box::new([]),
            init,
            owns: PhantomData,
        };
        let segments = array.place(capacity - 1).segment + 1;
        array.spine = (0..segments).map(|_| AtomicPtr::new(core::ptr::null_mut())).collect();
        array
    }

    /// Elements per row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The most rows.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Segment and offset of a row. Reads the row number as a floating-point number with [`OCTAVE_BITS`] of mantissa:
    /// the exponent and mantissa are the segment, what is below the mantissa is the offset.
    #[inline(always)]
    fn place(&self, row: usize) -> Place {
        let biased = row + (OCTAVE << self.base_bits);
        let shift = (usize::BITS - 1 - biased.leading_zeros()) - OCTAVE_BITS;
        let segment = (((shift - self.base_bits) as usize) << OCTAVE_BITS) + ((biased >> shift) - OCTAVE);
        Place { segment, offset: biased & ((1 << shift) - 1) }
    }

    /// First row and number of rows of a segment.
    fn extent(&self, segment: usize) -> (usize, usize) {
        let (octave, mantissa) = (segment >> OCTAVE_BITS, segment & (OCTAVE - 1));
        let shift = self.base_bits as usize + octave;
        let start = ((OCTAVE + mantissa) << shift) - (OCTAVE << self.base_bits);
        (start, (1usize << shift).min(self.capacity.saturating_sub(start)))
    }

    fn layout(&self, rows: usize) -> Layout {
        let bytes = rows * self.stride * size_of::<T>();
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { 64.max(align_of::<T>()) };
        Layout::from_size_align(bytes, align).expect("segment size overflows the address space")
    }

    /// The elements of a row.
    ///
    /// # Panics
    /// When the row is not there: [`Segments::grow`] has not returned for it.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[T] {
        let at = self.row_ptr(row);
        // SAFETY: `row_ptr` returned, so the row is inside an installed segment (I2, I4), whose elements are
        // initialised, live as long as `self`, and are only ever lent out shared.
        unsafe { core::slice::from_raw_parts(at, self.stride) }
    }

    /// The elements of a row, to change: for arrays that a lock guards as a whole.
    ///
    /// # Panics
    /// As [`Segments::row`].
    #[inline(always)]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        let at = self.row_ptr(row).cast_mut();
        // SAFETY: as in `row`; and `&mut self` means that no other reference to any element exists.
        unsafe { core::slice::from_raw_parts_mut(at, self.stride) }
    }

    /// The address of the first element of a row, valid for `stride` elements while the array lives.
    ///
    /// # Panics
    /// As [`Segments::row`].
    #[inline(always)]
    pub fn row_ptr(&self, row: usize) -> *const T {
        assert!(row < self.capacity, "row beyond the capacity");
        let place = self.place(row);
        // Acquire [segment-read]: pairs with Release [segment-install]; the elements are initialised.
        let segment = self.spine[place.segment].load(Ordering::Acquire);
        assert!(!segment.is_null(), "row not allocated");
        // SAFETY: the segment holds all rows of its extent below the capacity (I4), this one among them.
        unsafe { segment.add(place.offset * self.stride) }
    }

    /// The only element of a row of an array with stride 1.
    ///
    /// # Panics
    /// As [`Segments::row`].
    #[inline(always)]
    pub fn get(&self, row: usize) -> &T {
        &self.row(row)[0]
    }

    /// Hints that the first `lines` cache lines of a row will be read. Nothing happens if the row is not there.
    #[inline(always)]
    pub fn prefetch(&self, row: usize, lines: usize) {
        if row < self.capacity && !cfg!(hnsw_loom) {
            let place = self.place(row);
            // Relaxed [segment-prefetch]: the pointer is used as a hint for the cache, never dereferenced.
            let segment = self.spine[place.segment].load(Ordering::Relaxed);
            let at = segment.wrapping_add(place.offset * self.stride).cast::<u8>();
            for line in 0..lines {
                crate::distance::prefetch(at.wrapping_add(line * 64));
            }
        }
    }

    /// Makes the rows `0 .. rows` exist. Rows that exist stay as they are.
    ///
    /// # Panics
    /// When `rows` is beyond the capacity.
    pub fn grow(&self, rows: usize) {
        assert!(rows <= self.capacity, "growing beyond the capacity");
        if rows == 0 {
            return;
        }
        // From the end: in the common case the last one is there, and with it all before it.
        let last = self.place(rows - 1).segment;
        let missing = (0..=last)
            .rev()
            // Acquire [segment-probe]: pairs with Release [segment-install]. A segment is installed only after the one
            // before it was seen, so with this one all before it are there, for this thread too.
            .take_while(|&s| self.spine[s].load(Ordering::Acquire).is_null())
            .count();
        for segment in last + 1 - missing..=last {
            self.install(segment);
        }
    }

    #[cold]
    fn install(&self, segment: usize) {
        let (_, rows) = self.extent(segment);
        let layout = self.layout(rows);
        // SAFETY: the layout is not empty: an extent below the capacity has a row, and a row has an element. (Elements of
        // size zero would make it so; no caller has any, and the assertion below keeps it that way.)
        let new = unsafe {
            assert!(layout.size() > 0, "elements of no size");
            std::alloc::alloc(layout).cast::<T>()
        };
        if new.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        huge::advise(new.cast(), layout.size());
        for i in 0..rows * self.stride {
            // SAFETY: inside the allocation, which no one else knows yet.
            unsafe { new.add(i).write((self.init)()) };
        }
        // Release [segment-install]: pairs with Acquire [segment-read]; publishes the initialised elements.
        // Relaxed on failure [segment-lost]: the winner's pointer is not read through here.
        let won = self.spine[segment].compare_exchange(
            core::ptr::null_mut(),
            new,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if won.is_err() {
            // SAFETY: made above with this length and layout, and never shown to anyone.
            unsafe { self.free(new, rows) };
        }
    }

    /// # Safety
    /// `segment` was allocated for `rows` rows, all initialised, and no one uses it any more.
    unsafe fn free(&self, segment: *mut T, rows: usize) {
        // SAFETY: the caller says so.
        unsafe {
            core::ptr::drop_in_place(core::ptr::slice_from_raw_parts_mut(segment, rows * self.stride));
            std::alloc::dealloc(segment.cast(), self.layout(rows));
        }
    }

    /// Bytes allocated for rows, used or not.
    pub fn allocated_bytes(&self) -> usize {
        (0..self.spine.len())
            // Relaxed [segment-count]: counts segments; nothing is read through the pointer.
            .filter(|&s| !self.spine[s].load(Ordering::Relaxed).is_null())
            .map(|s| self.extent(s).1 * self.row_bytes())
            .sum()
    }

    /// Bytes of the first `rows` rows, and bytes allocated beyond them.
    pub fn used_and_slack(&self, rows: usize) -> (usize, usize) {
        let allocated = self.allocated_bytes();
        // Another thread may have taken a row that it has not yet grown the array for.
        let used = allocated.min(rows * self.row_bytes());
        (used, allocated - used)
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.stride * size_of::<T>()
    }

    /// Bytes of the spine.
    pub fn spine_bytes(&self) -> usize {
        size_of_val(&*self.spine)
    }
}

impl<T> Drop for Segments<T> {
    fn drop(&mut self) {
        for segment in 0..self.spine.len() {
            // Relaxed [segment-drop]: `&mut self` means that every other access happened before.
            let at = self.spine[segment].load(Ordering::Relaxed);
            if !at.is_null() {
                let (_, rows) = self.extent(segment);
                // SAFETY: installed by `install` with this many rows (I2, I4), and `&mut self` means no one reads it.
                unsafe { self.free(at, rows) };
            }
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::graph::MAX_NODES;
    use crate::sync::{Arc, AtomicU32, thread};

    #[test]
    fn every_row_has_its_own_place() {
        for capacity in [1, 63, 4_096, 100_000, MAX_NODES] {
            let array = Segments::<u32>::new(3, capacity, || 0);
            let mut next = 0;
            for segment in 0..array.spine.len() {
                let (start, rows) = array.extent(segment);
                assert_eq!(start, next, "segments leave no gap");
                next = start + rows;
                for row in [start, start + rows / 2, start + rows - 1] {
                    assert_eq!(array.place(row), Place { segment, offset: row - start });
                }
            }
            assert_eq!(next, capacity, "the last segment ends at the capacity");
        }
    }

    #[test]
    fn a_row_stays_where_it_is_while_the_array_grows() {
        let array = Segments::new(2, 1 << 20, || AtomicU32::new(7));
        array.grow(1);
        let first = array.row_ptr(0);
        array.row(0)[1].store(9, Ordering::Relaxed);
        array.grow(1 << 20);
        assert_eq!(array.row_ptr(0), first);
        assert_eq!(array.row(0)[1].load(Ordering::Relaxed), 9);
        assert_eq!(array.row((1 << 20) - 1)[1].load(Ordering::Relaxed), 7);
        assert_eq!(array.allocated_bytes(), 8 << 20, "a true capacity leaves no slack");
    }

    #[test]
    fn a_sole_owner_changes_rows_as_plain_memory() {
        let mut array = Segments::new(2, 1_000, || 0u32);
        array.grow(1_000);
        (0..1_000).for_each(|row| array.row_mut(row).copy_from_slice(&[row as u32, 1]));
        assert!((0..1_000).all(|row| array.row(row) == [row as u32, 1]));
        assert_eq!(array.used_and_slack(600), (600 * 8, 400 * 8));
    }

    #[test]
    fn growth_without_a_bound_wastes_one_part_in_an_octave_and_a_segment() {
        let array = Segments::new(16, MAX_NODES, || 0u64);
        let first = 1 << array.base_bits;
        // The tail is longest where an octave has just begun: one row into a segment of twice the size.
        for rows in [1, OCTAVE * first + 1, 3 * OCTAVE * first + 1, 100_000, 300_000] {
            array.grow(rows);
            let slack = array.allocated_bytes() / 128 - rows;
            assert!(slack < rows / OCTAVE + first, "{slack} rows unused beyond {rows}");
        }
    }

    #[test]
    fn racing_growers_end_with_one_array() {
        let array = Arc::new(Segments::new(1, 50_000, || AtomicU32::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|t| {
                let array = Arc::clone(&array);
                thread::spawn(move || {
                    for row in (t..50_000).step_by(4) {
                        array.grow(row + 1);
                        array.get(row).store(row as u32, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!((0..50_000).all(|row| array.get(row).load(Ordering::Relaxed) == row as u32));
    }

    #[test]
    #[should_panic(expected = "row not allocated")]
    fn a_missing_row_is_refused() {
        Segments::new(1, 1 << 20, || 0u8).get(1 << 19);
    }
}
