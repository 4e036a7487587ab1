//! One query for several threads: a concurrent candidate queue.
//!
//! A team of threads answers one query after another, all of them working on each. They share one sorted pool of the ef nearest
//! candidates behind a lock, and one set of the nodes that were met, of atomic bits. A thread takes the lock, adds what its last
//! expansions found, takes the nearest candidates that no one has taken (`pops` of them), gives the lock back and expands those.
//! The query is answered when nothing is left to take and no one is expanding.
//!
//! It is an experiment on the side: it reads an index through its sessions and knows nothing of strategies. What it found is told in
//! `docs/decisions/0029-concurrent-queue.md`.
//!
//! # Invariants
//! - I1: A node is in the pool once at most: only the thread whose bit was the first to be set offers it.
//! - I2: In the end every node of the pool was expanded: candidates that were taken count as busy until the thread that took them has
//!   added what it found. So the answer is one that a single thread could have given, or a better one: no node of the pool has a
//!   neighbour that was not met.
//!
//! # Synchronisation
//! The lock orders all that is in the pool. [`Gate`] orders a query before the next: what its leader sets up is seen by all, and what
//! all have done is seen by the leader. Bits, `open`, `bound` and `over` are hints between the two and relaxed: a bit only says who was
//! first, which the read-modify-write decides; the others are looked at again under the lock, or at the gate.
//!
//! # Progress
//! Blocking: a thread that loses its CPU with candidates taken, or with the lock, holds up the query.
//!
//! # Memory
//! Two bits per node and team, because the bits of a query are cleared while the next one runs.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use hnsw_core::distance::prefetch;
use hnsw_core::graph::{At, Level, LinkBuf, NodeId, Stage, View};
use hnsw_core::sync::CachePadded;
use hnsw_core::vectors::{Codec, F32, Line, Vectors};

use super::naive::Near;

/// Turns of a loop that waits before it gives the CPU away.
const SPINS: u32 = 100;

/// What a team shares.
pub(super) struct Team {
    threads: usize,
    ef: usize,
    pool: CachePadded<Mutex<Pool>>,
    /// Candidates that no one has taken, when the lock was last given back.
    open: CachePadded<AtomicUsize>,
    /// The distance, as bits, beyond which nothing is kept; infinite while the pool is not full.
    bound: CachePadded<AtomicU32>,
    /// The query is answered.
    over: CachePadded<AtomicBool>,
    /// The number of the query; [`NO_QUERY`] at the end.
    job: AtomicUsize,
    gate: Gate,
    /// For queries of even and of odd turns.
    met: [Bits; 2],
}

const NO_QUERY: usize = usize::MAX;

impl Team {
    /// A team for graphs of so many nodes.
    pub(super) fn new(threads: usize, nodes: usize, ef: usize) -> Team {
        Team {
            threads,
            ef,
            pool: CachePadded::new(Mutex::new(Pool::default())),
            open: CachePadded::new(AtomicUsize::new(0)),
            bound: CachePadded::new(AtomicU32::new(0)),
            over: CachePadded::new(AtomicBool::new(false)),
            job: AtomicUsize::new(NO_QUERY),
            gate: Gate::default(),
            met: [Bits::new(nodes), Bits::new(nodes)],
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `run` to the pool, gives back the `taken` candidates that were expanded, and takes up to `pops` others into `batch`.
    fn exchange(&self, run: &mut Vec<Near>, taken: usize, batch: &mut Vec<Near>, pops: usize) {
        batch.clear();
        let mut pool = self.pool();
        pool.busy -= taken;
        run.drain(..).for_each(|near| pool.add(near, self.ef));
        while batch.len() < pops
            && let Some(next) = pool.take()
        {
            batch.push(next);
        }
        pool.busy += batch.len();
        // Relaxed [team-open-set]: a hint; see the head of the module.
        self.open.store(pool.open, Ordering::Relaxed);
        // Relaxed [team-bound-set]: as above.
        self.bound.store(pool.bound(self.ef).to_bits(), Ordering::Relaxed);
        if pool.open == 0 && pool.busy == 0 {
            // Relaxed [team-over-set]: as above.
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until there may be something to take; false if the query is answered.
    fn wait_for_work(&self) -> bool {
        let mut turns = 0;
        loop {
            // Relaxed [team-over]: nothing is read because of it before the gate, which all pass.
            if self.over.load(Ordering::Relaxed) {
                return false;
            }
            // Relaxed [team-open]: a hint; what there is to take is seen under the lock.
            if self.open.load(Ordering::Relaxed) > 0 {
                return true;
            }
            self.gate.check();
            pause(&mut turns);
        }
    }
}

fn pause(turns: &mut u32) {
    *turns += 1;
    if *turns < SPINS { hint::spin_loop() } else { thread::yield_now() }
}

/// The nearest candidates, in order.
#[derive(Default)]
struct Pool {
    slots: Vec<Slot>,
    /// Slots that no one has taken.
    open: usize,
    /// All slots before it are taken.
    cursor: usize,
    /// Candidates that were taken and are being expanded.
    busy: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    near: Near,
    taken: bool,
}

impl Pool {
    fn begin(&mut self) {
        self.slots.clear();
        (self.open, self.cursor, self.busy) = (0, 0, 0);
    }

    /// Adds a candidate whose node is not in the pool, if it is among the `ef` nearest.
    fn add(&mut self, near: Near, ef: usize) {
        let place = self.slots.partition_point(|slot| slot.near < near);
        if place == ef {
            return;
        }
        if self.slots.len() == ef
            && let Some(farthest) = self.slots.pop()
        {
            self.open -= usize::from(!farthest.taken);
        }
        self.slots.insert(place, Slot { near, taken: false });
        self.open += 1;
        self.cursor = self.cursor.min(place);
    }

    /// The nearest candidate that no one has taken.
    fn take(&mut self) -> Option<Near> {
        if self.open == 0 {
            return None;
        }
        self.cursor += self.slots[self.cursor..].iter().position(|slot| !slot.taken)?;
        let slot = &mut self.slots[self.cursor];
        slot.taken = true;
        self.open -= 1;
        self.cursor += 1;
        Some(slot.near)
    }

    /// The distance beyond which nothing is kept.
    fn bound(&self, ef: usize) -> f32 {
        match self.slots.last() {
            Some(farthest) if self.slots.len() == ef => farthest.near.distance,
            _ => f32::INFINITY,
        }
    }
}

/// A set of nodes.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(nodes: usize) -> Bits {
        Bits((0..nodes.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds a node; true for the one thread that was the first.
    #[inline]
    fn insert(&self, node: u32) -> bool {
        let (word, bit) = (&self.0[node as usize / 64], 1 << (node % 64));
        // Relaxed [met-look]: most nodes were met before, and a look does not take the line from other threads.
        if word.load(Ordering::Relaxed) & bit != 0 {
            return false;
        }
        // Relaxed [met-insert]: the order of accesses to one word decides who is first; nothing else is read because of it.
        word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Empties the words of these nodes.
    fn clear(&self, nodes: &[u32]) {
        for node in nodes {
            // Relaxed [met-clear]: used again only behind the gate.
            self.0[*node as usize / 64].store(0, Ordering::Relaxed);
        }
    }
}

/// A barrier whose threads do not sleep: a query is over sooner than a thread wakes up.
#[derive(Default)]
struct Gate {
    /// Threads that wait. Its lock is what orders their work: the last to arrive takes it after all others, and these take it again
    /// after the last one.
    arrived: CachePadded<Mutex<usize>>,
    passed: CachePadded<AtomicUsize>,
    /// A thread of the team has panicked.
    broken: AtomicBool,
}

impl Gate {
    /// Waits for all `threads`.
    fn wait(&self, threads: usize) {
        // Relaxed [gate-arrive]: it changes only after this thread, too, has arrived.
        let passed = self.passed.load(Ordering::Relaxed);
        let mut arrived = self.arrived();
        *arrived += 1;
        if *arrived == threads {
            *arrived = 0;
            // Relaxed [gate-pass]: stored under the lock, which whoever sees it takes next.
            self.passed.store(passed.wrapping_add(1), Ordering::Relaxed);
            return;
        }
        drop(arrived);
        let mut turns = 0;
        // Relaxed [gate-wait]: as above.
        while self.passed.load(Ordering::Relaxed) == passed {
            self.check();
            pause(&mut turns);
        }
        drop(self.arrived());
    }

    fn arrived(&self) -> MutexGuard<'_, usize> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics if another thread of the team has: it will never arrive.
    fn check(&self) {
        // Relaxed [gate-broken]: a hint to give up.
        assert!(!self.broken.load(Ordering::Relaxed), "another thread of the team has panicked");
    }
}

/// Tells the team if its thread panics.
struct Tell<'a>(&'a Gate);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Relaxed [gate-break]: a hint to give up.
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// One thread of a team: the graph that it reads, and room to work in.
pub(super) struct Worker<'a, V: View> {
    team: &'a Team,
    view: V,
    /// Holds the row of every node of the graph.
    vectors: &'a Vectors<F32>,
    pops: usize,
    query: Box<[Line]>,
    links: LinkBuf,
    fresh: Vec<u32>,
    rows: Vec<*const Line>,
    distances: Vec<f32>,
    run: Vec<Near>,
    batch: Vec<Near>,
    /// Nodes of the present query whose bits this thread has set.
    marked: Vec<u32>,
    /// Queries so far.
    turns: usize,
    evaluations: u64,
}

impl<'a, V: View> Worker<'a, V> {
    /// # Safety
    /// `vectors` holds a row, written and constant, for every node that `view` names; there are as many as the team was made for.
    pub(super) unsafe fn new(team: &'a Team, view: V, vectors: &'a Vectors<F32>, pops: usize) -> Self {
        Worker {
            team,
            view,
            vectors,
            pops,
            query: vectors.codec().query(),
            links: LinkBuf::new(),
            fresh: Vec::with_capacity(LinkBuf::CAPACITY),
            rows: Vec::with_capacity(LinkBuf::CAPACITY),
            distances: Vec::with_capacity(LinkBuf::CAPACITY),
            run: Vec::new(),
            batch: Vec::new(),
            marked: Vec::new(),
            turns: 0,
            evaluations: 0,
        }
    }

    /// Distances that this thread has computed.
    pub(super) fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Answers a query with the whole team, whose other threads [follow](Worker::follow). `found` gets the ef nearest, nearest first.
    pub(super) fn lead(&mut self, number: usize, query: &[f32], found: &mut Vec<Near>) {
        let _tell = Tell(&self.team.gate);
        self.vectors.codec().prepare(query, &mut self.query);
        self.begin();
        // Relaxed [team-job-set]: handed on by the gate.
        self.team.job.store(number, Ordering::Relaxed);
        self.team.gate.wait(self.team.threads);
        self.work();
        self.team.gate.wait(self.team.threads);
        found.clear();
        found.extend(self.team.pool().slots.iter().map(|slot| slot.near));
        self.end();
    }

    /// Lets the other threads go home.
    pub(super) fn dismiss(&self) {
        // Relaxed [team-dismiss]: handed on by the gate.
        self.team.job.store(NO_QUERY, Ordering::Relaxed);
        self.team.gate.wait(self.team.threads);
    }

    /// Works on all queries that a thread [leads](Worker::lead) in, until it dismisses the team.
    pub(super) fn follow<'q>(&mut self, query: impl Fn(usize) -> &'q [f32]) {
        let _tell = Tell(&self.team.gate);
        loop {
            self.team.gate.wait(self.team.threads);
            // Relaxed [team-job]: handed on by the gate.
            let number = self.team.job.load(Ordering::Relaxed);
            if number == NO_QUERY {
                return;
            }
            self.vectors.codec().prepare(query(number), &mut self.query);
            self.work();
            self.team.gate.wait(self.team.threads);
            self.end();
        }
    }

    /// Descends to level 0 and puts the node found there into the pool.
    fn begin(&mut self) {
        let team = self.team;
        let mut pool = team.pool();
        pool.begin();
        // Relaxed [team-bound-begin]: handed on by the gate.
        team.bound.store(f32::INFINITY.to_bits(), Ordering::Relaxed);
        // Relaxed [team-over-begin]: as above.
        team.over.store(false, Ordering::Relaxed);
        if let Some(entry) = self.view.entry() {
            self.fresh.clear();
            self.fresh.push(entry.node.get());
            self.compare();
            let mut at = Near { distance: self.distances[0], node: entry.node.get() };
            for level in (1..=entry.level).rev() {
                at = self.descend(at, level);
            }
            self.met().insert(at.node);
            self.marked.push(at.node);
            pool.add(at, team.ef);
        }
        // Relaxed [team-open-begin]: as above.
        team.open.store(pool.open, Ordering::Relaxed);
    }

    /// Follows the nearest neighbour on one level until none is nearer.
    fn descend(&mut self, mut at: Near, level: Level) -> Near {
        loop {
            let links = self.view.links(At::new(NodeId::new(at.node), level), &mut self.links);
            self.fresh.clear();
            self.fresh.extend(links.iter().map(|link| link.node().get()));
            self.fresh.iter().for_each(|node| fetch(self.vectors, *node));
            self.compare();
            let found = self.fresh.iter().zip(&self.distances);
            match found.map(|(node, distance)| Near { distance: *distance, node: *node }).min() {
                Some(best) if best.distance < at.distance => at = best,
                _ => return at,
            }
        }
    }

    /// Takes candidates and expands them until the query is answered.
    fn work(&mut self) {
        let mut taken = 0;
        loop {
            self.team.exchange(&mut self.run, taken, &mut self.batch, self.pops);
            taken = self.batch.len();
            if taken == 0 && !self.team.wait_for_work() {
                return;
            }
            self.expand();
        }
    }

    /// Compares those neighbours of the taken candidates that no one has met, and keeps what is near enough. Rows of the first are on
    /// their way while the lists of the others are read.
    fn expand(&mut self) {
        // Relaxed [team-bound]: the bound only ever falls, so an old one lets too many through, and the pool refuses them.
        let bound = f32::from_bits(self.team.bound.load(Ordering::Relaxed));
        let met = self.met();
        self.fresh.clear();
        for candidate in &self.batch {
            self.view.prefetch(At::base(NodeId::new(candidate.node)), Stage::Near);
        }
        for candidate in &self.batch {
            // Else it has fallen out of the pool since it was taken.
            if candidate.distance <= bound {
                let (links, before) = (
                    self.view.links(At::base(NodeId::new(candidate.node)), &mut self.links),
                    self.fresh.len(),
                );
                self.fresh
                    .extend(links.iter().map(|link| link.node().get()).filter(|node| met.insert(*node)));
                for node in &self.fresh[before..] {
                    fetch(self.vectors, *node);
                }
            }
        }
        self.marked.extend_from_slice(&self.fresh);
        self.compare();
        let found = self.fresh.iter().zip(&self.distances);
        let found = found.map(|(node, distance)| Near { distance: *distance, node: *node });
        self.run.extend(found.filter(|near| near.distance <= bound));
    }

    /// Computes the distances of the fresh nodes.
    fn compare(&mut self) {
        let codec = self.vectors.codec();
        self.rows.clear();
        self.rows.extend(self.fresh.iter().map(|node| self.vectors.row(NodeId::new(*node))));
        self.distances.resize(self.rows.len(), 0.0);
        self.evaluations += self.fresh.len() as u64;
        // SAFETY: the nodes came from the view, so their rows are written and constant (the promise to `new`); the query was prepared by
        // this codec; there are as many places as rows.
        unsafe { codec.distances(&self.query, &self.rows, &mut self.distances) };
    }

    fn met(&self) -> &'a Bits {
        &self.team.met[self.turns % 2]
    }

    /// Clears the bits that this thread has set: they are used again in the turn after the next, which begins behind a gate that this
    /// thread, too, must pass.
    fn end(&mut self) {
        self.met().clear(&self.marked);
        self.marked.clear();
        self.turns += 1;
    }
}

/// Asks for the row of a node.
fn fetch(vectors: &Vectors<F32>, node: u32) {
    let row = vectors.row(NodeId::new(node));
    (0..vectors.codec().lines()).for_each(|line| prefetch(row.wrapping_add(line).cast()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn near(distance: f32, node: u32) -> Near {
        Near { distance, node }
    }

    proptest! {
        #[test]
        fn the_pool_keeps_the_nearest_and_gives_each_out_once_in_order(
            distances in prop::collection::vec(-50i16..50, 1..150),
            ef in 1usize..30,
            every in 1usize..6,
        ) {
            let (mut pool, mut all, mut taken) = (Pool::default(), Vec::new(), Vec::new());
            for (node, distance) in distances.iter().enumerate() {
                let candidate = near(f32::from(*distance), node as u32);
                pool.add(candidate, ef);
                all.push(candidate);
                all.sort_unstable();
                all.truncate(ef);
                if node % every == 0 {
                    let nearest = all.iter().find(|candidate| !taken.contains(*candidate));
                    let next = pool.take();
                    prop_assert_eq!(next.as_ref(), nearest);
                    taken.extend(next);
                }
                prop_assert_eq!(pool.open, pool.slots.iter().filter(|slot| !slot.taken).count());
                prop_assert_eq!(pool.bound(ef) == f32::INFINITY, all.len() < ef);
            }
            let kept: Vec<Near> = pool.slots.iter().map(|slot| slot.near).collect();
            prop_assert_eq!(kept, all);
        }
    }

    #[test]
    fn each_node_is_met_by_one_thread() {
        let bits = Bits::new(1_000);
        let counts: Vec<Vec<u32>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1_000).filter(|node| bits.insert(*node)).collect()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all = counts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1_000).collect::<Vec<_>>());
        bits.clear(&all[..64]);
        assert!(bits.insert(3) && !bits.insert(64) && !bits.insert(3));
    }

    #[test]
    fn nobody_passes_a_gate_before_all_have_come() {
        let (gate, count) = (Gate::default(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..=200 {
                        count.fetch_add(1, Ordering::Relaxed);
                        gate.wait(3);
                        assert_eq!(count.load(Ordering::Relaxed), 3 * round);
                        gate.wait(3);
                    }
                });
            }
        });
    }
}
