//! Write sessions: what they see, when they are refused, how they commit in groups.

use super::*;

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
        assert!(Conflict.to_string().contains("repeat it in a new session"), "it says what to do");
        assert_eq!(picture(&graph.read()) == between, conflict, "{name}");
        assert_eq!(graph.contention().commit_conflicts, u64::from(conflict), "{name}");
    }
}

/// Named after the bug: a removal under way was in the list of its node before it was a tombstone. A second removal was told
/// that the node is gone, and after that searches still returned it.
#[test]
fn a_removal_that_one_is_told_of_is_seen_by_all() {
    let graph = graph(4, 10);
    let mut session = graph.write(0);
    assert!(session.tombstone(node(3)));
    let mut pauses = 0;
    let look = || {
        pauses += 1;
        let gone = !graph.write(0).tombstone(node(3));
        assert_eq!(gone, graph.read().state(node(3)) == NodeState::Tombstone);
    };
    session.commit_pausing(look).unwrap();
    assert_eq!((pauses, graph.read().state(node(3))), (1, NodeState::Tombstone));
}

/// Named after the bug: a list that had never been written was taken for that of a new node, and named the new node before it was
/// published. A search that met it there could return it, and end before it was live.
#[test]
fn a_node_that_is_named_is_published() {
    let graph = graph(4, 10);
    let new = graph.reserve(1, |_| 2).unwrap();
    let mut session = graph.write(0);
    // Upper lists of both, the old one's first; neither was ever written.
    let (old_upper, new_upper) = (At::new(node(2), 2), At::new(new, 2));
    put(&mut session, old_upper, &[Link::to(new)]);
    put(&mut session, new_upper, &[Link::to(node(2))]);
    session.publish(new);
    let mut pauses = 0;
    let look = || {
        pauses += 1;
        let view = graph.read();
        if !list(&view, old_upper).is_empty() {
            assert_eq!(view.state(new), NodeState::Live);
            assert_eq!(list(&view, new_upper), [Link::to(node(2))]);
        }
    };
    session.commit_pausing(look).unwrap();
    assert!(pauses >= 3);
    assert_eq!(list(&graph.read(), old_upper), [Link::to(new)]);
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
