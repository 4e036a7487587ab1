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

    /// Replaces the contents by `slot(0), slot(1), …` up to, and without, the first [`Link::NIL`], at most `slots` of
    /// them.
    #[inline]
    pub fn fill(&mut self, slots: usize, mut slot: impl FnMut(usize) -> Link) {
        self.len = 0;
        for (i, to) in self.links[..slots].iter_mut().enumerate() {
            *to = slot(i);
            if *to == Link::NIL {
                return;
            }
            self.len = i + 1;
        }
    }
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
        let slots = [Link::to(NodeId::new(3)), Link::to(NodeId::new(1)), Link::NIL, Link::to(NodeId::new(9))];
        let mut buf = LinkBuf::new();
        buf.fill(4, |i| slots[i]);
        assert_eq!(&buf[..], &slots[..2]);
        buf.fill(1, |i| slots[i]);
        assert_eq!(&buf[..], &slots[..1]);
    }
}
