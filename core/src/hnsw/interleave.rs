//! Many searches on one thread, several of them in flight.
//!
//! A hop of a search waits for memory twice: for a list, and for the rows that the list leads to. Both are asked for some
//! time before they are needed, but a search alone has not enough to do meanwhile. Here each of [`LANES`] searches
//! takes a hop in turn, so that what one has asked for arrives while the others compute. That serves throughput only: each
//! single search takes longer.

use super::scratch::Scratch;
use super::search::{Neighbor, Searcher};
use crate::graph::View;
use crate::vectors::{Codec, Vectors};

/// Searches in flight on one thread. See decision 26 for what other numbers give.
pub(super) const LANES: usize = 2;

/// One search in flight.
struct Lane<'s, C: Codec> {
    scratch: &'s mut Scratch<C>,
    query: C::Query,
    /// The number of the query; none when there are no more.
    number: Option<usize>,
    filtered: bool,
    /// A hop is gathered.
    going: bool,
}

impl<C: Codec> Lane<'_, C> {
    fn searcher<'a, V: View>(&'a mut self, view: &'a V, vectors: &'a Vectors<C>) -> Searcher<'a, V, C> {
        Searcher { view, vectors, query: &self.query, scratch: self.scratch }
    }

    /// Begins with a query, if there is one.
    fn begin<V: View>(&mut self, view: &V, vectors: &Vectors<C>, query: Option<(usize, &[f32])>, ef: usize) {
        self.number = query.map(|(number, _)| number);
        if let Some((_, query)) = query {
            vectors.codec().prepare(query, &mut self.query);
            let mut searcher = self.searcher(view, vectors);
            let filtered = searcher.begin(ef);
            self.going = searcher.gather(0);
            self.filtered = filtered;
        }
    }

    /// Goes on by one hop. False if the search is over.
    #[inline(always)]
    fn hop<V: View>(&mut self, view: &V, vectors: &Vectors<C>) -> bool {
        if self.going {
            let filtered = self.filtered;
            let mut searcher = self.searcher(view, vectors);
            self.going = if filtered { searcher.hop::<true>(0) } else { searcher.hop::<false>(0) };
        }
        self.going
    }
}

/// Searches for the `k` nearest nodes of each of `queries`, which are checked, and calls `found` with the number of a query
/// and its answers, nearest first; in the order in which the searches end.
pub(super) fn search_each<'q, V: View, C: Codec>(
    view: &V,
    vectors: &Vectors<C>,
    queries: impl Iterator<Item = &'q [f32]>,
    (k, ef): (usize, usize),
    scratch: &mut Scratch<C>,
    mut found: impl FnMut(usize, &[Neighbor]),
) {
    let mut queries = queries.enumerate();
    scratch.lanes.resize_with(LANES, Scratch::new);
    let mut lanes: Vec<Lane<'_, C>> = Vec::with_capacity(LANES);
    for scratch in &mut scratch.lanes {
        let query = scratch.query.take().unwrap_or_else(|| vectors.codec().query());
        let mut lane = Lane { scratch, query, number: None, filtered: false, going: false };
        lane.begin(view, vectors, queries.next(), ef);
        lanes.push(lane);
    }
    while lanes.iter().any(|lane| lane.number.is_some()) {
        for lane in &mut lanes {
            let Some(number) = lane.number else { continue };
            if !lane.hop(view, vectors) {
                lane.searcher(view, vectors).answer(k, ef);
                found(number, &lane.scratch.answers);
                lane.begin(view, vectors, queries.next(), ef);
            }
        }
    }
    for lane in lanes {
        lane.scratch.query = Some(lane.query);
    }
}
