//! Node numbers of one width in one stream of bits, and how they are read.
//!
//! # Invariants
//! - I1: number `i` is in the bits `i * width .. (i + 1) * width` of the stream, the least significant bit first.
//! - I2: [`PADDING`] bytes follow the last number, so that the word in which a number begins can be loaded whole.

use crate::distance::prefetch;
use crate::graph::{Link, LinkBuf};
use core::ops::Range;

/// Bytes of the word that a number is taken from. It begins with the byte in which the number begins.
const WORD: usize = size_of::<u64>();
/// Bytes behind the last number.
pub(super) const PADDING: usize = WORD;
/// Bytes of a cache line.
const LINE: usize = 64;
/// The widest numbers: those of nodes.
const WIDEST: u32 = 31;

// A number and the bits before it in its first byte fit a word.
const _: () = assert!(WIDEST + (u8::BITS - 1) <= u64::BITS);

/// A stream in the making.
pub(super) struct Writer {
    width: u32,
    bytes: Vec<u8>,
    /// The last bits, fewer than 32, that are not in `bytes` yet.
    pending: u64,
    filled: u32,
}

impl Writer {
    /// No numbers yet; each will be below `1 << width`. `width` is 1 to 31.
    pub(super) fn new(width: u32) -> Self {
        debug_assert!((1..=WIDEST).contains(&width), "numbers of {width} bits");
        Writer { width, bytes: Vec::new(), pending: 0, filled: 0 }
    }

    /// Appends a number.
    pub(super) fn push(&mut self, number: u32) {
        debug_assert!(number >> self.width == 0, "{number} has more than {} bits", self.width);
        self.pending |= u64::from(number) << self.filled;
        self.filled += self.width;
        if self.filled >= u32::BITS {
            self.bytes.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= u32::BITS;
            self.filled -= u32::BITS;
        }
    }

    /// The stream of what was pushed.
    pub(super) fn finish(mut self) -> Stream {
        let rest = self.filled.div_ceil(u8::BITS) as usize;
        self.bytes.reserve_exact(rest + PADDING);
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes.extend_from_slice(&[0; PADDING]);
        Stream { width: self.width, bytes: self.bytes.into_boxed_slice() }
    }
}

/// Numbers of one width; see [the module](self).
pub(super) struct Stream {
    width: u32,
    bytes: Box<[u8]>,
}

impl Stream {
    /// Replaces the contents of `buf` by links to the nodes with the numbers of this range.
    ///
    /// # Panics
    /// When the range is not one of numbers in the stream, or longer than any list.
    #[inline(always)]
    pub(super) fn decode(&self, range: Range<usize>, buf: &mut LinkBuf) {
        let width = self.width as usize;
        let mask = (1u64 << width) - 1;
        let mut bit = range.start * width;
        for link in buf.resize(range.len()) {
            let (byte, shift) = (bit / 8, bit % 8);
            let word = self.bytes[byte..].first_chunk::<WORD>().expect("the padding ends the last word");
            *link = Link::from_bits((u64::from_le_bytes(*word) >> shift & mask) as u32);
            bit += width;
        }
    }

    /// Hints that the numbers of this range will be decoded: fetches the lines that this will load, and no other.
    #[inline(always)]
    pub(super) fn prefetch(&self, range: Range<usize>) {
        let width = self.width as usize;
        let start = self.bytes.as_ptr();
        let first = start.wrapping_add(range.start * width / 8);
        let last = start.wrapping_add(range.end * width / 8 + WORD - 1);
        for line in first as usize / LINE..=last as usize / LINE {
            prefetch(core::ptr::without_provenance(line * LINE));
        }
    }

    /// Bytes allocated, the padding included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::graph::{MAX_M, NodeId};
    use proptest::prelude::*;

    const LONGEST: usize = 2 * MAX_M;

    fn stream(width: u32, numbers: &[u32]) -> Stream {
        let mut writer = Writer::new(width);
        numbers.iter().for_each(|&n| writer.push(n));
        writer.finish()
    }

    fn check(width: u32, numbers: &[u32], range: Range<usize>) {
        let expected: Vec<Link> = numbers[range.clone()].iter().map(|&n| Link::to(NodeId::new(n))).collect();
        let stream = stream(width, numbers);
        assert_eq!(stream.bytes(), (numbers.len() * width as usize).div_ceil(8) + PADDING);
        let mut buf = LinkBuf::new();
        // What was there before must not shine through.
        (0..LinkBuf::CAPACITY).for_each(|_| buf.push(Link::NIL));
        stream.prefetch(range.clone());
        stream.decode(range.clone(), &mut buf);
        assert_eq!(&buf[..], &expected[..], "{width} bits, {range:?}");
    }

    #[test]
    fn the_extremes_of_every_width_come_back() {
        for width in 1..=WIDEST {
            let top = (1u32 << width) - 1;
            // 31 bits name nodes below 2^31 - 1 only: the last number is that of an empty slot.
            let top = top.min((1 << 31) - 2);
            let numbers: Vec<u32> =
                (0..LONGEST as u32 + 40).map(|i| [top, 0, top >> 1, 1][i as usize % 4]).collect();
            for start in 0..40 {
                for count in [0, 1, 7, 15, 16, 17, 33, LONGEST] {
                    check(width, &numbers, start..start + count);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the padding ends the last word")]
    fn numbers_beyond_the_stream_are_refused() {
        stream(31, &[7; 20]).decode(15..23, &mut LinkBuf::new());
    }

    #[test]
    fn nothing_comes_back_of_an_empty_stream() {
        check(1, &[], 0..0);
    }

    proptest! {
        #[test]
        fn any_range_of_any_stream_comes_back(
            (width, numbers) in (1u32..=WIDEST)
                .prop_flat_map(|w| (Just(w), prop::collection::vec(0..(1u32 << w).min((1 << 31) - 1), 0..600))),
            start in any::<prop::sample::Index>(),
            count in 0..=LONGEST,
        ) {
            let start = start.index(numbers.len() + 1);
            check(width, &numbers, start..(start + count).min(numbers.len()));
        }
    }
}
