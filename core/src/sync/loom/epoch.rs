//! Epoch-based reclamation: `crossbeam-epoch`, whose own atomics are loom's here, behind the wrapper that makes its
//! pointers complete and steerable as [`atomic`](super::atomic) does. The default collector lives for one execution.

use super::atomic::{Touch, failure, main};
use ::std::fmt;
use ::std::sync::atomic::Ordering;
pub use crossbeam_epoch::{CompareExchangeError, Guard, Owned, Pointable, Pointer, Shared, pin, unprotected};

/// [`crossbeam_epoch::Atomic`].
pub struct Atomic<T: ?Sized + Pointable> {
    pointer: crossbeam_epoch::Atomic<T>,
    touch: Touch,
}

impl<T> Atomic<T> {
    /// A pointer to a new allocation of `value`.
    pub fn new(value: T) -> Self {
        crossbeam_epoch::Atomic::new(value).into()
    }
}

impl<T: ?Sized + Pointable> Atomic<T> {
    /// A pointer to nothing.
    pub fn null() -> Self {
        crossbeam_epoch::Atomic::null().into()
    }

    /// As in `crossbeam-epoch`.
    #[track_caller]
    pub fn load<'g>(&self, order: Ordering, guard: &'g Guard) -> Shared<'g, T> {
        self.touch.touch();
        self.pointer.load(main(order), guard)
    }

    /// As in `crossbeam-epoch`.
    #[track_caller]
    pub fn store<P: Pointer<T>>(&self, new: P, order: Ordering) {
        self.pointer.store(new, main(order));
    }

    /// As in `crossbeam-epoch`.
    #[track_caller]
    pub fn swap<'g, P: Pointer<T>>(&self, new: P, order: Ordering, guard: &'g Guard) -> Shared<'g, T> {
        self.pointer.swap(new, main(order), guard)
    }

    /// As in `crossbeam-epoch`.
    ///
    /// # Errors
    /// The present pointer if it is not `current`, and `new` back.
    #[track_caller]
    pub fn compare_exchange<'g, P: Pointer<T>>(
        &self,
        current: Shared<'_, T>,
        new: P,
        success: Ordering,
        failed: Ordering,
        guard: &'g Guard,
    ) -> Result<Shared<'g, T>, CompareExchangeError<'g, T, P>> {
        self.touch.touch();
        self.pointer.compare_exchange(current, new, main(success), failure(failed), guard)
    }

    /// As in `crossbeam-epoch`, but never fails without need: loom does not model that.
    ///
    /// # Errors
    /// The present pointer if it is not `current`, and `new` back.
    #[track_caller]
    pub fn compare_exchange_weak<'g, P: Pointer<T>>(
        &self,
        current: Shared<'_, T>,
        new: P,
        success: Ordering,
        failed: Ordering,
        guard: &'g Guard,
    ) -> Result<Shared<'g, T>, CompareExchangeError<'g, T, P>> {
        self.compare_exchange(current, new, success, failed, guard)
    }

    /// As in `crossbeam-epoch`.
    ///
    /// # Safety
    /// The pointer is not null and no one else uses what it points to.
    pub unsafe fn into_owned(self) -> Owned<T> {
        // SAFETY: the caller says so.
        unsafe { self.pointer.into_owned() }
    }

    /// As in `crossbeam-epoch`.
    ///
    /// # Safety
    /// No one else uses what it points to, if it points to anything.
    pub unsafe fn try_into_owned(self) -> Option<Owned<T>> {
        // SAFETY: the caller says so.
        unsafe { self.pointer.try_into_owned() }
    }
}

impl<T: ?Sized + Pointable> From<crossbeam_epoch::Atomic<T>> for Atomic<T> {
    fn from(pointer: crossbeam_epoch::Atomic<T>) -> Self {
        Atomic { pointer, touch: Touch::default() }
    }
}

impl<T: ?Sized + Pointable> From<Owned<T>> for Atomic<T> {
    fn from(owned: Owned<T>) -> Self {
        crossbeam_epoch::Atomic::from(owned).into()
    }
}

impl<T: ?Sized + Pointable> Default for Atomic<T> {
    fn default() -> Self {
        Atomic::null()
    }
}

impl<T: ?Sized + Pointable> fmt::Debug for Atomic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pointer.fmt(f)
    }
}
