//! Snapshots and newest reads beside writers.

use super::*;

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
