//! Inserts, removals and searches at once (P2, P3, P4, P5). Every call is recorded with the readings of one counter before and
//! after it; afterwards each answer is checked against what can and what must have been there.

use crate::clock::Clock;
use crate::support::{Oracle, Random, assert_ordered, assert_whole, index, race};
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig, Neighbor};
use hnsw_core::sync::{AtomicUsize, Ordering};
use std::collections::HashMap;

const DIM: usize = 8;
const WRITERS: usize = 3;
const SEARCHERS: usize = 3;
const ROUNDS: usize = 150;
/// At least as many as there are nodes.
const WIDE: usize = 1_024;
const NARROW: usize = 16;

/// When a node came and went: the reading before and after each call.
struct Life {
    vector: Vec<f32>,
    inserted: (u64, u64),
    removed: Option<(u64, u64)>,
}

struct Search {
    query: Vec<f32>,
    ef: usize,
    during: (u64, u64),
    answer: Vec<Neighbor>,
}

pub fn searches_agree_with_the_history<G: Graph>() {
    for (seed, metric) in [(1, Metric::L2), (2, Metric::Cosine)] {
        let config = IndexConfig { m: 4, ef_construction: 20, seed, ..IndexConfig::new(DIM, metric) };
        let index = index::<G>(config);
        let clock = Clock::default();
        let writing = AtomicUsize::new(WRITERS);
        let logs = race(WRITERS + SEARCHERS, |t| {
            let random = Random(seed * 100 + t as u64);
            if t < WRITERS {
                let lives = write(&index, &clock, random);
                // Relaxed [history-done]: ends loops.
                writing.fetch_sub(1, Ordering::Relaxed);
                (lives, Vec::new())
            } else {
                (HashMap::new(), search(&index, &clock, random, &writing))
            }
        });
        let (lives, searches): (Vec<_>, Vec<_>) = logs.into_iter().unzip();
        let lives: HashMap<NodeId, Life> = lives.into_iter().flatten().collect();
        let searches: Vec<Search> = searches.into_iter().flatten().collect();
        assert!(searches.len() >= SEARCHERS);
        let oracle = Oracle::new(DIM, metric);
        searches.iter().for_each(|search| check(search, &lives, &oracle, &index));
        assert_whole(&index, "after the race");
    }
}

/// Inserts, and removes some of its own nodes a while later.
fn write<G: Graph>(index: &Index<G>, clock: &Clock, mut random: Random) -> HashMap<NodeId, Life> {
    let mut lives = HashMap::new();
    let mut mine = Vec::new();
    for round in 0..ROUNDS {
        let vector = random.vector(DIM);
        let begin = clock.now();
        let node = index.insert(&vector).unwrap();
        lives.insert(node, Life { vector, inserted: (begin, clock.now()), removed: None });
        mine.push(node);
        if round % 2 == 1 {
            let node = mine.swap_remove(random.below(mine.len()));
            let begin = clock.now();
            index.remove(node).unwrap();
            lives.get_mut(&node).unwrap().removed = Some((begin, clock.now()));
            let answer = index.search(&lives[&node].vector, NARROW, NARROW).unwrap();
            assert!(answer.iter().all(|neighbor| neighbor.node != node), "{node} was removed");
            assert!(!index.contains(node));
        }
    }
    lives
}

/// Searches as long as someone writes.
fn search<G: Graph>(
    index: &Index<G>,
    clock: &Clock,
    mut random: Random,
    writing: &AtomicUsize,
) -> Vec<Search> {
    let mut searches = Vec::new();
    loop {
        // Relaxed [history-writing]: ends a loop.
        let last = writing.load(Ordering::Relaxed) == 0;
        let query = random.vector(DIM);
        let ef = if searches.len() % 2 == 0 { WIDE } else { NARROW };
        let begin = clock.now();
        let answer = index.search(&query, ef, ef).unwrap();
        searches.push(Search { query, ef, during: (begin, clock.now()), answer });
        if last {
            return searches;
        }
    }
}

fn check<G: Graph>(
    Search { query, ef, during: (begin, end), answer }: &Search,
    lives: &HashMap<NodeId, Life>,
    oracle: &Oracle,
    index: &Index<G>,
) {
    assert_ordered(answer);
    for neighbor in answer {
        let life = &lives[&neighbor.node];
        assert!(life.inserted.0 < *end, "{} was inserted after the search", neighbor.node);
        assert!(life.removed.is_none_or(|(_, after)| after > *begin), "{} had been removed", neighbor.node);
        let distance = oracle.distance_to(query, &life.vector);
        assert_eq!(neighbor.distance.to_bits(), distance.to_bits(), "the distance of {}", neighbor.node);
        if let Some(vector) = index.vector(neighbor.node) {
            let close = |(x, y): (&f32, &f32)| (x - y).abs() <= 1e-6;
            let stored = oracle.stored(&life.vector);
            assert!(vector.iter().zip(&stored).all(close), "the vector of {}", neighbor.node);
        }
    }
    let must = lives
        .iter()
        .filter(|(_, life)| life.inserted.1 < *begin && life.removed.is_none_or(|(before, _)| before > *end));
    if *ef == WIDE {
        for (node, life) in must {
            let found = answer.iter().any(|neighbor| neighbor.node == *node);
            assert!(found, "{node} was there all the time, since {:?}", life.inserted);
        }
    } else {
        assert!(answer.len() >= must.count().min(*ef), "{} answers with ef {ef}", answer.len());
    }
}
