//! The candidates of one search: the `ef` nearest nodes met so far, in order.
//!
//! A sorted array beats a pair of heaps for the sizes of ef in use: one comparison rejects most nodes, and the next node to
//! expand is found by moving a cursor.

use crate::graph::NodeId;

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
    sorted: Vec<Candidate>,
    capacity: usize,
    /// All candidates before it are expanded.
    cursor: usize,
}

impl Pool {
    /// Empties the pool and sets its capacity, at least 1.
    pub fn begin(&mut self, capacity: usize) {
        debug_assert!(capacity > 0);
        self.sorted.clear();
        self.sorted.reserve(capacity + 1);
        self.capacity = capacity;
        self.cursor = 0;
    }

    /// Keeps the contents, forgets what was expanded, and sets the capacity (which drops the farthest beyond it).
    pub fn restart(&mut self, capacity: usize) {
        self.sorted.truncate(capacity);
        self.sorted.reserve(capacity + 1 - self.sorted.len());
        self.capacity = capacity;
        self.cursor = 0;
        self.sorted.iter_mut().for_each(|c| c.0 &= !Candidate::EXPANDED);
    }

    /// All candidates, nearest first.
    #[inline]
    pub fn sorted(&self) -> &[Candidate] {
        &self.sorted
    }

    /// True if a node at this distance would be kept.
    #[inline(always)]
    pub fn admits(&self, candidate: Candidate) -> bool {
        self.sorted.len() < self.capacity || candidate < self.sorted[self.sorted.len() - 1]
    }

    /// Adds a candidate whose node is not in the pool; false if it is farther than all of a full pool.
    #[inline(always)]
    pub fn insert(&mut self, candidate: Candidate) -> bool {
        if !self.admits(candidate) {
            return false;
        }
        if self.sorted.len() == self.capacity {
            self.sorted.pop();
        }
        let at = self.sorted.partition_point(|c| *c < candidate);
        self.sorted.insert(at, candidate);
        self.cursor = self.cursor.min(at);
        true
    }

    /// The nearest candidate that is not expanded, marked as expanded from now on.
    #[inline(always)]
    pub fn expand(&mut self) -> Option<Candidate> {
        let next = self.next()?;
        self.sorted[self.cursor].0 |= Candidate::EXPANDED;
        self.cursor += 1;
        Some(next)
    }

    /// The nearest candidate that is not expanded.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Candidate> {
        while let Some(c) = self.sorted.get(self.cursor) {
            if !c.is_expanded() {
                return Some(*c);
            }
            self.cursor += 1;
        }
        None
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<Candidate>()
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
        fn keeps_the_nearest_and_expands_each_once_in_order(distances in prop::collection::vec(-50i16..50, 0..200), capacity in 1usize..40) {
            let mut pool = Pool::default();
            pool.begin(capacity);
            let mut expanded = Vec::new();
            let mut all = Vec::new();
            for (i, d) in distances.iter().enumerate() {
                let c = Candidate::new(f32::from(*d), NodeId::new(i as u32));
                let admitted = pool.insert(c);
                all.push(c);
                all.sort();
                prop_assert_eq!(admitted, all.iter().position(|x| *x == c).unwrap() < capacity);
                if i % 3 == 0 && let Some(next) = pool.expand() {
                    expanded.push(next.node());
                }
            }
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
