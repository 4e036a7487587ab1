//! The locks of `parking_lot`, which let other threads run while they are taken.

use super::{explores, point, spin_loop};
use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// Tries until it succeeds, or waits as `parking_lot` does.
fn acquire<G>(attempt: impl Fn() -> Option<G>, wait: impl FnOnce() -> G) -> G {
    if !explores() {
        return wait();
    }
    loop {
        point();
        match attempt() {
            Some(guard) => return guard,
            None => spin_loop(),
        }
    }
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
    pub fn lock(&self) -> MutexGuard<'_, T> {
        acquire(|| self.0.try_lock(), || self.0.lock())
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        point();
        self.0.try_lock()
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
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        acquire(|| self.0.try_read(), || self.0.read())
    }

    /// Waits until no one has the lock.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        acquire(|| self.0.try_write(), || self.0.write())
    }

    /// Read access, if no writer has the lock.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        point();
        self.0.try_read()
    }

    /// Write access, if no one has the lock.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        point();
        self.0.try_write()
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
