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
//! round, or nodes that have their anchors already; so they were visible earlier. A round that panics is taken back, all of
//! its nodes, as an insert is.
//!
//! # What others see meanwhile
//!
//! Searches run at any time. One that overlaps a round may find some of its nodes and miss others. Inserts and removals by
//! others are as correct as ever, but where they fall among the steps decides what the graph will be.

use super::Index;
use super::insert::{Unfinished, write_forward};
use super::pool::Candidate;
use super::scratch::{Scratch, with_local};
use super::search::Searcher;
use super::select::LinkKind;
use crate::graph::{At, Edit, Entry, Graph, Level, NodeId, View};
use crate::planted;
use crate::sync::parallel::*;
use crate::sync::{Cost, charge};
use crate::vectors::Codec;

/// Nodes below this are inserted one after another: nodes of one round do not see each other.
const SERIAL_START: usize = 256;
/// A round is at most one part in this many of what is in the graph.
const SHARE: usize = 32;
/// No round is larger, which bounds the memory of a round and how long a stop is waited for.
const MAX_ROUND: usize = 8192;
/// Nodes or lists that one thread takes at a time, at most: few enough to balance the end of a step.
const GRAIN: usize = 32;
/// The most candidates kept while a node that is on level 0 already is linked on the levels above: these lead searches to
/// the right part of level 0, and fewer candidates do for that.
const RAISE_EF: usize = 32;

/// A node of a round, with the neighbours that it chose, by level from the lowest of the round on.
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
    /// Which node of the round asks.
    place: u32,
}

impl Request {
    /// Asks `neighbour`, whose distance from `node` is known, for a link to `node`.
    fn new(place: usize, node: NodeId, neighbour: Candidate, level: Level) -> Self {
        Request {
            list: u64::from(level) << 32 | u64::from(neighbour.node().get()),
            target: Candidate::new(neighbour.distance(), node),
            place: place as u32,
        }
    }

    fn at(&self) -> At {
        At::new(NodeId::new(self.list as u32), (self.list >> 32) as Level)
    }
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts checked rows as nodes that the caller reserved, the first of them `first`. Calls `finished` after each round
    /// with the number of its rows, and stops if it says false.
    pub(super) fn insert_rounds(&self, first: NodeId, rows: &[f32], finished: impl Fn(usize) -> bool) {
        let dim = self.config.dim;
        let vector = |node: NodeId| &rows[(node.index() - first.index()) * dim..][..dim];
        let nodes: Vec<NodeId> =
            (first.get()..first.get() + (rows.len() / dim) as u32).map(NodeId::new).collect();
        let mut rest = &nodes[..];
        while let Some(next) = rest.first() {
            let (round, later) = rest.split_at(self.round_size(next.index(), rest));
            match round {
                [node] => with_local(|scratch| self.insert_reserved(*node, vector(*node), scratch, &mut ())),
                _ => {
                    let unfinished = Unfinished::new(self, *next, round.len());
                    self.round(round, vector, 0);
                    unfinished.finish();
                }
            }
            rest = later;
            if !finished(round.len()) {
                return;
            }
        }
    }

    /// Links nodes that are on level 0 already on the levels above, in rounds.
    pub(super) fn raise<'v>(&self, nodes: &[NodeId], vector: impl Fn(NodeId) -> &'v [f32] + Sync) {
        let mut rest = nodes;
        while !rest.is_empty() {
            let (round, later) = rest.split_at(self.round_size(nodes.len() - rest.len(), rest));
            self.round(round, &vector, 1);
            rest = later;
        }
    }

    /// How many of `next` make a round if there are as many nodes as `present`. A node that is on a higher level than all of
    /// the graph is a round of its own: it will be the entry point, and nodes beside it could not be linked on its top level.
    fn round_size(&self, present: usize, next: &[NodeId]) -> usize {
        let most = match present {
            few if few < SERIAL_START => 1,
            many if planted!("rounds-by-threads") => (many / SHARE).min(16 * rayon::current_num_threads()),
            many => (many / SHARE).min(MAX_ROUND),
        };
        let top = self.graph.read().entry().map(|entry| entry.level);
        let below_top = |node: &&NodeId| Some(self.levels.of(**node)) <= top;
        next.iter().take(most).take_while(below_top).count().max(1)
    }

    /// Inserts nodes that are not above the entry point, or a single one that is. With `lowest` = 1 they are in the graph
    /// already, on level 0.
    fn round<'v>(&self, nodes: &[NodeId], vector: impl Fn(NodeId) -> &'v [f32] + Sync, lowest: Level) {
        let planned: Vec<Planned> = nodes
            .par_iter()
            .with_max_len(GRAIN)
            .map(|node| self.plan(*node, vector(*node), lowest))
            .collect();
        planned.par_chunks(GRAIN).for_each(|planned| {
            self.edit(|edit| {
                for Planned { node, forward } in planned {
                    write_forward(edit, *node, forward, lowest);
                    if lowest == 0 {
                        edit.publish(*node);
                    }
                }
            });
        });
        if lowest == 0 {
            for orphan in self.anchor(&planned) {
                with_local(|scratch: &mut Scratch<C>| {
                    let query = scratch.prepare(self.vectors.codec(), vector(planned[orphan].node));
                    let Planned { node, forward } = &planned[orphan];
                    self.edit(|edit| self.adopt(edit, *node, forward[0][0].node(), &query, scratch, &mut ()));
                    scratch.query = Some(query);
                });
            }
        }
        let mut requests: Vec<Request> = planned
            .par_iter()
            .enumerate()
            .flat_map_iter(|(i, Planned { forward, .. })| {
                (lowest..).zip(forward).flat_map(move |(level, list)| {
                    list.iter().map(move |neighbour| Request::new(i, nodes[i], *neighbour, level))
                })
            })
            .collect();
        self.grant(&mut requests, LinkKind::Ordinary);
        if let [node] = nodes {
            let level = self.levels.of(*node);
            self.edit(|edit| {
                edit.raise_entry(Entry { node: *node, level });
            });
        }
    }

    /// Chooses the neighbours of a node on the levels from `lowest` on, and writes its row if that is 0.
    fn plan(&self, node: NodeId, vector: &[f32], lowest: Level) -> Planned {
        with_local(|scratch| {
            if lowest == 0 {
                // SAFETY: the caller reserved the node and grew the store; it is published in the next step, and inserted
                // once.
                unsafe { self.vectors.write(node, vector) };
            }
            let query = scratch.prepare(self.vectors.codec(), vector);
            let view = self.graph.read();
            let mut searcher = Searcher { view: &view, vectors: &self.vectors, query: &query, scratch };
            let levels = lowest..=self.levels.of(node);
            let ef = if lowest == 0 { usize::MAX } else { RAISE_EF }.min(self.config.ef_construction);
            let entry = searcher.plan(levels.clone(), ef, self.config.m, self.alpha(), &mut ());
            scratch.query = Some(query);
            let top = entry.map_or(0, |entry| entry.level.min(*levels.end()));
            let forward = (lowest..=top).map(|level| scratch.forward[level as usize].clone()).collect();
            Planned { node, forward }
        })
    }

    /// Finds a parent for each node of a round. Returns those whom all neighbours refuse, in order.
    fn anchor(&self, planned: &[Planned]) -> Vec<usize> {
        let mut orphans = Vec::new();
        let mut seeking: Vec<usize> = (0..planned.len()).collect();
        let mut choice = 0;
        while !seeking.is_empty() {
            let mut requests = Vec::with_capacity(seeking.len());
            for i in seeking {
                let Planned { node, forward } = &planned[i];
                match forward[0].get(choice) {
                    Some(neighbour) => requests.push(Request::new(i, *node, *neighbour, 0)),
                    None => orphans.push(i),
                }
            }
            seeking = self.grant(&mut requests, LinkKind::Anchor);
            choice += 1;
        }
        orphans.sort_unstable();
        orphans
    }

    /// Lets each list take what it is asked to take, in one rewrite. Returns the places in the round of the nodes that were
    /// refused, in no order that means anything.
    fn grant(&self, requests: &mut [Request], kind: LinkKind) -> Vec<usize> {
        requests.par_sort_unstable();
        let lists: Vec<&[Request]> = requests.chunk_by(|a, b| a.list == b.list).collect();
        lists
            .par_chunks(GRAIN)
            .flat_map_iter(|lists| {
                with_local(|scratch: &mut Scratch<C>| {
                    let (mut targets, mut refused) = (Vec::new(), Vec::new());
                    let mut before = scratch.evaluations;
                    self.edit(|edit| {
                        // Those of an attempt that was not committed.
                        let wasted =
                            scratch.evaluations - core::mem::replace(&mut before, scratch.evaluations);
                        charge(Cost::WastedDistances, wasted as usize);
                        refused.clear();
                        for list in lists {
                            targets.clear();
                            targets.extend(list.iter().map(|request| request.target));
                            let granted =
                                self.add_links(edit, list[0].at(), &targets, kind, scratch, &mut ());
                            refused.extend(list[granted..].iter().map(|request| request.place as usize));
                        }
                    });
                    refused
                })
            })
            .collect()
    }

    /// Makes changes until they are committed.
    pub(super) fn edit(&self, mut change: impl FnMut(&mut G::Write<'_>)) {
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
