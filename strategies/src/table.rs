//! A plain graph: what a strategy puts behind one lock.
//!
//! A [`Table`] keeps each adjacency list in place, in a row of slots that ends with [`Link::NIL`]s. It knows nothing of
//! threads: reading takes `&Table`, changing takes `&mut Table`, and [`Session`] turns any guard that gives these into a
//! session of the graph.
//!
//! # Invariants
//! - I1: rows exist for all lists of a node once its reserve returned.
//! - I2: in a row, no link follows a `NIL`, and at most `cap(level)` slots hold links.
//! - I3: the level of the entry point only rises.
//!
//! # Memory
//! Per node one row of 2M slots, rounded up to whole cache lines; per list above level 0 one row of M slots. Rows grow by
//! segments and are never copied. Freed when the table is dropped.

use crate::lists::{LINE, PerList, Place};
use core::convert::Infallible;
use core::ops::{Deref, DerefMut};
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Edit, Entry, GraphConfig, Level, Link, LinkBuf, MemoryReport, NodeId, NodeState, Nodes, Stage, Stamp,
    Verdict, View,
};

/// A graph for one writer or many readers at a time; see [the module](self).
pub struct Table {
    nodes: Nodes,
    rows: PerList<Link>,
    entry: Option<Entry>,
    /// What a rewrite puts in the place of a list.
    out: LinkBuf,
}

impl Table {
    pub(crate) fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Table {
            nodes: Nodes::new(config),
            rows: PerList::slots(config, || Link::NIL),
            entry: None,
            out: LinkBuf::new(),
        })
    }

    /// See [`hnsw_core::graph::Graph::reserve`]. Shared access is enough: ids are handed out and rows added by atomic
    /// operations, and no one knows the new nodes yet.
    pub(crate) fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        let first = self.nodes.reserve(count, level_of)?;
        self.rows.grow(&self.nodes);
        Ok(first)
    }

    #[inline(always)]
    fn links(&self, at: At) -> &[Link] {
        let row = self.rows.row(Place::of(&self.nodes, at));
        &row[..list_len(row)]
    }

    fn rewrite(&mut self, at: At, mut f: impl FnMut(&[Link], &mut LinkBuf) -> Verdict) -> Verdict {
        let cap = self.nodes.config().cap(at.level);
        let row = self.rows.row_mut(Place::of(&self.nodes, at));
        self.out.clear();
        let verdict = f(&row[..list_len(row)], &mut self.out);
        if verdict == Verdict::Replace {
            assert!(self.out.len() <= cap, "{} links at {at:?}, which holds {cap}", self.out.len());
            let (list, rest) = row.split_at_mut(self.out.len());
            list.copy_from_slice(&self.out);
            rest.fill(Link::NIL);
        }
        verdict
    }

    fn found(&mut self, entry: Entry) -> bool {
        let first = self.entry.is_none();
        if first {
            self.entry = Some(entry);
        }
        first
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        let higher = self.entry.is_none_or(|present| present.level < entry.level);
        if higher {
            self.entry = Some(entry);
        }
        higher
    }

    /// Bytes by category, for a table that lives in an object of `owner` bytes.
    pub(crate) fn memory(&self, owner: usize) -> MemoryReport {
        let (levels, slack, fixed) = self.nodes.memory();
        let rows = self.rows.bytes(&self.nodes);
        MemoryReport {
            links_bytes: rows.used,
            slack_bytes: rows.slack + slack,
            levels_bytes: levels,
            scratch_bytes: LinkBuf::CAPACITY * size_of::<Link>(),
            fixed_bytes: rows.fixed + fixed + owner,
            ..MemoryReport::default()
        }
    }
}

/// The number of links in a row: of slots before the first `NIL`. Counts a cache line at a time without a branch, which
/// compiles to a few vector compares.
#[inline(always)]
fn list_len(row: &[Link]) -> usize {
    let links = |slots: &[Link]| slots.iter().filter(|&&slot| slot != Link::NIL).count();
    let (lines, rest) = row.as_chunks::<LINE>();
    let mut len = 0;
    for line in lines {
        let here = links(line);
        len += here;
        if here < LINE {
            return len;
        }
    }
    len + links(rest)
}

/// A session on a [`Table`] through a guard: for reading if the guard gives shared access, for changing too if it gives
/// exclusive access. Dropping it drops the guard.
pub struct Session<T>(pub(crate) T);

impl<T: Deref<Target = Table>> View for Session<T> {
    #[inline]
    fn entry(&self) -> Option<Entry> {
        self.0.entry
    }

    #[inline]
    fn node_count(&self) -> usize {
        self.0.nodes.count()
    }

    #[inline]
    fn state(&self, node: NodeId) -> NodeState {
        self.0.nodes.state(node)
    }

    #[inline]
    fn level(&self, node: NodeId) -> Level {
        self.0.nodes.level(node)
    }

    #[inline]
    fn may_have_tombstones(&self) -> bool {
        self.0.nodes.may_have_tombstones()
    }

    #[inline]
    fn links<'s>(&'s self, at: At, _buf: &'s mut LinkBuf) -> &'s [Link] {
        self.0.links(at)
    }

    #[inline]
    fn prefetch(&self, at: At, stage: Stage) {
        if at.level == 0 && stage == Stage::Near {
            self.0.rows.prefetch_base(at.node);
        }
    }
}

impl<T: DerefMut<Target = Table>> Edit for Session<T> {
    type Conflict = Infallible;

    fn rewrite<F>(&mut self, at: At, f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        self.0.rewrite(at, f)
    }

    fn publish(&mut self, node: NodeId) {
        self.0.nodes.publish(node);
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        self.0.nodes.tombstone(node)
    }

    fn found(&mut self, entry: Entry) -> bool {
        self.0.found(entry)
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        self.0.raise_entry(entry)
    }

    fn commit(self) -> Result<Stamp, Infallible> {
        Ok(Stamp::NONE)
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_list_is_where_it_ends() {
        for slots in [2, 15, 16, 17, 32, 40, 256] {
            for len in 0..=slots {
                let mut row = vec![Link::NIL; slots];
                (0..len).for_each(|i| row[i] = Link::anchor(NodeId::new(i as u32)));
                assert_eq!(list_len(&row), len, "{len} links in {slots} slots");
            }
        }
    }

    #[test]
    fn rows_of_level_0_are_whole_cache_lines() {
        for m in [2, 5, 8, 12, 16, 128] {
            let table = Table::with_config(&GraphConfig::new(m).with_capacity(100)).unwrap();
            table.reserve(100, |_| 0).unwrap();
            for node in 0..100 {
                let row = table.rows.row(Place::Base(node));
                assert_eq!(row.as_ptr().addr() % 64, 0, "M = {m}, node {node}");
                assert!(row.len() >= 2 * m && row.iter().all(|&slot| slot == Link::NIL));
            }
        }
    }
}
