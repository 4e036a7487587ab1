//! Models of what all strategies share, and the proof that the model checker sees what it should.
//!
//! Each model says what it proves and what its failure would mean for a user. The tests of the module `weakened` show for
//! each ordering that a model needs it: with the ordering weakened, the model must fail. Protocols of one strategy, the
//! entry point's among them, are modelled beside the strategies, in `strategies/tests`.
#![cfg(hnsw_loom)]

use hnsw_core::distance::Metric;
use hnsw_core::graph::NodeId;
use hnsw_core::segments::Segments;
use hnsw_core::sync::cell::{Frozen, UnsafeCell};
use hnsw_core::sync::epoch::{self, Guard, Owned, Shared};
use hnsw_core::sync::model::{expect_failure, expect_weak, model};
use hnsw_core::sync::{
    Arc, AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Mutex, Ordering, Published, RwLock, fence, site,
    thread,
};
use hnsw_core::vectors::{F32, Vectors};
use std::collections::BTreeSet;

/// What `f` returned over all executions.
fn seen<T: Ord + Send + 'static>(f: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let all = std::sync::Arc::clone(&seen);
    loom::model(move || {
        let value = f();
        all.lock().unwrap().insert(value);
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

/// If this fails, loom was mended (tokio-rs/loom issues 166 and 392): the second atomic of `sync` can go.
#[test]
fn stock_loom_overlooks_a_store_behind_a_load() {
    use loom::sync::atomic::AtomicUsize;
    let seen = seen(|| {
        let word = loom::sync::Arc::new(AtomicUsize::new(0));
        let other = loom::sync::Arc::clone(&word);
        let writer = loom::thread::spawn(move || {
            other.load(Ordering::Relaxed);
            other.store(1, Ordering::Relaxed);
        });
        let value = word.load(Ordering::Relaxed);
        writer.join().unwrap();
        value
    });
    assert_eq!(seen, BTreeSet::from([0]));
}

/// If this fails, models pass that should not: the facade misses interleavings.
#[test]
fn the_facade_sees_a_store_behind_a_load() {
    let seen = seen(|| {
        let word = Arc::new(AtomicUsize::new(0));
        let other = Arc::clone(&word);
        let writer = thread::spawn(move || {
            other.load(Ordering::Relaxed);
            other.store(1, Ordering::Relaxed);
        });
        let value = word.load(Ordering::Relaxed);
        writer.join().unwrap();
        value
    });
    assert_eq!(seen, BTreeSet::from([0, 1]));
}

/// As above, for the pointers of `epoch`, which have loom's own atomics inside.
#[test]
fn the_facade_sees_a_store_of_a_pointer_behind_a_load() {
    let seen = seen(|| {
        // SAFETY: the pointer is null throughout; only its tag changes.
        let guard = unsafe { epoch::unprotected() };
        let pointer = Arc::new(epoch::Atomic::<u32>::null());
        let other = Arc::clone(&pointer);
        let writer = thread::spawn(move || {
            // SAFETY: see above.
            other.load(Ordering::Relaxed, unsafe { epoch::unprotected() });
            other.store(Shared::null().with_tag(1), Ordering::Relaxed);
        });
        let tag = pointer.load(Ordering::Relaxed, guard).tag();
        writer.join().unwrap();
        tag
    });
    assert_eq!(seen, BTreeSet::from([0, 1]));
}

/// Proves: a thread that was told of a row by a grower can read it, even if another grower made the row; and so can the
/// growers. Failing, it would mean for a user: a search reads uninitialised vectors, or dies with "row not allocated".
fn segments() {
    // Each row is a segment of its own.
    let array = Arc::new(Segments::new(1, 2, || Frozen::new(7)));
    let told = Arc::new(AtomicBool::new(false));
    let rival = {
        let array = Arc::clone(&array);
        thread::spawn(move || {
            array.grow(2);
            assert_eq!(*array.get(0).get(), 7);
        })
    };
    let reader = {
        let (array, told) = (Arc::clone(&array), Arc::clone(&told));
        thread::spawn(move || {
            // Acquire [model-told]: pairs with Release [model-tell]; the growth of the teller.
            if told.load(Ordering::Acquire) {
                assert_eq!(array.get(0).get() + array.get(1).get(), 14);
            }
        })
    };
    array.grow(2);
    // Release [model-tell]: pairs with Acquire [model-told]; the growth before.
    told.store(true, Ordering::Release);
    rival.join().unwrap();
    reader.join().unwrap();
    assert_eq!(array.allocated_bytes(), 2 * array.row_bytes());
}

#[test]
fn segments_grow_under_readers() {
    model(2, "segments: two growers, one reader", segments);
    let reached = site::reached();
    for name in ["segment-read", "segment-probe", "segment-install", "segment-count", "segment-drop"] {
        assert!(reached.contains(name), "[{name}] is not in {reached:?}");
    }
    assert!(!reached.contains("segment-prefetch"), "models prefetch nothing");
}

/// Proves: a thread that was told of a node can read its row. Failing, it would mean for a user: a search compares with a
/// half-written vector.
fn vectors() {
    let vectors = Arc::new(Vectors::new(F32::new(2, Metric::L2).unwrap(), 2));
    let told = Arc::new(AtomicBool::new(false));
    let writer = {
        let (vectors, told) = (Arc::clone(&vectors), Arc::clone(&told));
        thread::spawn(move || {
            vectors.grow(2);
            // SAFETY: this thread alone writes node 1, once.
            unsafe { vectors.write(NodeId::new(1), &[3.0, 4.0]) };
            // Release [model-row-tell]: pairs with Acquire [model-row-told]; the row.
            told.store(true, Ordering::Release);
        })
    };
    // Acquire [model-row-told]: pairs with Release [model-row-tell]; the row.
    if told.load(Ordering::Acquire) {
        // SAFETY: told of node 1; and if that is not enough, loom must notice.
        assert_eq!(unsafe { vectors.decode(NodeId::new(1)) }, [3.0, 4.0]);
    }
    writer.join().unwrap();
}

#[test]
fn a_row_is_read_whole() {
    model(None, "vectors: write against read", vectors);
}

/// Proves: whoever loads a published value sees what was written before it was stored, and never goes back to an older one.
/// Failing, it would mean for a user: a snapshot shows parts of a newer or of no version.
fn published() {
    let root = Arc::new(Published::new(Arc::new(Frozen::new(0))));
    let writer = {
        let root = Arc::clone(&root);
        thread::spawn(move || {
            root.store(Arc::new(Frozen::new(1)));
            root.store(Arc::new(Frozen::new(2)));
        })
    };
    let first = *root.load().get();
    let second = root.with(|value| *value.get());
    assert!(first <= second, "went back from {first} to {second}");
    writer.join().unwrap();
    assert_eq!(*root.load().get(), 2);
}

#[test]
fn published_values_are_whole() {
    model(None, "published: two stores, two loads", published);
}

/// A list as the lock-free strategy keeps it: one pointer to content that never changes.
struct List(epoch::Atomic<Frozen<u32>>);

impl List {
    fn new(value: u32) -> Self {
        List(epoch::Atomic::new(Frozen::new(value)))
    }

    /// Reads the list under this guard.
    fn read(&self, guard: &Guard) -> u32 {
        // Acquire [model-list-read]: pairs with Release [model-list-replace]; the content.
        let list = self.0.load(Ordering::Acquire, guard);
        // SAFETY: never null, and the guard keeps it; where a test passes a wrong guard, loom must notice.
        *unsafe { list.deref() }.get()
    }

    /// Adds one, and hands the old content to `retire`.
    fn add(&self, retire: impl FnOnce(&Guard, Shared<'_, Frozen<u32>>)) {
        let guard = &epoch::pin();
        // Acquire [model-list-seen]: pairs with Release [model-list-replace]; the content to copy.
        let mut old = self.0.load(Ordering::Acquire, guard);
        loop {
            // SAFETY: never null, and the guard keeps it.
            let value = unsafe { old.deref() }.get() + 1;
            let new = Owned::new(Frozen::new(value));
            // Release [model-list-replace]: pairs with Acquire [model-list-read]; the new content.
            // Acquire on failure [model-list-lost]: pairs with Release [model-list-replace]; the content to copy.
            let swapped = self.0.compare_exchange(old, new, Ordering::Release, Ordering::Acquire, guard);
            match swapped {
                Ok(_) => return retire(guard, old),
                Err(lost) => old = lost.current,
            }
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no one else uses the list.
        drop(unsafe { std::mem::take(&mut self.0).into_owned() });
    }
}

/// Retires as one should, and tries hard to have it freed at once.
fn defer(guard: &Guard, old: Shared<'_, Frozen<u32>>) {
    // SAFETY: replaced, so no one who pins from now on meets it.
    unsafe { guard.defer_destroy(old) };
    guard.flush();
}

/// Proves: what a pinned reader has met is not freed before it unpins, though the writer collects as hard as it can.
/// Failing, it would mean for a user: a search reads freed memory.
fn list_read() {
    let list = Arc::new(List::new(0));
    let writer = {
        let list = Arc::clone(&list);
        thread::spawn(move || {
            list.add(defer);
            (0..3).for_each(|_| epoch::pin().flush());
        })
    };
    let value = list.read(&epoch::pin());
    assert!(value <= 1);
    writer.join().unwrap();
    assert_eq!(list.read(&epoch::pin()), 1);
}

/// Proves: of two replacements that race both take effect. Failing, it would mean for a user: links are lost, and with them
/// points.
fn list_add() {
    let list = Arc::new(List::new(0));
    let rival = {
        let list = Arc::clone(&list);
        thread::spawn(move || list.add(defer))
    };
    list.add(defer);
    rival.join().unwrap();
    assert_eq!(list.read(&epoch::pin()), 2);
}

#[test]
fn retired_memory_waits_for_readers() {
    model(2, "epoch: retire against read", list_read);
}

#[test]
fn racing_replacements_both_count() {
    model(2, "epoch: replace against replace", list_add);
}

/// Proves: the lock of the facade keeps readers and writers apart. Failing, it would mean: the models of `coarse`, in
/// `strategies/tests/loom_table.rs`, prove nothing.
fn read_write_lock() {
    let pair = Arc::new(RwLock::new((0, 0)));
    let writer = {
        let pair = Arc::clone(&pair);
        thread::spawn(move || {
            let mut pair = pair.write();
            pair.0 += 1;
            pair.1 += 1;
        })
    };
    let reader = {
        let pair = Arc::clone(&pair);
        thread::spawn(move || {
            let pair = pair.read();
            assert_eq!(pair.0, pair.1);
        })
    };
    {
        let first = pair.read();
        assert!(pair.try_write().is_none());
        assert_eq!(first.0, first.1);
    }
    writer.join().unwrap();
    reader.join().unwrap();
    assert_eq!(*pair.write(), (1, 1));
}

#[test]
fn locks_exclude() {
    model(3, "lock: one writer, two readers", read_write_lock);
    let overlap = seen(|| {
        let lock = Arc::new(RwLock::new(()));
        let other = Arc::clone(&lock);
        let reader = thread::spawn(move || drop(other.read()));
        let writer_meets_reader = lock.try_write().is_none();
        reader.join().unwrap();
        let held = lock.read();
        (writer_meets_reader, lock.try_read().is_some() && held.eq(&()))
    });
    assert_eq!(overlap, BTreeSet::from([(false, true), (true, true)]));
}

/// Proves: of two threads that announce themselves and then look, at least one sees the other. Failing, it would mean: the
/// facade's fences are not what they are called.
fn store_buffering() {
    let flags = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let look = |flags: &[AtomicU32; 2], me: usize| {
        flags[me].store(1, Ordering::Relaxed);
        // SeqCst fence [model-announce]: pairs with SeqCst [model-announce]; the store above before the load below.
        fence(Ordering::SeqCst);
        flags[1 - me].load(Ordering::Relaxed)
    };
    let other = Arc::clone(&flags);
    let rival = thread::spawn(move || look(&other, 1));
    let mine = look(&flags, 0);
    assert_eq!(mine.max(rival.join().unwrap()), 1, "neither saw the other");
}

#[test]
fn fences_order() {
    model(None, "fence: store buffering", store_buffering);
}

/// Each of these must fail; see the head of the file.
mod weakened {
    use super::*;
    use Ordering::{AcqRel, Relaxed};

    macro_rules! needs {
        ($($test:ident: $site:literal $to:ident, $bound:expr, $model:expr, $message:literal;)*) => {$(
            #[test]
            fn $test() {
                let output = expect_weak($site, $to, || {
                    model($bound, $site, $model);
                });
                assert!(output.contains($message), "{output}");
            }
        )*};
    }

    needs! {
        segment_install: "segment-install" Relaxed, 2, segments, "Causality violation";
        segment_read: "segment-read" Relaxed, 2, segments, "Causality violation";
        segment_probe: "segment-probe" Relaxed, 2, segments, "row not allocated";
        tell: "model-tell" Relaxed, 2, segments, "row not allocated";
        told: "model-told" Relaxed, 2, segments, "row not allocated";
        row_tell: "model-row-tell" Relaxed, None, vectors, "Causality violation";
        row_told: "model-row-told" Relaxed, None, vectors, "Causality violation";
        published_store: "published-store" Relaxed, None, published, "Causality violation";
        published_load: "published-load" Relaxed, None, published, "Causality violation";
        list_replace: "model-list-replace" Relaxed, 2, list_read, "Causality violation";
        list_reader: "model-list-read" Relaxed, 2, list_read, "Causality violation";
        list_seen: "model-list-seen" Relaxed, 2, list_add, "Causality violation";
        list_lost: "model-list-lost" Relaxed, 2, list_add, "Causality violation";
        fence_gone: "model-announce" Relaxed, None, store_buffering, "neither saw the other";
        fence_half: "model-announce" AcqRel, None, store_buffering, "neither saw the other";
    }

    #[test]
    fn freeing_at_once_is_caught() {
        expect_failure(|| {
            model(2, "free at once", || {
                let list = Arc::new(List::new(0));
                let other = Arc::clone(&list);
                // SAFETY: none; that is the point.
                let writer = thread::spawn(move || other.add(|_, old| drop(unsafe { old.into_owned() })));
                list.read(&epoch::pin());
                writer.join().unwrap();
            });
        });
    }

    /// It also shows that the writer of `list_read` does free what it retires.
    #[test]
    fn reading_without_a_pin_is_caught() {
        expect_failure(|| {
            model(2, "no pin", || {
                let list = Arc::new(List::new(0));
                let other = Arc::clone(&list);
                let writer = thread::spawn(move || {
                    other.add(defer);
                    (0..3).for_each(|_| epoch::pin().flush());
                });
                // SAFETY: none; that is the point.
                list.read(unsafe { epoch::unprotected() });
                writer.join().unwrap();
            });
        });
    }

    #[test]
    fn a_deadlock_is_caught() {
        expect_failure(|| {
            model(2, "deadlock", || {
                let locks = Arc::new([Mutex::new(0), Mutex::new(0)]);
                let other = Arc::clone(&locks);
                let rival = thread::spawn(move || *other[0].lock() + *other[1].lock());
                assert_eq!(*locks[1].lock() + *locks[0].lock(), 0);
                rival.join().unwrap();
            });
        });
    }

    /// Reader locks order no two readers, so they must not hide a race between them.
    #[test]
    fn a_race_between_readers_is_caught() {
        struct Counter(UnsafeCell<u32>);
        // SAFETY: none; that is the point.
        unsafe impl Sync for Counter {}
        // SAFETY: a number may go anywhere.
        unsafe impl Send for Counter {}
        let output = expect_failure(|| {
            model(2, "readers that write", || {
                let lock = Arc::new(RwLock::new(Counter(UnsafeCell::new(0))));
                let other = Arc::clone(&lock);
                // SAFETY: none; that is the point.
                let add = |lock: &RwLock<Counter>| lock.read().0.with_mut(|count| unsafe { *count += 1 });
                let rival = thread::spawn(move || add(&other));
                add(&lock);
                rival.join().unwrap();
            });
        });
        assert!(output.contains("Causality violation"), "{output}");
    }

    /// What would make an expected failure worthless is refused.
    mod refused {
        use super::*;

        #[test]
        #[should_panic(expected = "no model failed")]
        fn a_model_that_holds() {
            expect_failure(|| {
                model(2, "holds", published);
            });
        }

        #[test]
        #[should_panic(expected = "failed outside of its models")]
        fn a_failure_beside_the_model() {
            expect_failure(|| {
                model(2, "holds", published);
                assert_eq!(site::reached().len(), 0);
            });
        }

        #[test]
        #[should_panic(expected = "never reached the weakened [segment-read]")]
        fn a_site_that_the_model_does_not_reach() {
            expect_weak("segment-read", Relaxed, || {
                model(2, "fails for another reason", || {
                    published();
                    panic!("on its own account");
                });
            });
        }

        #[test]
        #[should_panic(expected = "0 sites are named [no-such-site]")]
        fn a_site_that_is_not_there() {
            expect_weak("no-such-site", Relaxed, || {
                model(2, "never runs", published);
            });
        }

        #[test]
        #[should_panic(expected = "only one execution")]
        fn a_model_without_interleavings() {
            model(2, "one thread", || {
                AtomicPtr::new(std::ptr::null_mut::<u8>()).load(Ordering::Relaxed);
            });
        }
    }
}
