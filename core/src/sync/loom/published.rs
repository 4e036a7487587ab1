//! The stand-in for `arc-swap` in models. It promises what `arc-swap` documents and nothing more: a store releases, a
//! load acquires, and a load may still return a value that was just replaced. So it must not be a lock around an `Arc`:
//! a lock would order all loads and hide what the code under test forgot to order.
//!
//! Values are numbered in the order of their coming, and the number of the present one is the atomic. All values are
//! kept until the end, because a load may still return an old one. (So a model sees a value freed only if its last handle
//! outlives the `Published`, not at the store that replaces it.)

use super::{Arc, AtomicUsize};
use ::std::sync::atomic::Ordering;

/// A value that is replaced as a whole while others read it.
#[derive(Debug)]
pub struct Published<T> {
    present: AtomicUsize,
    /// Outside of the model: loom sees neither this lock nor the outer handles, so they order nothing.
    values: ::std::sync::Mutex<Vec<::std::sync::Arc<Arc<T>>>>,
}

impl<T> Published<T> {
    /// With this first value.
    pub fn new(value: Arc<T>) -> Self {
        let values = vec![::std::sync::Arc::new(value)];
        Published { present: AtomicUsize::new(0), values: ::std::sync::Mutex::new(values) }
    }

    fn values(&self) -> ::std::sync::MutexGuard<'_, Vec<::std::sync::Arc<Arc<T>>>> {
        self.values.lock().unwrap_or_else(::std::sync::PoisonError::into_inner)
    }

    fn present(&self) -> ::std::sync::Arc<Arc<T>> {
        // Acquire [published-load]: pairs with Release [published-store]; the content of the value.
        let number = self.present.load(Ordering::Acquire);
        ::std::sync::Arc::clone(&self.values()[number])
    }

    /// The newest value, or one that was the newest when the caller last heard of this.
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.present())
    }

    /// Reads such a value without touching its reference count.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.present())
    }

    /// Replaces the value. What the caller did before is visible to whoever loads the new value.
    pub fn store(&self, value: Arc<T>) {
        let number = {
            let mut values = self.values();
            values.push(::std::sync::Arc::new(value));
            values.len() - 1
        };
        // Release [published-store]: pairs with Acquire [published-load]; publishes the content of the value.
        self.present.swap(number, Ordering::Release);
    }
}
