//! Inserting one node.
//!
//! The order of steps is what keeps a concurrent graph whole; each step names the failure that it prevents.
//!
//! 1. Search, in a read session, and choose the neighbours on every level.
//! 2. Write *all* own forward lists. (A node that can be met before its lists are complete strands the searches that pass
//!    through it.)
//! 3. Publish the node.
//! 4. Find a *parent*: the first of the neighbours that has room for an anchor to the node, or a node near them. Anchors are
//!    links that pruning never removes, so from here on the node cannot be lost. Nothing else may lead to it before: a node
//!    that others can meet, and take for their parent, while it may still be pruned away would take them with it.
//! 5. Add the other reverse edges, level 0 first, one list at a time, by merging into what is there. (Clearing or overwriting
//!    a list loses the links that others added since it was read.)
//! 6. Raise the entry point. (An entry point that is not linked yet orphans everything.)
//!
//! # Why no node is ever lost
//!
//! Call a node *visible* once a list names it, or the entry point does. Every visible node but the first has, for ever, two
//! anchors on level 0: from its parent to it, which is what made it visible, and from it to the nearest of its neighbours,
//! which it had before. Its parent and its nearest neighbour were visible earlier. So going from parent to parent ends at the
//! first node, and so does going from nearest to nearest: level 0 contains, at all times, a path of anchors from the first
//! node to every visible node, and one from every visible node to the first. Hence every node whose insert has returned is
//! reachable from every other, however lists are pruned and wherever other inserts are suspended. (Bounded degree alone lets
//! pruning take a node's last in-edge; in-degree above zero is not enough either, because closed islands have it.)
//!
//! # An insert that panics has not happened
//!
//! The codec and the recorder are others' code. If one of them panics, sessions and locks are given back as the stack unwinds,
//! and then the node is [taken back](Unfinished): one that has taken effect is removed. Lists that name it already may go on
//! doing so, as they may name any tombstone: by the argument above it has its anchors. The id stays used up.

use super::phases::{Phase, Recorder};
use super::pool::Candidate;
use super::scratch::Scratch;
use super::search::Searcher;
use super::select::{Addition, LinkKind};
use super::{Index, Neighbor};
use crate::distance::Metric;
use crate::error::InsertError;
use crate::graph::{At, Edit, Entry, Graph, Level, Link, LinkBuf, NodeId, NodeState, Verdict, View};
use crate::mix::mix;
use crate::planted;
use crate::sync::{Cost, charge};
use crate::vectors::Codec;
use core::ops::{Range, RangeInclusive};
use std::collections::HashSet;

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts a vector with scratch of the caller's; see [`Index::insert`].
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn insert_with(&self, vector: &[f32], scratch: &mut Scratch<C>) -> Result<NodeId, InsertError> {
        self.insert_recorded(vector, scratch, &mut ())
    }

    /// As [`Index::insert_with`]; `recorder` learns what it spends its time on, from its search to its commit.
    ///
    /// # Errors
    /// As [`Index::insert`].
    pub fn insert_recorded(
        &self,
        vector: &[f32],
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) -> Result<NodeId, InsertError> {
        self.vectors.codec().check(vector)?;
        let node = self.reserve(1)?;
        self.insert_reserved(node, vector, scratch, recorder);
        Ok(node)
    }

    /// Takes ids and makes room for their rows.
    pub(super) fn reserve(&self, count: usize) -> Result<NodeId, InsertError> {
        let first = self.graph.reserve(count, |node| self.levels.of(node))?;
        self.vectors.grow(first.index() + count);
        Ok(first)
    }

    /// Inserts a checked vector as a node that the caller reserved.
    pub(super) fn insert_reserved(
        &self,
        node: NodeId,
        vector: &[f32],
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) {
        // SAFETY: the caller reserved the node and grew the store; it is published below, and inserted once.
        unsafe { self.vectors.write(node, vector) };
        self.insert_written(node, vector, scratch, recorder);
    }

    /// As [`Index::insert_reserved`], when the row is written.
    pub(super) fn insert_written(
        &self,
        node: NodeId,
        vector: &[f32],
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) {
        let unfinished = Unfinished::new(self, node, 1);
        let codec = self.vectors.codec();
        let query = scratch.prepare(codec, vector);
        let level = self.levels.of(node);
        let mut attempt = 0;
        recorder.done(Phase::Search);
        loop {
            let planned = {
                let view = self.graph.read();
                recorder.done(Phase::Wait);
                Searcher { view: &view, vectors: &self.vectors, query: &query, scratch }.plan(
                    0..=level,
                    self.config.ef_construction,
                    self.config.m,
                    self.alpha(),
                    recorder,
                )
            };
            let done = match planned {
                Some(entry) => self.link_in(node, level, entry, &query, scratch, recorder),
                None => self.found(node, level, attempt),
            };
            recorder.done(Phase::Wait);
            if done {
                break;
            }
            attempt += 1;
        }
        scratch.query = Some(query);
        unfinished.finish();
    }

    /// Makes the node the first of an empty graph. False if another was faster.
    fn found(&self, node: NodeId, level: Level, attempt: u32) -> bool {
        let mut edit = self.graph.write(attempt);
        // Published first: from the instant at which the entry point names it, searches may return it.
        edit.publish(node);
        edit.found(Entry { node, level }) && edit.commit().is_ok()
    }

    /// Steps 2 to 6, with the neighbours in `scratch.forward`; repeated until the edit commits. Always true.
    fn link_in(
        &self,
        node: NodeId,
        level: Level,
        entry: Entry,
        query: &C::Query,
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) -> bool {
        let top = level.min(entry.level);
        let mut attempt = 0;
        loop {
            let before = scratch.evaluations;
            let mut edit = self.graph.write(attempt);
            recorder.done(Phase::Wait);
            if planted!("entry-before-links") && level > entry.level {
                edit.raise_entry(Entry { node, level });
            }
            if !planted!("publish-before-links") {
                write_forward(&mut edit, node, &scratch.forward[..=top as usize], 0);
            }
            edit.publish(node);
            let neighbours = scratch.forward[0].len();
            let parent = (0..neighbours).find(|i| {
                let neighbour = scratch.forward[0][*i];
                self.link_back(&mut edit, node, neighbour, 0, LinkKind::Anchor, scratch, recorder)
            });
            if parent.is_none() {
                let nearest = scratch.forward[0][0].node();
                self.adopt(&mut edit, node, nearest, query, scratch, recorder);
            }
            if planted!("publish-before-links") {
                write_forward(&mut edit, node, &scratch.forward[..=top as usize], 0);
            }
            for l in 0..=top {
                for i in 0..scratch.forward[l as usize].len() {
                    if l > 0 || parent != Some(i) {
                        let neighbour = scratch.forward[l as usize][i];
                        self.link_back(&mut edit, node, neighbour, l, LinkKind::Ordinary, scratch, recorder);
                    }
                }
            }
            if level > entry.level {
                edit.raise_entry(Entry { node, level });
            }
            recorder.done(Phase::Link);
            if edit.commit().is_ok() {
                return true;
            }
            charge(Cost::WastedDistances, (scratch.evaluations - before) as usize);
            attempt += 1;
        }
    }

    /// Offers `node` to the list of `neighbour`, whose distance from it is known. False if an anchor found no room.
    #[expect(clippy::too_many_arguments, reason = "the parts of one link, and what the thread brings along")]
    fn link_back(
        &self,
        edit: &mut impl Edit,
        node: NodeId,
        neighbour: Candidate,
        level: Level,
        kind: LinkKind,
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) -> bool {
        let target = Candidate::new(neighbour.distance(), node);
        self.add_links(edit, At::new(neighbour.node(), level), &[target], kind, scratch, recorder) == 1
    }

    /// Offers `targets`, with their distances from the owner of the list at `at`, to that list. Returns how many of them,
    /// from the first on, were considered: all, unless they are anchors and found no room.
    pub(super) fn add_links(
        &self,
        edit: &mut impl Edit,
        at: At,
        targets: &[Candidate],
        kind: LinkKind,
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) -> usize {
        let addition = Addition {
            owner: at.node,
            targets,
            kind,
            anchor_limit: self.anchor_limit(),
            cap: self.graph_config().cap(at.level),
            alpha: self.alpha(),
        };
        let mut fitting = 0;
        let Scratch { selection, evaluations, .. } = scratch;
        recorder.done(Phase::Link);
        #[cfg(hnsw_planted)]
        let stale = planted!("links-lost-update").then(|| edit.links(at, &mut LinkBuf::new()).to_vec());
        let mut run = None;
        edit.rewrite(at, |links, out| {
            if let Some(before) = run.replace(*evaluations) {
                charge(Cost::WastedDistances, (*evaluations - before) as usize);
            }
            #[cfg(hnsw_planted)]
            let links = stale.as_deref().unwrap_or(links);
            let links = if planted!("links-cleared") { &[] } else { links };
            // Until here: to get at the list. In a second run, what the first one made was lost besides.
            recorder.done(Phase::Wait);
            fitting = addition.fitting(links);
            let verdict = match fitting {
                0 => Verdict::Keep,
                _ => addition.merge(links, out, &self.vectors, selection, evaluations),
            };
            recorder.done(Phase::Select);
            verdict
        });
        recorder.done(Phase::Link);
        fitting
    }

    /// Finds a parent when all neighbours are full of anchors, which takes a crowd of nodes with one nearest neighbour: goes
    /// from anchor to anchor until a node has room.
    ///
    /// By the argument of [the module](self), anchors lead from `start` to every visible node, and the last to become visible
    /// is no one's parent: it has one anchor and so room. Going deep first, and a different way for each node, takes about
    /// the depth of a random tree, where going wide would visit all full nodes each time.
    #[cold]
    pub(super) fn adopt(
        &self,
        edit: &mut impl Edit,
        node: NodeId,
        start: NodeId,
        query: &C::Query,
        scratch: &mut Scratch<C>,
        recorder: &mut impl Recorder,
    ) {
        loop {
            let mut seen = HashSet::from([node, start]);
            let mut path = vec![start];
            let mut links = LinkBuf::new();
            while let Some(at) = path.pop() {
                let candidate = Candidate::new(self.distance(query, at), at);
                scratch.evaluations += 1;
                if self.link_back(edit, node, candidate, 0, LinkKind::Anchor, scratch, recorder) {
                    return;
                }
                let links = edit.links(At::base(at), &mut links);
                let first = mix(u64::from(node.get()) << 32 | u64::from(at.get())) as usize % links.len();
                let (before, after) = links.split_at(first);
                let branches = after.iter().chain(before).filter(|link| link.is_anchor());
                path.extend(branches.map(|link| link.node()).filter(|n| seen.insert(*n)));
            }
            // Other inserts took all the room that there was, and made more of it by doing so.
            crate::sync::thread::yield_now();
        }
    }

    /// The distance by which neighbours are chosen, from a prepared query to a node that was met in the graph.
    pub(super) fn distance(&self, query: &C::Query, node: NodeId) -> f32 {
        let (row, rest, mut distance) = (self.vectors.row(node), self.vectors.rest(node), [0.0]);
        // SAFETY: the node was met in the graph, and the query was prepared by this codec.
        unsafe {
            match C::COARSE {
                true => self.vectors.codec().refined(query, &[row], &[rest], &mut distance),
                false => self.vectors.codec().distances(query, &[row], &mut distance),
            }
        }
        distance[0]
    }

    pub(super) fn alpha(&self) -> f32 {
        if self.config.metric == Metric::InnerProduct { 1.0 } else { self.config.alpha }
    }

    /// The most anchors in a list: half of it, so that the other half is free for what the heuristic wants; but three, one to
    /// the nearest neighbour and two to children, so that the tree can branch.
    pub(super) fn anchor_limit(&self) -> usize {
        self.config.m.max(3)
    }
}

/// Nodes whose insert is under way. If that unwinds they are taken back: no search may return a node that no one was told of,
/// and no live node may lack its anchors.
pub(super) struct Unfinished<'a, G: Graph, C: Codec> {
    index: &'a Index<G, C>,
    nodes: Range<u32>,
    named: bool,
}

impl<'a, G: Graph, C: Codec> Unfinished<'a, G, C> {
    /// For `count` nodes from `first` on. The caller has no session open when this is dropped.
    pub(super) fn new(index: &'a Index<G, C>, first: NodeId, count: usize) -> Self {
        Unfinished { index, nodes: first.get()..first.get() + count as u32, named: false }
    }

    /// As [`Unfinished::new`], for nodes that lists of each other may name before they have taken effect. They become
    /// tombstones all: no list may name a node that is not in the graph.
    pub(super) fn named(index: &'a Index<G, C>, first: NodeId, count: usize) -> Self {
        let mut unfinished = Unfinished::new(index, first, count);
        unfinished.named = true;
        unfinished
    }

    /// The nodes are in the graph.
    pub(super) fn finish(self) {
        core::mem::forget(self);
    }
}

impl<G: Graph, C: Codec> Drop for Unfinished<'_, G, C> {
    #[cold]
    fn drop(&mut self) {
        // A model checker ends an execution by unwinding it, and nothing may run in it any more.
        if cfg!(any(hnsw_loom, hnsw_shuttle)) {
            return;
        }
        for node in self.nodes.clone().map(NodeId::new) {
            self.index.edit(|edit| {
                if self.named && edit.state(node) == NodeState::Reserved {
                    edit.publish(node);
                }
                // One that has not taken effect is not found, and never will be.
                edit.tombstone(node);
            });
        }
    }
}

/// Writes the lists of a new node on its levels from `lowest` on; on level 0 with the anchor to its nearest neighbour.
pub(super) fn write_forward(edit: &mut impl Edit, node: NodeId, lists: &[Vec<Candidate>], lowest: Level) {
    for (level, list) in (lowest..).zip(lists) {
        edit.rewrite(At::new(node, level), |_, out| {
            out.clear();
            list.iter().for_each(|c| out.push(Link::to(c.node())));
            if level == 0 {
                out[0] = Link::anchor(out[0].node());
            }
            Verdict::Replace
        });
    }
}

impl<V: View, C: Codec> Searcher<'_, V, C> {
    /// Chooses the neighbours of a new node on those of these levels that the graph has, into `scratch.forward`. Returns the
    /// entry point that the search started from; `None` if the graph is empty.
    pub(super) fn plan(
        &mut self,
        levels: RangeInclusive<Level>,
        ef_construction: usize,
        m: usize,
        alpha: f32,
        recorder: &mut impl Recorder,
    ) -> Option<Entry> {
        let entry = self.view.entry()?;
        let (lowest, level) = levels.into_inner();
        let mut at = self.start(entry);
        for l in (level + 1..=entry.level).rev() {
            at = self.descend(at, l);
        }
        self.scratch.detours.clear();
        self.scratch.chosen = None;
        self.scratch.pool.begin(ef_construction);
        self.scratch.pool.insert(at);
        for l in (lowest..=level.min(entry.level)).rev() {
            self.scratch.visited.begin(self.view.node_count());
            self.scratch.pool.restart(ef_construction);
            for candidate in self.scratch.pool.sorted() {
                self.scratch.visited.insert(candidate.node());
            }
            self.beam::<false>(l);
            if C::COARSE {
                self.refine(ef_construction);
            }
            let scratch = &mut *self.scratch;
            let found = if C::COARSE { &scratch.refined } else { scratch.pool.sorted() };
            scratch.selection.candidates.clear();
            scratch.selection.candidates.extend_from_slice(found);
            scratch.selection.kept.clear();
            recorder.done(Phase::Search);
            scratch.evaluations += scratch.selection.keep_diverse(self.vectors, m, alpha);
            scratch.forward[l as usize].clone_from(&scratch.selection.kept);
            recorder.done(Phase::Select);
        }
        Some(entry)
    }
}

impl From<Candidate> for Neighbor {
    fn from(candidate: Candidate) -> Neighbor {
        Neighbor { node: candidate.node(), distance: candidate.distance() }
    }
}
