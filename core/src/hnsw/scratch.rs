//! What one thread needs for searches and inserts, allocated once and reused.

use super::pool::{Candidate, Pool};
use super::search::Neighbor;
use super::visited::Visited;
use crate::distance::prefetch;
use crate::graph::{LinkBuf, MAX_LEVEL, MAX_M, NodeId};
use crate::vectors::{Codec, Line, Vectors};
use core::any::Any;
use core::cell::RefCell;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// Cache lines that one hop fetches before it is scored: 16 KiB, a third of the smallest first-level cache in use today. See
/// decision 26 for what other numbers give.
const FETCHED_LINES: usize = 256;

/// Nodes whose distances are computed together.
pub(super) struct Gather {
    /// How many they are; the arrays are longer.
    pub count: usize,
    pub nodes: Vec<NodeId>,
    pub rows: Vec<*const Line>,
    pub rests: Vec<*const Line>,
    pub distances: Vec<f32>,
}

// SAFETY: the row pointers are written and read within one call, which holds the store; between calls they are dead
// values, so moving the scratch to another thread moves nothing they point to.
unsafe impl Send for Gather {}

impl Gather {
    fn new() -> Self {
        let room = LinkBuf::CAPACITY + 1;
        Gather {
            count: 0,
            nodes: vec![NodeId::new(0); room],
            rows: vec![core::ptr::null(); room],
            rests: vec![core::ptr::null(); room],
            distances: vec![0.0; room],
        }
    }

    /// Looks up the rows of the nodes, and fetches the first: as many as fit [`FETCHED_LINES`], and at least as many as the
    /// codec asks for. The codec fetches the rest while it compares.
    #[inline(always)]
    pub fn locate<C: Codec>(&mut self, vectors: &Vectors<C>) {
        let lines = vectors.codec().lines();
        let lookahead = vectors.codec().lookahead().max(FETCHED_LINES / lines);
        for (i, (row, node)) in self.rows[..self.count].iter_mut().zip(&self.nodes).enumerate() {
            *row = vectors.row(*node);
            if i < lookahead {
                (0..lines).for_each(|line| prefetch(row.wrapping_add(line).cast()));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<NodeId>()
            + (self.rows.capacity() + self.rests.capacity()) * size_of::<*const Line>()
            + self.distances.capacity() * size_of::<f32>()
    }
}

/// The scratch of one thread, for indexes with rows of codec `C`. One scratch serves any number of indexes in turn.
///
/// Searches and inserts without an explicit scratch use one per thread behind the scenes; holding one yourself saves the
/// look-up and lets you account for its memory.
pub struct Scratch<C: Codec> {
    pub(super) visited: Visited,
    pub(super) pool: Pool,
    /// Candidates to expand that may not be returned: tombstones.
    pub(super) detours: BinaryHeap<Reverse<Candidate>>,
    pub(super) links: LinkBuf,
    /// The hop that is being scored.
    pub(super) gather: Gather,
    /// The hop after it.
    pub(super) ahead: Gather,
    /// The node of the hop after that, whose list is on its way.
    pub(super) chosen: Option<NodeId>,
    /// Those of a hop that are near enough.
    pub(super) run: Vec<Candidate>,
    /// The prepared query, while no search has taken it.
    pub(super) query: Option<C::Query>,
    /// The candidates that were refined.
    pub(super) refined: Vec<Candidate>,
    pub(super) answers: Vec<Neighbor>,
    /// The lists of a new node, by level.
    pub(super) forward: Vec<Vec<Candidate>>,
    pub(super) selection: Selection,
    /// Distances computed with this scratch.
    pub(super) evaluations: u64,
    /// Lists read with this scratch.
    pub(super) hops: u64,
}

/// Work space of neighbour selection.
pub(super) struct Selection {
    pub candidates: Vec<Candidate>,
    /// Links that a list does not have yet.
    pub fresh: Vec<Candidate>,
    pub kept: Vec<Candidate>,
    pub kept_rows: Vec<*const Line>,
    pub distances: Vec<f32>,
}

// SAFETY: as for `Gather`.
unsafe impl Send for Selection {}

impl<C: Codec> Scratch<C> {
    /// Fresh scratch.
    pub fn new() -> Self {
        Scratch {
            visited: Visited::new(),
            pool: Pool::default(),
            detours: BinaryHeap::new(),
            links: LinkBuf::new(),
            gather: Gather::new(),
            ahead: Gather::new(),
            chosen: None,
            run: vec![Candidate::new(0.0, NodeId::new(0)); Pool::RUN + 1],
            query: None,
            refined: Vec::new(),
            answers: Vec::new(),
            forward: vec![Vec::new(); MAX_LEVEL as usize + 1],
            selection: Selection {
                candidates: Vec::with_capacity(LinkBuf::CAPACITY),
                fresh: Vec::new(),
                kept: Vec::with_capacity(2 * MAX_M),
                kept_rows: Vec::with_capacity(2 * MAX_M),
                distances: vec![0.0; LinkBuf::CAPACITY],
            },
            evaluations: 0,
            hops: 0,
        }
    }

    /// Takes the query out, made ready for `vector`. The caller puts it back for the next search.
    pub(super) fn prepare(&mut self, codec: &C, vector: &[f32]) -> C::Query {
        let mut query = self.query.take().unwrap_or_else(|| codec.query());
        codec.prepare(vector, &mut query);
        query
    }

    /// Distances computed with this scratch since it was made.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Adjacency lists read with this scratch since it was made.
    pub fn hops(&self) -> u64 {
        self.hops
    }

    /// Bytes allocated, the query excepted.
    pub fn bytes(&self) -> usize {
        let candidates = self.forward.iter().map(Vec::capacity).sum::<usize>()
            + self.selection.candidates.capacity()
            + self.selection.fresh.capacity()
            + self.selection.kept.capacity()
            + self.run.capacity()
            + self.refined.capacity()
            + self.detours.capacity();
        size_of::<Self>()
            + self.visited.bytes()
            + self.pool.bytes()
            + self.gather.bytes()
            + self.ahead.bytes()
            + LinkBuf::CAPACITY * size_of::<u32>()
            + candidates * size_of::<Candidate>()
            + self.selection.kept_rows.capacity() * size_of::<*const Line>()
            + self.selection.distances.capacity() * size_of::<f32>()
            + self.answers.capacity() * size_of::<Neighbor>()
    }
}

impl<C: Codec> Default for Scratch<C> {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    static LOCAL: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Runs `f` with the scratch of this thread. A call from within `f` gets scratch of its own.
pub(super) fn with_local<C: Codec, R>(f: impl FnOnce(&mut Scratch<C>) -> R) -> R {
    let kept = LOCAL.with(|local| local.borrow_mut().take());
    let mut scratch = match kept.map(|any| any.downcast::<Scratch<C>>()) {
        Some(Ok(scratch)) => scratch,
        // None yet, in use further up the stack, or that of another codec.
        _ => Box::new(Scratch::new()),
    };
    let result = f(&mut scratch);
    LOCAL.with(|local| *local.borrow_mut() = Some(scratch));
    result
}
