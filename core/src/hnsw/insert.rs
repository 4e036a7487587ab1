//! Inserting one node.
//!
//! The order of steps is what keeps a concurrent graph whole; each step names the failure that it prevents.
//!
//! 1. Search, in a read session, and choose the neighbours on every level.
//! 2. Write *all* own forward lists. (A node that can be met before its lists are complete strands the searches that pass
//!    through it.)
//! 3. Publish the node.
//! 4. Add the reverse edges, one list at a time, by merging into what is there. (Clearing or overwriting a list loses the
//!    links that others added since it was read.)
//! 5. The first of the neighbours that has room for it becomes the node's *parent*: parent and child are linked to each
//!    other by anchors, which pruning never removes. So level 0 contains, at all times, a tree that spans all nodes whose
//!    insert has returned, with an edge in both directions along each branch: every such node is reachable from every other.
//!    (Bounded degree alone lets pruning take a node's last in-edge; in-degree above zero is not enough either, because
//!    closed islands have it.)
//! 6. Raise the entry point. (An entry point that is not linked yet orphans everything.)

use super::pool::Candidate;
use super::scratch::Scratch;
use super::search::Searcher;
use super::select::Addition;
use super::{Index, Neighbor};
use crate::error::InsertError;
use crate::graph::{At, Edit, Entry, Graph, Level, Link, LinkBuf, NodeId, Verdict, View};
use crate::vectors::Codec;
use std::collections::{HashSet, VecDeque};

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts a vector with scratch of the caller's; see [`Index::insert`].
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn insert_with(&self, vector: &[f32], scratch: &mut Scratch<C>) -> Result<NodeId, InsertError> {
        self.vectors.codec().check(vector)?;
        let node = self.reserve(1)?;
        self.insert_reserved(node, vector, scratch);
        Ok(node)
    }

    /// Takes ids and makes room for their rows.
    pub(super) fn reserve(&self, count: usize) -> Result<NodeId, InsertError> {
        let first = self.graph.reserve(count, |node| self.levels.of(node))?;
        self.vectors.grow(first.index() + count);
        Ok(first)
    }

    /// Inserts a checked vector as a node that the caller reserved.
    pub(super) fn insert_reserved(&self, node: NodeId, vector: &[f32], scratch: &mut Scratch<C>) {
        let codec = self.vectors.codec();
        // SAFETY: the caller reserved the node and grew the store; it is published below, and inserted once.
        unsafe { self.vectors.write(node, vector) };
        let query = scratch.prepare(codec, vector);
        let level = self.levels.of(node);
        let mut attempt = 0;
        loop {
            let planned = {
                let view = self.graph.read();
                Searcher { view: &view, vectors: &self.vectors, query: &query, scratch }.plan(
                    level,
                    self.config.ef_construction,
                    self.config.m,
                )
            };
            let done = match planned {
                Some(entry) => self.link_in(node, level, entry, &query, scratch),
                None => self.found(node, level, attempt),
            };
            if done {
                break;
            }
            attempt += 1;
        }
        scratch.query = Some(query);
    }

    /// Makes the node the first of an empty graph. False if another was faster.
    fn found(&self, node: NodeId, level: Level, attempt: u32) -> bool {
        let mut edit = self.graph.write(attempt);
        if !edit.found(Entry { node, level }) {
            return false;
        }
        edit.publish(node);
        edit.commit().is_ok()
    }

    /// Steps 2 to 6, with the neighbours in `scratch.forward`; repeated until the edit commits. Always true.
    fn link_in(
        &self,
        node: NodeId,
        level: Level,
        entry: Entry,
        query: &C::Query,
        scratch: &mut Scratch<C>,
    ) -> bool {
        let top = level.min(entry.level);
        let mut attempt = 0;
        loop {
            let mut edit = self.graph.write(attempt);
            for l in 0..=top {
                let forward = &scratch.forward[l as usize];
                edit.rewrite(At::new(node, l), |_, out| {
                    out.clear();
                    forward.iter().for_each(|c| out.push(Link::to(c.node())));
                    // The nearest neighbour is the parent unless it turns out to have no room.
                    if l == 0 {
                        out[0] = Link::anchor(out[0].node());
                    }
                    Verdict::Replace
                });
            }
            edit.publish(node);
            for l in (1..=top).rev() {
                for i in 0..scratch.forward[l as usize].len() {
                    let neighbour = scratch.forward[l as usize][i];
                    self.link_back(&mut edit, node, neighbour, l, false, scratch);
                }
            }
            let mut parent = None;
            for i in 0..scratch.forward[0].len() {
                let neighbour = scratch.forward[0][i];
                if self.link_back(&mut edit, node, neighbour, 0, parent.is_none(), scratch)
                    && parent.is_none()
                {
                    parent = Some(neighbour.node());
                }
            }
            let nearest = scratch.forward[0][0].node();
            let parent =
                parent.unwrap_or_else(|| self.parent_nearby(&mut edit, node, nearest, query, scratch));
            if parent != nearest {
                self.anchor_to(&mut edit, node, parent);
            }
            if level > entry.level {
                edit.raise_entry(Entry { node, level });
            }
            if edit.commit().is_ok() {
                return true;
            }
            attempt += 1;
        }
    }

    /// Adds `node` to the list of `neighbour`, whose distance from it is known. True if it is there as an anchor.
    fn link_back(
        &self,
        edit: &mut impl Edit,
        node: NodeId,
        neighbour: Candidate,
        level: Level,
        anchor: bool,
        scratch: &mut Scratch<C>,
    ) -> bool {
        let addition = Addition {
            owner: neighbour.node(),
            target: Candidate::new(neighbour.distance(), node),
            anchor,
            anchor_limit: self.anchor_limit(),
            cap: self.graph_config().cap(level),
        };
        let mut anchored = false;
        let Scratch { selection, evaluations, .. } = scratch;
        edit.rewrite(At::new(neighbour.node(), level), |links, out| {
            let merged = addition.merge(links, out, &self.vectors, selection, evaluations);
            anchored = merged.anchored;
            merged.verdict
        });
        anchored
    }

    /// Finds a parent when all neighbours are full of anchors, which takes a crowd of nodes with one nearest neighbour:
    /// follows the tree from `start` until a node has room. Some node has: a leaf has.
    #[cold]
    fn parent_nearby(
        &self,
        edit: &mut impl Edit,
        node: NodeId,
        start: NodeId,
        query: &C::Query,
        scratch: &mut Scratch<C>,
    ) -> NodeId {
        loop {
            let mut seen = HashSet::from([node, start]);
            let mut queue = VecDeque::from([start]);
            let mut links = LinkBuf::new();
            while let Some(at) = queue.pop_front() {
                let branches = edit.links(At::base(at), &mut links).iter().filter(|link| link.is_anchor());
                queue.extend(branches.map(|link| link.node()).filter(|n| seen.insert(*n)));
                let mut distance = [0.0];
                // SAFETY: `at` was met in the graph, and the query was prepared by this codec.
                unsafe { self.vectors.codec().distances(query, &[self.vectors.row(at)], &mut distance) };
                if self.link_back(edit, node, Candidate::new(distance[0], at), 0, true, scratch) {
                    return at;
                }
            }
            // Other inserts took all the room that there was, and made more of it by doing so.
            crate::sync::thread::yield_now();
        }
    }

    /// Puts an anchor to `parent` into the own list of `node`. The anchor to its nearest neighbour stays: that neighbour may
    /// by now be a child that relies on it.
    fn anchor_to(&self, edit: &mut impl Edit, node: NodeId, parent: NodeId) {
        let cap = self.graph_config().cap(0);
        edit.rewrite(At::base(node), |links, out| {
            out.copy_from(links);
            let place = match links.iter().position(|link| link.node() == parent) {
                None if links.len() < cap => {
                    out.push(Link::anchor(parent));
                    return Verdict::Replace;
                }
                None => links.iter().rposition(|link| !link.is_anchor()),
                present => present,
            };
            // A full list has a link that is no anchor: the limit, and the one anchor above it, are less than the cap.
            let Some(place) = place else { return Verdict::Keep };
            out[place] = Link::anchor(parent);
            Verdict::Replace
        });
    }

    /// The most anchors that a list may have and still take another: half of the list, so that the other half is free for
    /// what the heuristic wants; but three, so that a leaf of the tree, which has at most two, always has room.
    fn anchor_limit(&self) -> usize {
        self.config.m.max(3)
    }
}

impl<V: View, C: Codec> Searcher<'_, V, C> {
    /// Chooses the neighbours of a new node of this level, into `scratch.forward`. Returns the entry point that the search
    /// started from; `None` if the graph is empty.
    fn plan(&mut self, level: Level, ef_construction: usize, m: usize) -> Option<Entry> {
        let entry = self.view.entry()?;
        let mut at = self.start(entry);
        for l in (level + 1..=entry.level).rev() {
            at = self.descend(at, l);
        }
        self.scratch.detours.clear();
        self.scratch.pool.begin(ef_construction);
        self.scratch.pool.insert(at);
        for l in (0..=level.min(entry.level)).rev() {
            self.scratch.visited.begin(self.view.node_count());
            self.scratch.pool.restart(ef_construction);
            for candidate in self.scratch.pool.sorted() {
                self.scratch.visited.insert(candidate.node());
            }
            self.beam::<false>(l);
            let scratch = &mut *self.scratch;
            scratch.selection.candidates.clear();
            scratch.selection.candidates.extend_from_slice(scratch.pool.sorted());
            scratch.selection.kept.clear();
            scratch.evaluations += scratch.selection.keep_diverse(self.vectors, m);
            scratch.forward[l as usize].clone_from(&scratch.selection.kept);
        }
        Some(entry)
    }
}

impl From<Candidate> for Neighbor {
    fn from(candidate: Candidate) -> Neighbor {
        Neighbor { node: candidate.node(), distance: candidate.distance() }
    }
}
