//! The newest version of every list, in place, behind a sequence lock that readers never wait for.
//!
//! A list is one row of 64-bit words: the *version word*, then the links, two to a word and inverted, so that zero is an
//! empty slot. Version word and links lie together (in the same cache line in seven rows of eight at M = 16), and links are loaded two at a time.
//!
//! # Invariants
//! - I1: only the holder of the commit lock stores into a row.
//! - I2: a version word is written once with each stamp, and stamps grow; so a version word that reads the same twice
//!   was not touched in between.
//! - I3: while the links of a list with a past change, its version word says so, and the content before the change is in
//!   its chain.
//!
//! # Synchronisation
//! - `list-end` (Release) with `list-word` (Acquire): whoever sees a version word sees the links that it stands for, and
//!   everything committed before.
//! - `list-begin` (Release) with `list-word` (Acquire): whoever sees that a list is being written finds the content
//!   before it in the chain.
//! - `list-begin-fence` (Release) with `list-check-fence` (Acquire): whoever copied a link of a newer version sees, when
//!   it looks at the version word again, that it has changed.

use super::version::{Chain, Version};
use hnsw_core::graph::{Link, LinkBuf};
use hnsw_core::segments::Segments;
use hnsw_core::sync::epoch;
use hnsw_core::sync::{AtomicU64, Ordering, fence};

/// Lists that share one chain of older versions. Chains are empty most of the time: sharing one makes it cost two bytes
/// a list instead of eight, and a walk at most this much longer.
const SHARE: usize = 4;

/// What a version of a node's list on level 0 says of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Not published.
    Unborn = 0,
    Live = 1,
    Dead = 2,
}

/// A version word: the stamp of the commit that wrote the list, the mark of its node, and whether the list is being
/// written right now (then stamp and mark are those of the version before).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    const WRITING: u64 = 1;

    pub(super) fn new(stamp: u64, mark: Mark) -> Self {
        Word(stamp << 3 | (mark as u64) << 1)
    }

    /// The commit that wrote this version; 0 if the list was never written.
    pub(super) fn stamp(self) -> u64 {
        self.0 >> 3
    }

    pub(super) fn mark(self) -> Mark {
        match self.0 >> 1 & 3 {
            0 => Mark::Unborn,
            1 => Mark::Live,
            _ => Mark::Dead,
        }
    }

    pub(super) fn is_writing(self) -> bool {
        self.0 & Self::WRITING != 0
    }

    fn writing(self) -> Self {
        Word(self.0 | Self::WRITING)
    }
}

/// The lists of level 0, or those of all levels above.
pub(super) struct Lists {
    cap: usize,
    rows: Segments<AtomicU64>,
    /// The older versions of [`SHARE`] neighbouring lists.
    chains: Segments<epoch::Atomic<Version>>,
}

impl Lists {
    /// No lists yet; each will have up to `cap` links.
    pub(super) fn new(cap: usize, capacity: usize, expected: Option<usize>) -> Self {
        let share = |lists: usize| lists.div_ceil(SHARE);
        Lists {
            cap,
            rows: Segments::sized(1 + cap.div_ceil(2), capacity, expected, || AtomicU64::new(0)),
            chains: Segments::sized(1, share(capacity), expected.map(share), epoch::Atomic::null),
        }
    }

    /// Makes the first `lists` lists exist.
    pub(super) fn grow(&self, lists: usize) {
        self.rows.grow(lists);
        self.chains.grow(lists.div_ceil(SHARE));
    }

    #[inline(always)]
    pub(super) fn list(&self, number: usize) -> List<'_> {
        let (word, pairs) = self.rows.row(number).split_first().expect("a row has a version word");
        List { word, pairs }
    }

    pub(super) fn chain(&self, number: usize) -> Chain<'_> {
        Chain::new(self.chains.get(number / SHARE), number as u32)
    }

    /// The most links of a list.
    pub(super) fn cap(&self) -> usize {
        self.cap
    }

    #[inline]
    pub(super) fn prefetch(&self, number: usize) {
        self.rows.prefetch(number, self.rows.row_bytes().div_ceil(64));
    }

    /// Bytes of `lists` lists in use: links, then version words and chains.
    pub(super) fn used_bytes(&self, lists: usize) -> (usize, usize) {
        let words = lists * size_of::<AtomicU64>();
        (lists * self.rows.row_bytes() - words, words + lists.div_ceil(SHARE) * self.chains.row_bytes())
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.rows.allocated_bytes() + self.chains.allocated_bytes()
    }

    pub(super) fn spine_bytes(&self) -> usize {
        self.rows.spine_bytes() + self.chains.spine_bytes()
    }
}

/// One list, in place.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    word: &'a AtomicU64,
    pairs: &'a [AtomicU64],
}

impl List<'_> {
    #[inline(always)]
    pub(super) fn word(self) -> Word {
        // Acquire [list-word]: pairs with Release [list-end], for the links of the version and all that was committed before,
        // and with Release [list-begin], for the chain that holds the version before.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Copies the links of the version `word`, which must have come from [`List::word`] and must not be writing. False if
    /// the list has changed since; then `to` holds nothing of use.
    #[inline]
    pub(super) fn copy(self, word: Word, to: &mut LinkBuf) -> bool {
        debug_assert!(!word.is_writing());
        to.clear();
        for pair in self.pairs {
            // Relaxed [list-slot]: `list-word` orders it after the version that was asked for, `list-check-fence` shows
            // whether it is of a newer one.
            let links = !pair.load(Ordering::Relaxed);
            let (low, high) = (Link::from_bits(links as u32), Link::from_bits((links >> 32) as u32));
            if low == Link::NIL {
                break;
            }
            to.push(low);
            if high == Link::NIL {
                break;
            }
            to.push(high);
        }
        // Acquire [list-check-fence]: pairs with Release [list-begin-fence]; if a link above is of a newer version, the
        // load below sees the change of the word that came before it.
        fence(Ordering::Acquire);
        // Relaxed [list-check]: compared only; the fence above orders it after the links.
        let now = self.word.load(Ordering::Relaxed);
        now == word.0
    }

    /// Replaces the links: the version after it is `new`. `before` is the present version; if it has a past, that is in the
    /// chain already. Only for the holder of the commit lock. `midway` runs when one word of links is written and the
    /// others are not.
    pub(super) fn write(self, before: Word, new: Word, links: &[Link], midway: impl FnOnce()) {
        // Release [list-begin]: pairs with Acquire [list-word]; the undo record in the chain.
        self.word.store(before.writing().0, Ordering::Release);
        // Release [list-begin-fence]: pairs with Acquire [list-check-fence]; the word above comes before all links below.
        fence(Ordering::Release);
        let bits = |slot: usize| u64::from(links.get(slot).copied().unwrap_or(Link::NIL).to_bits());
        let store = |pair: usize| {
            // Relaxed [list-store]: published by `list-end`; a reader that meets it earlier finds out by `list-check`.
            self.pairs[pair].store(!(bits(2 * pair) | bits(2 * pair + 1) << 32), Ordering::Relaxed);
        };
        store(0);
        midway();
        (1..self.pairs.len()).for_each(store);
        self.stamp(new);
    }

    /// Makes `new` the version of the links as they are. Only for the holder of the commit lock, as [`List::write`].
    pub(super) fn stamp(self, new: Word) {
        // Release [list-end]: pairs with Acquire [list-word]; the links, the undo record, and all that was committed before.
        self.word.store(new.0, Ordering::Release);
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::graph::NodeId;

    fn links(n: u32) -> Vec<Link> {
        (0..n)
            .map(|i| if i % 3 == 0 { Link::anchor(NodeId::new(i)) } else { Link::to(NodeId::new(i)) })
            .collect()
    }

    #[test]
    fn lists_of_every_length_survive() {
        for cap in [2, 3, 8, 17] {
            let lists = Lists::new(cap, 10, Some(10));
            lists.grow(10);
            let (list, mut buf) = (lists.list(7), LinkBuf::new());
            let mut before = list.word();
            assert!(list.copy(before, &mut buf) && buf.is_empty(), "a new list is empty");
            for (stamp, n) in (1..).zip((0..=cap as u32).chain((0..cap as u32).rev())) {
                let new = Word::new(stamp, Mark::Live);
                list.write(before, new, &links(n), || assert!(list.word().is_writing()));
                assert_eq!(list.word(), new);
                assert!(list.copy(new, &mut buf));
                assert_eq!(&buf[..], &links(n), "{n} links of {cap}");
                assert!(!list.copy(before, &mut buf), "an older version is not there");
                before = new;
            }
            assert!(lists.list(6).copy(Word::new(0, Mark::Unborn), &mut buf) && buf.is_empty());
        }
    }

    #[test]
    fn words_keep_stamp_mark_and_bit_apart() {
        for mark in [Mark::Unborn, Mark::Live, Mark::Dead] {
            for stamp in [0, 1, (1 << 61) - 1] {
                let word = Word::new(stamp, mark);
                assert_eq!((word.stamp(), word.mark(), word.is_writing()), (stamp, mark, false));
                let word = word.writing();
                assert_eq!((word.stamp(), word.mark(), word.is_writing()), (stamp, mark, true));
            }
        }
    }
}
