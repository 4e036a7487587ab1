//! Inserting many nodes in rounds, with a result that does not depend on the number of threads.
//!
//! A round takes the next few rows, few in proportion to the graph as it is, and goes through these steps. Each runs on all
//! threads, and none begins before the one before it has ended (the method of ParlayANN; Dobson et al., "Scaling Graph-Based
//! ANNS Algorithms to Billion-Size Datasets", 2023).
//!
//! 1. *Plan.* All nodes of the round search the graph, which no one changes, and choose their neighbours.
//! 2. *Install.* Each node gets its forward lists and is published. No list names it yet.
//! 3. *Anchor.* Each node asks its nearest neighbour for an anchor. The requests are sorted by whom they ask and then by
//!    distance; a node grants as many as it has room for. Those refused ask their next neighbour, and so on. Whom all refuse
//!    is adopted at the end, one after another.
//! 4. *Link.* All other reverse edges are sorted by target and distance, and each target's list takes all of its new links in
//!    one rewrite, with one pruning.
//!
//! # Why the graph does not depend on the threads
//!
//! What a step writes is a function of what was there when it began: in 1 and 2 nodes neither read nor write what another node
//! of the round writes, and in 3 and 4 each list belongs to one group of requests, in an order that is total because the node
//! breaks ties of distance. The size of a round depends on the number of nodes only, and the level of a node on its id. So
//! the graph is a function of the seed and the calls, if no one else writes meanwhile.
//!
//! # Why no node is ever lost
//!
//! The argument of [`insert`](super::insert) holds as it stands, with other writers too, because each node goes through the
//! same steps in the same order: its own lists first, among them the anchor to its nearest neighbour; then one list that names
//! it, its parent's, by an anchor; then all others. Parents and nearest neighbours are nodes that searches met before the
//! round, or nodes that have their anchors already; so they were visible earlier.
//!
//! # What others see meanwhile
//!
//! Searches run at any time. One that overlaps a round may find some of its nodes and miss others. Inserts and removals by
//! others are as correct as ever, but where they fall among the steps decides what the graph will be.

use super::Index;
use super::insert::write_forward;
use super::pool::Candidate;
use super::scratch::{Scratch, with_local};
use super::search::Searcher;
use super::select::LinkKind;
use crate::graph::{At, Edit, Graph, Level, NodeId, View};
use crate::vectors::Codec;
use core::ops::Range;
use rayon::prelude::*;

/// Nodes below this are inserted one after another: nodes of one round do not see each other.
const SERIAL_START: usize = 256;
/// A round is at most one part in this many of what is in the graph.
const SHARE: usize = 32;
/// No round is larger, which bounds the memory of a round and how long a stop is waited for.
const MAX_ROUND: usize = 8192;
/// Nodes or lists that one thread takes at a time, at most: few enough to balance the end of a step.
const GRAIN: usize = 32;

/// A node of a round, with the neighbours that it chose, by level.
struct Planned {
    node: NodeId,
    forward: Vec<Vec<Candidate>>,
}

/// A link that a list is asked to take. Sorts by list, then by distance from its owner, then by target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    /// Level and owner of the list.
    list: u64,
    target: Candidate,
}

impl Request {
    /// Asks `neighbour`, whose distance from `node` is known, for a link to `node`.
    fn new(node: NodeId, neighbour: Candidate, level: Level) -> Self {
        Request {
            list: u64::from(level) << 32 | u64::from(neighbour.node().get()),
            target: Candidate::new(neighbour.distance(), node),
        }
    }

    fn at(&self) -> At {
        At::new(NodeId::new(self.list as u32), (self.list >> 32) as Level)
    }
}

/// How many nodes the round has that begins with this node.
fn round_size(first: NodeId) -> usize {
    match first.index() {
        few if few < SERIAL_START => 1,
        many => (many / SHARE).min(MAX_ROUND),
    }
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts checked rows as nodes that the caller reserved, the first of them `first`. Calls `finished` after each round
    /// with the number of its rows, and stops if it says false.
    pub(super) fn insert_rounds(&self, first: NodeId, rows: &[f32], finished: impl Fn(usize) -> bool) {
        let dim = self.config.dim;
        let count = rows.len() / dim;
        let node = |row: usize| NodeId::new(first.get() + row as u32);
        let mut row = 0;
        while row < count {
            let most = round_size(node(row)).min(count - row);
            let size = self.below_the_top(node(row), most);
            let vectors = |range: Range<usize>| &rows[range.start * dim..range.end * dim];
            match size {
                // The node rises above the graph, or is among the first few.
                0 | 1 => {
                    with_local(|scratch| self.insert_reserved(node(row), vectors(row..row + 1), scratch))
                }
                _ => self.round(node(row), vectors(row..row + size)),
            }
            row += size.max(1);
            if !finished(size.max(1)) {
                return;
            }
        }
    }

    /// The number of nodes from `first` on, at most `most`, before one that is on a higher level than all of the graph. Such
    /// a node is a round of its own: it will be the entry point, and nodes beside it could not be linked on its top level.
    fn below_the_top(&self, first: NodeId, most: usize) -> usize {
        match self.graph.read().entry() {
            None => 0,
            Some(entry) => (0..most as u32)
                .take_while(|i| self.levels.of(NodeId::new(first.get() + i)) <= entry.level)
                .count(),
        }
    }

    /// Inserts the nodes from `first` on, none of which is above the entry point.
    fn round(&self, first: NodeId, rows: &[f32]) {
        let dim = self.config.dim;
        let planned: Vec<Planned> = rows
            .par_chunks_exact(dim)
            .with_max_len(GRAIN)
            .enumerate()
            .map(|(i, vector)| self.plan(NodeId::new(first.get() + i as u32), vector))
            .collect();
        planned.par_chunks(GRAIN).for_each(|planned| {
            self.edit(|edit| {
                for Planned { node, forward } in planned {
                    write_forward(edit, *node, forward);
                    edit.publish(*node);
                }
            });
        });
        for orphan in self.anchor(first, &planned) {
            let vector = &rows[(orphan.index() - first.index()) * dim..][..dim];
            let nearest = planned[orphan.index() - first.index()].forward[0][0].node();
            with_local(|scratch: &mut Scratch<C>| {
                let query = scratch.prepare(self.vectors.codec(), vector);
                self.edit(|edit| self.adopt(edit, orphan, nearest, &query, scratch));
                scratch.query = Some(query);
            });
        }
        let mut requests: Vec<Request> = planned
            .par_iter()
            .flat_map_iter(|Planned { node, forward }| {
                forward.iter().enumerate().flat_map(move |(level, list)| {
                    list.iter().map(move |neighbour| Request::new(*node, *neighbour, level as Level))
                })
            })
            .collect();
        self.grant(&mut requests, LinkKind::Ordinary);
    }

    /// Writes the row of a node and chooses its neighbours.
    fn plan(&self, node: NodeId, vector: &[f32]) -> Planned {
        with_local(|scratch| {
            // SAFETY: the caller reserved the node and grew the store; it is published in the next step, and inserted once.
            unsafe { self.vectors.write(node, vector) };
            let query = scratch.prepare(self.vectors.codec(), vector);
            let level = self.levels.of(node);
            let view = self.graph.read();
            let (ef, m, alpha) = (self.config.ef_construction, self.config.m, self.alpha());
            Searcher { view: &view, vectors: &self.vectors, query: &query, scratch }
                .plan(level, ef, m, alpha);
            scratch.query = Some(query);
            Planned { node, forward: scratch.forward[..=level as usize].to_vec() }
        })
    }

    /// Finds a parent for each node of a round that begins with `first`. Returns those whom all neighbours refuse, in order.
    fn anchor(&self, first: NodeId, planned: &[Planned]) -> Vec<NodeId> {
        let mut orphans = Vec::new();
        let mut seeking: Vec<NodeId> = planned.iter().map(|planned| planned.node).collect();
        let mut choice = 0;
        while !seeking.is_empty() {
            let mut requests = Vec::with_capacity(seeking.len());
            for node in seeking {
                match planned[node.index() - first.index()].forward[0].get(choice) {
                    Some(neighbour) => requests.push(Request::new(node, *neighbour, 0)),
                    None => orphans.push(node),
                }
            }
            seeking = self.grant(&mut requests, LinkKind::Anchor);
            choice += 1;
        }
        orphans.sort_unstable();
        orphans
    }

    /// Lets each list take what it is asked to take, in one rewrite. Returns the targets that were refused, in no order that
    /// means anything.
    fn grant(&self, requests: &mut [Request], kind: LinkKind) -> Vec<NodeId> {
        requests.par_sort_unstable();
        let lists: Vec<&[Request]> = requests.chunk_by(|a, b| a.list == b.list).collect();
        lists
            .par_chunks(GRAIN)
            .flat_map_iter(|lists| {
                with_local(|scratch: &mut Scratch<C>| {
                    let (mut targets, mut refused) = (Vec::new(), Vec::new());
                    self.edit(|edit| {
                        refused.clear();
                        for list in lists {
                            targets.clear();
                            targets.extend(list.iter().map(|request| request.target));
                            let granted = self.add_links(edit, list[0].at(), &targets, kind, scratch);
                            refused.extend(list[granted..].iter().map(|request| request.target.node()));
                        }
                    });
                    refused
                })
            })
            .collect()
    }

    /// Makes changes until they are committed.
    fn edit(&self, mut change: impl FnMut(&mut G::Write<'_>)) {
        let mut attempt = 0;
        loop {
            let mut edit = self.graph.write(attempt);
            change(&mut edit);
            if edit.commit().is_ok() {
                return;
            }
            attempt += 1;
        }
    }
}
