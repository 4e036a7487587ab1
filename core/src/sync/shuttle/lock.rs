//! The locks of `parking_lot`, which let other threads run while they are taken.

use super::place::{Place, gives_back};
use super::{explores, point, spin_loop};
use ::std::ops::{Deref, DerefMut};
use ::std::panic::Location;

/// A guard of `parking_lot`, and where it was taken.
pub struct Held<G> {
    guard: G,
    taken: Place,
}

/// Of a [`Mutex`].
pub type MutexGuard<'a, T> = Held<parking_lot::MutexGuard<'a, T>>;
/// Of a [`RwLock`], shared.
pub type RwLockReadGuard<'a, T> = Held<parking_lot::RwLockReadGuard<'a, T>>;
/// Of a [`RwLock`], alone.
pub type RwLockWriteGuard<'a, T> = Held<parking_lot::RwLockWriteGuard<'a, T>>;

impl<G> Held<G> {
    #[track_caller]
    fn new(guard: G) -> Self {
        Held { guard, taken: Location::caller() }
    }
}

impl<G: Deref> Deref for Held<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Held<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<G> Drop for Held<G> {
    fn drop(&mut self) {
        if explores() {
            gives_back(self.taken);
        }
    }
}

/// Tries until it succeeds, or waits as `parking_lot` does.
#[track_caller]
fn acquire<G>(what: &'static str, attempt: impl Fn() -> Option<G>, wait: impl FnOnce() -> G) -> Held<G> {
    if !explores() {
        return Held::new(wait());
    }
    loop {
        point(what);
        match attempt() {
            Some(guard) => return Held::new(guard),
            None => spin_loop(),
        }
    }
}

/// Tries once.
#[track_caller]
fn attempt<G>(what: &'static str, attempt: impl FnOnce() -> Option<G>) -> Option<Held<G>> {
    point(what);
    let guard = attempt()?;
    Some(Held::new(guard))
}

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
        acquire("lock", || self.0.try_lock(), || self.0.lock())
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        attempt("lock", || self.0.try_lock())
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
        acquire("read lock", || self.0.try_read(), || self.0.read())
    }

    /// Waits until no one has the lock.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        acquire("write lock", || self.0.try_write(), || self.0.write())
    }

    /// Read access, if no writer has the lock.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        attempt("read lock", || self.0.try_read())
    }

    /// Write access, if no one has the lock.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        attempt("write lock", || self.0.try_write())
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
