//! The set of nodes that one search has met.
//!
//! Up to [`DENSE_NODES`] nodes it is one byte per node: the node was met if its byte is the number of the present search.
//! Beyond that it is a hash table whose size follows the search and not the graph, so that a thread's scratch stays small
//! at any number of nodes. Neither is cleared between searches.

use crate::graph::NodeId;

/// Graphs up to this size use one byte per node and thread.
pub const DENSE_NODES: usize = 1 << 22;

/// A reusable set of nodes; see [the module](self).
pub struct Visited {
    /// One byte per node; empty in hash mode.
    marks: Vec<u8>,
    /// Number of the present search, never 0.
    mark: u8,
    dense: bool,
    hashed: Hashed,
}

impl Visited {
    /// An empty set that holds no memory yet.
    pub fn new() -> Self {
        Visited { marks: Vec::new(), mark: 0, dense: true, hashed: Hashed::new() }
    }

    /// Empties the set, for a graph of about `nodes` nodes.
    pub fn begin(&mut self, nodes: usize) {
        self.dense = nodes <= DENSE_NODES;
        if !self.dense {
            self.hashed.begin();
            return;
        }
        if self.marks.len() < nodes {
            self.enlarge(nodes);
        }
        self.mark = self.mark.wrapping_add(1);
        if self.mark == 0 {
            self.marks.fill(0);
            self.mark = 1;
        }
    }

    /// Adds a node; true if it is new.
    #[inline(always)]
    pub fn insert(&mut self, node: NodeId) -> bool {
        if !self.dense {
            return self.hashed.insert(node.get());
        }
        if node.index() >= self.marks.len() {
            self.enlarge(node.index() + 1);
        }
        let mark = &mut self.marks[node.index()];
        let new = *mark != self.mark;
        *mark = self.mark;
        new
    }

    /// Room for `nodes` nodes and some that may be inserted meanwhile.
    #[cold]
    fn enlarge(&mut self, nodes: usize) {
        let room = nodes + nodes / 16 + 64;
        self.marks.reserve_exact(room - self.marks.len());
        self.marks.resize(room, 0);
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.marks.capacity() + self.hashed.slots.capacity() * size_of::<u64>()
    }
}

impl Default for Visited {
    fn default() -> Self {
        Self::new()
    }
}

/// Open addressing with linear probing; a slot belongs to the present search if its high half is the search's number.
struct Hashed {
    slots: Vec<u64>,
    search: u32,
    len: usize,
}

impl Hashed {
    const FIRST: usize = 4096;

    fn new() -> Self {
        Hashed { slots: Vec::new(), search: 0, len: 0 }
    }

    fn begin(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![0; Self::FIRST];
        }
        self.len = 0;
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.slots.fill(0);
            self.search = 1;
        }
    }

    #[inline(always)]
    fn insert(&mut self, id: u32) -> bool {
        let key = u64::from(self.search) << 32 | u64::from(id);
        let mask = self.slots.len() - 1;
        let mut at = Self::home(id, mask);
        loop {
            let slot = &mut self.slots[at];
            if *slot == key {
                return false;
            }
            if (*slot >> 32) as u32 != self.search {
                *slot = key;
                self.len += 1;
                if 2 * self.len > mask {
                    self.double();
                }
                return true;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(always)]
    fn home(id: u32, mask: usize) -> usize {
        // Fibonacci hashing: the high bits of the product are well mixed.
        (u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask
    }

    #[cold]
    fn double(&mut self) {
        let old = core::mem::take(&mut self.slots);
        self.slots = vec![0; old.len() * 2];
        self.len = 0;
        let search = self.search;
        for key in old.into_iter().filter(|key| (*key >> 32) as u32 == search) {
            self.insert(key as u32);
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn both_forms_agree_with_a_hash_set_over_many_searches() {
        let mut visited = Visited::new();
        let mut random = 1u64;
        for search in 0..600 {
            let (nodes, ids) = if search % 2 == 0 { (1_000, 1_500) } else { (DENSE_NODES + 1, 1 << 31) };
            visited.begin(nodes);
            let mut oracle = HashSet::new();
            for _ in 0..if search == 301 { 20_000 } else { 300 } {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let id = ((random >> 33) % ids) as u32;
                assert_eq!(
                    visited.insert(NodeId::new(id.min((1 << 31) - 1))),
                    oracle.insert(id.min((1 << 31) - 1))
                );
            }
        }
    }
}
