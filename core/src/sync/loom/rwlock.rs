//! A reader-writer lock for models, with the orderings of a real one: locking acquires, unlocking releases, and two
//! readers who overlap are not ordered. Those who wait are parked, so loom sees a deadlock as one.

use ::loom::cell::{ConstPtr, MutPtr, UnsafeCell};
use ::loom::sync::atomic::AtomicUsize;
use ::loom::thread::{Thread, current, park};
use ::std::ops::{Deref, DerefMut};
use ::std::sync::atomic::Ordering;
use ::std::sync::{Mutex, PoisonError};

/// Many readers or one writer, in the shape of `parking_lot`.
#[derive(Debug, Default)]
pub struct RwLock<T> {
    state: State,
    content: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of readers, or [`WRITER`].
    holders: AtomicUsize,
    /// Who waits until `holders` is 0. Outside of the model: a thread enters itself in one step with its failed attempt,
    /// and is taken out in one step with the unlocking.
    waiting: Mutex<Vec<Thread>>,
}

const WRITER: usize = usize::MAX / 2;

impl State {
    /// After a failed attempt: until the lock was free once more.
    fn wait(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(current());
        park();
    }

    fn unlock(&self, holder: usize) {
        // Release: what the holder read or wrote comes before the next writer, and what it wrote before the next reader.
        if self.holders.fetch_sub(holder, Ordering::Release) == holder {
            let waiting = ::std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.iter().for_each(Thread::unpark);
        }
    }
}

// SAFETY: as of any reader-writer lock: the content moves between threads and is lent to several at a time.
unsafe impl<T: Send> Send for RwLock<T> {}
// SAFETY: see above.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

/// Read access.
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T> {
    /// `None` only inside `drop`: the access ends before the lock is given back.
    content: Option<ConstPtr<T>>,
    state: &'a State,
}

/// Write access.
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T> {
    /// `None` only inside `drop`: the access ends before the lock is given back.
    content: Option<MutPtr<T>>,
    state: &'a State,
}

impl<T> RwLock<T> {
    /// Unlocked.
    pub fn new(value: T) -> Self {
        RwLock { state: State::default(), content: UnsafeCell::new(value) }
    }

    /// Waits until no writer has the lock.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        loop {
            match self.try_read() {
                Some(guard) => return guard,
                None => self.state.wait(),
            }
        }
    }

    /// Waits until no one has the lock.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        loop {
            match self.try_write() {
                Some(guard) => return guard,
                None => self.state.wait(),
            }
        }
    }

    /// Read access, if no writer has the lock.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let mut readers = 0;
        // Acquire: after the writes of the last writer. The first guess makes the usual case one step for the search.
        while let Err(state) =
            self.state.holders.compare_exchange(readers, readers + 1, Ordering::Acquire, Ordering::Relaxed)
        {
            if state == WRITER {
                return None;
            }
            readers = state;
        }
        Some(RwLockReadGuard { content: Some(self.content.get()), state: &self.state })
    }

    /// Write access, if no one has the lock.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        // Acquire: after the last writer and all readers since.
        self.state.holders.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(RwLockWriteGuard { content: Some(self.content.get_mut()), state: &self.state })
    }

    /// The content; the exclusive borrow is lock enough.
    pub fn get_mut(&mut self) -> &mut T {
        // SAFETY: `&mut self` excludes every guard.
        self.content.with_mut(|content| unsafe { &mut *content })
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.content.into_inner()
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let content = self.content.as_ref().expect("there until drop");
        // SAFETY: the lock is held for reading, so no one writes.
        unsafe { content.deref() }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let content = self.content.as_ref().expect("there until drop");
        // SAFETY: the lock is held for writing, and the borrow of the guard is shared.
        unsafe { content.deref() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let content = self.content.as_ref().expect("there until drop");
        // SAFETY: the lock is held for writing, and the borrow of the guard is exclusive.
        unsafe { content.deref() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.content = None;
        self.state.unlock(1);
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.content = None;
        self.state.unlock(WRITER);
    }
}
