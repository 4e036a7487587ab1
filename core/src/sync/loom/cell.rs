//! Plain memory whose accesses the model checker sees: two that no ordering separates fail the model.

use ::std::collections::HashMap;
use ::std::sync::{Mutex, PoisonError};

pub use ::loom::cell::UnsafeCell;

/// A value that is written before it is shared and only read from then on, until it is dropped. The model fails when
/// a read is not ordered after the making, or the drop not after all reads.
#[derive(Debug)]
pub struct Frozen<T>(UnsafeCell<T>);

// SAFETY: shared access is `&T` only; the cell is there to be watched, not for mutation.
unsafe impl<T: Send + Sync> Sync for Frozen<T> {}

impl<T> Frozen<T> {
    /// With this value for good.
    #[track_caller]
    pub fn new(value: T) -> Self {
        let cell = UnsafeCell::new(value);
        cell.with_mut(|_| ());
        Frozen(cell)
    }

    /// The value.
    #[track_caller]
    pub fn get(&self) -> &T {
        // SAFETY: nothing writes the cell between `new` and `drop`, and the borrow of `self` excludes both.
        self.0.with(|value| unsafe { &*value })
    }
}

impl<T> Drop for Frozen<T> {
    fn drop(&mut self) {
        // A second panic would abort the process and hide the first.
        if !::std::thread::panicking() {
            self.0.with_mut(|_| ());
        }
    }
}

/// Tells the model checker of accesses to memory that cannot be made of cells: the elements of an array, say, by their
/// number.
#[derive(Debug, Default)]
pub struct Watches {
    /// Made when first needed. Outside of the model, so looking one up orders nothing.
    cells: Mutex<HashMap<usize, ::std::sync::Arc<Watch>>>,
}

#[derive(Debug)]
struct Watch(UnsafeCell<()>);

// SAFETY: the cell has no content; it is there to be watched.
unsafe impl Sync for Watch {}

impl Watches {
    fn watch(&self, number: usize) -> ::std::sync::Arc<Watch> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || ::std::sync::Arc::new(Watch(UnsafeCell::new(())));
        ::std::sync::Arc::clone(cells.entry(number).or_insert_with(new))
    }

    /// Element `number` is read now.
    #[track_caller]
    pub fn read(&self, number: usize) {
        self.watch(number).0.with(|_| ());
    }

    /// Element `number` is written, or freed, now.
    #[track_caller]
    pub fn write(&self, number: usize) {
        self.watch(number).0.with_mut(|_| ());
    }
}
