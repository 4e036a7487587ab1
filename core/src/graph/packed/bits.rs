//! Node numbers of one width in one stream of bits, and how they are read.
//!
//! # Invariants
//! - I1: number `i` is in the bits `i * width .. (i + 1) * width` of the stream, the least significant bit first.
//! - I2: [`PADDING`] bytes follow the last number, so that a decoder may load whole words, or a whole register, behind it.
//! - I3: a decoder that needs features of the machine is made only where the machine has them.

use crate::distance::{Isa, prefetch};
use crate::graph::{Link, LinkBuf, MAX_M};
use core::ops::Range;

/// Bytes of the largest load of a decoder.
const REGISTER: usize = 64;
/// Bytes behind the last number.
pub(super) const PADDING: usize = REGISTER;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Numbers that a decoder writes at a time, at most: it may write as many to a buffer of this many times a whole number.
const GROUP: usize = 16;
/// The longest list.
pub(super) const LONGEST: usize = 2 * MAX_M;
/// The widest numbers: those of nodes.
const WIDEST: u32 = 31;

// A decoder that writes whole groups stays inside the buffer.
const _: () = assert!(LONGEST.next_multiple_of(GROUP) <= LinkBuf::CAPACITY);

/// A way to read a run of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    /// One load, shift and mask a number; runs everywhere.
    Portable,
    /// 16 numbers at a time: one load, one permutation of bytes, one shift. AVX-512 with VBMI.
    #[cfg(target_arch = "x86_64")]
    Vbmi,
}

impl Decoder {
    /// The best decoder for numbers of this width within the instruction set in use (see [`Isa::in_use`]).
    pub(super) fn choose(width: u32) -> Decoder {
        let usable = Decoder::available(width).into_iter().rev();
        let isa = Isa::in_use();
        usable.into_iter().find(|decoder| decoder.isa() <= isa).unwrap_or(Decoder::Portable)
    }

    /// All that this machine can use for numbers of this width, the best last.
    pub(super) fn available(width: u32) -> Vec<Decoder> {
        let mut decoders = vec![Decoder::Portable];
        #[cfg(target_arch = "x86_64")]
        if width <= vbmi::WIDEST
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
        {
            decoders.push(Decoder::Vbmi);
        }
        debug_assert!(width <= WIDEST);
        decoders
    }

    /// The instruction set that it belongs to.
    fn isa(self) -> Isa {
        match self {
            Decoder::Portable => Isa::Scalar,
            #[cfg(target_arch = "x86_64")]
            Decoder::Vbmi => Isa::Avx512,
        }
    }
}

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
        assert!((1..=WIDEST).contains(&width), "numbers of {width} bits");
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
    pub(super) fn finish(mut self, decoder: Decoder) -> Stream {
        let rest = self.filled.div_ceil(u8::BITS) as usize;
        self.bytes.reserve_exact(rest + PADDING);
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes.resize(self.bytes.len() + PADDING, 0);
        Stream { width: self.width, decoder, bytes: self.bytes.into_boxed_slice() }
    }
}

/// Numbers of one width; see [the module](self).
pub(super) struct Stream {
    width: u32,
    decoder: Decoder,
    bytes: Box<[u8]>,
}

impl Stream {
    /// Replaces the contents of `buf` by links to the nodes with the numbers of this range.
    #[inline(always)]
    pub(super) fn decode(&self, range: Range<usize>, buf: &mut LinkBuf) {
        let count = range.end.wrapping_sub(range.start);
        let bit = range.start * self.width as usize;
        let end = bit + count * self.width as usize;
        assert!(count <= LONGEST && end <= (self.bytes.len() - PADDING) * 8, "numbers beyond the stream");
        let out = buf.resize(count).as_mut_ptr();
        // SAFETY: the first bit is inside the stream, as was just asserted.
        let from = unsafe { self.bytes.as_ptr().add(bit / 8) };
        let phase = (bit % 8) as u32;
        // SAFETY: as was asserted, `count` numbers lie behind `from` and `phase`, and `PADDING` bytes behind them (I2); `out`
        // has room for `LONGEST` links rounded up to whole groups; the machine has the decoder's features (I3).
        unsafe {
            match self.decoder {
                Decoder::Portable => portable(from, phase, self.width, count, out),
                #[cfg(target_arch = "x86_64")]
                Decoder::Vbmi => vbmi::decode(from, phase, self.width, count, out),
            }
        }
    }

    /// Hints that the numbers of this range will be decoded.
    #[inline(always)]
    pub(super) fn prefetch(&self, range: Range<usize>) {
        let width = self.width as usize;
        let at = self.bytes.as_ptr().wrapping_add(range.start * width / 8);
        // All that a decoder loads: a register, and as much again for each further group.
        let last = range.len().div_ceil(GROUP).saturating_sub(1) * GROUP * width / 8 + REGISTER - 1;
        for line in (0..last).step_by(LINE) {
            prefetch(at.wrapping_add(line));
        }
        // It need not be a whole number of lines behind the first.
        prefetch(at.wrapping_add(last));
    }

    /// Bytes allocated, the padding included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// # Safety
/// Behind the first `phase` (at most 7) bits at `from` are `count` numbers of `width` (at most 31) bits, and behind them
/// [`PADDING`] bytes. `out` has room for `count` links.
#[inline(always)]
unsafe fn portable(from: *const u8, phase: u32, width: u32, count: usize, out: *mut Link) {
    let mask = (1u64 << width) - 1;
    let mut bit = phase as usize;
    for i in 0..count {
        // SAFETY: the number begins before the padding, which is longer than a word. It has at most 31 bits, behind at most 7
        // others: all in this word.
        let word = u64::from_le(unsafe { from.add(bit / 8).cast::<u64>().read_unaligned() });
        let number = (word >> (bit % 8)) & mask;
        // SAFETY: `i` is below `count`.
        unsafe { out.add(i).write(Link::from_bits(number as u32)) };
        bit += width as usize;
    }
}

#[cfg(target_arch = "x86_64")]
mod vbmi {
    //! 16 numbers fill `2 * width` bytes, so all groups of 16 begin at the same bit of a byte, and one pair of index and shift
    //! vectors serves the whole list.

    use super::{GROUP, Link};
    use core::arch::x86_64::*;

    /// Numbers of this width and their shift, of 7 bits at most, fit a lane of 32 bits.
    pub(super) const WIDEST: u32 = 25;

    // A group, behind at most 7 other bits, fits one register.
    const _: () = assert!(7 + GROUP as u32 * WIDEST <= 512);

    /// # Safety
    /// As for [`super::portable`], with `width` at most [`WIDEST`], and `out` with room for `count` rounded up to whole groups.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) unsafe fn decode(from: *const u8, phase: u32, width: u32, count: usize, out: *mut Link) {
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let bits = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(width as i32));
        let bits = _mm512_add_epi32(bits, _mm512_set1_epi32(phase as i32));
        let shift = _mm512_and_si512(bits, _mm512_set1_epi32(7));
        // Each lane takes four bytes, from the one in which its number begins: that byte's index (below 64) in all four bytes
        // of the lane, plus 0, 1, 2 and 3.
        let first = _mm512_srli_epi32::<3>(bits);
        let spread = _mm512_shuffle_epi8(first, _mm512_set4_epi32(0x0C0C_0C0C, 0x0808_0808, 0x0404_0404, 0));
        let index = _mm512_add_epi8(spread, _mm512_set1_epi32(0x0302_0100));
        let mask = _mm512_set1_epi32((1 << width) - 1);
        for group in 0..count.div_ceil(GROUP) {
            // SAFETY: the group begins inside the numbers, so the padding holds what the register has beyond them; and `out` has
            // room for the whole group. A link is a u32.
            unsafe {
                let bytes = _mm512_loadu_epi8(from.add(group * 2 * width as usize).cast());
                let numbers = _mm512_srlv_epi32(_mm512_permutexvar_epi8(index, bytes), shift);
                let links = _mm512_and_si512(numbers, mask);
                _mm512_storeu_epi32(out.add(group * GROUP).cast(), links);
            }
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::graph::NodeId;
    use proptest::prelude::*;

    fn check(width: u32, numbers: &[u32], range: Range<usize>) {
        let expected: Vec<Link> = numbers[range.clone()].iter().map(|&n| Link::to(NodeId::new(n))).collect();
        for decoder in Decoder::available(width) {
            let mut writer = Writer::new(width);
            numbers.iter().for_each(|&n| writer.push(n));
            let stream = writer.finish(decoder);
            assert_eq!(stream.bytes(), (numbers.len() * width as usize).div_ceil(8) + PADDING);
            let mut buf = LinkBuf::new();
            // What was there before must not shine through.
            (0..LinkBuf::CAPACITY).for_each(|_| buf.push(Link::NIL));
            stream.prefetch(range.clone());
            stream.decode(range.clone(), &mut buf);
            assert_eq!(&buf[..], &expected[..], "{decoder:?}, {width} bits, {range:?}");
        }
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
    fn numbers_beyond_the_stream_are_refused() {
        for decoder in Decoder::available(5) {
            let mut writer = Writer::new(5);
            (0..20).for_each(|n| writer.push(n));
            let stream = writer.finish(decoder);
            let over = std::panic::catch_unwind(|| stream.decode(10..22, &mut LinkBuf::new()));
            assert!(over.is_err(), "{decoder:?}");
            let reversed = std::panic::catch_unwind(|| {
                let (start, end) = (10, 9);
                stream.decode(start..end, &mut LinkBuf::new());
            });
            assert!(reversed.is_err(), "{decoder:?}");
        }
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
