//! Beam search over any [`View`].

use super::pool::Candidate;
use super::scratch::Scratch;
use crate::graph::{At, Entry, Level, NodeId, NodeState, Stage, View};
use crate::vectors::{Codec, Vectors};
use core::cmp::Reverse;

/// One answer of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The node.
    pub node: NodeId,
    /// Its distance from the query, in the units of the index's metric.
    pub distance: f32,
}

/// One search in one session: the view it reads, the rows it compares, the query, the scratch it fills.
pub(super) struct Searcher<'a, V: View, C: Codec> {
    pub view: &'a V,
    pub vectors: &'a Vectors<C>,
    pub query: &'a C::Query,
    pub scratch: &'a mut Scratch<C>,
}

impl<V: View, C: Codec> Searcher<'_, V, C> {
    /// Leaves in the pool the `ef` nearest live nodes that the search finds from the entry point, nearest first.
    pub fn nearest(&mut self, ef: usize) {
        if self.begin(ef) { self.beam::<true>(0) } else { self.beam::<false>(0) }
    }

    /// Descends to level 0 and puts the node found there into the pool: what comes before a beam on that level. True if the
    /// beam must be filtered, because there may be tombstones.
    pub fn begin(&mut self, ef: usize) -> bool {
        self.scratch.pool.begin(ef);
        self.scratch.detours.clear();
        self.scratch.chosen = None;
        let filtered = self.view.may_have_tombstones();
        let Some(entry) = self.view.entry() else { return filtered };
        let mut at = self.start(entry);
        for level in (1..=entry.level).rev() {
            at = self.descend(at, level);
        }
        self.scratch.visited.begin(self.view.node_count());
        self.scratch.visited.insert(at.node());
        if self.view.state(at.node()) == NodeState::Live {
            self.scratch.pool.insert(at);
        } else {
            self.scratch.detours.push(Reverse(at));
        }
        filtered
    }

    /// Leaves the `k` nearest of the pool, which a search with `ef` has filled, in `scratch.answers`.
    pub fn answer(&mut self, k: usize, ef: usize) {
        if C::REFINES {
            let count = self.vectors.codec().shortlist(k, ef);
            if C::BOUNDED { self.refine_bounded(k, count) } else { self.refine(count) }
        }
        let Scratch { answers, pool, refined, .. } = &mut *self.scratch;
        let sorted = if C::REFINES { refined } else { pool.sorted() };
        answers.clear();
        answers.extend(sorted.iter().take(k).map(|candidate| Neighbor::from(*candidate)));
    }

    /// Leaves the first `count` candidates of the pool in `scratch.refined`, sorted by their refined distances.
    pub fn refine(&mut self, count: usize) {
        self.scratch.refined.clear();
        self.refine_more(count);
        self.scratch.refined.sort_unstable();
    }

    /// As [`Searcher::refine`], but stops at the first candidate that is farther than the `k` nearest of those refined, even if
    /// its estimate is too high by all that it is likely to be.
    fn refine_bounded(&mut self, k: usize, count: usize) {
        // So many are fetched and compared at once.
        const STEP: usize = 8;
        let (codec, query) = (self.vectors.codec(), self.query);
        let count = count.min(self.scratch.pool.sorted().len());
        self.refine(k.min(count));
        loop {
            let Scratch { pool, refined, .. } = &mut *self.scratch;
            let Some(kth) = refined.get(k - 1).map(|kth| kth.distance()) else { return };
            let next = pool.sorted()[refined.len()..count].iter().take(STEP);
            let near = next.take_while(|candidate| {
                // SAFETY: every node came from the view, as in `compare`.
                let at_least = unsafe {
                    codec.at_least(query, self.vectors.row(candidate.node()), candidate.distance())
                };
                at_least <= kth
            });
            let near = near.count();
            if near == 0 {
                return;
            }
            self.refine_more(near);
            self.scratch.refined.sort_unstable();
        }
    }

    /// Appends to `scratch.refined` the next `count` candidates of the pool behind those that are there.
    fn refine_more(&mut self, count: usize) {
        let Scratch { pool, refined, gather, evaluations, .. } = &mut *self.scratch;
        let rest = &pool.sorted()[refined.len()..];
        let next = &rest[..count.min(rest.len())];
        // The gather holds as many rows as a list has links.
        for chunk in next.chunks(gather.rows.len()) {
            for (i, candidate) in chunk.iter().enumerate() {
                gather.rows[i] = self.vectors.row(candidate.node());
                gather.rests[i] = self.vectors.rest(candidate.node());
            }
            let (rows, rests) = (&gather.rows[..chunk.len()], &gather.rests[..chunk.len()]);
            // SAFETY: every node came from the view, as in `compare`.
            unsafe { self.vectors.codec().refined(self.query, rows, rests, &mut gather.distances) };
            refined.extend(
                chunk.iter().zip(&gather.distances).map(|(c, distance)| Candidate::new(*distance, c.node())),
            );
        }
        *evaluations += next.len() as u64;
    }

    /// The entry point as a candidate.
    pub fn start(&mut self, entry: Entry) -> Candidate {
        self.scratch.gather.nodes[0] = entry.node;
        self.scratch.gather.count = 1;
        self.scratch.gather.locate(self.vectors);
        self.compare();
        Candidate::new(self.scratch.gather.distances[0], entry.node)
    }

    /// Follows the nearest neighbour on one level until none is nearer.
    pub fn descend(&mut self, mut at: Candidate, level: Level) -> Candidate {
        loop {
            let links = self.view.links(At::new(at.node(), level), &mut self.scratch.links);
            self.scratch.hops += 1;
            let gather = &mut self.scratch.gather;
            gather.count = links.len();
            for (to, link) in gather.nodes.iter_mut().zip(links) {
                *to = link.node();
            }
            gather.locate(self.vectors);
            self.compare();
            let gather = &self.scratch.gather;
            let best = gather.nodes[..gather.count]
                .iter()
                .zip(&gather.distances)
                .map(|(node, distance)| Candidate::new(*distance, *node))
                .min();
            match best {
                Some(best) if best.distance() < at.distance() => at = best,
                _ => return at,
            }
        }
    }

    /// Expands the candidates of the pool, nearest first, until none that is not expanded can improve it. With `FILTERED`,
    /// tombstones are expanded too, but not kept.
    ///
    /// Three hops are under way at any time: while the rows of one node's neighbours are compared, those of the next arrive,
    /// and so does the list of the one after it. So a node is chosen before the neighbours of the two before it are known,
    /// which costs a few comparisons more and saves most of the waiting for memory.
    pub fn beam<const FILTERED: bool>(&mut self, level: Level) {
        let mut going = self.gather(level);
        while going {
            going = self.hop::<FILTERED>(level);
        }
    }

    /// Gathers the next hop and scores the one that was gathered before. False if the search is over.
    #[inline(always)]
    pub fn hop<const FILTERED: bool>(&mut self, level: Level) -> bool {
        let Scratch { gather, ahead, .. } = &mut *self.scratch;
        core::mem::swap(gather, ahead);
        let going = self.gather(level);
        self.score::<FILTERED>(level);
        // Only what was just scored may lead on.
        going || self.gather(level)
    }

    /// The first half of a hop: takes the next node, and gathers those neighbours that were not met before, in
    /// `scratch.ahead`. False if there is none.
    #[inline(always)]
    pub fn gather(&mut self, level: Level) -> bool {
        let Some(node) = self.scratch.chosen.take().or_else(|| self.next_to_expand()) else { return false };
        self.scratch.chosen = self.next_to_expand();
        if let Some(chosen) = self.scratch.chosen {
            self.view.prefetch(At::new(chosen, level), Stage::Near);
        }
        let Scratch { links, visited, ahead, hops, .. } = &mut *self.scratch;
        let links = self.view.links(At::new(node, level), links);
        *hops += 1;
        ahead.count = visited.insert_all(links, &mut ahead.nodes);
        ahead.locate(self.vectors);
        true
    }

    /// The second half of a hop: compares what is in `scratch.gather`, and merges into the pool what is near enough.
    #[inline(always)]
    pub fn score<const FILTERED: bool>(&mut self, level: Level) {
        self.compare();
        let Scratch { pool, gather, run, detours, .. } = &mut *self.scratch;
        let bound = pool.bound();
        let mut admitted = 0;
        for (node, distance) in gather.nodes[..gather.count].iter().zip(&gather.distances) {
            // Written in any case and counted only if near enough: no branch on what cannot be predicted.
            let candidate = Candidate::new(*distance, *node);
            run[admitted] = candidate;
            admitted += usize::from(candidate < bound);
        }
        if FILTERED {
            let mut live = 0;
            for i in 0..admitted {
                let candidate = run[i];
                if self.view.state(candidate.node()) == NodeState::Live {
                    run[live] = candidate;
                    live += 1;
                } else {
                    self.view.prefetch(At::new(candidate.node(), level), Stage::Far);
                    detours.push(Reverse(candidate));
                }
            }
            admitted = live;
        }
        for candidate in &run[..admitted] {
            self.view.prefetch(At::new(candidate.node(), level), Stage::Far);
        }
        pool.merge(&mut run[..admitted]);
    }

    /// The nearest node that is not expanded, be it a candidate or a detour; none when no such node can improve the pool.
    #[inline(always)]
    fn next_to_expand(&mut self) -> Option<NodeId> {
        let scratch = &mut *self.scratch;
        let Some(&Reverse(detour)) = scratch.detours.peek() else {
            return scratch.pool.expand().map(Candidate::node);
        };
        match scratch.pool.next() {
            Some(next) if next < detour => scratch.pool.expand().map(Candidate::node),
            _ if detour < scratch.pool.bound() => {
                scratch.detours.pop();
                Some(detour.node())
            }
            _ => {
                scratch.detours.clear();
                scratch.pool.expand().map(Candidate::node)
            }
        }
    }

    /// Computes the distances of the gathered rows.
    #[inline(always)]
    fn compare(&mut self) {
        let Scratch { gather, evaluations, .. } = &mut *self.scratch;
        *evaluations += gather.count as u64;
        let rows = &gather.rows[..gather.count];
        // SAFETY: every node came from the view: from a list, or as entry point. So its row is written and constant
        // (`Vectors`, I2), and the query was prepared by this codec.
        unsafe { self.vectors.codec().distances(self.query, rows, &mut gather.distances) };
    }
}
