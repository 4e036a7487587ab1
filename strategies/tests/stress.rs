//! A program that stresses the strategies, for as long as it is told: `scripts/stress` builds it and runs it.
//!
//! It goes in rounds. A round makes one index of one strategy, with parameters that its seed decides, and lets four threads for each
//! core insert, remove, search, pack and take snapshots at random, one by one and by batches, for a second. What they find is
//! checked as they go (contract P2, P3, P4, P5, P7) and a report of memory now and then (P10); when they have ended, the whole graph
//! (P1, P6), its counts, and answers against brute force.
//!
//! A round that fails prints what repeats it: the same parameters and the same calls of each thread, though not the same schedule.

#[path = "models/clock.rs"]
mod clock;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "conformance/support.rs"]
mod support;

use clock::Clock;
use hnsw_core::error::{BatchError, InsertError};
use hnsw_core::graph::{Graph, NodeId, Snapshots};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::vectors::{Codec, F32, Lvq4, Reranked, Sq8};
use std::any::type_name;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use support::{METRICS, Oracle, Random, assert_ordered, assert_whole};

const THREADS_PER_CORE: usize = 4;
/// Seconds of a round.
const ROUND: f64 = 1.0;
/// Between two looks at the memory report.
const LOOK: Duration = Duration::from_millis(250);
/// Snapshots that a thread holds at most.
const HELD: usize = 4;
/// Rows that a codec learns from.
const SAMPLE: usize = 256;
/// The most that may wait to be freed: while threads run, of which some are suspended in a session, and when none does. The
/// latter is 16 KB for each of 16 shards, and some for what the records themselves take.
const RETIRED_BUSY: usize = 64 << 20;
const RETIRED_QUIET: usize = 512 << 10;

/// What threads did and checked.
#[derive(Clone, Copy, Default)]
struct Tally {
    rounds: u64,
    inserts: u64,
    batch_rows: u64,
    removes: u64,
    searches: u64,
    batch_searches: u64,
    snapshots: u64,
    packs: u64,
    quiesces: u64,
    /// Answers, copies and reports that were looked at.
    checks: u64,
    most_retired: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.rounds += other.rounds;
        self.inserts += other.inserts;
        self.batch_rows += other.batch_rows;
        self.removes += other.removes;
        self.searches += other.searches;
        self.batch_searches += other.batch_searches;
        self.snapshots += other.snapshots;
        self.packs += other.packs;
        self.quiesces += other.quiesces;
        self.checks += other.checks;
        self.most_retired = self.most_retired.max(other.most_retired);
    }
}

/// A search of a snapshot.
type Frozen = Box<dyn Fn(&[f32]) -> Vec<Neighbor>>;
/// Takes a snapshot, if the strategy has them.
type Freeze<G, C> = fn(&Index<G, C>) -> Option<Frozen>;

fn freeze<G: Snapshots, C: Codec>(index: &Index<G, C>) -> Option<Frozen> {
    let snapshot = index.snapshot();
    Some(Box::new(move |query| snapshot.search(query, 10, 30).expect("the query is sound")))
}

/// What becomes of a node.
#[derive(Default)]
struct Fate {
    /// The seed of its vector, once its insert has returned.
    seed: OnceLock<u64>,
    /// The reading of the clock after its removal.
    removed: OnceLock<u64>,
}

struct Round<G: Graph, C: Codec> {
    index: Index<G, C>,
    oracle: Oracle,
    fates: Vec<Fate>,
    clock: Clock,
    freeze: Freeze<G, C>,
    /// Of 16 calls, how many are inserts and removals.
    writes: usize,
    /// One in so many vectors is like another.
    copies: usize,
    end: Instant,
}

/// One of `values`.
fn one<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[random.below(values.len())]
}

/// Runs one round.
fn round<G: Graph, C: Codec>(seed: u64, seconds: f64, freeze: Freeze<G, C>) -> Tally {
    let mut random = Random(seed);
    let config = IndexConfig {
        m: one(&mut random, &[2, 3, 4, 8, 16]),
        ef_construction: one(&mut random, &[1, 4, 10, 40, 100]),
        alpha: one(&mut random, &[1.0, 1.0, 1.2, 2.0]),
        capacity: one(&mut random, &[300, 2_000, 20_000]),
        seed,
        ..IndexConfig::new(one(&mut random, &[1, 3, 8, 17, 64, 100]), one(&mut random, &METRICS))
    };
    let (dim, capacity) = (config.dim, config.capacity);
    let sample: Vec<f32> = (0..SAMPLE).flat_map(|_| random.vector(dim)).collect();
    let index = Index::<G, C>::trained(config, &sample).expect("the parameters are sound");
    let round = Round {
        index,
        oracle: Oracle::new(dim, config.metric),
        fates: (0..capacity).map(|_| Fate::default()).collect(),
        clock: Clock::default(),
        freeze,
        writes: one(&mut random, &[1, 4, 8, 12]),
        copies: one(&mut random, &[2, 10, 1_000]),
        end: Instant::now() + Duration::from_secs_f64(seconds),
    };
    let threads = THREADS_PER_CORE * thread::available_parallelism().map_or(1, usize::from);
    let mut tally = thread::scope(|scope| {
        let round = &round;
        let random = |number: usize| Random(seed ^ (number as u64 + 1) << 32);
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let random = random(number);
                scope.spawn(move || Worker::new(round, random).run())
            })
            .collect();
        let mut tally = Tally { rounds: 1, ..Tally::default() };
        while Instant::now() < round.end {
            let memory = round.index.memory();
            assert!(memory.retired_bytes <= RETIRED_BUSY, "{memory:?}");
            assert!(memory.total() < 1 << 32 && memory.slack_bytes < 1 << 32, "below zero? {memory:?}");
            tally.most_retired = tally.most_retired.max(memory.retired_bytes);
            tally.checks += 1;
            thread::sleep(LOOK);
        }
        workers.into_iter().for_each(|worker| match worker.join() {
            Ok(done) => tally.add(&done),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        tally
    });
    round.quiet(&mut random);
    tally.checks += 1;
    tally
}

impl<G: Graph, C: Codec> Round<G, C> {
    fn vector(&self, seed: u64) -> Vec<f32> {
        Random(seed).vector(self.index.config().dim)
    }

    /// A query, or the seed of a vector.
    fn seed(&self, random: &mut Random) -> u64 {
        if random.below(self.copies) == 0 { random.next() % 50 } else { random.next() }
    }

    /// P2, P4 and P5 of an answer to a search that began at that reading of the clock.
    fn check(&self, query: &[f32], found: &[Neighbor], began: u64) {
        assert_ordered(found);
        for neighbor in found {
            let fate = &self.fates[neighbor.node.index()];
            if let Some(removed) = fate.removed.get() {
                assert!(*removed > began, "{}: removed at {removed}, found at {began}", neighbor.node);
            }
            // A node that others meet is a moment away from being written down.
            let vector = self.vector(*fate.seed.wait());
            let distance = self.oracle.distance_to(query, &vector);
            assert_eq!(neighbor.distance.to_bits(), distance.to_bits(), "the distance of {}", neighbor.node);
        }
    }

    /// What is promised when no one writes.
    fn quiet(&self, random: &mut Random) {
        let what = G::NAME;
        assert_whole(&self.index, what);
        let mut oracle = self.oracle.clone();
        for (node, fate) in self.fates.iter().enumerate() {
            let (node, live) = (NodeId::new(node as u32), fate.removed.get().is_none());
            let Some(seed) = fate.seed.get() else {
                assert!(node.index() >= self.index.node_count() && live, "{node} was given out and not told");
                continue;
            };
            assert_eq!(self.index.contains(node), live, "{what}: {node}");
            if live {
                oracle.insert(node, &self.vector(*seed));
            }
        }
        let all = oracle.len().max(1);
        for _ in 0..5 {
            let query = random.vector(self.index.config().dim);
            // The beam holds removed nodes too.
            let wide = self.index.node_count().max(1);
            assert_eq!(self.index.search(&query, all, wide).unwrap(), oracle.nearest(&query, all), "{what}");
        }
        (0..8).for_each(|_| self.index.graph().quiesce());
        let memory = self.index.memory();
        assert!(memory.retired_bytes <= RETIRED_QUIET, "{what}: {memory:?}");
        assert_eq!(memory.snapshots_bytes, 0, "{what}: {memory:?}");
    }
}

struct Worker<'r, G: Graph, C: Codec> {
    round: &'r Round<G, C>,
    random: Random,
    /// Its own nodes, some of which others may have removed.
    mine: Vec<NodeId>,
    held: Vec<(Frozen, Vec<f32>, Vec<Neighbor>)>,
    tally: Tally,
}

impl<'r, G: Graph, C: Codec> Worker<'r, G, C> {
    fn new(round: &'r Round<G, C>, random: Random) -> Self {
        Worker { round, random, mine: Vec::new(), held: Vec::new(), tally: Tally::default() }
    }

    fn run(mut self) -> Tally {
        while Instant::now() < self.round.end {
            match self.random.below(400) {
                0 => self.pack(),
                1..8 => self.snapshot(),
                8..10 => {
                    self.round.index.graph().quiesce();
                    self.tally.quiesces += 1;
                }
                10..14 => self.insert_batch(),
                14..18 => self.search_batch(),
                _ if self.random.below(16) >= self.round.writes => self.search(),
                _ if self.random.below(3) == 0 => self.remove(),
                _ => self.insert(),
            }
        }
        self.tally
    }

    fn told(&mut self, node: NodeId, seed: u64) {
        self.round.fates[node.index()].seed.set(seed).expect("a node is given out once");
        self.mine.push(node);
    }

    fn insert(&mut self) {
        let seed = self.round.seed(&mut self.random);
        match self.round.index.insert(&self.round.vector(seed)) {
            Ok(node) => {
                self.told(node, seed);
                self.tally.inserts += 1;
            }
            Err(InsertError::Full(_)) => assert_eq!(self.round.index.node_count(), self.round.fates.len()),
            Err(error) => panic!("{error}"),
        }
    }

    fn insert_batch(&mut self) {
        let count = 1 + self.random.below(400);
        let seeds: Vec<u64> = (0..count).map(|_| self.round.seed(&mut self.random)).collect();
        let rows: Vec<f32> = seeds.iter().flat_map(|&seed| self.round.vector(seed)).collect();
        match self.round.index.insert_batch(&rows, |_| ControlFlow::Continue(())) {
            Ok(first) => {
                let nodes = (first.get()..).map(NodeId::new);
                nodes.zip(seeds).for_each(|(node, seed)| self.told(node, seed));
                self.tally.batch_rows += count as u64;
            }
            Err(BatchError::Full(_)) => {
                assert!(self.round.index.node_count() + count > self.round.fates.len());
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Removes a node of its own, or any.
    fn remove(&mut self) {
        let nodes = self.round.index.node_count();
        let node = match self.random.below(4) {
            0 if nodes > 0 => NodeId::new(self.random.below(nodes) as u32),
            _ if !self.mine.is_empty() => self.mine.swap_remove(self.random.below(self.mine.len())),
            _ => return,
        };
        if self.round.index.remove(node).is_ok() {
            let removed = &self.round.fates[node.index()].removed;
            removed.set(self.round.clock.now()).expect("a node is removed once");
            assert!(!self.round.index.contains(node), "{node} was removed");
            self.tally.removes += 1;
        }
    }

    fn k_ef(&mut self) -> (usize, usize) {
        let k = 1 + self.random.below(20);
        (k, k + self.random.below(100))
    }

    fn search(&mut self) {
        let (query, (k, ef)) = (self.round.vector(self.round.seed(&mut self.random)), self.k_ef());
        let began = self.round.clock.now();
        let found = self.round.index.search(&query, k, ef).expect("the query is sound");
        assert!(found.len() <= k);
        self.round.check(&query, &found, began);
        self.tally.searches += 1;
        self.tally.checks += 1;
    }

    fn search_batch(&mut self) {
        let (count, (k, ef)) = (1 + self.random.below(80), self.k_ef());
        let queries: Vec<Vec<f32>> =
            (0..count).map(|_| self.round.vector(self.round.seed(&mut self.random))).collect();
        let began = self.round.clock.now();
        let answers = self.round.index.search_batch(&queries.concat(), k, ef).expect("the queries are sound");
        assert_eq!(answers.len(), count);
        queries.iter().zip(answers.iter()).for_each(|(query, found)| self.round.check(query, found, began));
        self.tally.batch_searches += count as u64;
        self.tally.checks += count as u64;
    }

    /// A packed copy has what was there before, and not what had gone.
    fn pack(&mut self) {
        let query = self.round.vector(self.round.seed(&mut self.random));
        let began = self.round.clock.now();
        let packed = self.round.index.pack();
        let found = packed.search(&query, 20, 60).expect("the query is sound");
        self.round.check(&query, &found, began);
        for &node in self.mine.iter().filter(|node| !packed.contains(**node)) {
            // Another thread removed it, and will have said so in a moment.
            self.round.fates[node.index()].removed.wait();
        }
        self.tally.packs += 1;
        self.tally.checks += 1;
    }

    /// Takes a snapshot and lets another go; the others are still what they were.
    fn snapshot(&mut self) {
        let began = self.round.clock.now();
        let Some(frozen) = (self.round.freeze)(&self.round.index) else { return };
        let query = self.round.vector(self.round.seed(&mut self.random));
        let first = frozen(&query);
        self.round.check(&query, &first, began);
        for (frozen, query, first) in &self.held {
            assert_eq!(&frozen(query), first, "a snapshot changed");
        }
        if self.held.len() == HELD {
            drop(self.held.swap_remove(self.random.below(HELD)));
        }
        self.held.push((frozen, query, first));
        self.tally.snapshots += 1;
        self.tally.checks += self.held.len() as u64;
    }
}

/// Runs a round of this many seconds from a seed.
type Run = fn(u64, f64) -> Tally;

/// A strategy, and its rounds by codec.
struct Strategy {
    name: &'static str,
    rounds: [(&'static str, Run); 3],
}

macro_rules! strategy {
    ($name:ident, $graph:ty, $freeze:expr) => {
        Strategy {
            name: stringify!($name),
            rounds: [
                strategy!($graph, F32, $freeze),
                strategy!($graph, Reranked<Sq8>, $freeze),
                strategy!($graph, Reranked<Lvq4>, $freeze),
            ],
        }
    };
    ($graph:ty, $codec:ty, $freeze:expr) => {
        (<$codec>::NAME, |seed, seconds| round::<$graph, $codec>(seed, seconds, $freeze))
    };
}

macro_rules! strategies {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        vec![$(if <$graph>::CAPS.snapshots {
            assert_eq!(type_name::<$graph>(), type_name::<hnsw_strategies::Mvcc>(), "its snapshots are not named here");
            strategy!($name, hnsw_strategies::Mvcc, freeze)
        } else {
            strategy!($name, $graph, |_| None)
        }),+]
    };
}

/// What was asked for.
struct Arguments {
    seconds: f64,
    seed: u64,
    /// One round alone, of that seed.
    once: bool,
    names: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let mut asked = Arguments { seconds: 60.0, seed: 1, once: false, names: Vec::new() };
    while let Some(argument) = given.next() {
        let mut number = || given.next().ok_or(format!("{argument} needs a number"));
        match argument.as_str() {
            "--minutes" => {
                let minutes: f64 = number()?.parse().map_err(|error| format!("--minutes: {error}"))?;
                asked.seconds = minutes * 60.0;
            }
            "--seed" => asked.seed = number()?.parse().map_err(|error| format!("--seed: {error}"))?,
            "--once" => asked.once = true,
            name if name.starts_with('-') => return Err(format!("{name} is unknown")),
            name => asked.names.push(name.into()),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let strategies: Vec<Strategy> = hnsw_strategies::for_each_strategy!(strategies);
    let asked = match arguments() {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let known = |name: &String| strategies.iter().any(|strategy| strategy.name == name);
    if let Some(name) = asked.names.iter().find(|name| !known(name)) {
        eprintln!("error: {name} is no strategy");
        return ExitCode::from(2);
    }
    let chosen: Vec<&Strategy> = strategies
        .iter()
        .filter(|strategy| asked.names.is_empty() || asked.names.iter().any(|name| name == strategy.name))
        .collect();
    let mut tallies = vec![Tally::default(); chosen.len()];
    let (begin, mut seed, mut failed) = (Instant::now(), asked.seed, 0);
    let mut number = 0;
    while number == 0 || !asked.once && begin.elapsed().as_secs_f64() < asked.seconds {
        let (strategy, tally) = (chosen[number % chosen.len()], &mut tallies[number % chosen.len()]);
        let (codec, run) = strategy.rounds[(seed % 3) as usize];
        match catch_unwind(AssertUnwindSafe(|| run(seed, ROUND))) {
            Ok(done) => {
                tally.add(&done);
                let Tally { inserts, batch_rows, removes, searches, batch_searches, .. } = done;
                println!(
                    "ok    round {number}: {} {codec}, seed {seed}: {} inserts, {removes} removals, {} searches",
                    strategy.name,
                    inserts + batch_rows,
                    searches + batch_searches
                );
            }
            Err(_) => {
                failed += 1;
                println!("FAIL  round {number}: {} {codec}, seed {seed}", strategy.name);
                println!("      again: scripts/stress --once --seed {seed} {}", strategy.name);
            }
        }
        number += 1;
        // The next one follows from this one, so that a run is repeated by its first seed.
        seed = Random(seed).next() >> 16;
    }
    table(&chosen, &tallies);
    println!(
        "test result: {}. {} passed; {failed} failed;",
        if failed == 0 { "ok" } else { "FAILED" },
        number - failed
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(chosen: &[&Strategy], tallies: &[Tally]) {
    println!(
        "\n{:<12}{:>7}{:>10}{:>11}{:>9}{:>10}{:>12}{:>11}{:>7}{:>9}{:>11}{:>12}",
        "strategy",
        "rounds",
        "inserts",
        "batch rows",
        "removals",
        "searches",
        "by batches",
        "snapshots",
        "packs",
        "quiesces",
        "checks",
        "retired, KB"
    );
    for (strategy, t) in chosen.iter().zip(tallies) {
        println!(
            "{:<12}{:>7}{:>10}{:>11}{:>9}{:>10}{:>12}{:>11}{:>7}{:>9}{:>11}{:>12}",
            strategy.name,
            t.rounds,
            t.inserts,
            t.batch_rows,
            t.removes,
            t.searches,
            t.batch_searches,
            t.snapshots,
            t.packs,
            t.quiesces,
            t.checks,
            t.most_retired / 1024
        );
    }
}
