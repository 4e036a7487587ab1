//! The locks of `parking_lot`, with a count of how often they are taken, were not free, and how long they are waited for and held.

use super::{Kind, Place, note};
use ::std::ops::{Deref, DerefMut};
use ::std::panic::Location;
use ::std::time::Instant;

/// What is held since when, taken where.
struct Held {
    place: Place,
    kind: Kind,
    since: Instant,
}

impl Held {
    /// Takes a lock: at once if it is free.
    #[track_caller]
    fn take<G>(kind: Kind, attempt: Option<G>, wait: impl FnOnce() -> G) -> (G, Held) {
        let (place, begin) = (Location::caller(), Instant::now());
        let was_free = attempt.is_some();
        let guard = attempt.unwrap_or_else(wait);
        let since = Instant::now();
        note(place, kind, |count| {
            count.count += 1;
            if !was_free {
                count.lost += 1;
                count.waited += since - begin;
            }
        });
        (guard, Held { place, kind, since })
    }

    /// Takes a lock if it is free.
    #[track_caller]
    fn attempt<G>(kind: Kind, attempt: Option<G>) -> Option<(G, Held)> {
        let place = Location::caller();
        note(place, kind, |count| {
            count.count += 1;
            count.lost += u64::from(attempt.is_none());
        });
        attempt.map(|guard| (guard, Held { place, kind, since: Instant::now() }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = self.since.elapsed();
        note(self.place, self.kind, |count| count.held += held);
    }
}

macro_rules! guard {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<'a, T> {
            guard: parking_lot::$name<'a, T>,
            _held: Held,
        }

        impl<'a, T> From<(parking_lot::$name<'a, T>, Held)> for $name<'a, T> {
            fn from((guard, _held): (parking_lot::$name<'a, T>, Held)) -> Self {
                $name { guard, _held }
            }
        }

        impl<T> Deref for $name<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.guard
            }
        }
    };
}

macro_rules! guard_mut {
    ($name:ident) => {
        impl<T> DerefMut for $name<'_, T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.guard
            }
        }
    };
}

guard!(
    /// Of a [`Mutex`].
    MutexGuard
);
guard_mut!(MutexGuard);
guard!(
    /// Of a [`RwLock`], shared.
    RwLockReadGuard
);
guard!(
    /// Of a [`RwLock`], exclusive.
    RwLockWriteGuard
);
guard_mut!(RwLockWriteGuard);

/// [`parking_lot::Mutex`].
#[derive(Debug, Default)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// Unlocked.
    pub const fn new(value: T) -> Self {
        Mutex(parking_lot::Mutex::new(value))
    }

    /// Waits for the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        Held::take(Kind::Lock, self.0.try_lock(), || self.0.lock()).into()
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        Held::attempt(Kind::Lock, self.0.try_lock()).map(Into::into)
    }

    /// The content; the exclusive borrow is lock enough.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// [`parking_lot::RwLock`].
#[derive(Debug, Default)]
pub struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    /// Unlocked.
    pub const fn new(value: T) -> Self {
        RwLock(parking_lot::RwLock::new(value))
    }

    /// Waits until no writer has the lock.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        Held::take(Kind::ReadLock, self.0.try_read(), || self.0.read()).into()
    }

    /// Waits until no one has the lock.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        Held::take(Kind::WriteLock, self.0.try_write(), || self.0.write()).into()
    }

    /// Read access, if no writer has the lock.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        Held::attempt(Kind::ReadLock, self.0.try_read()).map(Into::into)
    }

    /// Write access, if no one has the lock.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        Held::attempt(Kind::WriteLock, self.0.try_write()).map(Into::into)
    }

    /// The content; the exclusive borrow is lock enough.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
