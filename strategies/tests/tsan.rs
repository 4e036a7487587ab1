//! A program for ThreadSanitizer: every strategy under threads that insert, search and remove at the same time.
//! `scripts/tsan` builds it and runs it once for each name that the argument `list` prints. It has no test harness, no scopes and no pool, because the standard library is not
//! instrumented and its own synchronisation would be reported as races.

use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId};
use hnsw_core::hnsw::{Index, IndexConfig};
use std::thread;

const THREADS: u64 = 4;
const INSERTS: u64 = 1_000;
const DIM: usize = 8;

/// Numbers that look random, the same for the same `seed` (splitmix64).
fn vector(seed: u64) -> Vec<f32> {
    let component = |i: u64| {
        let mut bits = (seed * DIM as u64 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 40) as f32
    };
    (0..DIM as u64).map(component).collect()
}

/// Inserts, removes every fifth of its own nodes and searches after each step; returns its nodes, the removed ones apart.
fn work<G: Graph>(index: &Index<G>, thread: u64) -> [Vec<(NodeId, u64)>; 2] {
    let [mut live, mut removed] = [Vec::new(), Vec::new()];
    for i in 0..INSERTS {
        let seed = thread * INSERTS + i;
        let node = index.insert(&vector(seed)).expect("there is room, and the vector is sound");
        if i % 5 == 0 {
            index.remove(node).expect("only this thread removes it");
            removed.push((node, seed));
        } else {
            live.push((node, seed));
        }
        let found = index.search(&vector(!seed % 100_000), 10, 20).expect("the query is sound");
        assert!(found.windows(2).all(|pair| pair[0].distance <= pair[1].distance), "{}: unordered", G::NAME);
        let mine = |node: NodeId| removed.iter().any(|&(gone, _)| gone == node);
        assert!(!found.iter().any(|neighbor| mine(neighbor.node)), "{}: found what was removed", G::NAME);
    }
    [live, removed]
}

fn check<G: Graph + 'static>() {
    let config = IndexConfig { m: 4, ef_construction: 20, ..IndexConfig::new(DIM, Metric::L2) };
    // Leaked: the last owner of an `Arc` would be reported.
    let index: &'static Index<G> = Box::leak(Box::new(Index::new(config).expect("the parameters are sound")));
    // What is made once in the process, such as the collector of epochs, is made before any thread can race for it: `Once` is
    // of the standard library.
    index.insert(&vector(THREADS * INSERTS)).expect("there is room, and the vector is sound");
    let workers: Vec<_> = (0..THREADS).map(|number| thread::spawn(move || work(index, number))).collect();
    for worker in workers {
        let [live, removed] = worker.join().expect("no worker panics");
        for (node, seed) in live {
            assert_eq!(index.vector(node).as_deref(), Some(vector(seed).as_slice()), "{}: {node:?}", G::NAME);
        }
        assert!(!removed.iter().any(|&(node, _)| index.contains(node)), "{}: removed, but there", G::NAME);
    }
    println!("test {} ... ok", G::NAME);
}

/// Two threads write one number without any order: what ThreadSanitizer must report, or its silence means nothing.
fn race() {
    let number: &'static mut u64 = Box::leak(Box::new(0));
    let address = std::ptr::from_mut(number).expose_provenance();
    let write = move || {
        // SAFETY: none; that is the point.
        unsafe { *std::ptr::with_exposed_provenance_mut::<u64>(address) += 1 };
    };
    let writers = [thread::spawn(write), thread::spawn(write)];
    writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
}

macro_rules! check_each {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {{
        let checks: &[(&str, fn())] = &[$((stringify!($name), check::<$graph>)),+];
        checks
    }};
}

fn main() {
    let checks = hnsw_strategies::for_each_strategy!(check_each);
    match std::env::args().nth(1).as_deref() {
        Some("race") => race(),
        Some("list") => checks.iter().for_each(|(name, _)| println!("{name}")),
        Some(wanted) => checks.iter().find(|(name, _)| *name == wanted).expect("a name of the list").1(),
        None => checks.iter().for_each(|(_, check)| check()),
    }
}
