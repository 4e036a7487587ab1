//! What `mvcc` promises beyond the contract that all strategies share: snapshots, whole commits, conflicts that leave no
//! trace, and readers that a suspended committer does not stop.
#![cfg(not(hnsw_loom))]

use hnsw_core::graph::{
    At, Edit, Entry, Graph, GraphConfig, Link, LinkBuf, NodeId, NodeState, Snapshots, Stamp, Verdict, View,
};
use hnsw_strategies::Mvcc;
use hnsw_strategies::mvcc::{Conflict, Snapshot, Write};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

/// How long to wait for other threads before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(20);

fn node(number: u32) -> NodeId {
    NodeId::new(number)
}

fn base(number: u32) -> At {
    At::base(node(number))
}

/// Links to these nodes, some of them anchors.
fn links(numbers: impl IntoIterator<Item = u32>) -> Vec<Link> {
    let link = |n: u32| if n.is_multiple_of(5) { Link::anchor(node(n)) } else { Link::to(node(n)) };
    numbers.into_iter().map(link).collect()
}

fn put(edit: &mut Write<'_>, at: At, content: &[Link]) {
    edit.rewrite(at, |_, new| {
        new.copy_from(content);
        Verdict::Replace
    });
}

fn list(view: &impl View, at: At) -> Vec<Link> {
    view.links(at, &mut LinkBuf::new()).to_vec()
}

/// Repeats an edit until it is not refused.
fn edit(graph: &Mvcc, mut f: impl FnMut(&mut Write<'_>)) -> Stamp {
    let mut attempt = 0;
    loop {
        let mut session = graph.write(attempt);
        f(&mut session);
        match session.commit() {
            Ok(stamp) => return stamp,
            Err(Conflict) => attempt += 1,
        }
    }
}

/// A graph of `count` live nodes without links, node `n` on level `n % 3`, with room for a hundred more.
fn graph(m: usize, count: u32) -> Mvcc {
    let graph = Mvcc::with_config(&GraphConfig::new(m).with_capacity(count as usize + 100)).unwrap();
    graph.reserve(count as usize, |n| (n.get() % 3) as u8).unwrap();
    edit(&graph, |session| (0..count).for_each(|n| session.publish(node(n))));
    graph
}

/// Everything that a view shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    entry: Option<Entry>,
    tombstones: bool,
    states: Vec<NodeState>,
    lists: Vec<Vec<Link>>,
}

fn picture(view: &impl View) -> Picture {
    let nodes = || (0..view.node_count() as u32).map(node);
    let mut lists = Vec::new();
    for node in nodes().filter(|&node| view.state(node) != NodeState::Reserved) {
        lists.extend((0..=view.level(node)).map(|level| list(view, At { node, level })));
    }
    Picture {
        entry: view.entry(),
        tombstones: view.may_have_tombstones(),
        states: nodes().map(|node| view.state(node)).collect(),
        lists,
    }
}

/// Quiesces until nothing is retired. Other tests of this process can delay that: they share the epoch.
fn quiesce(graph: &Mvcc) {
    let begin = Instant::now();
    graph.quiesce();
    while graph.memory().retired_bytes > 0 {
        assert!(begin.elapsed() < PATIENCE, "not freed: {:?}", graph.memory());
        std::thread::yield_now();
        graph.quiesce();
    }
}

#[test]
fn what_is_committed_is_read_back() {
    let graph = graph(4, 20);
    let before = graph.snapshot();
    let stamp = edit(&graph, |session| {
        for n in 0..20 {
            put(session, base(n), &links(n..n + 8));
            for level in 1..=session.level(node(n)) {
                put(session, At { node: node(n), level }, &links(n..n + u32::from(level)));
            }
        }
        assert!(session.found(Entry { node: node(2), level: 2 }));
    });
    assert!(stamp > Mvcc::stamp(&before));
    let (newest, after) = (graph.read(), graph.snapshot());
    assert_eq!(Mvcc::stamp(&after), stamp);
    assert_eq!(picture(&newest), picture(&after));
    assert_eq!(newest.entry(), Some(Entry { node: node(2), level: 2 }));
    assert_eq!(list(&newest, base(7)), links(7..15));
    assert_eq!(list(&newest, At::new(node(5), 2)), links([5, 6]));
    assert_eq!(before.entry(), None);
    assert!(picture(&before).lists.iter().all(Vec::is_empty));
    let nothing = graph.write(0).commit();
    assert_eq!(nothing, Ok(stamp), "an edit of nothing is as new as the newest commit");
}

#[test]
fn a_session_sees_its_own_changes_and_no_one_else_does() {
    let graph = graph(4, 10);
    edit(&graph, |session| put(session, base(1), &links([2])));
    let new = graph.reserve(1, |_| 0).unwrap();
    let mut session = graph.write(0);
    put(&mut session, base(1), &links([3]));
    assert_eq!(list(&session, base(1)), links([3]));
    let mut seen = Vec::new();
    session.rewrite(base(1), |old, to| {
        seen = old.to_vec();
        to.copy_from(&links([4, 5]));
        Verdict::Replace
    });
    assert_eq!(seen, links([3]), "a second rewrite sees the first");
    assert_eq!(session.rewrite(base(1), |_, _| Verdict::Keep), Verdict::Keep);
    assert_eq!(list(&session, base(1)), links([4, 5]));
    session.publish(new);
    assert!(session.tombstone(node(1)) && !session.tombstone(node(1)));
    assert_eq!(list(&session, base(1)), links([4, 5]), "a removal leaves the list as it is");
    assert_eq!((session.state(new), session.state(node(1))), (NodeState::Live, NodeState::Tombstone));
    let entry = |n, level| Entry { node: node(n), level };
    assert!(session.found(entry(0, 0)) && !session.found(entry(1, 1)));
    assert!(session.raise_entry(entry(2, 2)) && !session.raise_entry(entry(5, 2)));
    assert_eq!(session.entry(), Some(entry(2, 2)));
    assert!(session.may_have_tombstones());

    let newest = graph.read();
    assert_eq!(list(&newest, base(1)), links([2]));
    assert_eq!((newest.state(new), newest.state(node(1))), (NodeState::Reserved, NodeState::Live));
    assert_eq!((newest.entry(), newest.may_have_tombstones()), (None, false));
    session.commit().unwrap();
    assert_eq!(list(&newest, base(1)), links([4, 5]));
    assert_eq!((newest.state(new), newest.state(node(1))), (NodeState::Live, NodeState::Tombstone));
    assert_eq!((newest.entry(), newest.may_have_tombstones()), (Some(entry(2, 2)), true));
}

#[test]
fn a_session_that_is_dropped_leaves_no_trace() {
    let graph = graph(4, 10);
    let before = picture(&graph.read());
    for attempt in [0, 3] {
        let mut session = graph.write(attempt);
        put(&mut session, base(1), &links([2]));
        assert!(session.tombstone(node(2)));
        assert!(session.found(Entry { node: node(0), level: 0 }));
    }
    assert_eq!(picture(&graph.read()), before);
    assert_eq!(picture(&graph.snapshot()), before);
}

#[test]
fn an_edit_of_what_another_changed_is_refused_whole() {
    type Change = fn(&mut Write<'_>);
    fn found<const N: u32>(session: &mut Write<'_>) {
        assert!(session.found(Entry { node: node(N), level: N as u8 }));
    }
    fn raise<const N: u32>(session: &mut Write<'_>) {
        assert!(session.raise_entry(Entry { node: node(N), level: N as u8 }));
    }
    fn rewrite<const N: u32>(session: &mut Write<'_>) {
        put(session, base(N), &links([3]));
    }
    fn rewrite_above(session: &mut Write<'_>) {
        put(session, At::new(node(1), 1), &links([3]));
    }
    fn remove(session: &mut Write<'_>) {
        assert!(session.tombstone(node(1)));
    }
    fn look(session: &mut Write<'_>) {
        assert_eq!(list(session, base(1)), []);
    }
    fn keep(session: &mut Write<'_>) {
        session.rewrite(base(1), |_, _| Verdict::Keep);
    }
    let cases: [(&str, Change, Change, bool); 10] = [
        ("two rewrites of one list", rewrite::<1>, rewrite::<1>, true),
        ("rewrites of two lists", rewrite::<1>, rewrite::<2>, false),
        ("rewrites on two levels", rewrite_above, rewrite::<1>, false),
        ("rewrites on one upper level", rewrite_above, rewrite_above, true),
        ("two removals of one node", remove, remove, true),
        ("a removal and a rewrite", remove, rewrite::<1>, true),
        ("two first entries", found::<1>, found::<2>, true),
        ("two higher entries", raise::<1>, raise::<2>, true),
        ("a rewrite and a look", rewrite::<1>, look, false),
        ("a rewrite and a kept list", rewrite::<1>, keep, false),
    ];
    for (name, first, second, conflict) in cases {
        let graph = graph(4, 10);
        let (mut one, mut two) = (graph.write(0), graph.write(0));
        first(&mut one);
        second(&mut two);
        // A change beside it, of which nothing may be seen either.
        put(&mut two, base(9), &links([8]));
        one.commit().unwrap();
        let between = picture(&graph.read());
        assert_eq!(two.commit().err(), conflict.then_some(Conflict), "{name}");
        assert_eq!(picture(&graph.read()) == between, conflict, "{name}");
        assert_eq!(graph.contention().commit_conflicts, u64::from(conflict), "{name}");
    }
}

#[test]
fn an_edit_that_was_refused_often_gets_through() {
    let graph = graph(4, 10);
    std::thread::scope(|scope| {
        let mut session = graph.write(3);
        put(&mut session, base(1), &links([2]));
        let other = scope.spawn(|| edit(&graph, |session| put(session, base(1), &links([3]))));
        let begin = Instant::now();
        while graph.contention().lock_waits == 0 {
            assert!(begin.elapsed() < PATIENCE, "the other edit waits");
            std::thread::yield_now();
        }
        let stamp = session.commit().expect("it holds the commit lock");
        assert!(other.join().unwrap() > stamp);
    });
    assert_eq!(list(&graph.read(), base(1)), links([3]));
    assert_eq!(graph.contention().commit_conflicts, 1, "the other one was refused once");
}

#[test]
fn commits_in_groups_lose_nothing_on_a_hub() {
    const THREADS: u32 = 4;
    const EACH: u32 = 60;
    let graph = graph(128, 1 + THREADS * EACH);
    let start = Barrier::new(THREADS as usize);
    let work = |thread: u32| {
        start.wait();
        let mut last = Stamp::NONE;
        for i in 0..EACH {
            let n = 1 + thread * EACH + i;
            let stamp = edit(&graph, |session| {
                put(session, base(n), &links([0]));
                session.rewrite(base(0), |old, new| {
                    new.copy_from(old);
                    new.push(Link::to(node(n)));
                    Verdict::Replace
                });
            });
            assert!(stamp > last, "commits of one thread come one after the other");
            last = stamp;
            assert!(Mvcc::stamp(&graph.snapshot()) >= stamp, "a commit is in every later snapshot");
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    let mut hub: Vec<u32> = list(&graph.read(), base(0)).iter().map(|link| link.node().get()).collect();
    hub.sort_unstable();
    assert_eq!(hub, (1..=THREADS * EACH).collect::<Vec<_>>());
    assert_eq!(picture(&graph.read()), picture(&graph.snapshot()));
}

/// A step of a repeatable sequence of numbers.
fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as u32
}

/// Random inserts, rewrites and removals until `stop`.
fn churn(graph: &Mvcc, seed: u64, stop: &AtomicBool) {
    let mut state = seed;
    while !stop.load(Ordering::Relaxed) {
        let reserve = random(&mut state).is_multiple_of(8);
        let new = if reserve { graph.reserve(1, |n| (n.get() % 3) as u8).ok() } else { None };
        let targets: Vec<u32> = (0..4).map(|_| random(&mut state) % 50).collect();
        let number = random(&mut state);
        edit(graph, |session| {
            if let Some(new) = new {
                put(session, At::base(new), &links(targets.iter().copied()));
                session.publish(new);
            }
            for &target in &targets {
                for level in 0..=session.level(node(target)) {
                    put(
                        session,
                        At::new(node(target), level),
                        &links((0..number % 8).map(|i| number % 41 + i)),
                    );
                }
            }
            if number.is_multiple_of(5) {
                session.tombstone(node(targets[0]));
            }
            if number.is_multiple_of(7) {
                session.raise_entry(Entry { node: node(targets[1]), level: session.level(node(targets[1])) });
            }
        });
    }
}

/// Ends other threads' loops, also when the thread that holds it panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn snapshots_stay_as_they_are_whatever_is_written() {
    let graph = graph(8, 50);
    let oldest = graph.snapshot();
    let untouched = picture(&oldest);
    let stop = AtomicBool::new(false);
    // Several snapshots live at once; each is looked at several times, by several threads, and goes in its own time.
    let read = |seed: u64| {
        let mut held: Vec<(Snapshot, Picture)> = Vec::new();
        let (mut state, mut commits, begin) = (seed, Vec::new(), Instant::now());
        // Until it has seen the writers do something.
        while commits.len() < 50 {
            assert!(begin.elapsed() < PATIENCE, "{} commits seen", commits.len());
            let snapshot = graph.snapshot();
            commits.push(Mvcc::stamp(&snapshot));
            assert!(commits.is_sorted(), "later snapshots show later commits");
            commits.dedup();
            let first = picture(&snapshot);
            held.push((snapshot, first));
            let (snapshot, first) = &held[random(&mut state) as usize % held.len()];
            assert_eq!(&picture(snapshot), first);
            if held.len() > 6 {
                let (snapshot, first) = held.swap_remove(random(&mut state) as usize % held.len());
                std::thread::spawn(move || assert_eq!(picture(&snapshot), first)).join().unwrap();
            }
        }
        held
    };
    let held = std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        for seed in [1, 2] {
            let (graph, stop) = (&graph, &stop);
            scope.spawn(move || churn(graph, seed, stop));
        }
        let readers = [3, 4].map(|seed| scope.spawn(move || read(seed)));
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    for (snapshot, first) in &held {
        assert_eq!(&picture(snapshot), first);
    }
    drop(held);
    assert_eq!(picture(&oldest), untouched);
    assert_eq!(picture(&graph.read()).lists, picture(&graph.snapshot()).lists);
    graph.quiesce();
    assert!(graph.memory().snapshots_bytes > 0);
    drop(oldest);
    quiesce(&graph);
    assert_eq!(graph.memory().snapshots_bytes, 0);
}

#[test]
fn a_snapshot_sees_whole_commits() {
    let graph = graph(8, 40);
    let stop = AtomicBool::new(false);
    let at = |n| [base(n), base(n + 10), base(n + 20)];
    let write = |n: u32| {
        for i in 1.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let content = links((0..i % 9).map(|j| i + j));
            edit(&graph, |session| at(n).into_iter().for_each(|at| put(session, at, &content)));
        }
    };
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        (0..2).for_each(|n| drop(scope.spawn(move || write(n))));
        let (mut different, begin) = (HashSet::new(), Instant::now());
        while different.len() < 200 {
            assert!(begin.elapsed() < PATIENCE, "{} versions seen", different.len());
            let snapshot = graph.snapshot();
            for n in 0..2 {
                let [one, two, three] = at(n).map(|at| list(&snapshot, at));
                assert!(one == two && two == three, "{one:?} {two:?} {three:?}");
                different.insert(one);
            }
        }
    });
}

#[test]
fn readers_of_the_newest_version_see_whole_lists_that_never_go_back() {
    let graph = graph(16, 4);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            for i in 1..30_000u32 {
                let content = vec![Link::to(node(i)); 1 + i as usize % 32];
                edit(&graph, |session| put(session, base(0), &content));
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let (newest, mut buf, mut last) = (graph.read(), LinkBuf::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let links = newest.links(base(0), &mut buf);
                    let Some(first) = links.first() else { continue };
                    let i = first.node().get();
                    assert!(links.iter().all(|link| link == first) && links.len() == 1 + i as usize % 32);
                    assert!(i >= last, "version {i} after {last}");
                    last = i;
                }
            });
        }
    });
    assert_eq!(list(&graph.read(), base(0)).len(), 1 + 29_999 % 32);
}

#[test]
fn a_removal_is_in_later_snapshots_only() {
    let graph = graph(4, 10);
    let before = graph.snapshot();
    let new = graph.reserve(1, |_| 0).unwrap();
    let stamp = edit(&graph, |session| assert!(session.tombstone(node(3))));
    let after = graph.snapshot();
    assert_eq!(Mvcc::stamp(&after), stamp);
    assert_eq!((before.state(node(3)), before.may_have_tombstones()), (NodeState::Live, false));
    assert_eq!((after.state(node(3)), after.may_have_tombstones()), (NodeState::Tombstone, true));
    assert_eq!(graph.read().state(node(3)), NodeState::Tombstone);
    for node in [node(3), new, node(99)] {
        assert!(!graph.write(0).tombstone(node), "{node} is not live");
    }
    edit(&graph, |session| session.publish(new));
    assert_eq!((before.state(new), before.node_count()), (NodeState::Free, 10));
    assert_eq!((after.state(new), after.node_count()), (NodeState::Reserved, 11));
    assert_eq!(graph.snapshot().state(new), NodeState::Live);
}

#[test]
fn versions_go_when_the_oldest_snapshot_goes() {
    let graph = graph(8, 100);
    let rewrite_all = |i: u32| {
        edit(&graph, |session| (0..100).for_each(|n| put(session, base(n), &links(i..i + 8))));
    };
    rewrite_all(0);
    let oldest = graph.snapshot();
    rewrite_all(10);
    let middle = graph.snapshot();
    rewrite_all(20);
    let two = graph.memory().snapshots_bytes;
    drop(oldest);
    graph.quiesce();
    let one = graph.memory().snapshots_bytes;
    assert!(two > 0 && one * 3 < two * 2 && one * 3 > two, "of {two} bytes {one} stay");
    assert_eq!(list(&middle, base(50)), links(10..18));
    drop(middle);
    quiesce(&graph);
    assert_eq!(graph.memory().snapshots_bytes, 0);
}

#[test]
fn a_long_lived_snapshot_keeps_one_version_of_a_hub() {
    let graph = graph(8, 10);
    let rewrite = |i: u32| edit(&graph, |session| put(session, base(0), &links(i..i + 16)));
    rewrite(0);
    let old = graph.snapshot();
    rewrite(1);
    let one = graph.memory().snapshots_bytes;
    assert!(one > 0);
    let mut young = graph.snapshot();
    for i in 2..=10_000 {
        rewrite(i);
        if i.is_multiple_of(100) {
            young = graph.snapshot();
        }
        let kept = graph.memory().snapshots_bytes;
        assert!(kept <= 4 * one, "{kept} bytes are kept after {i} rewrites, {one} after one");
    }
    rewrite(10_001);
    assert_eq!(list(&old, base(0)), links(0..16));
    assert_eq!(list(&young, base(0)), links(10_000..10_016));
    assert_eq!(graph.contention().versions_walked, 2, "both were answered from older versions");
}

#[test]
fn snapshots_that_come_and_go_share_what_they_need() {
    let graph = graph(4, 10);
    let mut held: Vec<(Snapshot, u32)> = Vec::new();
    let mut state = 3;
    for i in 0..2_000 {
        edit(&graph, |session| (0..10).for_each(|n| put(session, base(n), &links([i, i + n]))));
        if random(&mut state).is_multiple_of(3) {
            held.push((graph.snapshot(), i));
        }
        if held.len() > 5 || random(&mut state).is_multiple_of(4) && !held.is_empty() {
            held.swap_remove(random(&mut state) as usize % held.len());
        }
        for (snapshot, i) in &held {
            (0..10).for_each(|n| assert_eq!(list(snapshot, base(n)), links([*i, *i + n])));
        }
    }
    held.clear();
    quiesce(&graph);
    assert_eq!(graph.memory().snapshots_bytes, 0);
}

/// Commits `change` in another thread, which stops at its `pause`-th pause, and runs `meanwhile` while it is stopped.
fn while_suspended<R>(
    graph: &Mvcc,
    pause: usize,
    change: fn(&mut Write<'_>),
    meanwhile: impl FnOnce() -> R,
) -> R {
    let (stopped, is_stopped) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut session = graph.write(0);
            change(&mut session);
            let mut pauses = 0..;
            let stop = || {
                if pauses.next() == Some(pause) {
                    stopped.send(()).unwrap();
                    may_go_on.recv().unwrap();
                }
            };
            session.commit_pausing(stop).unwrap();
        });
        is_stopped.recv().unwrap();
        let result = meanwhile();
        go_on.send(()).unwrap();
        result
    })
}

#[test]
fn a_suspended_committer_stops_no_reader() {
    fn change(session: &mut Write<'_>) {
        put(session, base(0), &links([7, 8, 9, 10, 11]));
        put(session, base(1), &links([7, 8]));
        put(session, At::new(node(2), 2), &links([1]));
        session.tombstone(node(1));
        session.raise_entry(Entry { node: node(2), level: 2 });
    }
    // The list on level 2 was never written and comes first; each list has a pause in its middle and one after it.
    for pause in 0..6 {
        let graph = graph(4, 20);
        edit(&graph, |session| {
            (0..20).for_each(|n| put(session, base(n), &links([n, n + 1, n + 2])));
            session.found(Entry { node: node(1), level: 1 });
        });
        let old = graph.snapshot();
        let first = picture(&old);
        while_suspended(&graph, pause, change, || {
            let (newest, new) = (graph.read(), graph.snapshot());
            assert_eq!(picture(&old), first, "pause {pause}");
            assert_eq!(picture(&new), first, "pause {pause}: a snapshot that is taken meanwhile");
            let lists = [At::new(node(2), 2), base(0), base(1)].map(|at| list(&newest, at));
            let before = [links([]), links([0, 1, 2]), links([1, 2, 3])];
            let after = [links([1]), links([7, 8, 9, 10, 11]), links([7, 8])];
            for i in 0..3 {
                let expected = if pause > 2 * i { &after[i] } else { &before[i] };
                assert_eq!(&lists[i], expected, "pause {pause}: list {i} is as it was or as it will be");
            }
        });
        assert_eq!(picture(&old), first);
        let newest = graph.read();
        assert_eq!(picture(&newest), picture(&graph.snapshot()));
        assert_eq!(newest.state(node(1)), NodeState::Tombstone);
        assert_eq!(newest.entry(), Some(Entry { node: node(2), level: 2 }));
    }
}

#[test]
fn sets_that_wait_for_a_suspended_committer_become_one_group() {
    let graph = graph(8, 40);
    let start = Mvcc::stamp(&graph.snapshot());
    // Two of the eight rewrite one list, so one of them must be refused.
    let write = |n: u32| {
        let mut session = graph.write(0);
        put(&mut session, base(n.max(2)), &links([n]));
        session.commit()
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let first = |session: &mut Write<'_>| put(session, base(0), &links([1]));
        let writers = while_suspended(&graph, 0, first, || {
            let writers: Vec<_> = (1..=8).map(|n| scope.spawn(move || write(n))).collect();
            let begin = Instant::now();
            while graph.contention().lock_waits < 8 {
                assert!(begin.elapsed() < PATIENCE, "all eight wait");
                std::thread::yield_now();
            }
            writers
        });
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
    let stamps: BTreeSet<u64> = outcomes.into_iter().flatten().map(|stamp| stamp.0).collect();
    assert_eq!(stamps, BTreeSet::from([start.0 + 2]), "one group, after the commit that it waited for");
    (3..=8).for_each(|n| assert_eq!(list(&graph.read(), base(n)), links([n])));
}

#[test]
fn a_snapshot_outlives_the_graph() {
    let graph = graph(4, 10);
    edit(&graph, |session| put(session, base(1), &links([2, 3])));
    let snapshot = graph.snapshot();
    edit(&graph, |session| put(session, base(1), &links([4])));
    drop(graph);
    let clone = snapshot.clone();
    drop(snapshot);
    let seen = std::thread::spawn(move || list(&clone, base(1))).join().unwrap();
    assert_eq!(seen, links([2, 3]));
}

#[test]
fn memory_adds_up() {
    const NODES: u32 = 10_000;
    let graph = Mvcc::with_config(&GraphConfig::new(16).with_capacity(NODES as usize)).unwrap();
    let empty = graph.memory();
    assert_eq!(empty.total(), empty.fixed_bytes, "an empty graph has fixed costs only");
    // One node in 16 is above level 0, about as with real levels.
    graph.reserve(NODES as usize, |n| u8::from(n.get().is_multiple_of(16))).unwrap();
    edit(&graph, |session| (0..NODES).for_each(|n| session.publish(node(n))));
    quiesce(&graph);
    let full = graph.memory();
    assert_eq!(full.links_bytes, NODES as usize * 128 + NODES as usize / 16 * 64);
    assert_eq!(full.snapshots_bytes, 0);
    let beside = full.sync_bytes + full.levels_bytes;
    assert!(beside <= 13 * NODES as usize, "{beside} bytes beside the links of {NODES} nodes");
    assert!(full.fixed_bytes - empty.fixed_bytes < 64 << 10, "{full:?} after {empty:?}");
    let snapshot = graph.snapshot();
    edit(&graph, |session| put(session, base(0), &links([1, 2, 3])));
    assert!(graph.memory().snapshots_bytes > 0, "the empty list is kept");
    drop(snapshot);
    quiesce(&graph);
    assert_eq!(graph.memory().snapshots_bytes, 0);
}

#[test]
fn bad_shapes_are_refused() {
    assert!(Mvcc::with_config(&GraphConfig::new(1)).is_err());
    let graph = Mvcc::with_config(&GraphConfig::new(4).with_capacity(3)).unwrap();
    assert!(graph.reserve(4, |_| 0).is_err());
    assert_eq!(graph.reserve(3, |_| 0), Ok(node(0)));
    assert_eq!(graph.read().entry(), None);
    assert_eq!(graph.snapshot().node_count(), 0, "no commit has shown the nodes yet");
}
