//! Building an index from all of its vectors at once.
//!
//! Inserting searches the graph for the neighbours of each node, hop by hop through memory. When all vectors are there from
//! the beginning, near points can be brought together first and compared with each other in blocks:
//!
//! 1. *Code.* Vectors get short codes, for this build only ([`codes`]).
//! 2. *Group.* Each point joins several groups of near points ([`leaves`]).
//! 3. *Compare.* In each group all are compared with all, by code ([`tile`](crate::distance::tile)): the nearest become
//!    candidates.
//! 4. *Choose.* Each point compares its candidates with each other, by code where codes can tell, and keeps a diverse choice.
//! 5. *Turn round.* Each point collects the links that others have to it. If these and its own are too many it chooses again,
//!    by the codec's own distances.
//! 6. *Anchor.* Some links become anchors, such that all hang together ([`tree`]).
//! 7. *Install.* The lists go into the graph, that of the first node last. Parts that hung apart are joined by a search.
//! 8. *Raise.* The levels above 0, which have one node in M, are built by [rounds](super::rounds).
//!
//! The graph is a function of the vectors and the seed: each step gives the same result in whatever order threads do its parts.
//!
//! # Why no node is ever lost
//!
//! As in [`insert`](super::insert): every node that is visible has for ever a path of anchors to the first node of the graph,
//! and one back. Before step 7 is at its end no list of a visible node leads to a new one. Then the first new node, which was
//! inserted as any other, gets its list, and so its tree becomes visible as a whole: with an anchor from parent to child and
//! one back for each of its edges. Its links lead to no other tree. The others are joined in turn, each as one node would be
//! inserted: its root, which others cannot meet yet, gets an anchor to a node that is visible, and then one from a visible
//! node. So it does not matter if others insert meanwhile.

mod codes;
mod diverse;
mod leaves;
pub mod shared;
mod spare;
mod tree;

use super::insert::Unfinished;
use super::pool::Candidate;
use super::scratch::{Scratch, with_local};
use super::search::Searcher;
use super::select::LinkKind;
use super::{Index, IndexConfig, batch::Tally};
use crate::distance::Metric;
use crate::distance::tile::Tiles;
use crate::error::BatchError;
use crate::graph::{At, Edit, Graph, Link, NodeId, Verdict};
use crate::huge;
use crate::sync::AtomicU64;
use crate::vectors::{Codec, Vectors};
use codes::{Codes, Work};
use core::ops::ControlFlow;
use diverse::Diverse;
use leaves::{FAN, Slot, leaves, point};
use rayon::iter::repeat_n;
use rayon::prelude::*;
use shared::{Candidates, Counts, Incoming};
use spare::Spare;
use tree::{Forest, Lists};

/// Fewer rows are inserted one after another: there is nothing to gain.
const FEWEST: usize = 1_000;
/// Candidates that a point gets in each of its groups.
const NEAR: usize = 10;
/// The least `alpha` for lists of level 0: with less, lists are shorter than searches want them to be.
const ALPHA: f32 = 1.1;
/// Candidates that are considered, the nearest ones: those behind them are hardly ever chosen.
const CONSIDERED: usize = 48;
/// Links that a list is chosen from, in lists: those of a hub are many.
const MOST_LINKS: usize = 8;
/// Points, or lists, that one thread takes at a time.
const GRAIN: usize = 256;
/// Steps that report their progress, of equal weight.
const STEPS: usize = 4;

/// Whether this is the first slot of its point.
fn is_first(slot: Slot) -> bool {
    (slot as usize).is_multiple_of(FAN)
}

/// The points of a batch in an order in which near ones are near: `points[place]` is at `place`, and `places` is its inverse.
struct Order {
    points: Vec<u32>,
    places: Vec<u32>,
}

impl Order {
    /// The order in which groups name points first.
    fn of(groups: &[Vec<Slot>], count: usize) -> Order {
        let firsts = groups.iter().flatten().filter(|slot| is_first(**slot));
        let points: Vec<u32> = firsts.map(|slot| point(*slot)).collect();
        let mut places = vec![0; count];
        (0..).zip(&points).for_each(|(place, point)| places[*point as usize] = place);
        Order { points, places }
    }
}

/// Sorted lists of candidates, `cap` slots each.
struct Chosen {
    cap: usize,
    lens: Vec<u16>,
    slots: Vec<Candidate>,
}

impl Chosen {
    fn lists(&self) -> impl IndexedParallelIterator<Item = &[Candidate]> {
        self.slots.par_chunks(self.cap).zip(&self.lens).map(|(slots, len)| &slots[..*len as usize])
    }
}

/// Work space of a choice.
#[derive(Default)]
struct Chooser {
    diverse: Diverse,
    /// The points to choose from.
    others: Vec<u32>,
}

/// Told of the work done, in points; says whether to go on. (Behind a pointer, and the plan apart from the graph, so that the
/// plan is compiled once per codec.)
type Tick<'a> = &'a (dyn Fn(usize) -> ControlFlow<()> + Sync);

/// What the plan of a build needs of an index: everything but the graph.
struct Plan<'a, C: Codec> {
    config: &'a IndexConfig,
    vectors: &'a Vectors<C>,
    /// The node of point 0.
    first: NodeId,
    /// The most links, and the most anchors, of a list on level 0.
    cap: usize,
    anchor_limit: usize,
    alpha: f32,
}

impl<C: Codec> Plan<'_, C> {
    /// Steps 1 to 6.
    fn lists(&self, rows: &[f32], tick: Tick<'_>) -> ControlFlow<(), (Order, Lists, Forest)> {
        let IndexConfig { dim, metric, seed, .. } = *self.config;
        let count = rows.len() / dim;
        rows.par_chunks_exact(dim).with_min_len(GRAIN).enumerate().for_each(|(i, vector)| {
            // SAFETY: the caller reserved the nodes and grew the store; they are published later, and written here once.
            unsafe { self.vectors.write(NodeId::new(self.first.get() + i as u32), vector) };
        });
        let (order, mut lists) = {
            let codes = Codes::new(rows, dim, metric, Tiles::new());
            let spare = Work::spare(dim);
            let groups = leaves(&codes, seed, &spare, tick)?;
            let candidates = compare(&codes, &groups, &spare, tick)?;
            drop(spare);
            let order = Order::of(&groups, count);
            drop(groups);
            let chosen = self.choose(&codes, &order, &candidates, tick)?;
            drop(candidates);
            let lists = self.turn_round(&codes, &order, &chosen, tick)?;
            (order, lists)
        };
        let limit = self.anchor_limit;
        let forest = tree::grow(&mut lists, order.places[0], limit, (limit / 2).min(self.cap - limit));
        ControlFlow::Continue((order, lists, forest))
    }

    /// Step 4: for each point, in `order`, a diverse choice of its candidates.
    fn choose(
        &self,
        codes: &Codes<'_>,
        order: &Order,
        candidates: &Candidates,
        tick: Tick<'_>,
    ) -> ControlFlow<(), Chosen> {
        let (count, cap) = (order.points.len(), self.cap);
        let nothing = Candidate::new(0.0, self.first);
        let slots = huge::collect(repeat_n(nothing, count * cap));
        let mut chosen = Chosen { cap, lens: vec![0; count], slots };
        let chunks = chosen.slots.par_chunks_mut(GRAIN * cap).zip(chosen.lens.par_chunks_mut(GRAIN));
        chunks.zip(order.points.par_chunks(GRAIN)).try_for_each_init(
            Chooser::default,
            |chooser, ((slots, lens), owners)| {
                with_local(|scratch: &mut Scratch<C>| {
                    for ((slots, len), owner) in slots.chunks_mut(cap).zip(lens).zip(owners) {
                        let visited = &mut scratch.visited;
                        visited.begin(count);
                        visited.insert(NodeId::new(*owner));
                        chooser.others.clear();
                        for candidate in candidates.of(*owner as usize) {
                            if visited.insert(NodeId::new(candidate)) {
                                codes.fetch(candidate);
                                chooser.others.push(candidate);
                            }
                        }
                        *len = self.pick(codes, *owner, CONSIDERED, chooser, scratch, slots);
                    }
                });
                tick(owners.len())
            },
        )?;
        ControlFlow::Continue(chosen)
    }

    /// Writes a diverse choice of the `considered` nearest of the chooser's points to the front of `slots`, and returns how
    /// many those are. Goes by code, or by the codec's own distances, and among all, where codes cannot tell.
    fn pick(
        &self,
        codes: &Codes<'_>,
        owner: u32,
        considered: usize,
        chooser: &mut Chooser,
        scratch: &mut Scratch<C>,
        slots: &mut [Candidate],
    ) -> u16 {
        let Chooser { diverse, others } = chooser;
        let node = |point: u32| NodeId::new(self.first.get() + point);
        let Some(kept) = diverse.choose(codes, owner, others, considered, slots.len(), self.alpha) else {
            self.compare_with(node(owner), others.iter().map(|point| node(*point)), scratch);
            return self.keep(scratch, slots);
        };
        for (slot, near) in slots.iter_mut().zip(kept) {
            *slot = Candidate::new(codes.distance(near.square()), node(near.point()));
        }
        kept.len() as u16
    }

    /// Makes candidates of `nodes`, by their distances from `owner`.
    fn compare_with(&self, owner: NodeId, nodes: impl Iterator<Item = NodeId>, scratch: &mut Scratch<C>) {
        let Scratch { selection, gather, evaluations, .. } = scratch;
        selection.candidates.clear();
        selection.candidates.extend(nodes.map(|node| Candidate::new(0.0, node)));
        let from = self.vectors.fine_row(owner);
        for candidates in selection.candidates.chunks_mut(gather.rows.len()) {
            gather
                .rows
                .iter_mut()
                .zip(&*candidates)
                .for_each(|(row, c)| *row = self.vectors.fine_row(c.node()));
            let rows = &gather.rows[..candidates.len()];
            // SAFETY: all rows of the batch are written, by the step before the first.
            unsafe { self.vectors.codec().distances_between(from, rows, &mut gather.distances) };
            for (candidate, distance) in candidates.iter_mut().zip(&gather.distances) {
                *candidate = Candidate::new(*distance, candidate.node());
            }
        }
        *evaluations += selection.candidates.len() as u64;
    }

    /// Writes a diverse choice of the candidates to the front of `slots`, and returns how many those are.
    fn keep(&self, scratch: &mut Scratch<C>, slots: &mut [Candidate]) -> u16 {
        let selection = &mut scratch.selection;
        selection.candidates.sort_unstable();
        selection.kept.clear();
        scratch.evaluations += selection.keep_diverse(self.vectors, slots.len(), self.alpha);
        slots[..selection.kept.len()].copy_from_slice(&selection.kept);
        selection.kept.len() as u16
    }

    /// Step 5: the lists as they will be, in `order`; their targets are places.
    fn turn_round(
        &self,
        codes: &Codes<'_>,
        order: &Order,
        chosen: &Chosen,
        tick: Tick<'_>,
    ) -> ControlFlow<(), Lists> {
        let (count, cap) = (order.points.len(), self.cap);
        let point = |node: NodeId| node.get() - self.first.get();
        let incoming = incoming(self.first, order, chosen);
        let slots = huge::collect(repeat_n(Link::NIL, count * cap));
        let mut lists = Lists { cap, lens: vec![0; count], slots };
        let chunks = lists.slots.par_chunks_mut(GRAIN * cap).zip(lists.lens.par_chunks_mut(GRAIN));
        let work = || (Chooser::default(), Vec::new(), vec![Candidate::new(0.0, self.first); cap]);
        chunks.enumerate().try_for_each_init(work, |(chooser, all, kept), (chunk, (slots, lens))| {
            with_local(|scratch: &mut Scratch<C>| {
                for (i, (slots, len)) in slots.chunks_mut(cap).zip(lens.iter_mut()).enumerate() {
                    let at = chunk * GRAIN + i;
                    let visited = &mut scratch.visited;
                    visited.begin(self.first.index() + count);
                    let own = &chosen.slots[at * cap..][..chosen.lens[at] as usize];
                    all.clear();
                    all.extend(own.iter().copied().chain(incoming.to(at)));
                    all.retain(|candidate| visited.insert(candidate.node()));
                    all.sort_unstable();
                    if all.len() <= cap {
                        // A list that fits is left as it is: fewer hops, and nothing to compare.
                        kept[..all.len()].copy_from_slice(all);
                        *len = all.len() as u16;
                    } else {
                        all.truncate(MOST_LINKS * cap);
                        chooser.others.clear();
                        chooser.others.extend(all.iter().map(|candidate| point(candidate.node())));
                        *len = self.pick(codes, order.points[at], all.len(), chooser, scratch, kept);
                    }
                    for (slot, kept) in slots.iter_mut().zip(&kept[..*len as usize]) {
                        *slot = Link::to(NodeId::new(order.places[point(kept.node()) as usize]));
                    }
                }
            });
            tick(lens.len())
        })?;
        ControlFlow::Continue(lists)
    }
}

impl<G: Graph, C: Codec> Index<G, C> {
    /// Inserts the rows of a row-major `n x dim` array, as [`Index::insert_batch`] does, and faster if the index is
    /// empty: then the graph is built as a whole, from groups of near rows. Row `i` becomes node `first + i`, where `first` is
    /// returned. The graph depends on the rows and the seed only, whatever the strategy and the number of threads.
    ///
    /// Nothing of it is visible before the end. Memory that is needed meanwhile, beyond the index itself: about
    /// `dim + 480 + 16 m` bytes per row, or at most `dim + 30 + 40 m` if that is more. An index that is not empty, few rows,
    /// and rows under [`Metric::InnerProduct`] go through [`Index::insert_batch`].
    ///
    /// `progress` is called with the amount of work done so far, in rows, from any thread and in no particular order; when it
    /// breaks early enough nothing is inserted. If it panics, or the codec does, nothing is inserted, and the ids stay unused.
    ///
    /// # Errors
    /// When the rows do not fit, are not whole, or one of them is not usable: then nothing was inserted. When `progress`
    /// broke: then nothing was inserted and the ids stay unused (or, of an index that was not empty, as
    /// [`Index::insert_batch`] says).
    pub fn build(
        &self,
        rows: &[f32],
        progress: impl Fn(usize) -> ControlFlow<()> + Sync,
    ) -> Result<NodeId, BatchError> {
        let count = rows.len() / self.config.dim;
        let suited = count >= FEWEST && count <= u32::MAX as usize / (FAN * NEAR);
        if !suited || self.config.metric == Metric::InnerProduct || self.node_count() > 0 {
            return self.insert_batch(rows, progress);
        }
        let first = self.reserve_rows(rows)?;
        let done = Tally::new();
        let tick = |points: usize| {
            done.add_many(points, &|done| progress(done / STEPS));
            if done.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let plan = Plan {
            config: &self.config,
            vectors: &self.vectors,
            first,
            cap: self.graph_config().cap(0),
            anchor_limit: self.anchor_limit(),
            alpha: self.alpha().max(ALPHA),
        };
        match plan.lists(rows, &tick) {
            ControlFlow::Break(()) => Err(BatchError::Stopped { done: 0 }),
            ControlFlow::Continue((order, lists, forest)) => {
                let unfinished = Unfinished::named(self, first, count);
                self.install(first, rows, &order, &lists, &forest);
                unfinished.finish();
                Ok(first)
            }
        }
    }

    /// Steps 7 and 8.
    fn install(&self, first: NodeId, rows: &[f32], order: &Order, lists: &Lists, forest: &Forest) {
        let (dim, cap) = (self.config.dim, self.graph_config().cap(0));
        let node = |place: u32| NodeId::new(first.get() + order.points[place as usize]);
        let vector = |node: NodeId| &rows[(node.index() - first.index()) * dim..][..dim];
        let real = |link: &Link| match link.is_anchor() {
            true => Link::anchor(node(link.node().get())),
            false => Link::to(node(link.node().get())),
        };
        with_local(|scratch| self.insert_written(first, vector(first), scratch, &mut ()));
        let root = forest.roots[0];
        let places: Vec<u32> = (0..order.points.len() as u32).collect();
        places.par_chunks(GRAIN).for_each(|places| {
            self.edit(|edit| {
                for place in places.iter().filter(|place| **place != root) {
                    edit.rewrite(At::base(node(*place)), |_, out| {
                        out.clear();
                        lists.of(*place).iter().for_each(|link| out.push(real(link)));
                        Verdict::Replace
                    });
                    edit.publish(node(*place));
                }
            });
        });
        self.edit(|edit| {
            edit.rewrite(At::base(first), |links, out| {
                // Others may have linked to the first node since it was inserted. Its anchors and theirs fit.
                out.clear();
                let own: Vec<Link> = lists.of(root).iter().map(real).collect();
                let (anchors, ordinary): (Vec<Link>, Vec<Link>) =
                    own.iter().chain(links).partition(|link| link.is_anchor());
                for link in anchors.into_iter().chain(ordinary) {
                    if out.len() < cap && out.iter().all(|there| there.node() != link.node()) {
                        out.push(link);
                    }
                }
                Verdict::Replace
            });
        });
        for (tree, root) in forest.roots.iter().enumerate().skip(1) {
            let visible = |met: NodeId| match met.index().checked_sub(first.index()) {
                Some(point) if point < order.places.len() => {
                    forest.trees[order.places[point] as usize] < tree as u32
                }
                _ => true,
            };
            with_local(|scratch| self.join(first, node(*root), vector(node(*root)), visible, scratch));
        }
        let upper: Vec<NodeId> = (1..order.points.len() as u32)
            .map(|point| NodeId::new(first.get() + point))
            .filter(|node| self.levels.of(*node) > 0)
            .collect();
        self.raise(&upper, vector);
    }

    /// Joins a tree with those before it: its root gets an anchor to the nearest node that is `visible`, and is anchored by it
    /// or another such node.
    fn join(
        &self,
        first: NodeId,
        root: NodeId,
        vector: &[f32],
        visible: impl Fn(NodeId) -> bool,
        scratch: &mut Scratch<C>,
    ) {
        let query = scratch.prepare(self.vectors.codec(), vector);
        let found: Vec<Candidate> = {
            let view = self.graph.read();
            let (ef, m, alpha) = (self.config.ef_construction, self.config.m, self.alpha());
            let mut searcher = Searcher { view: &view, vectors: &self.vectors, query: &query, scratch };
            searcher.plan(0..=0, ef, m, alpha, &mut ());
            scratch.forward[0].iter().copied().filter(|met| visible(met.node())).collect()
        };
        let nearest =
            found.first().copied().unwrap_or_else(|| Candidate::new(self.distance(&query, first), first));
        let request = |neighbour: &Candidate| [Candidate::new(neighbour.distance(), root)];
        self.edit(|edit| {
            self.add_links(edit, At::base(root), &[nearest], LinkKind::Anchor, scratch, &mut ());
            let parent = found.iter().find(|neighbour| {
                let at = At::base(neighbour.node());
                self.add_links(edit, at, &request(neighbour), LinkKind::Anchor, scratch, &mut ()) == 1
            });
            if parent.is_none() {
                self.adopt(edit, root, nearest.node(), &query, scratch, &mut ());
            }
        });
        scratch.query = Some(query);
    }
}

/// Step 3: the candidates of each point, [`NEAR`] for each of its slots.
fn compare(
    codes: &Codes<'_>,
    groups: &[Vec<Slot>],
    spare: &Spare<Work>,
    tick: Tick<'_>,
) -> ControlFlow<(), Candidates> {
    let size = codes.len() * FAN * NEAR;
    let words = huge::collect((0..size).into_par_iter().map(|_| Candidates::none()));
    let candidates = Candidates::new(NEAR, FAN, words);
    groups.par_iter().with_max_len(1).try_for_each(|group| {
        let points: Vec<u32> = group.iter().map(|slot| point(*slot)).collect();
        let nearest = |codes: &Codes<'_>, number: &(dyn Fn(usize) -> u32 + Sync), work: &mut Work| {
            let Work { tile, panels, rows, .. } = work;
            codes.columns((0..points.len()).map(number), panels);
            codes.rows((0..points.len()).map(number), rows);
            codes.tiles().nearest(rows, panels, NEAR, Some(0), tile, |row, found| {
                let found = found.iter().map(|column| points[*column as usize]);
                candidates.put(group[row] as usize, found);
            });
        };
        spare.with(|work| codes.for_group(&points, work, nearest));
        // Once for each point, in whatever group its first slot is.
        tick(group.iter().filter(|slot| is_first(**slot)).count())
    })?;
    ControlFlow::Continue(candidates)
}

/// The links that others have to each point.
fn incoming(first: NodeId, order: &Order, chosen: &Chosen) -> Incoming {
    let place = |node: NodeId| order.places[node.index() - first.index()] as usize;
    let counts = Counts::new(order.points.len());
    chosen
        .lists()
        .with_min_len(GRAIN)
        .for_each(|list| list.iter().for_each(|link| counts.count(place(link.node()))));
    let room = |links: usize| huge::collect((0..links).into_par_iter().map(|_| AtomicU64::new(0)));
    let placing = counts.placed(room);
    chosen.lists().zip(&order.points).with_min_len(GRAIN).for_each(|(list, point)| {
        let source = NodeId::new(first.get() + point);
        for link in list {
            placing.add(place(link.node()), Candidate::new(link.distance(), source));
        }
    });
    placing.end()
}
