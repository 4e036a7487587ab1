//! Node ids, levels and states: the part of a graph that is the same under every strategy.
//!
//! [`Nodes`] gives out ids, keeps one byte per node (state and level), and finds the lists that a node owns above level 0.
//! Only one node in M has any, so nodes pay no pointer for them: nodes are put in groups of [`GROUP`], each group has a
//! chain of *towers*, and a tower says at which number the upper lists of its node begin. A strategy keeps the upper lists
//! themselves in an array indexed by that number.
//!
//! # Invariants
//! - I1: ids are given out once, in order; `count` only grows.
//! - I2: storage for every id below `count` exists.
//! - I3: the byte of a node goes Free -> Reserved -> Live -> Tombstone and never back; its level never changes once it is
//!   Reserved.
//! - I4: a tower is complete before it is in its chain, and never changes or moves afterwards.
//!
//! # Synchronisation
//! - `node-publish` (Release) with `node-state` (Acquire): whoever sees a node live sees its lists and its row.
//! - `node-tombstone` (Release) with `node-state` (Acquire): whoever sees a node removed sees that nodes are being removed.
//! - `count-take` (Release) with `count-read` (Acquire): whoever sees an id below `count` finds its byte allocated.
//! - `tower-push` (Release) with `tower-head` (Acquire): whoever finds a tower sees its content and all towers behind it
//!   (pushes are read-modify-writes, so each continues the release sequence of those before).
//!
//! # Progress
//! Everything is lock-free; everything but taking ids and pushing towers is wait-free.
//!
//! # Memory
//! One byte per node, 4 bytes per group, 12 bytes per node above level 0. Freed when the graph is dropped.

use super::{GraphConfig, Level, MAX_LEVEL, NodeId, NodeState};
use crate::error::Full;
use crate::segments::Segments;
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// Nodes that share one chain of towers.
pub const GROUP: usize = 16;

const STATE_BITS: u32 = 2;
const STATE_MASK: u8 = (1 << STATE_BITS) - 1;
const NO_TOWER: u32 = u32::MAX;

/// Fields of a tower.
const NODE: usize = 0;
const NEXT: usize = 1;
const FIRST: usize = 2;

/// The ids, levels and states of a graph; the head of its file says how they are kept.
pub struct Nodes {
    config: GraphConfig,
    /// Ids taken.
    count: AtomicU32,
    /// Level and state of each node, in one byte.
    bytes: Segments<AtomicU8>,
    /// The newest tower of each group.
    heads: Segments<AtomicU32>,
    /// Node, next tower of the group, first upper list.
    towers: Segments<AtomicU32>,
    tower_count: AtomicU32,
    upper_count: AtomicU32,
    /// Whether any node was ever removed.
    removed: AtomicBool,
}

fn word() -> AtomicU32 {
    AtomicU32::new(NO_TOWER)
}

impl Nodes {
    /// No nodes yet. `config` must hold.
    pub fn new(config: &GraphConfig) -> Self {
        Nodes {
            config: *config,
            count: AtomicU32::new(0),
            bytes: Segments::new(1, config.capacity, || AtomicU8::new(NodeState::Free as u8)),
            heads: Segments::sized(
                1,
                config.capacity.div_ceil(GROUP),
                config.expected_nodes().map(|n| n.div_ceil(GROUP)),
                word,
            ),
            towers: Segments::sized(3, config.capacity, config.expected_upper(), word),
            tower_count: AtomicU32::new(0),
            upper_count: AtomicU32::new(0),
            removed: AtomicBool::new(false),
        }
    }

    /// The shape of the graph.
    #[inline(always)]
    pub fn config(&self) -> &GraphConfig {
        &self.config
    }

    /// Takes `count` consecutive ids and gives them levels; see [`Graph::reserve`](super::Graph::reserve). The caller then
    /// makes room for the lists of the new nodes: level 0 up to [`Nodes::count`], the others up to [`Nodes::upper_lists`].
    ///
    /// # Errors
    /// When fewer ids are left.
    pub fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        // Relaxed [count-probe]: a first guess for the compare-and-swap below.
        let mut first = self.count.load(Ordering::Relaxed);
        loop {
            let end = first as usize + count;
            if end > self.config.capacity {
                return Err(Full { capacity: self.config.capacity });
            }
            self.bytes.grow(end);
            self.heads.grow(end.div_ceil(GROUP));
            // Release [count-take]: pairs with Acquire [count-read]; the bytes below `end` exist.
            // Relaxed on failure [count-lost]: only the number is used.
            match self.count.compare_exchange(first, end as u32, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => first = now,
            }
        }
        for id in first..first + count as u32 {
            let node = NodeId::new(id);
            let level = level_of(node).min(MAX_LEVEL);
            // Relaxed [node-reserve]: only this thread knows the node; `publish` orders this store for all others.
            self.bytes.get(id as usize).store(byte(level, NodeState::Reserved), Ordering::Relaxed);
            if level > 0 {
                self.build_tower(node, level);
            }
        }
        Ok(NodeId::new(first))
    }

    fn build_tower(&self, node: NodeId, level: Level) {
        // Relaxed [tower-take]: it hands out numbers; what is stored under a number is ordered by the push.
        let tower = self.tower_count.fetch_add(1, Ordering::Relaxed);
        // Relaxed [upper-take]: as above.
        let first = self.upper_count.fetch_add(level.into(), Ordering::Relaxed);
        self.towers.grow(tower as usize + 1);
        let fields = self.towers.row(tower as usize);
        // Relaxed [tower-fill]: the push below publishes it.
        fields[NODE].store(node.get(), Ordering::Relaxed);
        // Relaxed [tower-fill-first]: as above.
        fields[FIRST].store(first, Ordering::Relaxed);
        let head = self.heads.get(node.index() / GROUP);
        // Relaxed [tower-guess]: a first guess; the tower behind it is reached through the release sequence of the push.
        let mut next = head.load(Ordering::Relaxed);
        loop {
            // Relaxed [tower-link]: the push publishes it.
            fields[NEXT].store(next, Ordering::Relaxed);
            // Release [tower-push]: pairs with Acquire [tower-head]; the fields of the tower.
            // Relaxed on failure [tower-lost]: only the number is used.
            match head.compare_exchange(next, tower, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Ids taken.
    #[inline]
    pub fn count(&self) -> usize {
        // Acquire [count-read]: pairs with Release [count-take]; the bytes of all ids below exist.
        self.count.load(Ordering::Acquire) as usize
    }

    /// Upper lists given out: all numbers from [`Nodes::upper`] are below it.
    pub fn upper_lists(&self) -> usize {
        // Relaxed [upper-read]: a number; a caller that just reserved sees its own part of it at least.
        self.upper_count.load(Ordering::Relaxed) as usize
    }

    /// The number of the list of `node` on `level`.
    ///
    /// # Panics
    /// When the node has no list on that level, or `level` is 0.
    #[inline]
    pub fn upper(&self, node: NodeId, level: Level) -> usize {
        debug_assert!(level > 0 && level <= self.level(node), "{node} has no list on level {level}");
        // Acquire [tower-head]: pairs with Release [tower-push]; all towers in the chain are complete.
        let mut tower = self.heads.get(node.index() / GROUP).load(Ordering::Acquire);
        while tower != NO_TOWER {
            let fields = self.towers.row(tower as usize);
            // Relaxed [tower-read]: ordered by the Acquire load of the head.
            if fields[NODE].load(Ordering::Relaxed) == node.get() {
                return fields[FIRST].load(Ordering::Relaxed) as usize + level as usize - 1;
            }
            tower = fields[NEXT].load(Ordering::Relaxed);
        }
        panic!("{node} has no list above level 0")
    }

    /// The state of a node.
    #[inline]
    pub fn state(&self, node: NodeId) -> NodeState {
        if node.index() >= self.count() {
            return NodeState::Free;
        }
        // Acquire [node-state]: pairs with Release [node-publish] and [node-tombstone]; the lists and the row of a live node,
        // and the flag that a removal sets before.
        match self.bytes.get(node.index()).load(Ordering::Acquire) & STATE_MASK {
            0 => NodeState::Free,
            1 => NodeState::Reserved,
            2 => NodeState::Live,
            _ => NodeState::Tombstone,
        }
    }

    /// The level of a reserved node.
    #[inline]
    pub fn level(&self, node: NodeId) -> Level {
        // Relaxed [node-level]: the level never changes after the node was reserved, and who names the node was told of it
        // by its owner or by a link.
        self.bytes.get(node.index()).load(Ordering::Relaxed) >> STATE_BITS
    }

    /// Reserved -> Live. Does nothing if the node was published before.
    #[inline]
    pub fn publish(&self, node: NodeId) {
        let level = self.level(node);
        // Release [node-publish]: pairs with Acquire [node-state]; the forward lists and the row of the node.
        // Relaxed on failure [node-published]: a node that lost the race to found the graph was published then, and may
        // have been removed since; nothing is read.
        let _ = self.bytes.get(node.index()).compare_exchange(
            byte(level, NodeState::Reserved),
            byte(level, NodeState::Live),
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Live -> Tombstone. False if the node was not live.
    pub fn tombstone(&self, node: NodeId) -> bool {
        if self.state(node) != NodeState::Live {
            return false;
        }
        if !crate::planted!("removal-flag-late") {
            // Relaxed [removed-set]: `node-tombstone` orders it before the state.
            self.removed.store(true, Ordering::Relaxed);
        }
        let level = self.level(node);
        // Release [node-tombstone]: pairs with Acquire [node-state]; the flag, so that whoever has seen the removal finds it
        // set.
        // Relaxed on failure [node-tombstone-lost]: another thread removed it first; nothing is read.
        let swapped = self.bytes.get(node.index()).compare_exchange(
            byte(level, NodeState::Live),
            byte(level, NodeState::Tombstone),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if crate::planted!("removal-flag-late") {
            // Relaxed [tombstones-seen-late]: as above; the bug is that it comes too late.
            self.removed.store(true, Ordering::Relaxed);
        }
        swapped.is_ok()
    }

    /// False only if no node is a tombstone.
    #[inline]
    pub fn may_have_tombstones(&self) -> bool {
        // Relaxed [removed-read]: who knows of a removal, because it asked for the state or was told by the one who removed,
        // finds the flag set: that came first. Nothing is read because of the flag that it would have to order.
        self.removed.load(Ordering::Relaxed)
    }

    /// Bytes per category: `(levels_bytes, slack_bytes, fixed_bytes)`.
    pub fn memory(&self) -> (usize, usize, usize) {
        let used = self.count() + self.count().div_ceil(GROUP) * size_of::<AtomicU32>() + {
            // Relaxed [tower-count]: a number for a report.
            self.tower_count.load(Ordering::Relaxed) as usize * self.towers.row_bytes()
        };
        let allocated =
            self.bytes.allocated_bytes() + self.heads.allocated_bytes() + self.towers.allocated_bytes();
        let fixed = self.bytes.spine_bytes() + self.heads.spine_bytes() + self.towers.spine_bytes();
        // Another thread may have taken a tower and not yet made room for it.
        (used, allocated.saturating_sub(used), fixed)
    }
}

const fn byte(level: Level, state: NodeState) -> u8 {
    level << STATE_BITS | state as u8
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    fn level(node: NodeId) -> Level {
        (node.get() % 5) as Level
    }

    #[test]
    fn upper_lists_of_all_nodes_are_distinct() {
        let nodes = Nodes::new(&GraphConfig::new(4).with_capacity(500));
        assert_eq!(nodes.reserve(300, level), Ok(NodeId::new(0)));
        assert_eq!(nodes.reserve(200, level), Ok(NodeId::new(300)));
        let mut seen = std::collections::BTreeSet::new();
        for node in (0..500).map(NodeId::new) {
            assert_eq!(nodes.level(node), level(node));
            for l in 1..=level(node) {
                assert!(seen.insert(nodes.upper(node, l)), "list of {node} on {l} is shared");
            }
        }
        assert_eq!(seen.len(), nodes.upper_lists());
        assert_eq!(seen.last().copied(), Some(nodes.upper_lists() - 1), "numbers leave no gap");
        assert_eq!(nodes.reserve(1, level), Err(Full { capacity: 500 }));
    }

    #[test]
    fn threads_that_reserve_at_once_get_different_ids() {
        let nodes = Nodes::new(&GraphConfig::new(4).with_capacity(8_000));
        let taken = crate::sync::Mutex::new(std::collections::BTreeSet::new());
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..1_000 {
                        let first = nodes.reserve(2, level).unwrap();
                        let second = NodeId::new(first.get() + 1);
                        for node in [first, second] {
                            (1..=level(node))
                                .for_each(|l| assert!(nodes.upper(node, l) < nodes.upper_lists()));
                        }
                        let mut taken = taken.lock();
                        assert!(taken.insert(first) && taken.insert(second));
                    }
                });
            }
        });
        assert_eq!((taken.lock().len(), nodes.count()), (8_000, 8_000));
    }

    #[test]
    fn a_node_lives_once() {
        let nodes = Nodes::new(&GraphConfig::new(4).with_capacity(2));
        let node = nodes.reserve(1, |_| 3).unwrap();
        assert_eq!(nodes.state(node), NodeState::Reserved);
        assert!(!nodes.tombstone(node), "a node that is not live cannot be removed");
        assert!(!nodes.may_have_tombstones());
        nodes.publish(node);
        assert_eq!((nodes.state(node), nodes.level(node)), (NodeState::Live, 3));
        assert!(nodes.tombstone(node) && !nodes.tombstone(node));
        assert_eq!((nodes.state(node), nodes.level(node)), (NodeState::Tombstone, 3));
        assert!(nodes.may_have_tombstones());
        assert_eq!(nodes.state(NodeId::new(1)), NodeState::Free);
    }
}
