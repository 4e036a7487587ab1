//! What the build of `scripts/sites` adds up beside accesses: bytes copied, distances wasted, how long the epoch keeps garbage.
#![cfg(hnsw_count)]

use hnsw_core::distance::Metric;
use hnsw_core::graph::{At, Edit, Graph, GraphConfig, Link, LinkBuf, NodeId, Snapshots, Verdict, View};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::sync::{Cost, Mutex, site_counts};
use hnsw_strategies::{Fine, LockFree, Mvcc, Slots};
use std::thread;

/// Counts are of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// How often `what` was added up, and to what.
fn added(what: Cost) -> (u64, u64) {
    let counts = site_counts().expect("a build that counts");
    let own = counts.iter().filter(|count| count.access == what.name());
    own.fold((0, 0), |(count, amount), site| (count + site.count, amount + site.amount))
}

/// What `run` adds.
fn adds(what: Cost, run: impl FnOnce()) -> (u64, u64) {
    let before = added(what);
    run();
    let after = added(what);
    (after.0 - before.0, after.1 - before.1)
}

/// A graph of 8 nodes on level 0.
fn graph<G: Graph>() -> G {
    let graph = G::with_config(&GraphConfig { m: 4, capacity: 8 }).unwrap();
    graph.reserve(8, |_| 0).unwrap();
    let mut edit = graph.write(0);
    (0..8).for_each(|node| edit.publish(NodeId::new(node)));
    assert!(edit.commit().is_ok());
    graph
}

fn rewrite<G: Graph>(graph: &G, links: &[u32]) {
    let mut edit = graph.write(0);
    edit.rewrite(At::base(NodeId::new(0)), |_, out| {
        out.clear();
        links.iter().for_each(|node| out.push(Link::to(NodeId::new(*node))));
        Verdict::Replace
    });
    assert!(edit.commit().is_ok());
}

fn read<G: Graph>(graph: &G) -> usize {
    graph.read().links(At::base(NodeId::new(0)), &mut LinkBuf::new()).len()
}

#[test]
fn bytes_are_counted_where_lists_are_copied() {
    let _alone = ALONE.lock();
    let (lockfree, fine, mvcc) = (graph::<LockFree>(), graph::<Fine>(), graph::<Mvcc>());
    // A block for each new list; readers look at it where it lies.
    assert_eq!(adds(Cost::BytesCopied, || rewrite(&lockfree, &[1, 2, 3])), (1, 12));
    assert_eq!(adds(Cost::BytesCopied, || assert_eq!(read(&lockfree), 3)), (0, 0));
    // In place; readers take it along.
    assert_eq!(adds(Cost::BytesCopied, || rewrite(&fine, &[1, 2, 3])), (0, 0));
    assert_eq!(adds(Cost::BytesCopied, || assert_eq!(read(&fine), 3)), (1, 12));
    // What a list was before, for older snapshots; and readers.
    rewrite(&mvcc, &[1, 2]);
    assert_eq!(adds(Cost::BytesCopied, || rewrite(&mvcc, &[1, 2, 3])), (1, 8));
    assert_eq!(adds(Cost::BytesCopied, || assert_eq!(read(&mvcc), 3)), (1, 12));
    let (snapshot, mut links) = (mvcc.snapshot(), LinkBuf::new());
    let shown = || assert_eq!(snapshot.links(At::base(NodeId::new(0)), &mut links).len(), 3);
    assert_eq!(adds(Cost::BytesCopied, shown), (1, 12));
}

/// Points in three places: everyone wants to change the same lists.
fn point(number: u64) -> [f32; 2] {
    [0.0, (number % 3) as f32]
}

fn index<G: Graph>() -> Index<G> {
    Index::new(IndexConfig { m: 2, ef_construction: 32, ..IndexConfig::new(2, Metric::L2) }).unwrap()
}

/// Inserts so many points on so many threads.
fn insert<G: Graph>(index: &Index<G>, threads: u64, points: u64) {
    thread::scope(|scope| {
        for worker in 0..threads {
            scope.spawn(move || {
                let mut scratch = Scratch::new();
                for number in (0..points).filter(|number| number % threads == worker) {
                    index.insert_with(&point(number), &mut scratch).unwrap();
                }
            });
        }
    });
}

#[test]
fn distances_are_wasted_where_races_are_lost() {
    let _alone = ALONE.lock();
    assert_eq!(adds(Cost::WastedDistances, || insert(&index::<LockFree>(), 1, 500)), (0, 0));
    assert_eq!(adds(Cost::WastedDistances, || insert(&index::<Mvcc>(), 1, 500)), (0, 0));
    // Those of in-place lists are locked, or merged slot by slot: a change is made once.
    assert_eq!(adds(Cost::WastedDistances, || insert(&index::<Fine>(), 4, 500)), (0, 0));
    // Who loses a race when is up to the machine.
    let lost = |round: &mut dyn FnMut()| {
        (0..1_000).map(|_| adds(Cost::WastedDistances, &mut *round)).find(|added| added.0 > 0)
    };
    let lockfree = lost(&mut || insert(&index::<LockFree>(), 4, 400));
    let mvcc = lost(&mut || insert(&index::<Mvcc>(), 4, 400));
    for (count, wasted) in [lockfree, mvcc].map(|added| added.expect("no race was lost")) {
        assert!(wasted >= count, "{wasted} in {count}");
    }
}

#[test]
fn the_epoch_lags_as_long_as_a_reader_sleeps() {
    let _alone = ALONE.lock();
    assert_eq!(adds(Cost::EpochLag, || insert(&index::<Slots>(), 1, 500)), (0, 0));
    let index = index::<LockFree>();
    insert(&index, 1, 1000);
    index.graph().quiesce();
    let awake = adds(Cost::EpochLag, || {
        insert(&index, 1, 1000);
        index.graph().quiesce();
    });
    let asleep = adds(Cost::EpochLag, || {
        let reader = index.graph().read();
        insert(&index, 1, 1000);
        drop(reader);
        index.graph().quiesce();
    });
    let mean = |(count, amount): (u64, u64)| amount as f64 / count.max(1) as f64;
    assert!(awake.0 > 0 && asleep.0 > 0, "{awake:?}, {asleep:?}");
    assert!(mean(asleep) > 100.0 && mean(asleep) > 4.0 * mean(awake), "{awake:?}, {asleep:?}");
}
