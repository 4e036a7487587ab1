//! What stays in memory when writers die, and while a reader sleeps (P10), by what the strategies report and by what the
//! allocator counts.
#![cfg(not(hnsw_loom))]

#[path = "models/allocator.rs"]
mod allocator;
#[path = "models/codec.rs"]
mod codec;
#[path = "faults/faulty.rs"]
#[allow(dead_code, reason = "made for another test, and used in part")]
mod faulty;
#[path = "faults/scenes.rs"]
#[allow(dead_code, reason = "made for another test, and used in part")]
mod scenes;
#[path = "conformance/support.rs"]
#[allow(dead_code, reason = "made for another test, and used in part")]
mod support;

use core::cell::Cell;
use core::ops::ControlFlow;
use faulty::{Fault, armed};
use hnsw_core::distance::Metric;
use hnsw_core::graph::{Graph, NodeId, Snapshots, View};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::sync::{epoch, thread};
use hnsw_strategies::{LockFree, Mvcc};
use rayon::{ThreadPool, ThreadPoolBuilder};
use scenes::{DIM, Scene, Tested, write_some};
use std::sync::mpsc;
use std::time::Duration;
use support::Random;

/// Bytes allocated when everything that was handed to the collector of epochs is freed. A thread of the pool that looks for work is
/// pinned meanwhile; if it loses its core there, nothing is freed until it goes on.
fn live() -> usize {
    let settled = |_| {
        (0..64).for_each(|_| epoch::pin().flush());
        std::thread::sleep(Duration::from_millis(1));
        allocator::live()
    };
    (0..8).map(settled).min().unwrap_or(0)
}

/// One test for all, because the allocator and the epoch are one for the whole process.
#[test]
fn what_is_dead_is_freed_and_what_sleeps_is_bounded() {
    hnsw_strategies::for_each_strategy!(no_panic_leaks);
    a_sleeping_session_holds_back_a_bounded_part_of_each_write();
    a_sleeping_snapshot_keeps_one_version_of_each_list();
    a_sleeping_walk_holds_back_a_bounded_part_of_each_write();
    hnsw_strategies::for_each_strategy!(no_sleeping_reader_makes_garbage);
}

macro_rules! no_panic_leaks {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {{
        let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        $(panics_leak_nothing::<$graph>(&pool);)+
    }};
}
use no_panic_leaks;

/// Panics at each step of each scene, and of a batch. Returns the number of panics.
fn panic_everywhere<G: Graph>(pool: &ThreadPool) -> usize {
    let mut panics = 0;
    for scene in Scene::all() {
        for at in 0.. {
            let (index, mut oracle) = scene.set_up::<G>();
            let (done, _) =
                armed(Some((at, Fault::Panic)), || scene.run(&index, &mut Scratch::new()).index());
            if done.is_some() {
                break;
            }
            panics += 1;
            write_some(&index, &mut oracle, &[scene.node()], at as u64);
            assert_settled(&index);
        }
    }
    let config = IndexConfig { m: 3, ef_construction: 4, ..IndexConfig::new(DIM, Metric::L2) };
    let (index, mut random) = (Tested::<G>::new(config).unwrap(), Random(9));
    // In rounds, where the strategy has them, the last of these.
    for at in (0..).step_by(7) {
        let rows: Vec<f32> = (0..300).flat_map(|_| random.vector(DIM)).collect();
        let rows = if at == 0 { &rows[..] } else { &rows[..5 * DIM] };
        let fault = (at > 0).then_some((at, Fault::Panic));
        let insert = || index.insert_batch(rows, |_| ControlFlow::Continue(())).unwrap().index();
        let (done, _) = pool.install(|| armed(fault, insert));
        panics += usize::from(done.is_none());
        if at > 0 && done.is_some() {
            break;
        }
    }
    assert_settled(&index);
    panics
}

/// No garbage is left that no one needs.
fn assert_settled<G: Graph>(index: &Tested<G>) {
    index.graph().quiesce();
    let report = index.memory();
    assert_eq!((report.retired_bytes, report.snapshots_bytes), (0, 0), "{}", G::NAME);
}

/// The collector of epochs keeps one node of its queue, of somewhat over 2 KB. Less than what so many panics could leak.
const COLLECTOR: usize = 2_200;

/// The first time what threads keep for themselves is made; the second time everything must come back.
fn panics_leak_nothing<G: Graph>(pool: &ThreadPool) {
    let panics = panic_everywhere::<G>(pool);
    let before = live();
    assert_eq!(panic_everywhere::<G>(pool), panics);
    let left = live().saturating_sub(before);
    println!("{}: {panics} panics, {left} bytes left", G::NAME);
    assert!(left <= COLLECTOR, "{}: {left} bytes left of {panics} panics", G::NAME);
    assert!(panics * 8 > COLLECTOR, "{panics} panics");
}

const M: usize = 16;
/// Components, so many that lists fill.
const WIDE: usize = 24;

fn built<G: Graph>(nodes: usize, capacity: usize) -> (Index<G>, Random) {
    let config = IndexConfig { m: M, ef_construction: 40, capacity, ..IndexConfig::new(WIDE, Metric::L2) };
    let (index, mut random) = (Index::<G>::new(config).unwrap(), Random(11));
    for _ in 0..nodes {
        index.insert(&random.vector(WIDE)).unwrap();
    }
    index.graph().quiesce();
    (index, random)
}

/// Runs `body` while another thread has what `open` gives, and sleeps.
fn asleep<T, R>(open: impl FnOnce() -> T + Send, body: impl FnOnce() -> R) -> R {
    let (opened, is_opened) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let held = open();
            opened.send(()).unwrap();
            // Ends when the other end is gone.
            let _ = sleep.recv();
            drop(held);
        });
        is_opened.recv().unwrap();
        let result = body();
        drop(wake);
        result
    })
}

/// Lists with a past that an insert rewrites, at most: those of its neighbours, M on each of its levels, and one more if it is
/// adopted. (Its own lists were empty.)
fn rewritten<G: Graph>(index: &Index<G>, node: NodeId) -> usize {
    M * (1 + usize::from(index.graph().read().level(node))) + 1
}

/// Makes `count` writes, an insert and a removal in turn, and gives the bytes that `report` says before and after each, with
/// the lists that it may have rewritten, to `check`.
fn each_write<G: Graph>(
    index: &Index<G>,
    random: &mut Random,
    count: usize,
    report: impl Fn() -> usize,
    check: impl Fn(usize, usize, usize),
) {
    for _ in 0..count / 2 {
        let before = report();
        let node = index.insert(&random.vector(WIDE)).unwrap();
        check(before, report(), rewritten(index, node));
        let before = report();
        index.remove(node).unwrap();
        // In `mvcc` a removal is a new version of one list.
        check(before, report(), 1);
    }
}

/// That what `body` makes an index grow by, garbage included, is in its report: within an eighth of what the allocator counts.
/// (The collector's own nodes are not, 2 KB for about 16 KB of garbage; nor are channels and scratch.)
fn reported<G: Graph, R>(index: &Index<G>, body: impl FnOnce() -> R) -> R {
    let (counted, reported) = (live(), index.memory().total());
    let result = body();
    let (counted, reported) = (live() - counted, index.memory().total() - reported);
    assert!(counted.abs_diff(reported) * 8 <= counted, "{}: {reported} reported, {counted} counted", G::NAME);
    result
}

/// `lockfree`: while a session sleeps, a write leaves at most the blocks that it replaced, of 128 bytes at M = 16, and one
/// record of 128 bytes for 31 of them. (One writer: no block is lost in a race.)
fn a_sleeping_session_holds_back_a_bounded_part_of_each_write() {
    const BLOCK: usize = 128;
    const WRITES: usize = 1_000;
    let (index, mut random) = built::<LockFree>(500, 2_000);
    let retired = || index.memory().retired_bytes;
    assert_eq!(retired(), 0, "before the reader opens its session");
    let (links, grown) = asleep(
        || index.graph().read(),
        || {
            reported(&index, || {
                each_write(&index, &mut random, WRITES, retired, |before, after, lists| {
                    let bound = (lists + lists.div_ceil(31)) * BLOCK;
                    assert!(after <= before + bound, "{before} bytes, then {after}, of {lists} lists");
                });
            });
            index.graph().quiesce();
            (index.memory().links_bytes, retired())
        },
    );
    println!("lockfree: {grown} bytes retired by {WRITES} writes beside a sleeping reader, {links} linked");
    assert!(grown > WRITES * BLOCK, "a session that is open holds garbage back: {grown} bytes");
    index.graph().quiesce();
    assert_eq!(retired(), 0, "after it has ended");
    // The blocks are free, and used before fresh memory is.
    let before = index.memory().total();
    each_write(&index, &mut random, WRITES, retired, |_, _, _| ());
    let more = index.memory().total() - before;
    // Rows and ids of the new nodes, and one segment of each kind at most.
    assert!(more < WRITES * (128 + 32) + (64 << 10), "{more} bytes more");
}

/// `mvcc`: a sleeping snapshot keeps at most one version of each list that there was, whatever is written; and no reader
/// without a snapshot keeps any.
fn a_sleeping_snapshot_keeps_one_version_of_each_list() {
    /// A record with 2M links, its place in the vacuum's lists, and what these have in reserve.
    const VERSION: usize = 64 + 4 * 2 * M + 2 * 32;
    /// Records that wait for their epoch while no one walks: 64 in limbo, and as many in each of the three batches that are
    /// with the epoch.
    const WAITING: usize = 4 * 64 * VERSION;
    const NODES: usize = 300;
    let (index, mut random) = built::<Mvcc>(NODES, 5_000);
    let kept = || index.memory().snapshots_bytes;
    let retired = || index.memory().retired_bytes;
    assert_eq!((kept(), retired()), (0, 0), "before there is a snapshot");
    let levels = |node| usize::from(index.graph().read().level(NodeId::new(node)));
    let lists: usize = (0..NODES as u32).map(|node| 1 + levels(node)).sum();
    let (in_place, sum) = (|| index.graph().read(), Cell::new(0));
    let grown = asleep(
        || (index.graph().snapshot(), in_place()),
        || {
            reported(&index, || {
                for writes in [200, 2_000] {
                    each_write(&index, &mut random, writes, kept, |_, after, rewritten| {
                        // Since the beginning, because the lists of the vacuum grow by doubling.
                        sum.set(sum.get() + rewritten);
                        let most = sum.get().min(lists);
                        assert!(after <= most * VERSION, "{after} bytes of {most} lists at most");
                        assert!(retired() <= WAITING, "{} bytes wait", retired());
                    });
                }
            });
            kept()
        },
    );
    println!("mvcc: {grown} bytes kept for a sleeping snapshot of {lists} lists, after 2,200 writes");
    assert!(grown <= lists * VERSION && grown > NODES * 64, "{grown} bytes of {lists} lists");
    index.graph().quiesce();
    assert_eq!((kept(), retired()), (0, 0), "after it has ended");
    asleep(in_place, || {
        each_write(&index, &mut random, 200, kept, |_, after, _| assert_eq!(after, 0, "without a snapshot"));
        index.graph().quiesce();
        assert_eq!(retired(), 0, "a session that reads in place keeps nothing");
    });
}

/// `mvcc`: while a reader sleeps in the middle of a walk along a chain, a write leaves at most the versions that it replaced, of 40
/// bytes and 4 for each link, and the list in which 64 of them at least are handed to the epoch. They go when the reader goes on,
/// however many they are.
fn a_sleeping_walk_holds_back_a_bounded_part_of_each_write() {
    const VERSION: usize = 40 + 4 * 2 * M;
    /// It grows by doubling, and the write that fills it adds fewer than 64.
    const LIST: usize = 2 * 64 * 8;
    /// Bytes that are handed over together, at least: versions have more than 18 links on average.
    const HANDED: usize = 64 * (40 + 4 * 18);
    const WRITES: usize = 1_000;
    let (index, mut random) = built::<Mvcc>(500, 2_000);
    let retired = || index.memory().retired_bytes;
    assert_eq!(retired(), 0, "before the walk begins");
    let sum = Cell::new(0);
    let before = (live(), index.memory().total());
    let (grown, counted, reported) = asleep(epoch::pin, || {
        each_write(&index, &mut random, WRITES, retired, |before, after, lists| {
            sum.set(sum.get() + lists);
            let most = lists * VERSION + LIST;
            assert!(
                (before..=before + most).contains(&after),
                "{before} bytes, then {after}, of {lists} lists"
            );
        });
        index.graph().quiesce();
        assert_eq!(index.memory().snapshots_bytes, 0, "without a snapshot nothing is kept");
        (retired(), live(), index.memory().total())
    });
    println!(
        "mvcc: {grown} bytes retired by {WRITES} writes beside a sleeping walk, of {} lists at most",
        sum.get()
    );
    assert!(grown > WRITES * VERSION, "a walk that is under way holds garbage back: {grown} bytes");
    assert!(grown <= sum.get() * (VERSION + 2 * 8), "{grown} bytes of {} lists", sum.get());
    let silent = (counted - before.0).checked_sub(reported - before.1).expect("what is reported is there");
    let collector = grown.div_ceil(HANDED) * COLLECTOR;
    assert!(silent <= collector, "{silent} bytes are not reported, {collector} the collector may have");
    index.graph().quiesce();
    assert_eq!(retired(), 0, "after it has ended");
    let freed = counted.saturating_sub(live());
    assert!(freed >= grown, "{freed} bytes freed of {grown}");
    // As before it began: what is replaced waits until there is enough to hand on, and for three epochs, and goes.
    each_write(&index, &mut random, WRITES / 5, retired, |_, after, _| {
        assert!(after <= 4 * (64 * VERSION + LIST), "{after} bytes wait");
    });
    index.graph().quiesce();
    assert_eq!(retired(), 0);
}

macro_rules! no_sleeping_reader_makes_garbage {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        $(if !matches!(<$graph>::NAME, "lockfree" | "mvcc") {
            let (index, mut random) = built::<$graph>(300, 1_000);
            let retired = || index.memory().retired_bytes;
            let mut writes = || {
                each_write(&index, &mut random, 200, retired, |before, after, _| assert_eq!((before, after), (0, 0)));
            };
            // Where a session makes writers wait, no one sleeps in one.
            if <$graph>::CAPS.parallel_writes { asleep(|| index.graph().read(), writes) } else { writes() }
        })+
    };
}
use no_sleeping_reader_makes_garbage;
