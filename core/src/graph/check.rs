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

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::graph::{Entry, Level, Link, Stage};

    /// A graph as it is written down: of each node its state, and its lists from level 0 up.
    #[derive(Clone)]
    struct Drawn {
        entry: Option<u32>,
        nodes: Vec<(NodeState, Vec<Vec<u32>>)>,
    }

    impl View for Drawn {
        fn entry(&self) -> Option<Entry> {
            self.entry.map(NodeId::new).map(|node| Entry { node, level: self.level(node) })
        }

        fn node_count(&self) -> usize {
            self.nodes.len()
        }

        fn state(&self, node: NodeId) -> NodeState {
            self.nodes.get(node.index()).map_or(NodeState::Free, |node| node.0)
        }

        fn level(&self, node: NodeId) -> Level {
            (self.nodes[node.index()].1.len() - 1) as Level
        }

        fn may_have_tombstones(&self) -> bool {
            true
        }

        fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
            buf.clear();
            let list = &self.nodes[at.node.index()].1[at.level as usize];
            list.iter().for_each(|&target| buf.push(Link::to(NodeId::new(target))));
            buf
        }

        fn prefetch(&self, _: At, _: Stage) {}
    }

    const M: usize = 2;

    fn health(graph: &Drawn) -> Health {
        Health::of(graph, &GraphConfig::new(M))
    }

    fn live(lists: &[&[u32]]) -> (NodeState, Vec<Vec<u32>>) {
        (NodeState::Live, lists.iter().map(|list| list.to_vec()).collect())
    }

    /// Two nodes on level 1; a tombstone on the only way to the last live one; and one that is not published.
    fn sound() -> Drawn {
        let nodes = vec![
            live(&[&[1, 2], &[1]]),
            live(&[&[0], &[0]]),
            (NodeState::Tombstone, vec![vec![3]]),
            live(&[&[0, 1]]),
            (NodeState::Reserved, vec![vec![]]),
        ];
        Drawn { entry: Some(0), nodes }
    }

    #[test]
    fn a_sound_graph_is_counted() {
        let expected = Health {
            live: 3,
            tombstones: 1,
            unreachable: 0,
            zero_in_degree: 0,
            max_degree: 2,
            links: 6,
            // Result documents of different versions are compared by it.
            digest: 0x3bde_2594_82ec_f105,
            faults: vec![],
        };
        assert_eq!(health(&sound()), expected);
        let empty = Drawn { entry: None, nodes: vec![] };
        assert_eq!(health(&empty), Health::default());
        // Each of five nodes links to all others: as many as a list may hold.
        let full = |n: u32| live(&[&(0..5).filter(|&to| to != n).collect::<Vec<_>>()]);
        let full = health(&Drawn { entry: Some(4), nodes: (0..5).map(full).collect() });
        assert_eq!((full.max_degree, full.links, full.faults), (2 * M, 20, vec![]));
    }

    #[test]
    fn what_cannot_be_reached_is_counted() {
        let counts = |graph: &Drawn| {
            let health = health(graph);
            assert!(health.faults.is_empty(), "{health:?}");
            (health.unreachable, health.zero_in_degree)
        };
        let mut graph = sound();
        graph.nodes[2].1[0].clear();
        assert_eq!(counts(&graph), (1, 1), "no link leads to node 3");
        graph.nodes.push(live(&[&[3]]));
        graph.nodes[3].1[0].push(5);
        assert_eq!(counts(&graph), (2, 0), "two nodes lead to each other alone");
        graph.entry = Some(3);
        assert_eq!(counts(&graph), (0, 0), "and from them all others are reached");
        graph.nodes[5].1[0].clear();
        assert_eq!(counts(&graph), (0, 0), "nothing need lead to the entry point");
        graph.entry = None;
        assert_eq!(counts(&graph), (4, 1), "without an entry point nothing is reached");
    }

    #[test]
    fn each_fault_is_described_and_its_link_not_counted() {
        let cases: [(&str, usize, usize, &[u32], usize); 8] = [
            ("1 on level 0 names a node twice: [0, 0]", 1, 0, &[0, 0], 7),
            ("3 on level 0 links to itself", 3, 0, &[0, 3], 5),
            ("3 on level 0 links to 5, which is not in the graph", 3, 0, &[5, 1], 5),
            ("3 on level 0 links to 99, which is not in the graph", 3, 0, &[99, 1], 5),
            ("3 on level 0 links to 4, which is not in the graph", 3, 0, &[4, 1], 5),
            ("0 on level 1 links to 3, which is not on that level", 0, 1, &[3], 6),
            ("0 on level 1 links to itself", 0, 1, &[0], 6),
            ("2 on level 0 links to 2147483646, which is not in the graph", 2, 0, &[3, 0x7fff_fffe], 6),
        ];
        for (fault, node, level, list, links) in cases {
            let mut graph = sound();
            graph.nodes[node].1[level] = list.to_vec();
            let health = health(&graph);
            assert_eq!(health.faults, [fault]);
            assert_eq!(health.links, links, "{fault}");
        }
        for (level, cap) in [(0, 2 * M), (1, M)] {
            let mut graph = sound();
            (0..4).for_each(|_| graph.nodes.push(live(&[&[0], &[0]])));
            graph.nodes[0].1[level] = (5..9).chain([1]).take(cap + 1).collect();
            assert_eq!(health(&graph).faults, [format!("0 on level {level} has {} links", cap + 1)]);
            graph.nodes[0].1[level].pop();
            assert!(health(&graph).faults.is_empty());
        }
    }

    #[test]
    fn faults_beyond_the_first_are_left_out() {
        let selfish = |n: u32| live(&[&[n]]);
        let graph = |n| Drawn { entry: Some(0), nodes: (0..n).map(selfish).collect() };
        assert_eq!(health(&graph(19)).faults.len(), 19);
        assert_eq!(health(&graph(50)).faults.len(), Health::MAX_FAULTS);
    }

    #[test]
    fn the_digest_is_of_sets_of_links() {
        let digest = |change: fn(&mut Drawn)| {
            let mut graph = sound();
            change(&mut graph);
            health(&graph).digest
        };
        let sound = digest(|_| ());
        assert_eq!(digest(|graph| graph.nodes[0].1[0].reverse()), sound);
        let others = [
            digest(|graph| graph.nodes[0].1[0] = vec![1, 3]),
            digest(|graph| graph.nodes[0].1[0] = vec![1]),
            digest(|graph| graph.nodes[0].1[1] = vec![]),
            digest(|graph| graph.nodes[3].1[0] = vec![1, 2]),
            digest(|graph| graph.nodes[3].1.push(vec![])),
            digest(|graph| graph.nodes[4].0 = NodeState::Live),
        ];
        for (i, other) in others.iter().enumerate() {
            assert!(*other != sound && !others[..i].contains(other), "change {i}");
        }
    }
}
