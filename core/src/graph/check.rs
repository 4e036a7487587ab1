//! Invariants of any graph, checked through its [`View`].
//!
//! Meant for quiet times: while writers run, a list may rightly name nodes that appeared after it was read.

use super::{At, GraphConfig, LinkBuf, NodeId, NodeState, View};

/// What a check of a whole graph found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Live nodes.
    pub live: usize,
    /// Removed nodes.
    pub tombstones: usize,
    /// Live nodes that no path of level-0 links leads to from the entry point (contract P1: none).
    pub unreachable: usize,
    /// Live nodes other than the entry point that no link leads to on level 0.
    pub zero_in_degree: usize,
    /// The longest level-0 list.
    pub max_degree: usize,
    /// Level-0 links of all nodes.
    pub links: usize,
    /// A digest of all lists and levels as sets: equal for graphs with the same links, in whatever order lists keep them.
    pub digest: u64,
    /// Broken promises of contract P6, described; at most [`Health::MAX_FAULTS`] of them.
    pub faults: Vec<String>,
}

impl Health {
    /// How many faults are described before the rest is left out.
    pub const MAX_FAULTS: usize = 20;

    /// Checks the whole graph: takes a breadth-first search over level 0 and one look at every list.
    pub fn of(view: &impl View, config: &GraphConfig) -> Health {
        let mut health = Health::default();
        let count = view.node_count();
        let mut in_degree = vec![0u32; count];
        let mut links = LinkBuf::new();
        for node in (0..count as u32).map(NodeId::new) {
            match view.state(node) {
                NodeState::Live => health.live += 1,
                NodeState::Tombstone => health.tombstones += 1,
                NodeState::Free | NodeState::Reserved => continue,
            }
            for level in 0..=view.level(node) {
                let list = view.links(At::new(node, level), &mut links);
                let mut sorted: Vec<u32> = list.iter().map(|l| l.node().get()).collect();
                sorted.sort_unstable();
                if sorted.windows(2).any(|w| w[0] == w[1]) {
                    health.fault(|| format!("{node} on level {level} names a node twice: {sorted:?}"));
                }
                if sorted.len() > config.cap(level) {
                    health.fault(|| format!("{node} on level {level} has {} links", sorted.len()));
                }
                health.digest = fold(health.digest, u64::from(node.get()) << 8 | u64::from(level));
                for target in sorted {
                    health.digest = fold(health.digest, u64::from(target));
                    let to = NodeId::new(target);
                    if to == node {
                        health.fault(|| format!("{node} on level {level} links to itself"));
                    } else if target as usize >= count
                        || matches!(view.state(to), NodeState::Free | NodeState::Reserved)
                    {
                        health.fault(|| {
                            format!("{node} on level {level} links to {to}, which is not in the graph")
                        });
                    } else if view.level(to) < level {
                        health.fault(|| {
                            format!("{node} on level {level} links to {to}, which is not on that level")
                        });
                    } else if level == 0 {
                        in_degree[target as usize] += 1;
                        health.links += 1;
                    }
                }
                if level == 0 {
                    health.max_degree = health.max_degree.max(list.len());
                }
            }
        }
        health.reach(view, &in_degree, &mut links);
        health
    }

    fn reach(&mut self, view: &impl View, in_degree: &[u32], links: &mut LinkBuf) {
        let entry = view.entry().map(|e| e.node);
        let mut reached = vec![false; in_degree.len()];
        let mut queue: Vec<NodeId> = entry.into_iter().collect();
        queue.iter().for_each(|node| reached[node.index()] = true);
        while let Some(node) = queue.pop() {
            for link in view.links(At::base(node), links) {
                let to = link.node();
                if to.index() < reached.len() && !core::mem::replace(&mut reached[to.index()], true) {
                    queue.push(to);
                }
            }
        }
        for node in (0..in_degree.len() as u32).map(NodeId::new) {
            if view.state(node) == NodeState::Live {
                self.unreachable += usize::from(!reached[node.index()]);
                self.zero_in_degree += usize::from(in_degree[node.index()] == 0 && entry != Some(node));
            }
        }
    }

    fn fault(&mut self, describe: impl FnOnce() -> String) {
        if self.faults.len() < Self::MAX_FAULTS {
            self.faults.push(describe());
        }
    }
}

/// One step of a 64-bit digest (the multiply-and-rotate of FxHash, with a second rotation so that high bits come back down).
fn fold(digest: u64, value: u64) -> u64 {
    (digest.rotate_left(5) ^ value).wrapping_mul(0x517C_C1B7_2722_0A95).rotate_left(29)
}
