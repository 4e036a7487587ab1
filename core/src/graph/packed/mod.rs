//! A graph for reading alone, in as few bytes as it takes.
//!
//! [`Packed::freeze`] copies what any [`View`] shows. A list is a run of node numbers of ceil(log2 n) bits each, in one stream
//! for each level; two bytes a list say where it begins. At M = 16 and 30,000 nodes of 1024 components that is a fifth of what
//! lists with 32 slots of four bytes take (`docs/memory.md`).
//!
//! # What is kept, and what is not
//!
//! Kept: the nodes that were published, their states (tombstones go on carrying searches), levels, the entry point, and all links
//! between those nodes, in their order. Not kept: the mark of anchors, which says what pruning must not remove; nothing prunes
//! here. So [`Link::is_anchor`](super::Link::is_anchor) is false for all links.
//!
//! # Freezing while others write
//!
//! A view that shows one instant (a snapshot, or a session that keeps writers out) is frozen as of that instant. Of any other
//! view, a frozen graph is no single instant, and these hold:
//!
//! - Every list is whole (contract P6): links to nodes that are not in the frozen graph are dropped, and so is a second link to one
//!   node, which `slots` may show of a list that is being rewritten.
//! - Every node whose insert returned before the call is in it, and reachable (P1). States are read before any list, so if a node
//!   that others could meet before the call is in the graph, then so are its parent and its nearest neighbour, which could be met
//!   earlier; the anchors between them are never pruned, so they are in the lists, whenever those are read; and they are not
//!   dropped. The entry point, read first of all, is such a node. So the argument of
//!   [the algorithm](crate::hnsw) holds of the frozen graph, for all of them.
//! - Every removal that returned before the call is in it (P2).
//! - A node whose insert was under way may be in it or not, and may be without links that lead to it.
//!
//! # Invariants
//! - I1: list `i` of level `l` is that of the `i`-th node, in the order of numbers, that has a level of `l` or above; on level 0,
//!   of node `i`.
//! - I2: links lead to nodes that are published here, and that have a list on the level of the link.
//!
//! # Synchronisation
//! None: nothing changes after it was made.
//!
//! # Progress
//! Reads are wait-free.
//!
//! # Memory
//! Exact arrays, no slack; [`Packed::memory`]. While it is made, five bytes a node besides, and a part of the stream twice.

mod bits;
mod lists;
mod members;
#[cfg(all(test, not(hnsw_loom)))]
mod tests;

use super::{At, Entry, Level, LinkBuf, MAX_LEVEL, MemoryReport, NodeId, NodeState, Stage, View};
use crate::graph::Link;
use lists::{Builder, Lists};
use members::Members;

/// States in a byte of [`States`].
const STATES_PER_BYTE: usize = 4;

/// A graph for reading alone; see the module.
pub struct Packed {
    entry: Option<Entry>,
    count: usize,
    states: States,
    /// Level 0.
    base: Lists,
    /// Level 1 and those above.
    upper: Box<[Upper]>,
}

/// One level above 0.
struct Upper {
    /// Which lists of the level below belong to nodes that have one here.
    members: Members,
    lists: Lists,
}

/// The states of all nodes.
struct States {
    /// Two bits a node; empty if all are live.
    bits: Box<[u8]>,
    /// Whether any is a tombstone.
    tombstones: bool,
}

impl Packed {
    /// A copy of what `view` shows; see the module about views that change meanwhile.
    ///
    /// # Panics
    /// When the view breaks its contract: a list longer than any graph permits.
    pub fn freeze(view: &impl View) -> Packed {
        // In this order, for the reasons that the head of the module gives: entry point, states, lists.
        let entry = view.entry();
        let count = view.node_count();
        let states: Vec<NodeState> = (0..count).map(|number| view.state(node(number))).collect();
        let published =
            |node: NodeId| matches!(states.get(node.index()), Some(NodeState::Live | NodeState::Tombstone));
        let width = (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1);
        let (mut buf, mut targets) = (LinkBuf::new(), Vec::new());
        let mut pack = |owners: &[NodeId], level: Level| {
            let mut lists = Builder::new(owners.len(), width);
            for &owner in owners {
                let links: &[Link] =
                    if published(owner) { view.links(At::new(owner, level), &mut buf) } else { &[] };
                targets.clear();
                for target in links.iter().map(|link| link.node()).filter(|to| published(*to)) {
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                }
                lists.push(targets.iter().copied());
            }
            lists.finish()
        };
        let mut owners: Vec<NodeId> = (0..count).map(node).collect();
        let base = pack(&owners, 0);
        let mut upper = Vec::new();
        for level in 1..=MAX_LEVEL {
            let reaches = |owner: &NodeId| published(*owner) && view.level(*owner) >= level;
            let flags: Vec<bool> = owners.iter().map(reaches).collect();
            owners.retain(reaches);
            if owners.is_empty() {
                break;
            }
            upper.push(Upper { members: Members::new(&flags), lists: pack(&owners, level) });
        }
        Packed { entry, count, states: States::new(&states), base, upper: upper.into_boxed_slice() }
    }

    /// The list of a node on a level: the lists of that level, and its number among them.
    #[inline(always)]
    fn place(&self, at: At) -> (&Lists, usize) {
        if at.level == 0 {
            return (&self.base, at.node.index());
        }
        let levels = &self.upper[..at.level as usize];
        let rank = levels.iter().try_fold(at.node.index(), |place, level| level.members.rank(place));
        let rank = rank.unwrap_or_else(|| panic!("{} has no list on level {}", at.node, at.level));
        (&levels[levels.len() - 1].lists, rank)
    }

    /// Exact bytes allocated, by category; the `Packed` itself is not among them.
    pub fn memory(&self) -> MemoryReport {
        let mut report = MemoryReport {
            levels_bytes: self.states.bits.len(),
            fixed_bytes: size_of_val(&*self.upper),
            ..Default::default()
        };
        for lists in core::iter::once(&self.base).chain(self.upper.iter().map(|upper| &upper.lists)) {
            let (links, fixed) = lists.bytes();
            report.links_bytes += links;
            report.fixed_bytes += fixed;
        }
        report.levels_bytes += self.upper.iter().map(|upper| upper.members.bytes()).sum::<usize>();
        report
    }
}

/// The node with this number, which is below that of some view's nodes.
fn node(number: usize) -> NodeId {
    NodeId::new(number as u32)
}

impl View for Packed {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        self.entry
    }

    fn node_count(&self) -> usize {
        self.count
    }

    /// The state when the graph was frozen; [`NodeState::Reserved`] for a node that is not in it.
    #[inline]
    fn state(&self, node: NodeId) -> NodeState {
        if node.index() < self.count { self.states.get(node.index()) } else { NodeState::Free }
    }

    fn level(&self, node: NodeId) -> Level {
        let mut place = Some(node.index());
        let above = self.upper.iter().take_while(|upper| {
            place = place.and_then(|place| upper.members.rank(place));
            place.is_some()
        });
        above.count() as Level
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.states.tombstones
    }

    #[inline(always)]
    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        let (lists, number) = self.place(at);
        lists.read(number, buf);
        buf
    }

    #[inline(always)]
    fn prefetch(&self, at: At, stage: Stage) {
        // Levels above 0 are small, and what leads to their lists is in the way of a hint.
        if at.level == 0 {
            self.base.prefetch(at.node.index(), stage);
        }
    }
}

impl States {
    /// The states of all nodes in order. Whatever is not published counts as reserved.
    fn new(states: &[NodeState]) -> States {
        let all_live = states.iter().all(|state| *state == NodeState::Live);
        let code = |state: NodeState| match state {
            NodeState::Live | NodeState::Tombstone => state as u8,
            NodeState::Free | NodeState::Reserved => NodeState::Reserved as u8,
        };
        let byte = |states: &[NodeState]| states.iter().rev().fold(0, |byte, state| byte << 2 | code(*state));
        States {
            bits: if all_live { Box::default() } else { states.chunks(STATES_PER_BYTE).map(byte).collect() },
            tombstones: states.contains(&NodeState::Tombstone),
        }
    }

    #[inline]
    fn get(&self, node: usize) -> NodeState {
        let Some(byte) = self.bits.get(node / STATES_PER_BYTE) else { return NodeState::Live };
        const LIVE: u8 = NodeState::Live as u8;
        const TOMBSTONE: u8 = NodeState::Tombstone as u8;
        match byte >> (node % STATES_PER_BYTE * 2) & 3 {
            LIVE => NodeState::Live,
            TOMBSTONE => NodeState::Tombstone,
            _ => NodeState::Reserved,
        }
    }
}
