//! One strategy at one thread count goes through the steps, one after another.
//!
//! The rows of a step are shared out one by one to all workers. Which node belongs to which tag is known to the workers from
//! before the step; what they do to it they write down, and it is taken over when all have ended.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hnsw_core::graph::NodeId;
use hnsw_core::hnsw::Scratch;
use hnsw_core::sync::CachePadded;
use hnsw_core::vectors::F32;

use super::steps::{Kind, Runbook, Step};
use super::tags::{Point, Tags};
use crate::churn::trial::Store;
use crate::data::Dataset;
use crate::sweep::log::Tally;
use crate::sweep::workers::{self, Turn};

/// What a replay does.
pub(super) struct Shape<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) runbook: &'a Runbook,
    /// Where workers run.
    pub(super) cpus: Vec<Option<usize>>,
    pub(super) k: usize,
    pub(super) ef: usize,
    /// One more thread searches while points are changed.
    pub(super) overlap: bool,
    pub(super) seed: u64,
}

/// One answer of a search step.
pub(super) struct Answer {
    pub(super) query: u32,
    /// The points of the returned nodes, nearest first, each once.
    pub(super) points: Vec<Point>,
    /// Returned nodes that no live tag has.
    pub(super) ghosts: u64,
}

/// What a step did.
pub(super) struct Done {
    pub(super) seconds: f64,
    pub(super) operations: Tally,
    /// Of a search step.
    pub(super) answers: Vec<Answer>,
    /// Searches beside the step.
    pub(super) beside: Tally,
    /// Different nodes that these returned although no tag had them before the step and none got them in it.
    pub(super) beside_ghosts: u64,
    /// Points that are live after it.
    pub(super) live: usize,
    /// Replaced and not yet freed, and kept for snapshots, after it.
    pub(super) garbage: usize,
    pub(super) unpinned: Option<String>,
}

/// An index between two steps.
pub(super) struct Replay<'a> {
    store: &'a dyn Store,
    shape: &'a Shape<'a>,
    tags: Tags,
    /// By tag; of a tag that is not live, whatever it was.
    nodes: Vec<Option<NodeId>>,
    /// The tag of each live node.
    owners: Vec<Option<u32>>,
    /// Of workers of earlier steps, so that no step pays for them again.
    scratches: Mutex<Vec<Scratch<F32>>>,
}

/// What a worker did in a step.
struct Worked {
    operations: Tally,
    changes: Vec<Change>,
    answers: Vec<(u32, Vec<NodeId>)>,
    beside: Tally,
    /// Returned beside the step, and of no tag before it: inserted in it, or ghosts.
    strange: HashSet<NodeId>,
    scratch: Scratch<F32>,
}

/// What became of a tag.
struct Change {
    tag: u32,
    gone: Option<NodeId>,
    born: Option<NodeId>,
}

/// Ends the window, however its worker does.
struct Ends<'a>(&'a Turn<'a>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<'a> Replay<'a> {
    /// Before the first step; the store is empty.
    pub(super) fn new(store: &'a dyn Store, shape: &'a Shape<'a>) -> Replay<'a> {
        let rows = shape.dataset.len();
        Replay {
            store,
            shape,
            tags: Tags::none(rows),
            nodes: vec![None; rows],
            owners: Vec::new(),
            scratches: Mutex::default(),
        }
    }

    /// Points that should be live now.
    pub(super) fn live(&self) -> usize {
        self.tags.live()
    }

    /// Does one step; `None` if the user stopped it.
    pub(super) fn step(&mut self, step: &Step, stop: &AtomicBool) -> Result<Option<Done>> {
        let workers = self.shape.cpus.len();
        let mut cpus = self.shape.cpus.clone();
        let overlap = self.shape.overlap && step.kind() != Kind::Search;
        cpus.resize(workers + usize::from(overlap), None);
        let next = CachePadded::new(AtomicUsize::new(0));
        let spares = || self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let window = workers::run(
            &cpus,
            None,
            stop,
            || (),
            |_| spares().pop().unwrap_or_else(Scratch::new),
            |turn, scratch| match turn.worker < workers {
                true => self.work(step, &next, turn, scratch),
                false => self.search_beside(step, turn, scratch),
            },
        );
        if window.interrupted {
            return Ok(None);
        }
        let mut done = Done {
            seconds: window.seconds,
            operations: Tally::new(),
            answers: Vec::new(),
            beside: Tally::new(),
            beside_ghosts: 0,
            live: 0,
            garbage: 0,
            unpinned: window.unpinned,
        };
        let (mut changes, mut answers, mut strange) = (Vec::new(), Vec::new(), HashSet::new());
        for worked in window.results {
            let worked = worked?;
            done.operations.merge(&worked.operations);
            done.beside.merge(&worked.beside);
            changes.extend(worked.changes);
            answers.extend(worked.answers);
            strange.extend(worked.strange);
            spares().push(worked.scratch);
        }
        self.take_over(&changes)?;
        self.tags.apply(step);
        done.beside_ghosts = strange.iter().filter(|node| self.owner(**node).is_none()).count() as u64;
        done.answers = answers.iter().map(|(query, nodes)| self.answer(*query, nodes)).collect();
        done.live = self.tags.live();
        let memory = self.store.memory();
        done.garbage = memory.retired_bytes + memory.snapshots_bytes;
        Ok(Some(done))
    }

    /// The tag of a node that is live.
    fn owner(&self, node: NodeId) -> Option<u32> {
        self.owners.get(node.get() as usize).copied().flatten()
    }

    fn take_over(&mut self, changes: &[Change]) -> Result<()> {
        for gone in changes.iter().filter_map(|change| change.gone) {
            self.owners[gone.get() as usize] = None;
        }
        for (born, tag) in changes.iter().filter_map(|change| Some((change.born?, change.tag))) {
            let place = born.get() as usize;
            if self.owners.len() <= place {
                self.owners.resize(place + 1, None);
            }
            ensure!(self.owners[place].is_none(), "the index gave out node {born} twice; this is a bug");
            self.owners[place] = Some(tag);
            self.nodes[tag as usize] = Some(born);
        }
        Ok(())
    }

    fn answer(&self, query: u32, nodes: &[NodeId]) -> Answer {
        let mut answer = Answer { query, points: Vec::with_capacity(nodes.len()), ghosts: 0 };
        for node in nodes {
            match self.owner(*node).and_then(|tag| Some(Point { tag, row: self.tags.row(tag)? })) {
                Some(point) if answer.points.contains(&point) => (),
                Some(point) => answer.points.push(point),
                None => answer.ghosts += 1,
            }
        }
        answer
    }

    /// Takes rows or queries until there are none left.
    fn work(
        &self,
        step: &Step,
        next: &AtomicUsize,
        turn: &Turn<'_>,
        scratch: Scratch<F32>,
    ) -> Result<Worked> {
        let _ends = Ends(turn);
        let mut worked = Worked::new(scratch);
        let count = match step {
            Step::Search => self.shape.dataset.query_count(),
            _ => step.tags().len(),
        };
        let first = step.tags().start;
        while !turn.is_over() {
            // Relaxed [replay-take]: hands out numbers; nothing that others wrote is read because of one.
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            let tag = first + at as u32;
            match step {
                Step::Insert(_) => worked.changed(|worked| {
                    Ok(Change { tag, gone: None, born: Some(self.insert(tag, &mut worked.scratch)?) })
                })?,
                Step::Delete(_) => {
                    worked.changed(|_| Ok(Change { tag, gone: Some(self.remove(tag)?), born: None }))?;
                }
                Step::Replace { rows, .. } => worked.changed(|worked| {
                    let gone = Some(self.remove(tag)?);
                    let row = rows.start + at as u32;
                    Ok(Change { tag, gone, born: Some(self.insert(row, &mut worked.scratch)?) })
                })?,
                Step::Search => {
                    let mut nodes = Vec::with_capacity(self.shape.k);
                    let took = self.search(at, &mut worked.scratch, &mut nodes)?;
                    worked.operations.add(took, 1);
                    worked.answers.push((at as u32, nodes));
                }
            }
        }
        Ok(worked)
    }

    fn insert(&self, row: u32, scratch: &mut Scratch<F32>) -> Result<NodeId> {
        self.store.insert(self.shape.dataset.row(row as usize), scratch).context("an insert was refused")
    }

    fn remove(&self, tag: u32) -> Result<NodeId> {
        let node = self.nodes[tag as usize].context("a live tag has no node; this is a bug")?;
        self.store.remove(node).context("the removal of a live node was refused; this is a bug")?;
        Ok(node)
    }

    fn search(&self, query: usize, scratch: &mut Scratch<F32>, found: &mut Vec<NodeId>) -> Result<Duration> {
        let (query, beam) = (self.shape.dataset.query(query), (self.shape.k, self.shape.ef));
        let begin = Instant::now();
        let each = &mut |_, node| found.push(node);
        self.store.search(query, beam, scratch, each).context("a search was refused")?;
        Ok(begin.elapsed())
    }

    /// Searches for queries drawn at random until the step has ended, once at least.
    fn search_beside(&self, step: &Step, turn: &Turn<'_>, scratch: Scratch<F32>) -> Result<Worked> {
        let mut worked = Worked::new(scratch);
        let mut random = fastrand::Rng::with_seed(self.shape.seed ^ u64::from(step.tags().start));
        let mut found = Vec::new();
        loop {
            found.clear();
            let query = random.usize(..self.shape.dataset.query_count());
            let took = self.search(query, &mut worked.scratch, &mut found)?;
            worked.beside.add(took, 1);
            worked.strange.extend(found.iter().filter(|node| self.owner(**node).is_none()));
            if turn.is_over() {
                return Ok(worked);
            }
        }
    }
}

impl Worked {
    fn new(scratch: Scratch<F32>) -> Worked {
        Worked {
            operations: Tally::new(),
            changes: Vec::new(),
            answers: Vec::new(),
            beside: Tally::new(),
            strange: HashSet::new(),
            scratch,
        }
    }

    /// Times one change and writes it down.
    fn changed(&mut self, change: impl FnOnce(&mut Worked) -> Result<Change>) -> Result<()> {
        let begin = Instant::now();
        let change = change(self)?;
        self.operations.add(begin.elapsed(), 1);
        self.changes.push(change);
        Ok(())
    }
}
