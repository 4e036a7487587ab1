//! A reusable buffer for one adjacency list.

use super::{Link, MAX_M};

/// Room for one adjacency list of any permitted length; made once per thread and reused, so that reading a list
/// allocates nothing.
#[derive(Clone)]
pub struct LinkBuf {
    len: usize,
    links: Box<[Link; Self::CAPACITY]>,
}

impl LinkBuf {
    /// The longest list that any graph can have: level 0 at the largest M, and one more for a list before pruning.
    pub const CAPACITY: usize = 2 * MAX_M + 1;

    /// An empty buffer.
    pub fn new() -> Self {
        LinkBuf { len: 0, links: Box::new([Link::NIL; Self::CAPACITY]) }
    }

    /// Removes all links.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a link at the end.
    ///
    /// # Panics
    /// When the buffer holds [`LinkBuf::CAPACITY`] links already.
    #[inline]
    pub fn push(&mut self, link: Link) {
        self.links[self.len] = link;
        self.len += 1;
    }

    /// Replaces the contents by a copy of `links`.
    #[inline]
    pub fn copy_from(&mut self, links: &[Link]) {
        self.links[..links.len()].copy_from_slice(links);
        self.len = links.len();
    }

    /// Makes the list `len` links long and lends it, for the caller to write.
    ///
    /// # Panics
    /// When `len` is above [`LinkBuf::CAPACITY`].
    #[inline]
    pub(super) fn resize(&mut self, len: usize) -> &mut [Link] {
        let links = &mut self.links[..len];
        self.len = len;
        links
    }

    /// Replaces the contents by what `read` gives for the slots of `row`, up to, and without, the first [`Link::NIL`].
    ///
    /// Slots are read in order. A few may be read behind the first `NIL`: there is no branch on each, because
    /// where a list ends cannot be predicted.
    ///
    /// # Panics
    /// When `row` has more than [`LinkBuf::CAPACITY`] slots.
    #[inline(always)]
    pub fn fill<T>(&mut self, row: &[T], read: impl Fn(&T) -> Link) {
        let (batches, rest) = row.as_chunks::<BATCH>();
        let (to_batches, to_rest) = self.links[..row.len()].as_chunks_mut::<BATCH>();
        let mut len = 0;
        for (batch, to) in batches.iter().zip(to_batches) {
            let links = copy_batch(batch, to, &read);
            len += links;
            if links < BATCH {
                self.len = len;
                return;
            }
        }
        self.len = len + copy_batch(rest, to_rest, &read);
    }
}

/// Slots that [`LinkBuf::fill`] reads without a branch. Models want few reads.
const BATCH: usize = if cfg!(hnsw_loom) { 1 } else { 8 };

/// Copies all slots and returns the number of links before the first `NIL`.
#[inline(always)]
fn copy_batch<T>(from: &[T], to: &mut [Link], read: impl Fn(&T) -> Link) -> usize {
    let (mut links, mut inside) = (0, true);
    for (slot, to) in from.iter().zip(to) {
        *to = read(slot);
        inside &= *to != Link::NIL;
        links += usize::from(inside);
    }
    links
}

impl Default for LinkBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl core::ops::Deref for LinkBuf {
    type Target = [Link];
    #[inline]
    fn deref(&self) -> &[Link] {
        &self.links[..self.len]
    }
}

impl core::ops::DerefMut for LinkBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Link] {
        &mut self.links[..self.len]
    }
}

impl core::fmt::Debug for LinkBuf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::NodeId;

    #[test]
    fn fill_stops_at_the_first_empty_slot() {
        for slots in [2, 7, 8, 9, 32, LinkBuf::CAPACITY] {
            for len in 0..=slots {
                // What is behind the first empty slot means nothing.
                let slot = |i| if i == len { Link::NIL } else { Link::anchor(NodeId::new(i as u32)) };
                let row: Vec<Link> = (0..slots).map(slot).collect();
                let mut buf = LinkBuf::new();
                buf.fill(&row, |&link| link);
                assert_eq!(&buf[..], &row[..len], "{len} links in {slots} slots");
            }
        }
    }

    #[test]
    fn a_list_grows_by_pushes_to_the_longest_that_a_graph_can_have() {
        let links: Vec<Link> = (0..2 * MAX_M as u32 + 1).map(|n| Link::to(NodeId::new(n))).collect();
        let mut buf = LinkBuf::new();
        for (len, &link) in links.iter().enumerate() {
            assert_eq!(&buf[..], &links[..len]);
            buf.push(link);
        }
        assert_eq!(&buf[..], &links);
        let mut copy = LinkBuf::default();
        copy.copy_from(&buf[3..9]);
        copy.reverse();
        assert_eq!(&copy[..], [8, 7, 6, 5, 4, 3].map(|n| links[n]));
        buf.clear();
        assert!(buf.is_empty());
    }
}
