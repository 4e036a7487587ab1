//! The memory report of every strategy against what the allocator saw.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;

use allocator::{calls, own};
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Level, Link, MemoryReport, NodeId, Verdict};

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

/// What concurrency control takes for each list, in bytes: a lock, a version, a handle, or what leads to older versions.
const SYNC: [(&str, usize); 8] = [
    ("sequential", 0),
    ("coarse", 0),
    ("fine", 1),
    ("slots", 1),
    ("batch", 1),
    ("seqlock", 4),
    ("lockfree", 4),
    ("mvcc", 10),
];

/// Strategies whose edits ask for memory: for blocks in the stead of others, and for what a commit makes known.
const ALLOCATE: [&str; 2] = ["lockfree", "mvcc"];

fn reported_is_counted<G: Graph>() {
    // What libraries allocate once, for the thread or the process, is there before it is counted.
    let config = GraphConfig::new(2);
    fill(&G::with_config(&config).unwrap(), &config);
    let (_, sync) =
        SYNC.into_iter().find(|(name, _)| *name == G::NAME).expect("the strategy is in the table");
    let levels = (0..NODES as u32).map(|n| usize::from(level(NodeId::new(n))));
    let (upper, lists) = (levels.clone().filter(|&l| l > 0).count(), NODES + levels.sum::<usize>());
    for config in [GraphConfig::new(16), GraphConfig::new(16).with_capacity(NODES)] {
        let before = own();
        let graph = Box::new(G::with_config(&config).unwrap());
        fill(&*graph, &config);
        let counted = own() - before;
        let report = graph.memory();
        assert_eq!(report.total(), counted, "{} with {config:?}: {report:#?}", G::NAME);
        assert_eq!(report.sync_bytes, lists * sync, "{}: {report:#?}", G::NAME);
        // A byte for level and state of each node; a word for sixteen nodes leads to the towers, of three words each, of those that
        // are above level 0.
        let levels = NODES + 4 * NODES.div_ceil(16) + 12 * upper;
        assert_eq!(report.levels_bytes, levels, "{}: {report:#?}", G::NAME);
        assert!(report.links_bytes >= NODES * 16 * size_of::<Link>(), "{}: {report:#?}", G::NAME);
        assert!(report.links_bytes <= (NODES * 32 + (lists - NODES) * 16) * size_of::<Link>());
        let none = MemoryReport {
            links_bytes: report.links_bytes,
            slack_bytes: report.slack_bytes,
            levels_bytes: report.levels_bytes,
            sync_bytes: report.sync_bytes,
            scratch_bytes: report.scratch_bytes,
            fixed_bytes: report.fixed_bytes,
            ..MemoryReport::default()
        };
        assert_eq!(report, none, "{}: a graph at rest, without vectors", G::NAME);
        if config.capacity == NODES {
            assert!(counted < 160 * NODES, "{}: {counted} bytes, of which 128 a node are links", G::NAME);
        }

        if !ALLOCATE.contains(&G::NAME) {
            let before = calls();
            for n in 0..1_000 {
                let mut session = graph.write(0);
                session.rewrite(At::base(NodeId::new(n)), |list, out| {
                    list.iter().skip(1).for_each(|&link| out.push(link));
                    Verdict::Replace
                });
                session.commit().unwrap();
            }
            assert_eq!(calls(), before, "{}: an edit asked for memory", G::NAME);
        }
        drop(graph);
        assert_eq!(own(), before, "{}: bytes were left", G::NAME);
    }
}

macro_rules! check_each {
    ($(($name:ident, $graph:ty)),+ $(,)?) => { $(reported_is_counted::<$graph>();)+ };
}

#[test]
fn reported_memory_is_what_the_allocator_counted() {
    hnsw_strategies::for_each_strategy!(check_each);
}
