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

/// A link that is to be added to the list of `owner`.
pub(super) struct Addition {
    pub owner: NodeId,
    /// The target, with its distance from the owner.
    pub target: Candidate,
    pub kind: LinkKind,
    /// The most anchors in the list.
    pub anchor_limit: usize,
    /// The most links in the list.
    pub cap: usize,
    /// See [`Selection::keep_diverse`].
    pub alpha: f32,
}

/// How a link is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// It may be pruned, now or later.
    Ordinary,
    /// It is there for ever.
    Anchor,
}

impl Addition {
    /// True unless this is an anchor and the list has as many of them as it may have.
    pub fn fits(&self, links: &[Link]) -> bool {
        self.kind == LinkKind::Ordinary
            || links.iter().filter(|link| link.is_anchor()).count() < self.anchor_limit
    }

    /// Merges the addition, which [fits](Addition::fits), into `links`: appends it while there is room, else keeps the
    /// anchors and a diverse choice of the rest. Nothing is ever cleared, so links that came in meanwhile stay.
    pub fn merge<C: Codec>(
        &self,
        links: &[Link],
        out: &mut LinkBuf,
        vectors: &Vectors<C>,
        selection: &mut Selection,
        evaluations: &mut u64,
    ) -> Verdict {
        let added = match self.kind {
            LinkKind::Ordinary => Link::to(self.target.node()),
            LinkKind::Anchor => Link::anchor(self.target.node()),
        };
        // The list may name the target already: two nodes in flight can be each other's neighbour and parent.
        match links.iter().position(|link| link.node() == self.target.node()) {
            Some(at) if links[at].is_anchor() || links[at] == added => return Verdict::Keep,
            Some(at) => {
                out.copy_from(links);
                out[at] = added;
            }
            None if links.len() < self.cap => {
                out.copy_from(links);
                out.push(added);
            }
            None => {
                *evaluations += self.prune(links, added, out, vectors, selection);
                // As many links as before and not the new one: the list as it was, in another order.
                let gained = out.iter().any(|link| link.node() == self.target.node());
                if !gained && out.len() == links.len() {
                    return Verdict::Keep;
                }
            }
        }
        Verdict::Replace
    }

    /// The anchors, and of the other links those that the heuristic keeps.
    fn prune<C: Codec>(
        &self,
        links: &[Link],
        added: Link,
        out: &mut LinkBuf,
        vectors: &Vectors<C>,
        selection: &mut Selection,
    ) -> u64 {
        let rows: &mut Vec<*const Line> = &mut selection.kept_rows;
        rows.clear();
        rows.extend(links.iter().map(|link| vectors.fine_row(link.node())));
        let owner = vectors.fine_row(self.owner);
        // SAFETY: the owner and the targets of its links were met in the graph.
        unsafe { vectors.codec().distances_between(owner, rows, &mut selection.distances) };
        let distances = selection.distances[..links.len()].iter().copied();
        let all = distances.zip(links.iter().copied()).chain([(self.target.distance(), added)]);
        selection.candidates.clear();
        selection.kept.clear();
        for (distance, link) in all {
            let list = if link.is_anchor() { &mut selection.kept } else { &mut selection.candidates };
            list.push(Candidate::new(distance, link.node()));
        }
        selection.candidates.sort_unstable();
        let anchors = selection.kept.len();
        let evaluations = selection.keep_diverse(vectors, self.cap, self.alpha);
        out.clear();
        for (i, kept) in selection.kept.iter().enumerate() {
            out.push(if i < anchors { Link::anchor(kept.node()) } else { Link::to(kept.node()) });
        }
        evaluations + links.len() as u64
    }
}
