//! The shape of a graph.

use super::{Level, NodeId};
use crate::error::ConfigError;

/// The largest M.
pub const MAX_M: usize = 128;
/// The highest level a node can have. At M = 2 one node in 2^15 reaches it; at M = 16 none ever will.
pub const MAX_LEVEL: Level = 15;
/// The most nodes a graph can hold: ids are 31 bits wide, less the one that would read as an empty slot.
pub const MAX_NODES: usize = (1 << 31) - 1;

/// What a graph needs to know when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphConfig {
    /// M of the HNSW paper (Malkov and Yashunin 2016): the most links of a node on each level above 0; twice as many
    /// on level 0. From 2 to [`MAX_M`].
    pub m: usize,
    /// The most nodes that the graph will ever hold. Storage is allocated as it fills, never beyond this; a true bound
    /// therefore saves the slack of the last growth step.
    pub capacity: usize,
}

impl GraphConfig {
    /// A graph with this M, for up to [`MAX_NODES`] nodes.
    pub const fn new(m: usize) -> Self {
        GraphConfig { m, capacity: MAX_NODES }
    }

    /// The same, for up to `capacity` nodes.
    pub const fn with_capacity(self, capacity: usize) -> Self {
        GraphConfig { capacity, ..self }
    }

    /// The most links a node may have on `level`.
    #[inline(always)]
    pub const fn cap(&self, level: Level) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    /// The number of nodes to expect: the capacity, if one was given.
    pub fn expected_nodes(&self) -> Option<usize> {
        (self.capacity < MAX_NODES).then_some(self.capacity)
    }

    /// The number of lists above level 0 to expect in a full graph, if a capacity was given: one in M nodes is above
    /// level 0, one in M of those above level 1, and so on.
    pub fn expected_upper(&self) -> Option<usize> {
        self.expected_nodes().map(|n| n / (self.m - 1) + 1)
    }

    /// The most lists above level 0 that a graph can have.
    pub const fn max_upper(&self) -> usize {
        self.capacity.saturating_mul(MAX_LEVEL as usize)
    }

    /// Whether the values are usable.
    ///
    /// # Errors
    /// Names the first value that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(2..=MAX_M).contains(&self.m) {
            return Err(ConfigError::M(self.m));
        }
        if self.capacity == 0 || self.capacity > MAX_NODES {
            return Err(ConfigError::Capacity(self.capacity));
        }
        Ok(())
    }

    /// True if `node` is an id that this graph can give out.
    #[inline(always)]
    pub const fn holds(&self, node: NodeId) -> bool {
        node.index() < self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_31_bits_less_the_one_of_an_empty_slot() {
        assert_eq!(MAX_NODES, 0x7fff_ffff);
        assert_eq!(GraphConfig::new(16).capacity, MAX_NODES);
    }

    #[test]
    fn what_is_expected_is_known_where_a_capacity_was_given() {
        let open = GraphConfig::new(16);
        assert_eq!((open.expected_nodes(), open.expected_upper()), (None, None));
        let bounded = open.with_capacity(1_000);
        assert_eq!(bounded.expected_nodes(), Some(1_000));
        // 1/16 + 1/256 + … of the nodes is 1/15 of them, and one for the division.
        assert_eq!(bounded.expected_upper(), Some(67));
        assert_eq!(bounded.max_upper(), 15_000);
    }

    #[test]
    fn lists_of_level_0_have_twice_as_many_links() {
        for m in [2, 16, MAX_M] {
            let config = GraphConfig::new(m);
            assert_eq!([0, 1, MAX_LEVEL].map(|level| config.cap(level)), [2 * m, m, m]);
        }
    }

    #[test]
    fn ids_below_the_capacity_are_held() {
        let config = GraphConfig::new(4).with_capacity(10);
        assert!(config.holds(NodeId::new(0)) && config.holds(NodeId::new(9)));
        assert!(!config.holds(NodeId::new(10)) && !config.holds(NodeId::new(11)));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let check = |m, capacity| GraphConfig::new(m).with_capacity(capacity).check();
        assert_eq!(check(2, 1).and(check(MAX_M, MAX_NODES)), Ok(()));
        assert_eq!(check(1, 1), Err(ConfigError::M(1)));
        assert_eq!(check(MAX_M + 1, 1), Err(ConfigError::M(MAX_M + 1)));
        assert_eq!(check(2, 0), Err(ConfigError::Capacity(0)));
        assert_eq!(check(2, MAX_NODES + 1), Err(ConfigError::Capacity(MAX_NODES + 1)));
    }
}
