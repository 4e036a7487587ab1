//! Lists of any length, one after another in a stream, and where each begins.
//!
//! Two bytes for each list, and eight for every [`BLOCK`] of them: a list begins at the base of its block plus its offset,
//! and ends where the next one begins.

use super::bits::{PADDING, Stream, Writer};
use crate::distance::prefetch;
use crate::graph::{LinkBuf, MAX_M, NodeId, Stage};
use core::ops::Range;

/// Lists that share a base.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 7;
/// The longest list of any graph.
const LONGEST: usize = 2 * MAX_M;

// The offset of the last list of a block fits.
const _: () = assert!((BLOCK - 1) * LONGEST <= u16::MAX as usize);

/// Lists in the making.
pub(super) struct Builder {
    bases: Vec<u64>,
    offsets: Vec<u16>,
    numbers: u64,
    writer: Writer,
}

impl Builder {
    /// Room for `lists` lists of numbers of this width.
    pub(super) fn new(lists: usize, width: u32) -> Self {
        let mut builder = Builder {
            bases: Vec::with_capacity((lists >> BLOCK_BITS) + 1),
            offsets: Vec::with_capacity(lists + 1),
            numbers: 0,
            writer: Writer::new(width),
        };
        builder.mark();
        builder
    }

    /// Notes that a list begins here.
    fn mark(&mut self) {
        if self.offsets.len().is_multiple_of(BLOCK) {
            self.bases.push(self.numbers);
        }
        let base = self.bases[self.bases.len() - 1];
        self.offsets.push((self.numbers - base) as u16);
    }

    /// Appends a list.
    ///
    /// # Panics
    /// When it is longer than any graph permits.
    pub(super) fn push(&mut self, list: impl Iterator<Item = NodeId>) {
        let before = self.numbers;
        for node in list {
            self.writer.push(node.get());
            self.numbers += 1;
        }
        let length = self.numbers - before;
        assert!(length <= LONGEST as u64, "a list of {length} links");
        self.mark();
    }

    /// The lists that were pushed.
    pub(super) fn finish(self) -> Lists {
        Lists {
            bases: self.bases.into_boxed_slice(),
            offsets: self.offsets.into_boxed_slice(),
            stream: self.writer.finish(),
        }
    }
}

/// Lists of numbers; see [the module](self).
pub(super) struct Lists {
    /// Numbers before each block.
    bases: Box<[u64]>,
    /// Numbers between the base of its block and each list; one more entry than lists, for the end of the last.
    offsets: Box<[u16]>,
    stream: Stream,
}

impl Lists {
    /// Where a list is in the stream.
    #[inline(always)]
    fn range(&self, list: usize) -> Range<usize> {
        let at = |list: usize| self.bases[list >> BLOCK_BITS] as usize + usize::from(self.offsets[list]);
        at(list)..at(list + 1)
    }

    /// Decodes a list.
    #[inline(always)]
    pub(super) fn read(&self, list: usize, buf: &mut LinkBuf) {
        self.stream.decode(self.range(list), buf);
    }

    /// Hints that a list will be read.
    #[inline(always)]
    pub(super) fn prefetch(&self, list: usize, stage: Stage) {
        match stage {
            Stage::Far => prefetch(self.offsets.as_ptr().wrapping_add(list).cast()),
            Stage::Near if list + 1 < self.offsets.len() => self.stream.prefetch(self.range(list)),
            Stage::Near => {}
        }
    }

    /// Bytes that grow with the lists, and bytes that do not.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let places = size_of_val(&*self.bases) + size_of_val(&*self.offsets);
        (places + self.stream.bytes() - PADDING, PADDING)
    }
}
