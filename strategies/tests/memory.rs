//! The memory report of every strategy, and of an index over every codec, against what the allocator saw.
#![cfg(not(hnsw_loom))]

use hnsw_core::distance::Metric;
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Level, Link, NodeId, Verdict};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::sync::{AtomicUsize, Ordering};
use hnsw_core::vectors::{Codec, Line};
use hnsw_strategies::Sequential;
use std::alloc::{GlobalAlloc, Layout, System};

/// Counts the bytes that are allocated and not freed.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed [memory-test-alloc]: a count, read by the thread that allocates.
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // Relaxed [memory-test-free]: as above.
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> usize {
    // Relaxed [memory-test-live]: a count of the own thread.
    LIVE.load(Ordering::Relaxed)
}

const NODES: usize = 5_000;

/// One node in 16 is above level 0, one of 256 above level 1.
fn level(node: NodeId) -> Level {
    (node.get().wrapping_add(1).trailing_zeros() / 4) as Level
}

/// Reserves, links and publishes all nodes; the lists are full on average by three quarters.
fn fill<G: Graph>(graph: &G, config: &GraphConfig) {
    for _ in 0..NODES / 100 {
        let first = graph.reserve(100, level).unwrap().get();
        for node in (first..first + 100).map(NodeId::new) {
            let mut attempt = 0;
            loop {
                let mut session = graph.write(attempt);
                for level in 0..=level(node) {
                    let cap = config.cap(level) as u32;
                    let degree = cap / 2 + node.get() % (cap / 2 + 1);
                    session.rewrite(At::new(node, level), |_, out| {
                        (0..degree).for_each(|i| out.push(Link::to(NodeId::new(i))));
                        Verdict::Replace
                    });
                }
                session.publish(node);
                if session.commit().is_ok() {
                    break;
                }
                attempt += 1;
            }
        }
    }
    graph.quiesce();
}

fn reported_is_counted<G: Graph>() {
    for config in [GraphConfig::new(16), GraphConfig::new(16).with_capacity(NODES)] {
        let before = live();
        let graph = Box::new(G::with_config(&config).unwrap());
        fill(&*graph, &config);
        let counted = live() - before;
        let report = graph.memory();
        let reported = report.total();
        assert!(
            reported.abs_diff(counted) * 50 <= counted,
            "{}: {reported} bytes reported, {counted} allocated, with {config:?}: {report:#?}",
            G::NAME,
        );
        assert_eq!(report.vectors_bytes, 0, "a graph holds no vectors");
        let degrees = NODES * 16;
        assert!(report.links_bytes >= degrees * size_of::<Link>(), "{}: {report:#?}", G::NAME);
        drop(graph);
        let left = live() - before;
        assert!(left * 50 <= counted, "{}: {left} bytes left of {counted}", G::NAME);
    }
}

/// Rows, rests and what the codec has learnt are on the ledger, each where it belongs.
fn rows_are_counted<C: Codec>() {
    for (metric, dim) in [(Metric::L2, 100), (Metric::Cosine, 384)] {
        let rows: Vec<f32> = (0..NODES * dim).map(|i| (i * 7919 % 1009 + 1) as f32).collect();
        let config = IndexConfig { ef_construction: 4, capacity: NODES, ..IndexConfig::new(dim, metric) };
        let before = live();
        let index = Box::new(Index::<Sequential, C>::trained(config, &rows).unwrap());
        let mut scratch = Scratch::<C>::new();
        for row in rows.chunks(dim) {
            index.insert_with(row, &mut scratch).unwrap();
        }
        let counted = live() - before;
        let mut report = index.memory();
        report.scratch_bytes += scratch.bytes();
        let codec = C::train(dim, metric, &rows).unwrap();
        assert_eq!(report.vectors_bytes, NODES * codec.vector_bytes(), "{}", C::NAME);
        assert_eq!(report.codes_bytes, NODES * codec.code_bytes(), "{}", C::NAME);
        let stored = NODES * (codec.lines() + codec.rest_lines()) * size_of::<Line>();
        assert!(report.vectors_bytes + report.codes_bytes <= stored, "{}", C::NAME);
        // Without rows and rests the same must hold, or they would hide any error.
        let (above, seen) = (report.total() - stored, counted - stored);
        assert!(above.abs_diff(seen) * 50 <= seen, "{}: {above} reported, {seen} seen: {report:#?}", C::NAME);
    }
}

macro_rules! check_each {
    ($(($name:ident, $graph:ty)),+ $(,)?) => { $(reported_is_counted::<$graph>();)+ };
}

macro_rules! check_each_codec {
    ($(($name:literal, $codec:ty)),+ $(,)?) => { $(rows_are_counted::<$codec>();)+ };
}

/// One test for all, because the allocator counts for the whole process.
#[test]
fn reported_memory_is_what_the_allocator_counted() {
    hnsw_strategies::for_each_strategy!(check_each);
    hnsw_core::for_each_codec!(check_each_codec);
}
