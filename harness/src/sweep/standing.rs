//! Indexes that stand as they were built, and what stays true of them.

use super::Workload;
use super::plan::Session;
use hnsw_core::graph::check::Health;
use hnsw_erased::Bed;
use std::collections::HashMap;
use std::rc::Rc;

/// An index that only searches use from now on.
pub struct Standing {
    pub index: Box<dyn Bed>,
    pub health: Health,
}

/// What a search finds, and what it does for that: the same in every block, as long as the index is.
#[derive(Clone, Copy)]
pub struct Known {
    /// Mean recall@k over all queries.
    pub recall: f64,
    /// Distances and hops of a search.
    pub work: Option<[f64; 2]>,
}

/// Strategy, codec, threads, and the workload that built it.
type Which = (&'static str, &'static str, usize, Workload);

/// The indexes that a sweep keeps from block to block: none, unless it was asked to.
#[derive(Default)]
pub struct Kept {
    standing: HashMap<Which, Rc<Standing>>,
    known: HashMap<(Which, Workload, usize), Known>,
}

impl Kept {
    fn which(session: &Session, build: Workload) -> Which {
        (session.strategy.name(), session.codec, session.threads, build)
    }

    /// The index that `build` made for this session in an earlier block.
    pub fn get(&self, session: &Session, build: Workload) -> Option<Rc<Standing>> {
        self.standing.get(&Self::which(session, build)).cloned()
    }

    /// Keeps an index.
    pub fn put(&mut self, session: &Session, build: Workload, standing: &Rc<Standing>) {
        self.standing.insert(Self::which(session, build), Rc::clone(standing));
    }

    /// What is known of searches of a kept index, or what `learn` finds out.
    pub fn known(
        &mut self,
        session: &Session,
        build: Workload,
        (search, ef): (Workload, usize),
        learn: impl FnOnce() -> Known,
    ) -> Known {
        let which = Self::which(session, build);
        match self.standing.contains_key(&which) {
            true => *self.known.entry((which, search, ef)).or_insert_with(learn),
            false => learn(),
        }
    }
}
