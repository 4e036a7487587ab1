//! The level of each node, drawn from a seed.

use crate::graph::{Level, MAX_LEVEL, NodeId};
use crate::mix::mix;

/// Draws levels with the distribution of the HNSW paper: one node in M reaches each next level.
///
/// The draw is a function of the seed and the node, so the levels of a graph do not depend on which thread inserted what,
/// and no thread shares a random number generator with another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    seed: u64,
    /// 1 / ln M.
    scale: f64,
}

impl Levels {
    pub fn new(m: usize, seed: u64) -> Self {
        Levels { seed, scale: 1.0 / (m as f64).ln() }
    }

    /// The level of `node`.
    pub fn of(&self, node: NodeId) -> Level {
        let bits = mix(self.seed ^ mix(u64::from(node.get())));
        // Uniform in (0, 1]: 53 bits, never 0, so the logarithm is finite.
        let uniform = ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-uniform.ln() * self.scale).min(f64::from(MAX_LEVEL)) as Level
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_node_in_m_reaches_each_next_level() {
        let levels = Levels::new(16, 42);
        let n = 1_000_000;
        let mut at_least = [0u32; 4];
        for level in (0..n).map(|i| levels.of(NodeId::new(i))) {
            (0..4).filter(|l| level as usize >= *l).for_each(|l| at_least[l] += 1);
        }
        for (l, found) in at_least.into_iter().enumerate().skip(1) {
            let expected = f64::from(n) / 16f64.powi(l as i32);
            let deviation = (f64::from(found) - expected).abs() / expected.sqrt();
            assert!(deviation < 5.0, "{found} nodes reach level {l}, expected {expected}");
        }
    }

    #[test]
    fn another_seed_draws_other_levels() {
        let (a, b) = (Levels::new(2, 1), Levels::new(2, 2));
        assert!((0..100).map(NodeId::new).any(|n| a.of(n) != b.of(n)));
    }
}
