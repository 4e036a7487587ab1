//! Which neighbours a node keeps: the diversity heuristic of the HNSW paper (algorithm 4), and the merge of one more link
//! into a list.

use super::pool::Candidate;
use super::scratch::Selection;
use crate::graph::{Link, LinkBuf, NodeId, Verdict};
use crate::vectors::{Codec, Line, Vectors};

impl Selection {
    /// Adds to `kept`, until it holds `limit`, those of `candidates` (nearest first) that are nearer to the base than to
    /// any node kept before them, by less than a factor of `alpha`. `kept` may hold nodes already. Returns the number of
    /// distances computed.
    pub fn keep_diverse<C: Codec>(&mut self, vectors: &Vectors<C>, limit: usize, alpha: f32) -> u64 {
        self.kept_rows.clear();
        self.kept_rows.extend(self.kept.iter().map(|c| vectors.fine_row(c.node())));
        let mut evaluations = 0;
        for candidate in &self.candidates {
            if self.kept.len() >= limit {
                break;
            }
            let row = vectors.fine_row(candidate.node());
            let crowded = self.kept_rows.chunks(8).any(|rows| {
                evaluations += rows.len() as u64;
                // SAFETY: both rows belong to nodes that were met in the graph.
                unsafe { vectors.codec().distances_between(row, rows, &mut self.distances) };
                self.distances[..rows.len()].iter().any(|d| alpha * *d < candidate.distance())
            });
            if !crowded {
                self.kept.push(*candidate);
                self.kept_rows.push(row);
            }
        }
        evaluations
    }
}

/// Links that are to be added to the list of `owner`.
pub(super) struct Addition<'a> {
    pub owner: NodeId,
    /// The targets, with their distances from the owner; no node twice.
    pub targets: &'a [Candidate],
    pub kind: LinkKind,
    /// The most anchors in the list.
    pub anchor_limit: usize,
    /// The most links in the list.
    pub cap: usize,
    /// See [`Selection::keep_diverse`].
    pub alpha: f32,
}

/// How links are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// They may be pruned, now or later.
    Ordinary,
    /// They are there for ever.
    Anchor,
}

impl Addition<'_> {
    /// How many of the targets, from the first on, the list can take: all of them, but no more anchors than it may have.
    pub fn fitting(&self, links: &[Link]) -> usize {
        let room = match self.kind {
            LinkKind::Ordinary => usize::MAX,
            LinkKind::Anchor => {
                self.anchor_limit.saturating_sub(links.iter().filter(|link| link.is_anchor()).count())
            }
        };
        room.min(self.targets.len())
    }

    /// Merges the targets that are [fitting](Addition::fitting) into `links`: appends them if there is room for all, else
    /// keeps the anchors and a diverse choice of the rest. Nothing is ever cleared, so links that came in meanwhile stay.
    pub fn merge<C: Codec>(
        &self,
        links: &[Link],
        out: &mut LinkBuf,
        vectors: &Vectors<C>,
        selection: &mut Selection,
        evaluations: &mut u64,
    ) -> Verdict {
        out.copy_from(links);
        let mut changed = false;
        selection.fresh.clear();
        for target in &self.targets[..self.fitting(links)] {
            // The list may name the target already: two nodes in flight can be each other's neighbour and parent.
            match links.iter().position(|link| link.node() == target.node()) {
                Some(at) if self.kind == LinkKind::Anchor => {
                    changed |= !links[at].is_anchor();
                    out[at] = Link::anchor(target.node());
                }
                Some(_) => {}
                None => selection.fresh.push(*target),
            }
        }
        if links.len() + selection.fresh.len() <= self.cap {
            for target in &selection.fresh {
                out.push(self.link(target.node()));
            }
            changed |= !selection.fresh.is_empty();
        } else {
            *evaluations += self.prune(out, vectors, selection);
            // As many links as before and no new one: the list as it was, in another order.
            let gained = |link: &Link| selection.fresh.iter().any(|target| target.node() == link.node());
            changed |= out.len() != links.len() || out.iter().any(gained);
        }
        if changed { Verdict::Replace } else { Verdict::Keep }
    }

    fn link(&self, target: NodeId) -> Link {
        match self.kind {
            LinkKind::Ordinary => Link::to(target),
            LinkKind::Anchor => Link::anchor(target),
        }
    }

    /// Reduces `list` and the fresh targets to the anchors and, of the other links, those that the heuristic keeps. Returns
    /// the number of distances computed.
    fn prune<C: Codec>(&self, list: &mut LinkBuf, vectors: &Vectors<C>, selection: &mut Selection) -> u64 {
        let rows: &mut Vec<*const Line> = &mut selection.kept_rows;
        rows.clear();
        rows.extend(list.iter().map(|link| vectors.fine_row(link.node())));
        let owner = vectors.fine_row(self.owner);
        // SAFETY: the owner and the targets of its links were met in the graph.
        unsafe { vectors.codec().distances_between(owner, rows, &mut selection.distances) };
        let distances = selection.distances[..list.len()].iter().copied();
        let fresh = selection.fresh.iter().map(|target| (target.distance(), self.link(target.node())));
        selection.candidates.clear();
        selection.kept.clear();
        for (distance, link) in distances.zip(list.iter().copied()).chain(fresh) {
            let to = if link.is_anchor() { &mut selection.kept } else { &mut selection.candidates };
            to.push(Candidate::new(distance, link.node()));
        }
        selection.candidates.sort_unstable();
        let (anchors, compared) = (selection.kept.len(), list.len());
        let evaluations = selection.keep_diverse(vectors, self.cap, self.alpha);
        list.clear();
        for (i, kept) in selection.kept.iter().enumerate() {
            list.push(if i < anchors { Link::anchor(kept.node()) } else { Link::to(kept.node()) });
        }
        evaluations + compared as u64
    }
}
