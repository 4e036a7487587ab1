//! Blocks of links, their handles, and the memory they lie in.
//!
//! A block is a run of one to [`CLASSES`] *units* and holds nothing but link slots; slots after the last link are
//! [`Link::NIL`]. The number of units is the *class* of the block (counted from 0). A unit is 8 slots up to M = 16,
//! and grows with M so that the longest list fits the last class: 16 slots up to M = 32, 32 up to 64, 64 up to 128.
//!
//! A [`Handle`] names a block in 32 bits: number of the first unit, then class. So a reader knows from the handle
//! alone where the block is and how long it can be, and a list costs 4 bytes beside its block.
//!
//! # Invariants
//! - I1: a unit belongs to one block for ever: blocks are never split, joined or moved.
//! - I2: a block lies inside one page. A block of an even number of units starts at an even unit, so a block of 64
//!   bytes or less lies inside one cache line, and one of 128 bytes inside two.
//! - I3: all units of a block that holds a list are full but the last, which holds one link at least.
//! - I4: the first word of a block is only ever written by atomic stores, because a thread that takes a block off a
//!   free list may read that word while the block already belongs to another (see [`super::slab`]).
//!
//! # Synchronisation
//! None of its own: whoever names a block to another thread orders its content ([`super`], [`super::slab`]).
//!
//! # Memory
//! Pages of [`PAGE`] units, in segments that never move; freed with the graph.

use hnsw_core::graph::{GraphConfig, Link};
use hnsw_core::segments::Segments;
use hnsw_core::sync::{AtomicU32, Ordering};

/// Number of classes.
pub(super) const CLASSES: usize = 1 << CLASS_BITS;
const CLASS_BITS: u32 = 2;
const CLASS_MASK: u32 = (1 << CLASS_BITS) - 1;
/// Handles name this many units.
const MAX_UNITS: usize = if cfg!(hnsw_loom) { 32 } else { 1 << (u32::BITS - CLASS_BITS) };
/// Units per page.
pub(super) const PAGE: usize = if cfg!(hnsw_loom) { 8 } else { 64 };
/// Graphs with this many bytes of lists get segments of 2 MB, which huge pages can back, from the start.
const LARGE: usize = 64 << 20;
/// Slots of the smallest unit: 32 bytes.
const MIN_UNIT: usize = 8;

/// Names a block, or the empty list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u32);

impl Handle {
    /// The empty list: no block. (Unit 0 belongs to no block.)
    pub(super) const EMPTY: Handle = Handle(0);

    pub(super) fn new(unit: usize, class: usize) -> Handle {
        debug_assert!(0 < unit && unit < MAX_UNITS && class < CLASSES);
        Handle((unit as u32) << CLASS_BITS | class as u32)
    }

    #[inline(always)]
    pub(super) const fn from_bits(bits: u32) -> Handle {
        Handle(bits)
    }

    #[inline(always)]
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) const fn class(self) -> usize {
        (self.0 & CLASS_MASK) as usize
    }

    /// Length in units.
    #[inline(always)]
    pub(super) const fn units(self) -> usize {
        self.class() + 1
    }

    #[inline(always)]
    const fn first_unit(self) -> usize {
        (self.0 >> CLASS_BITS) as usize
    }
}

/// The memory of all blocks.
pub(super) struct Blocks {
    /// Slots per unit.
    unit: usize,
    /// The class of the longest list.
    longest: usize,
    /// Rows are pages. The elements are only ever reached through raw pointers.
    pages: Segments<u32>,
    #[cfg(hnsw_loom)]
    shadows: Segments<Shadow>,
}

/// What the model checker sees of a block, kept at the number of its first unit: accesses to its content, and the
/// first word where that is accessed atomically.
#[cfg(hnsw_loom)]
struct Shadow {
    content: hnsw_core::sync::cell::UnsafeCell<()>,
    first: AtomicU32,
}

// SAFETY: the cell holds nothing; it is there to be watched.
#[cfg(hnsw_loom)]
unsafe impl Sync for Shadow {}

impl Blocks {
    pub(super) fn new(config: &GraphConfig) -> Blocks {
        let unit = Self::unit_for(config);
        let pages = MAX_UNITS / PAGE;
        let longest = config.cap(0).div_ceil(unit) - 1;
        // How full lists get is not known, so the last segment has a tail whatever the capacity; small graphs grow
        // from small segments to keep it short.
        let expected = config
            .expected_nodes()
            .map(|nodes| (nodes * (longest + 1)).div_ceil(PAGE).min(pages))
            .filter(|pages| pages * PAGE * unit * size_of::<u32>() >= LARGE);
        Blocks {
            unit,
            longest,
            pages: Segments::sized(PAGE * unit, pages, expected, || Link::NIL.to_bits()),
            #[cfg(hnsw_loom)]
            shadows: Segments::sized(1, MAX_UNITS, None, || Shadow {
                content: hnsw_core::sync::cell::UnsafeCell::new(()),
                first: AtomicU32::new(0),
            }),
        }
    }

    /// Slots per unit.
    fn unit_for(config: &GraphConfig) -> usize {
        config.cap(0).div_ceil(CLASSES).next_power_of_two().max(MIN_UNIT)
    }

    /// The number of nodes whose lists fit, whatever the history: every list may have left a free block of each
    /// class behind, and an eighth of all units may be waiting to be freed. The number of lists above level 0 is
    /// taken to be what the level draw of HNSW gives. 85 million at M = 16; about as many for any other M above 8,
    /// and more below.
    pub(super) fn most_nodes(config: &GraphConfig) -> usize {
        let unit = Self::unit_for(config);
        let of_all_classes = |level| (1..=config.cap(level).div_ceil(unit)).sum::<usize>();
        let per_node = of_all_classes(0) + of_all_classes(1).div_ceil(config.m - 1);
        (MAX_UNITS - MAX_UNITS / 8) / per_node
    }

    /// The class of the longest list.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The class of a list of `len` links, of which there is at least one.
    #[inline]
    pub(super) fn class_for(&self, len: usize) -> usize {
        debug_assert!(0 < len && len <= (self.longest + 1) * self.unit, "a list of {len} links");
        (len - 1) / self.unit
    }

    /// Bytes of one unit.
    pub(super) fn unit_bytes(&self) -> usize {
        self.unit * size_of::<u32>()
    }

    /// Slots of a block.
    #[inline(always)]
    pub(super) fn slots(&self, block: Handle) -> usize {
        block.units() * self.unit
    }

    /// Where the next block may begin, at or after unit `at`, if it is to have `units` units (I2).
    pub(super) fn start(at: usize, units: usize) -> usize {
        let start = if units.is_multiple_of(2) { at.next_multiple_of(2) } else { at };
        if start / PAGE == (start + units - 1) / PAGE { start } else { start.next_multiple_of(PAGE) }
    }

    /// Makes the units below `end` exist.
    ///
    /// # Panics
    /// When handles cannot name them.
    pub(super) fn grow(&self, end: usize) {
        assert!(
            end <= MAX_UNITS,
            "no room for more adjacency lists: {MAX_UNITS} units are in use or wait for a session that does not end",
        );
        self.pages.grow(end.div_ceil(PAGE));
        #[cfg(hnsw_loom)]
        self.shadows.grow(end.next_multiple_of(PAGE));
    }

    /// The first slot of a block.
    #[inline(always)]
    fn slot(&self, block: Handle) -> *mut u32 {
        let unit = block.first_unit();
        let page = self.pages.row_ptr(unit / PAGE).cast_mut();
        // SAFETY: the page has PAGE units, and the block lies inside it (I2).
        unsafe { page.add(unit % PAGE * self.unit) }
    }

    /// The links of a block, or of the empty list.
    ///
    /// # Safety
    /// The block was filled by [`Blocks::fill`], that happened before this call, and no one writes to it while the
    /// answer is in use.
    #[inline(always)]
    pub(super) unsafe fn links(&self, block: Handle) -> &[Link] {
        if block == Handle::EMPTY {
            return &[];
        }
        self.watch_read(block);
        let first = self.slot(block).cast_const().cast::<Link>();
        let before_last = block.class() * self.unit;
        // SAFETY: a block has `class + 1` units of slots; `Link` is a `u32` in memory; all slots were written by
        // `fill` and are not written now, as the caller says.
        let last = unsafe { core::slice::from_raw_parts(first.add(before_last), self.unit) };
        // All units before the last are full (I3): it is enough to count in the last.
        let (eights, _) = last.as_chunks::<MIN_UNIT>();
        let in_last: usize =
            eights.iter().map(|eight| eight.iter().filter(|link| **link != Link::NIL).count()).sum();
        // SAFETY: as above; not more slots than the block has.
        unsafe { core::slice::from_raw_parts(first, before_last + in_last) }
    }

    /// Writes a list into a block of its [class](Blocks::class_for).
    ///
    /// # Safety
    /// The block is the caller's alone, but for reads of its first word by threads that take blocks off a free
    /// list.
    pub(super) unsafe fn fill(&self, block: Handle, links: &[Link]) {
        debug_assert_eq!(block.class(), self.class_for(links.len()));
        debug_assert!(!links.contains(&Link::NIL), "no link can be NIL");
        self.watch_write(block);
        self.write_first(block, links[0].to_bits());
        let (slot, rest) = (self.slot(block), &links[1..]);
        // SAFETY: a block of this class has room for `links.len()` slots and ends after `slots`; it is the
        // caller's, and `links` is no part of it because no one else has a reference into it.
        unsafe {
            core::ptr::copy_nonoverlapping(rest.as_ptr().cast::<u32>(), slot.add(1), rest.len());
            for empty in links.len()..self.slots(block) {
                slot.add(empty).write(Link::NIL.to_bits());
            }
        }
    }

    /// Empties a block that is to hold words of another kind: all words but the first become 0.
    ///
    /// # Safety
    /// As [`Blocks::fill`].
    pub(super) unsafe fn clear(&self, block: Handle) {
        self.watch_write(block);
        for word in 1..self.slots(block) {
            // SAFETY: inside the block, which is the caller's.
            unsafe { self.slot(block).add(word).write(0) };
        }
    }

    /// Word `word` of a block, which is not the first.
    ///
    /// # Safety
    /// As [`Blocks::fill`], after [`Blocks::clear`] or [`Blocks::fill`].
    pub(super) unsafe fn word(&self, block: Handle, word: usize) -> u32 {
        debug_assert!(0 < word && word < self.slots(block));
        self.watch_read(block);
        // SAFETY: inside the block, which is the caller's and was written.
        unsafe { self.slot(block).add(word).read() }
    }

    /// Sets word `word` of a block, which is not the first.
    ///
    /// # Safety
    /// As [`Blocks::fill`].
    pub(super) unsafe fn set_word(&self, block: Handle, word: usize, value: u32) {
        debug_assert!(0 < word && word < self.slots(block));
        self.watch_write(block);
        // SAFETY: inside the block, which is the caller's.
        unsafe { self.slot(block).add(word).write(value) };
    }

    /// The first word of a block that holds no list: leads to the next block in a chain.
    #[inline(always)]
    pub(super) fn next(&self, block: Handle) -> &AtomicU32 {
        #[cfg(hnsw_loom)]
        return &self.shadows.get(block.first_unit()).first;
        #[cfg(not(hnsw_loom))]
        {
            const { assert!(size_of::<AtomicU32>() == 4 && align_of::<AtomicU32>() == 4) };
            // SAFETY: `AtomicU32` is a `u32` in memory. The word lives as long as the pages do, it was initialised
            // with them, and it is only written atomically (I4); plain reads of it, by the borrowers of a list,
            // happen while no one writes.
            unsafe { &*self.slot(block).cast::<AtomicU32>() }
        }
    }

    /// Writes the first link of a list.
    fn write_first(&self, block: Handle, bits: u32) {
        // Relaxed [block-first]: who names the block to others orders it; atomic only for the sake of I4.
        self.next(block).store(bits, Ordering::Relaxed);
        #[cfg(hnsw_loom)]
        // SAFETY: inside the block, which is the caller's; under the model checker the chain word lies elsewhere.
        unsafe {
            self.slot(block).write(bits)
        };
    }

    /// Hints that the list of a block will be read.
    #[inline(always)]
    pub(super) fn prefetch(&self, block: Handle) {
        if block == Handle::EMPTY || cfg!(hnsw_loom) {
            return;
        }
        let at = self.slot(block).cast_const().cast::<u8>();
        for line in 0..(self.slots(block) * size_of::<u32>()).div_ceil(64) {
            hnsw_core::distance::prefetch(at.wrapping_add(line * 64));
        }
    }

    /// Tells the model checker that the content of a block is read here.
    #[inline(always)]
    fn watch_read(&self, _block: Handle) {
        #[cfg(hnsw_loom)]
        self.shadows.get(_block.first_unit()).content.with(|_| ());
    }

    /// Tells the model checker that the content of a block changes here, or ceases to be what it was.
    #[inline(always)]
    pub(super) fn watch_write(&self, _block: Handle) {
        #[cfg(hnsw_loom)]
        self.shadows.get(_block.first_unit()).content.with_mut(|_| ());
    }

    /// Bytes of all pages.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.pages.allocated_bytes()
    }

    /// Bytes of the spine.
    pub(super) fn spine_bytes(&self) -> usize {
        self.pages.spine_bytes()
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::graph::{MAX_M, NodeId};

    #[test]
    fn the_longest_list_fits_for_every_m() {
        for m in 2..=MAX_M {
            let blocks = Blocks::new(&GraphConfig::new(m));
            assert!(blocks.longest() < CLASSES, "M = {m}");
            assert_eq!(blocks.class_for(2 * m), blocks.longest());
            assert_eq!(blocks.class_for(1), 0);
            assert!(Blocks::most_nodes(&GraphConfig::new(m)) > 80_000_000, "M = {m}");
        }
    }

    #[test]
    fn as_many_nodes_fit_as_have_lists_of_all_lengths_in_seven_eighths_of_all_units() {
        let most = |m| Blocks::most_nodes(&GraphConfig::new(m));
        let units = (1 << 30) / 8 * 7;
        // Four slots are a unit, and so are two of a list above level 0.
        assert_eq!(most(2), units / 2);
        // 32 slots are four units of eight: after 1 + 2 + 3 + 4 a list has left one of each class. One more is for lists above.
        assert_eq!(most(16), units / 11);
        assert_eq!(most(64), units / 11);
    }

    #[test]
    fn no_block_crosses_a_page_or_wastes_a_cache_line() {
        for units in 1..=CLASSES {
            for at in 0..2 * PAGE {
                let start = Blocks::start(at, units);
                let gap = start - at;
                assert!(start >= at && gap <= units, "{units} units at {at}: start at {start}");
                assert_eq!(start / PAGE, (start + units - 1) / PAGE);
                assert!(units % 2 == 1 || start.is_multiple_of(2));
                // The gap is a block itself, so nothing is wasted.
                assert!(gap == 0 || Blocks::start(at, gap) == at, "a gap of {gap} at {at} is no block");
            }
        }
    }

    #[test]
    fn a_list_of_any_length_reads_as_written() {
        for m in [2, 16, 17, 48, MAX_M] {
            let blocks = Blocks::new(&GraphConfig::new(m));
            let mut at = 1;
            for len in 1..=2 * m {
                let links: Vec<_> = (0..len as u32).map(|i| Link::anchor(NodeId::new(i + 7))).collect();
                let class = blocks.class_for(len);
                let unit = Blocks::start(at, class + 1);
                at = unit + class + 1;
                blocks.grow(at);
                let block = Handle::new(unit, class);
                // SAFETY: the block is this test's alone.
                let read = unsafe {
                    blocks.fill(block, &links);
                    blocks.links(block)
                };
                assert_eq!(read, links);
                let bytes = size_of_val(read);
                assert!(bytes > 64 || (read.as_ptr() as usize % 64) + bytes <= 64, "straddles a line");
            }
        }
    }
}
