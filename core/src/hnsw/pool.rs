//! The candidates of one search: the `ef` nearest nodes met so far, in order.
//!
//! A sorted array beats a pair of heaps for the sizes of ef in use: one comparison rejects most nodes, and the next node to
//! expand is found by moving a cursor.

use crate::graph::{LinkBuf, NodeId};

/// A node and its distance in one word that sorts by distance, then by node. The lowest bit says whether the node was
/// expanded; it never decides the order of two different nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Candidate(u64);

impl Candidate {
    const EXPANDED: u64 = 1;

    /// An unexpanded candidate.
    #[inline(always)]
    pub fn new(distance: f32, node: NodeId) -> Self {
        // Maps floats to integers of the same order: flips all bits of negative numbers and the sign of the others.
        let bits = distance.to_bits();
        let ordered = bits ^ (((bits as i32 >> 31) as u32) | 1 << 31);
        Candidate(u64::from(ordered) << 32 | u64::from(node.get()) << 1)
    }

    /// The node.
    #[inline(always)]
    pub fn node(self) -> NodeId {
        NodeId::new((self.0 as u32) >> 1)
    }

    /// Its distance, bit for bit as given.
    #[inline(always)]
    pub fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(ordered ^ ((!((ordered as i32 >> 31) as u32)) | 1 << 31))
    }

    /// The candidate in one word.
    #[inline(always)]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Candidate::to_bits`].
    #[inline(always)]
    pub fn from_bits(bits: u64) -> Self {
        Candidate(bits)
    }

    #[inline(always)]
    fn is_expanded(self) -> bool {
        self.0 & Self::EXPANDED != 0
    }
}

/// The nearest candidates met so far, at most `capacity` of them; see [the module](self).
#[derive(Default)]
pub struct Pool {
    /// The first `len` are the candidates, sorted; behind them is room for a [merge](Pool::merge).
    slots: Vec<Candidate>,
    len: usize,
    capacity: usize,
    /// All candidates before it are expanded.
    cursor: usize,
    /// Where the candidates of a merge belong.
    places: Vec<usize>,
}

impl Pool {
    /// The most candidates of one [merge](Pool::merge): one hop.
    pub const RUN: usize = LinkBuf::CAPACITY;

    /// Empties the pool and sets its capacity, at least 1.
    pub fn begin(&mut self, capacity: usize) {
        self.len = 0;
        self.restart(capacity);
    }

    /// Keeps the contents, forgets what was expanded, and sets the capacity (which drops the farthest beyond it).
    pub fn restart(&mut self, capacity: usize) {
        debug_assert!(capacity > 0);
        if self.slots.len() < capacity + Self::RUN {
            self.slots.resize(capacity + Self::RUN, Candidate(0));
            self.places.resize(Self::RUN, 0);
        }
        self.len = self.len.min(capacity);
        self.capacity = capacity;
        self.cursor = 0;
        self.slots[..self.len].iter_mut().for_each(|c| c.0 &= !Candidate::EXPANDED);
    }

    /// All candidates, nearest first.
    #[inline]
    pub fn sorted(&self) -> &[Candidate] {
        &self.slots[..self.len]
    }

    /// A candidate is kept only if it is less than this.
    #[inline(always)]
    pub fn bound(&self) -> Candidate {
        if self.len < self.capacity { Candidate(u64::MAX) } else { self.slots[self.len - 1] }
    }

    /// Adds a candidate whose node is not in the pool, if it is near enough.
    #[inline]
    pub fn insert(&mut self, candidate: Candidate) {
        self.merge(&mut [candidate]);
    }

    /// Adds the candidates of one hop, whose nodes are not in the pool, and keeps the nearest of all. Sorts `run`.
    ///
    /// One merge moves each word of the pool once at most, where one insertion after another would move the tail each time;
    /// and the searches for the places do not wait for each other.
    #[inline(always)]
    pub fn merge(&mut self, run: &mut [Candidate]) {
        sort_run(run);
        let len = self.len;
        let slots = &mut self.slots[..len + run.len()];
        let mut end = len;
        // From the far end: what lies behind the place of a candidate makes room for it and for those before it.
        for (candidate, place) in run.iter().zip(&mut *self.places) {
            *place = place_of(&slots[..len], *candidate);
        }
        for (shift, (candidate, place)) in run.iter().zip(&*self.places).enumerate().rev() {
            move_up(slots, *place..end, shift + 1);
            slots[*place + shift] = *candidate;
            end = *place;
        }
        self.len = (len + run.len()).min(self.capacity);
        self.cursor = self.cursor.min(end);
    }

    /// The nearest candidate that is not expanded, marked as expanded from now on.
    #[inline(always)]
    pub fn expand(&mut self) -> Option<Candidate> {
        let next = self.next()?;
        self.slots[self.cursor].0 |= Candidate::EXPANDED;
        self.cursor += 1;
        Some(next)
    }

    /// The nearest candidate that is not expanded.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Candidate> {
        while let Some(c) = self.sorted().get(self.cursor) {
            if !c.is_expanded() {
                return Some(*c);
            }
            self.cursor += 1;
        }
        None
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Candidate>() + self.places.capacity() * size_of::<usize>()
    }
}

/// Sorts the candidates of one hop: a handful, so by insertion.
#[inline(always)]
fn sort_run(run: &mut [Candidate]) {
    for i in 1..run.len() {
        let candidate = run[i];
        let mut to = i;
        while to > 0 && candidate < run[to - 1] {
            run[to] = run[to - 1];
            to -= 1;
        }
        run[to] = candidate;
    }
}

/// The number of candidates in sorted `slots` that are less than `candidate`; halves without a branch.
#[inline(always)]
fn place_of(slots: &[Candidate], candidate: Candidate) -> usize {
    slots.partition_point(|c| *c < candidate)
}

/// Moves the slots of `from` up by `by`, four at a time and from the end, so that nothing is read after it was overwritten.
#[inline(always)]
fn move_up(slots: &mut [Candidate], from: core::ops::Range<usize>, by: usize) {
    let mut end = from.end;
    while end >= from.start + 4 {
        let four: [Candidate; 4] = [slots[end - 4], slots[end - 3], slots[end - 2], slots[end - 1]];
        slots[end - 4 + by..end + by].copy_from_slice(&four);
        end -= 4;
    }
    while end > from.start {
        end -= 1;
        slots[end + by] = slots[end];
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn candidates_order_as_their_distances_and_keep_them(a in -1e15f32..1e15, b in -1e15f32..1e15, n in 0u32..1 << 31) {
            let (x, y) = (Candidate::new(a, NodeId::new(n)), Candidate::new(b, NodeId::new(n)));
            prop_assert_eq!(x.distance().to_bits(), a.to_bits());
            prop_assert_eq!(x.node().get(), n);
            prop_assert_eq!(x < y, a < b);
        }

        #[test]
        fn keeps_the_nearest_and_expands_each_once_in_order(distances in prop::collection::vec(-50i16..50, 0..200), capacity in 1usize..40, hop in 1usize..20) {
            let mut run = Vec::new();
            let mut pool = Pool::default();
            pool.begin(capacity);
            let mut expanded = Vec::new();
            let mut all = Vec::new();
            for (i, d) in distances.iter().enumerate() {
                let c = Candidate::new(f32::from(*d), NodeId::new(i as u32));
                let admitted = c < pool.bound();
                run.push(c);
                all.push(c);
                all.sort();
                prop_assert!(run.len() > 1 || admitted == (all.iter().position(|x| *x == c).unwrap() < capacity));
                if run.len() < hop {
                    continue;
                }
                pool.merge(&mut run);
                run.clear();
                if i % 3 == 0 && let Some(next) = pool.expand() {
                    expanded.push(next.node());
                }
            }
            pool.merge(&mut run);
            let kept: Vec<_> = pool.sorted().iter().map(|c| c.node()).collect();
            let nearest: Vec<_> = all.iter().take(capacity).map(|c| c.node()).collect();
            prop_assert_eq!(&kept, &nearest);
            while let Some(next) = pool.expand() {
                expanded.push(next.node());
            }
            prop_assert!(kept.iter().all(|n| expanded.iter().filter(|e| *e == n).count() == 1));
        }
    }
}
