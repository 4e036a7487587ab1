//! Names of things in a graph: nodes, links, levels, entry points.

/// A level of the graph. Level 0 holds every node; each level above holds about one in M of the one below.
pub type Level = u8;

/// A node of the graph: a number below 2^31, given out in order from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct NodeId(u32);

impl NodeId {
    /// The node with this number.
    ///
    /// # Panics
    /// In debug builds, if `number` is 2^31 or more.
    #[inline(always)]
    pub const fn new(number: u32) -> Self {
        debug_assert!(number < Link::ANCHOR);
        NodeId(number)
    }

    /// The number as an index.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number.
    #[inline(always)]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl core::fmt::Display for NodeId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of an adjacency list: the target node, and whether the link is an anchor (see [the module](super)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Link(u32);

impl Link {
    const ANCHOR: u32 = 1 << 31;

    /// No link: the value of an unused slot.
    pub const NIL: Link = Link(u32::MAX);

    /// An ordinary link, which pruning may remove.
    #[inline(always)]
    pub const fn to(node: NodeId) -> Self {
        Link(node.0)
    }

    /// A link that must survive pruning.
    #[inline(always)]
    pub const fn anchor(node: NodeId) -> Self {
        Link(node.0 | Self::ANCHOR)
    }

    /// The target.
    #[inline(always)]
    pub const fn node(self) -> NodeId {
        NodeId(self.0 & !Self::ANCHOR)
    }

    /// True for a link that must survive pruning.
    #[inline(always)]
    pub const fn is_anchor(self) -> bool {
        self.0 & Self::ANCHOR != 0
    }

    /// The link as stored.
    #[inline(always)]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Link::to_bits`].
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Link(bits)
    }
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Link::NIL => f.write_str("nil"),
            l if l.is_anchor() => write!(f, "{}!", l.node()),
            l => write!(f, "{}", l.node()),
        }
    }
}

/// Names one adjacency list: the list of `node` on `level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// Whose list.
    pub node: NodeId,
    /// On which level.
    pub level: Level,
}

impl At {
    /// The list of `node` on `level`.
    #[inline(always)]
    pub const fn new(node: NodeId, level: Level) -> Self {
        At { node, level }
    }

    /// The list of `node` on level 0.
    #[inline(always)]
    pub const fn base(node: NodeId) -> Self {
        At { node, level: 0 }
    }
}

/// Where searches start: a node on the top level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The node.
    pub node: NodeId,
    /// Its highest level.
    pub level: Level,
}

impl Entry {
    /// The packed form of "no entry point": see [`Entry::pack`].
    pub const NONE: u64 = u64::MAX;

    /// Level and node in one word, so that one atomic access moves both: the level in the high half.
    #[inline]
    pub const fn pack(entry: Option<Entry>) -> u64 {
        match entry {
            None => Self::NONE,
            Some(e) => (e.level as u64) << 32 | e.node.0 as u64,
        }
    }

    /// The inverse of [`Entry::pack`].
    #[inline]
    pub const fn unpack(word: u64) -> Option<Entry> {
        if word == Self::NONE {
            None
        } else {
            Some(Entry { node: NodeId(word as u32), level: (word >> 32) as Level })
        }
    }
}

/// The life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeState {
    /// Not given out.
    Free = 0,
    /// Given out; being filled by the one thread that knows it.
    Reserved = 1,
    /// Published: searches may return it.
    Live = 2,
    /// Removed: searches pass through it and never return it.
    Tombstone = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_target_and_mark_apart() {
        for n in [0, 1, 12_345, (1 << 31) - 2] {
            let node = NodeId::new(n);
            assert_eq!((Link::to(node).node(), Link::to(node).is_anchor()), (node, false));
            assert_eq!((Link::anchor(node).node(), Link::anchor(node).is_anchor()), (node, true));
            assert_ne!(Link::anchor(node), Link::NIL, "node {n} would read as an empty slot");
            assert_eq!([Link::to(node), Link::anchor(node)].map(Link::to_bits), [n, n | 1 << 31]);
            assert_eq!(Link::from_bits(Link::anchor(node).to_bits()), Link::anchor(node));
            assert_eq!(node.to_string(), n.to_string());
        }
    }

    #[test]
    fn entries_survive_packing() {
        let e = Entry { node: NodeId::new((1 << 31) - 2), level: 15 };
        assert_eq!(Entry::unpack(Entry::pack(Some(e))), Some(e));
        assert_eq!(Entry::unpack(Entry::pack(None)), None);
    }
}
