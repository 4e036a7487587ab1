//! Pointers of `crossbeam-epoch`, with a hook before each access.

use super::{Access, before, lost};
use ::std::fmt;
use ::std::sync::atomic::Ordering;
use crossbeam_epoch::{CompareExchangeError, Guard, Owned, Pointable, Pointer, Shared};

/// [`crossbeam_epoch::Atomic`].
#[repr(transparent)]
pub struct Atomic<T: ?Sized + Pointable> {
    pointer: crossbeam_epoch::Atomic<T>,
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
        before(Access::Load);
        self.pointer.load(order, guard)
    }

    /// As in `crossbeam-epoch`.
    #[track_caller]
    pub fn store<P: Pointer<T>>(&self, new: P, order: Ordering) {
        before(Access::Store);
        self.pointer.store(new, order);
    }

    /// As in `crossbeam-epoch`.
    #[track_caller]
    pub fn swap<'g, P: Pointer<T>>(&self, new: P, order: Ordering, guard: &'g Guard) -> Shared<'g, T> {
        before(Access::Update);
        self.pointer.swap(new, order, guard)
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
        before(Access::Exchange);
        let exchanged = self.pointer.compare_exchange(current, new, success, failed, guard);
        if exchanged.is_err() {
            lost(Access::Exchange);
        }
        exchanged
    }

    /// As in `crossbeam-epoch`.
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
        Atomic { pointer }
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
