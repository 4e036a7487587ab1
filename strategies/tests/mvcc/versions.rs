//! How long versions are kept, suspended committers, memory.

use super::*;

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
    // The lists come in the order of the edit, also the one on level 2, which was never written: its node is no new one. Each has
    // a pause in its middle and one after it.
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
            let lists = [base(0), base(1), At::new(node(2), 2)].map(|at| list(&newest, at));
            let before = [links([0, 1, 2]), links([1, 2, 3]), links([])];
            let after = [links([7, 8, 9, 10, 11]), links([7, 8]), links([1])];
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
