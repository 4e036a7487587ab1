//! What every strategy promises of its sessions: one body per property, run for each strategy of the list.
#![cfg(not(hnsw_loom))]

use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, MAX_LEVEL, NodeId, NodeState, Stage, Verdict,
    View,
};
use hnsw_core::sync::{AtomicBool, Ordering, thread};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::time::{Duration, Instant};

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        $(mod $name {
            properties! {
                $graph;
                a_wrong_config_is_refused,
                a_new_graph_is_empty,
                lists_of_all_levels_round_trip,
                reserving_beyond_the_capacity_takes_nothing,
                a_rewrite_sees_the_list_and_its_verdict_counts,
                lists_fill_to_the_cap_at_every_m,
                a_rewrite_that_panics_leaves_the_list_unlocked_and_unchanged,
                racing_rewrites_of_one_list_lose_nothing,
                one_of_many_founds_the_graph,
                the_entry_point_only_rises,
                one_of_many_removes_a_node,
                a_session_that_may_change_lists_shows_them_too,
                lists_are_never_torn,
                a_wait_for_a_lock_is_counted,
                a_short_wait_for_a_lock_is_counted,
                a_lost_race_is_counted,
                a_read_that_is_disturbed_is_counted,
            }
        })+
    };
}

macro_rules! properties {
    ($graph:ty; $($property:ident),+ $(,)?) => {
        $(#[test]
        fn $property() {
            super::$property::<$graph>()
        })+
    };
}

hnsw_strategies::for_each_strategy!(suite);

const THREADS: u32 = 4;
/// Rewrites of one thread in a race. Odd, so that the last one adds.
const ROUNDS: u32 = 1_001;

/// Strategies that hold a lock while a rewrite decides. The others have none then that another writer could wait for.
const LOCKED_REWRITES: [&str; 4] = ["sequential", "coarse", "fine", "batch"];

fn a_wait_for_a_lock_is_counted<G: Graph>() {
    if !LOCKED_REWRITES.contains(&G::NAME) {
        return;
    }
    let graph: G = graph(4, 10);
    let node = graph.reserve(1, |_| 0).unwrap();
    edit(&graph, |session| session.publish(node));
    assert_eq!(graph.contention().lock_waits, 0);
    let (held, waited) = (Barrier::new(2), Duration::from_secs(20));
    thread::scope(|scope| {
        scope.spawn(|| {
            edit(&graph, |session| {
                session.rewrite(At::new(node, 0), |_, _| {
                    held.wait();
                    let until = Instant::now() + waited;
                    while graph.contention().lock_waits == 0 && Instant::now() < until {
                        thread::yield_now();
                    }
                    Verdict::Keep
                })
            })
        });
        held.wait();
        edit(&graph, |session| session.rewrite(At::new(node, 0), |_, _| Verdict::Keep));
    });
    assert!(graph.contention().lock_waits > 0, "a writer waited for another and it was not counted");
}

/// `slots` holds a lock while it copies or stores a list, not while a rewrite decides: another writer meets it only by chance.
fn a_short_wait_for_a_lock_is_counted<G: Graph>() {
    if G::NAME != "slots" {
        return;
    }
    let graph: G = graph(4, 10);
    graph.reserve(10, |_| 0).unwrap();
    let at = At::base(NodeId::new(0));
    let until = Instant::now() + Duration::from_secs(20);
    assert_eq!(graph.contention().lock_waits, 0);
    thread::scope(|scope| {
        for first in [1, 4] {
            let graph = &graph;
            scope.spawn(move || {
                while graph.contention().lock_waits == 0 && Instant::now() < until {
                    for n in first..first + 3 {
                        edit(graph, |session| set(session, at, &[Link::to(NodeId::new(n))]));
                    }
                }
            });
        }
    });
    assert!(graph.contention().lock_waits > 0, "a writer waited for another and it was not counted");
}

/// Strategies that hold nothing while a rewrite decides, and see afterwards whether the list is still as it was.
const OPTIMISTIC_REWRITES: [&str; 3] = ["lockfree", "slots", "seqlock"];

fn a_lost_race_is_counted<G: Graph>() {
    if !OPTIMISTIC_REWRITES.contains(&G::NAME) {
        return;
    }
    let graph: G = graph(4, 10);
    graph.reserve(4, |_| 0).unwrap();
    let at = At::base(NodeId::new(0));
    let mut calls = 0;
    edit(&graph, |session| {
        session.rewrite(at, |list, out| {
            calls += 1;
            if calls == 1 {
                assert_eq!(graph.contention().cas_failures, 0);
                edit(&graph, |other| set(other, at, &[Link::to(NodeId::new(1))]));
            }
            list.iter().for_each(|&link| out.push(link));
            out.push(Link::to(NodeId::new(2)));
            Verdict::Replace
        })
    });
    assert_eq!(calls, 2, "the other rewrite came between");
    assert_eq!(graph.contention().cas_failures, 1);
    let nodes: BTreeSet<_> = links(&graph, at).iter().map(|link| link.node().get()).collect();
    assert_eq!(nodes, BTreeSet::from([1, 2]));
}

/// Strategies whose readers look at a list again if it was written meanwhile.
const REPEATED_READS: [&str; 3] = ["seqlock", "batch", "mvcc"];

fn a_read_that_is_disturbed_is_counted<G: Graph>() {
    if !REPEATED_READS.contains(&G::NAME) {
        return;
    }
    let graph: G = graph(16, 10);
    graph.reserve(10, |_| 0).unwrap();
    let at = At::base(NodeId::new(0));
    links(&graph, at);
    assert_eq!(graph.contention().read_retries, 0);
    let stop = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(20);
    thread::scope(|scope| {
        let graph = &graph;
        scope.spawn(|| {
            let mut first = 1;
            // Relaxed [sessions-disturb]: ends a loop.
            while !stop.load(Ordering::Relaxed) {
                first = first % 8 + 1;
                let list: Vec<_> = (first..10).map(|n| Link::to(NodeId::new(n))).collect();
                edit(graph, |session| set(session, at, &list));
            }
        });
        while graph.contention().read_retries == 0 && Instant::now() < until {
            links(graph, at);
        }
        // Relaxed [sessions-disturbed]: ends a loop.
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        graph.contention().read_retries > 0,
        "a list was written while it was read, and it was not counted"
    );
}

fn graph<G: Graph>(m: usize, capacity: usize) -> G {
    G::with_config(&GraphConfig::new(m).with_capacity(capacity)).unwrap()
}

/// Makes an edit, and makes it again as long as its commit is refused.
fn edit<G: Graph, R>(graph: &G, mut change: impl FnMut(&mut G::Write<'_>) -> R) -> R {
    let mut attempt = 0;
    loop {
        let mut session = graph.write(attempt);
        let result = change(&mut session);
        if session.commit().is_ok() {
            return result;
        }
        attempt += 1;
    }
}

/// Puts `links` in the place of the list at `at`.
fn set(session: &mut impl Edit, at: At, links: &[Link]) -> Verdict {
    session.rewrite(at, |_, out| {
        links.iter().for_each(|&link| out.push(link));
        Verdict::Replace
    })
}

fn links<G: Graph>(graph: &G, at: At) -> Vec<Link> {
    graph.read().links(at, &mut LinkBuf::new()).to_vec()
}

/// The order of links within a list means nothing.
fn sorted(links: &[Link]) -> Vec<Link> {
    let mut links = links.to_vec();
    links.sort_unstable();
    links
}

fn to(node: u32) -> Link {
    Link::to(NodeId::new(node))
}

/// Every third link is an anchor.
fn mixed(targets: impl Iterator<Item = u32>) -> Vec<Link> {
    targets.map(|n| if n % 3 == 0 { Link::anchor(NodeId::new(n)) } else { to(n) }).collect()
}

fn nodes(range: core::ops::Range<u32>) -> impl Iterator<Item = NodeId> {
    range.map(NodeId::new)
}

/// Runs `body(thread)` on all threads at once and returns what they returned.
fn race<R: Send>(body: impl Fn(u32) -> R + Sync) -> Vec<R> {
    let (body, start) = (&body, &Barrier::new(THREADS as usize));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                scope.spawn(move || {
                    start.wait();
                    body(t)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn a_wrong_config_is_refused<G: Graph>() {
    assert_eq!(G::with_config(&GraphConfig::new(1)).err(), Some(ConfigError::M(1)));
    assert_eq!(G::with_config(&GraphConfig::new(16).with_capacity(0)).err(), Some(ConfigError::Capacity(0)));
}

fn a_new_graph_is_empty<G: Graph>() {
    let graph = graph::<G>(16, 10);
    let view = graph.read();
    assert_eq!((view.entry(), view.node_count()), (None, 0));
    assert_eq!(view.state(NodeId::new(0)), NodeState::Free);
    assert!(!view.may_have_tombstones());
}

fn lists_of_all_levels_round_trip<G: Graph>() {
    const NODES: u32 = 300;
    fn level(node: NodeId) -> Level {
        [0, 0, 0, 1, 0, 2, 0, 0, 0, 5, MAX_LEVEL][node.index() % 11]
    }
    let graph = graph::<G>(4, NODES as usize);
    // In pieces, so that the storage grows between uses.
    for first in (0..NODES).step_by(50) {
        assert_eq!(graph.reserve(50, level), Ok(NodeId::new(first)));
        for node in nodes(first..first + 50) {
            edit(&graph, |session| {
                assert_eq!(session.state(node), NodeState::Reserved);
                for level in 0..=level(node) {
                    let at = At::new(node, level);
                    assert!(session.links(at, &mut LinkBuf::new()).is_empty(), "a new list at {at:?}");
                    set(session, at, &mixed(level.into()..node.get() % 4 + u32::from(level)));
                }
                session.publish(node);
            });
        }
    }
    let view = graph.read();
    assert_eq!(view.node_count(), NODES as usize);
    let mut buf = LinkBuf::new();
    for node in nodes(0..NODES) {
        assert_eq!((view.state(node), view.level(node)), (NodeState::Live, level(node)));
        for level in 0..=level(node) {
            let at = At::new(node, level);
            view.prefetch(at, Stage::Far);
            view.prefetch(at, Stage::Near);
            let expected = mixed(level.into()..node.get() % 4 + u32::from(level));
            assert_eq!(sorted(view.links(at, &mut buf)), sorted(&expected), "at {at:?}");
        }
    }
    assert_eq!(view.state(NodeId::new(NODES)), NodeState::Free);
}

fn reserving_beyond_the_capacity_takes_nothing<G: Graph>() {
    let graph = graph::<G>(4, 3);
    assert_eq!(graph.reserve(4, |_| 1), Err(Full { capacity: 3 }));
    assert_eq!(graph.read().node_count(), 0);
    assert_eq!(graph.reserve(3, |_| 1), Ok(NodeId::new(0)));
    assert_eq!(graph.reserve(1, |_| 1), Err(Full { capacity: 3 }));
    assert_eq!(graph.read().node_count(), 3);
}

fn a_rewrite_sees_the_list_and_its_verdict_counts<G: Graph>() {
    let graph = graph::<G>(4, 10);
    graph.reserve(10, |_| 1).unwrap();
    for level in 0..=1 {
        let at = At::new(NodeId::new(0), level);
        let first = mixed(1..5);
        assert_eq!(edit(&graph, |session| set(session, at, &first)), Verdict::Replace);
        let verdict = edit(&graph, |session| {
            session.rewrite(at, |list, out| {
                assert_eq!((sorted(list), out.len()), (sorted(&first), 0));
                out.push(to(9));
                Verdict::Keep
            })
        });
        assert_eq!(verdict, Verdict::Keep);
        assert_eq!(sorted(&links(&graph, at)), sorted(&first), "Keep ignores the output");
        edit(&graph, |session| {
            set(session, at, &[to(7)]);
            assert_eq!(session.links(at, &mut LinkBuf::new()), &[to(7)], "an edit sees itself");
        });
        assert_eq!(links(&graph, at), [to(7)], "a shorter list leaves nothing of a longer one");
        edit(&graph, |session| set(session, at, &[]));
        assert_eq!(links(&graph, at), []);
    }
}

fn lists_fill_to_the_cap_at_every_m<G: Graph>() {
    for m in [2, 3, 8, 16, 23, 128] {
        let graph = graph::<G>(m, 3);
        graph.reserve(3, |_| 2).unwrap();
        let full = |node: NodeId, level| {
            let cap = GraphConfig::new(m).cap(level) as u32;
            mixed((0..cap).map(|i| node.get() + 3 * u32::from(level) + 9 * i))
        };
        for node in nodes(0..3) {
            edit(&graph, |session| {
                (0..=2).for_each(|level| {
                    set(session, At::new(node, level), &full(node, level));
                })
            });
        }
        for (node, level) in nodes(0..3).flat_map(|node| (0..=2).map(move |level| (node, level))) {
            assert_eq!(sorted(&links(&graph, At::new(node, level))), sorted(&full(node, level)), "M = {m}");
        }
    }
}

fn a_rewrite_that_panics_leaves_the_list_unlocked_and_unchanged<G: Graph>() {
    let graph = graph::<G>(4, 2);
    graph.reserve(2, |_| 1).unwrap();
    for level in 0..=1 {
        let at = At::new(NodeId::new(0), level);
        edit(&graph, |session| set(session, at, &[to(1)]));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            edit(&graph, |session| {
                session.rewrite(at, |_, out| {
                    out.push(to(0));
                    panic!("a closure that panics, as this test wants");
                })
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(links(&graph, at), [to(1)]);
        edit(&graph, |session| set(session, at, &[Link::anchor(NodeId::new(1))]));
        assert_eq!(links(&graph, at), [Link::anchor(NodeId::new(1))]);
    }
}

/// All threads change one list, each only its own links: it removes them, or adds them to those of the others. So each finds
/// its own links as it left them, unless a rewrite was lost.
fn racing_rewrites_of_one_list_lose_nothing<G: Graph>() {
    const M: usize = 16;
    let graph = graph::<G>(M, 1);
    graph.reserve(1, |_| 1).unwrap();
    for level in 0..=1 {
        let at = At::new(NodeId::new(0), level);
        let each = GraphConfig::new(M).cap(level) as u32 / THREADS;
        race(|t| {
            let own: Vec<Link> = (t * each..(t + 1) * each).map(|own| to(1 + own)).collect();
            let mut left: &[Link] = &[];
            for round in 0..ROUNDS {
                let next = if round % 2 == 0 { &own[..] } else { &[] };
                edit(&graph, |session| {
                    session.rewrite(at, |list, out| {
                        let (mine, others): (Vec<_>, Vec<_>) =
                            list.iter().partition(|link| own.contains(link));
                        assert_eq!(mine, left, "in round {round}");
                        // Others get their chance between what this thread saw and what it does.
                        if round % 8 == 0 {
                            thread::yield_now();
                        }
                        next.iter().chain(&others).for_each(|&link| out.push(link));
                        Verdict::Replace
                    })
                });
                left = next;
            }
        });
        assert_eq!(
            sorted(&links(&graph, at)),
            (0..THREADS * each).map(|own| to(1 + own)).collect::<Vec<_>>()
        );
    }
}

fn one_of_many_founds_the_graph<G: Graph>() {
    for _ in 0..50 {
        let graph = graph::<G>(4, THREADS as usize);
        let founders: Vec<Entry> = race(|_| {
            let node = graph.reserve(1, |_| 0).unwrap();
            let entry = Entry { node, level: 0 };
            let founded = edit(&graph, |session| {
                session.publish(node);
                session.found(entry)
            });
            founded.then_some(entry)
        })
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(founders.len(), 1, "{founders:?}");
        assert_eq!(graph.read().entry(), Some(founders[0]));
    }
}

fn the_entry_point_only_rises<G: Graph>() {
    for _ in 0..20 {
        let graph = graph::<G>(4, 64);
        let level = |node: NodeId| (node.get() * 7 % 16) as Level;
        graph.reserve(64, level).unwrap();
        edit(&graph, |session| session.found(Entry { node: NodeId::new(0), level: 0 }));
        let raised: Vec<Level> = race(|t| {
            let mut seen = 0;
            nodes(1..64)
                .filter(|node| node.get() % THREADS == t)
                .filter_map(|node| {
                    let entry = Entry { node, level: level(node) };
                    let raised = edit(&graph, |session| session.raise_entry(entry));
                    let now = graph.read().entry().unwrap();
                    assert_eq!(now.level, level(now.node), "level and node of one entry");
                    assert!(now.level >= seen && now.level >= entry.level);
                    seen = now.level;
                    raised.then_some(entry.level)
                })
                .collect::<Vec<_>>()
        })
        .concat();
        assert_eq!(graph.read().entry().unwrap().level, 15);
        let levels: BTreeSet<_> = raised.iter().collect();
        assert_eq!(levels.len(), raised.len(), "each rise was to a level of its own: {raised:?}");
        assert!(levels.contains(&15));
    }
}

fn one_of_many_removes_a_node<G: Graph>() {
    let graph = graph::<G>(4, 100);
    graph.reserve(100, |_| 0).unwrap();
    assert!(!edit(&graph, |session| session.tombstone(NodeId::new(0))), "it is not live yet");
    for node in nodes(0..100) {
        edit(&graph, |session| session.publish(node));
        let removed = race(|_| edit(&graph, |session| session.tombstone(node)));
        assert_eq!(removed.iter().filter(|&&removed| removed).count(), 1, "node {node}");
        let view = graph.read();
        assert_eq!(view.state(node), NodeState::Tombstone);
        assert!(view.may_have_tombstones());
    }
}

fn a_session_that_may_change_lists_shows_them_too<G: Graph>() {
    let graph = graph::<G>(4, 10);
    graph.reserve(3, |node| node.get() as Level).unwrap();
    edit(&graph, |session| nodes(0..3).for_each(|node| session.publish(node)));
    edit(&graph, |session| assert!(!session.may_have_tombstones()));
    let entry = Entry { node: NodeId::new(2), level: 2 };
    edit(&graph, |session| {
        session.found(entry);
        set(session, At::new(NodeId::new(2), 1), &[Link::to(NodeId::new(1))]);
        assert!(!session.may_have_tombstones());
        session.tombstone(NodeId::new(1));
        assert!(session.may_have_tombstones());
    });
    edit(&graph, |session| {
        nodes(0..3).for_each(|node| assert_eq!(session.level(node), node.get() as Level));
        assert_eq!(session.node_count(), 3);
        assert_eq!(session.entry(), Some(entry));
        assert!(session.may_have_tombstones());
        assert_eq!(session.state(NodeId::new(1)), NodeState::Tombstone);
        assert_eq!(session.state(NodeId::new(2)), NodeState::Live);
        let links = session.links(At::new(NodeId::new(2), 1), &mut LinkBuf::new()).to_vec();
        assert_eq!(links, [Link::to(NodeId::new(1))]);
    });
}

/// Contract P6: two threads insert nodes and shorten, lengthen and reorder the lists of others, while one reads.
fn lists_are_never_torn<G: Graph>() {
    const M: usize = 16;
    /// The hubs: few, so that readers and writers meet.
    const FIRST: u32 = 3;
    const CAPACITY: u32 = 20_000;
    fn level(node: NodeId) -> Level {
        if node.get() < FIRST { 2 } else { [0, 0, 1, 0, 2][node.index() % 5] }
    }
    let config = GraphConfig::new(M).with_capacity(CAPACITY as usize);
    let graph = &G::with_config(&config).unwrap();
    graph.reserve(FIRST as usize, level).unwrap();
    edit(graph, |session| {
        nodes(0..FIRST).for_each(|node| session.publish(node));
        session.found(Entry { node: NodeId::new(0), level: 2 })
    });
    let stop = &AtomicBool::new(false);
    // Relaxed [sessions-stop]: ends loops.
    let running = || !stop.load(Ordering::Relaxed);
    let (written, read) = thread::scope(|scope| {
        let writers = [1u32, 2].map(|seed| {
            scope.spawn(move || {
                let mut random = seed;
                let mut below = move |n: u32| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 8) % n
                };
                let mut changes = 0;
                while running() {
                    let node = match graph.reserve(1, level) {
                        Ok(new) => {
                            edit(graph, |session| {
                                (0..=level(new)).for_each(|level| {
                                    set(session, At::new(new, level), &[to(0), to(1)]);
                                });
                                session.publish(new);
                            });
                            new
                        }
                        Err(Full { .. }) => NodeId::new(below(CAPACITY)),
                    };
                    // In the list of a hub: the node first, without a second link to it, cut at a random length.
                    for level in 0..=level(node) {
                        let hub = NodeId::new(below(FIRST));
                        if hub == node {
                            continue;
                        }
                        let keep = below(config.cap(level) as u32) as usize;
                        edit(graph, |session| {
                            session.rewrite(At::new(hub, level), |list, out| {
                                if keep == 0 {
                                    thread::yield_now();
                                }
                                out.push(Link::to(node));
                                let others = list.iter().filter(|link| link.node() != node);
                                others.take(keep).for_each(|&link| out.push(link));
                                Verdict::Replace
                            })
                        });
                        changes += 1;
                    }
                }
                changes
            })
        });
        let reader = scope.spawn(move || {
            let mut buf = LinkBuf::new();
            let mut lists = 0;
            while running() {
                for at in nodes(0..FIRST).flat_map(|node| (0..=2).map(move |level| At::new(node, level))) {
                    let view = graph.read();
                    let list = view.links(at, &mut buf);
                    assert!(list.len() <= config.cap(at.level), "{} links at {at:?}", list.len());
                    for (i, link) in list.iter().enumerate() {
                        let node = link.node();
                        assert!(node.index() < view.node_count(), "{node} was not given out");
                        assert!(node != at.node, "a loop at {at:?}");
                        assert!(view.level(node) >= at.level, "{node} at {at:?}");
                        assert_eq!(view.level(node), level(node));
                        assert_eq!(view.state(node), NodeState::Live);
                        let once = list[..i].iter().all(|l| l.node() != node);
                        assert!(once || !G::CAPS.whole_lists, "{node} twice at {at:?}");
                        // The target's own lists are there to be read: it was linked after they were written.
                        let mut own = LinkBuf::new();
                        assert!(
                            node.get() < FIRST || !view.links(At::new(node, at.level), &mut own).is_empty()
                        );
                    }
                    lists += usize::from(!list.is_empty());
                }
            }
            lists
        });
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until && !reader.is_finished() {
            thread::yield_now();
        }
        // Relaxed [sessions-stop-set]: ends loops.
        stop.store(true, Ordering::Relaxed);
        (writers.map(|w| w.join().unwrap()).iter().sum::<usize>(), reader.join().unwrap())
    });
    assert!(written > 0 && read > 0, "{written} lists written, {read} read");
    graph.quiesce();
}
