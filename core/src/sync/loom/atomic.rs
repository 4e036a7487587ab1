//! loom's atomics, made complete and steerable.
//!
//! # The hole that `Touch` closes
//! To cut the search short, loom 0.7 remembers for each atomic its last access only, and holds that two loads need no
//! reordering. So when a thread loads an atomic and then stores to it, its own load hides the earlier load of another
//! thread from the store, and the interleaving in which the store comes first is never run (tokio-rs/loom issues 166
//! and 392). Load, then store or compare-and-swap, is what every lock-free algorithm does.
//!
//! The remedy: each atomic has a second one beside it, and a load stores to that one first. Two stores do depend on
//! each other, so loads of one atomic are reordered among each other, and with them all that follows. Nothing ever
//! loads the second atomic, so it orders nothing and hides no missing ordering. `core/tests/loom.rs` holds the canary
//! that shows hole and remedy.
//!
//! # Sites
//! Every method asks [`site::apply`] for the ordering to use; that is the given one, unless the
//! calling line belongs to the site that is being weakened.

use super::super::site::{self, Slot};
use ::loom::sync::atomic as base;
use ::std::panic::Location;
use ::std::sync::atomic::Ordering;

/// The second atomic of each atomic; see [the module](self).
#[derive(Debug, Default)]
pub(super) struct Touch(base::AtomicBool);

impl Touch {
    /// To be called before every access that loads.
    #[track_caller]
    pub(super) fn touch(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The ordering to use at this call.
#[track_caller]
pub(super) fn main(given: Ordering) -> Ordering {
    site::apply(Location::caller(), Slot::Main, given)
}

/// The ordering to use at this call when the comparison fails.
#[track_caller]
pub(super) fn failure(given: Ordering) -> Ordering {
    site::apply(Location::caller(), Slot::Failure, given)
}

macro_rules! atomic {
    ($(#[$doc:meta])* $name:ident $(<$g:ident>)?, $value:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name $(<$g>)? {
            cell: base::$name $(<$g>)?,
            touch: Touch,
        }

        impl $(<$g>)? $name $(<$g>)? {
            /// With this value.
            #[track_caller]
            pub fn new(value: $value) -> Self {
                Self { cell: base::$name::new(value), touch: Touch::default() }
            }

            /// The value at the end.
            pub fn into_inner(self) -> $value {
                self.cell.into_inner()
            }

            /// As in `std`.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                self.touch.touch();
                self.cell.load(main(order))
            }

            /// As in `std`.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.cell.store(value, main(order));
            }

            /// As in `std`.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.cell.swap(value, main(order))
            }

            /// As in `std`.
            ///
            /// # Errors
            /// The present value if it is not `current`.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                self.touch.touch();
                self.cell.compare_exchange(current, new, main(success), failure(failed))
            }

            /// As in `std`, but never fails without need: loom does not model that.
            ///
            /// # Errors
            /// The present value if it is not `current`.
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failed)
            }

            /// As in `std`.
            ///
            /// # Errors
            /// The present value if `f` gave `None` for it.
            #[track_caller]
            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.touch.touch();
                let (set, fetch) = (main(set), failure(fetch));
                let mut seen = self.cell.load(fetch);
                while let Some(next) = f(seen) {
                    match self.cell.compare_exchange(seen, next, set, fetch) {
                        Ok(old) => return Ok(old),
                        Err(other) => seen = other,
                    }
                }
                Err(seen)
            }
        }
    };
}

macro_rules! read_modify_write {
    ($($name:ident, $value:ty: $($method:ident)*;)*) => {$(
        impl $name {$(
            /// As in `std`.
            #[track_caller]
            pub fn $method(&self, value: $value, order: Ordering) -> $value {
                self.cell.$method(value, main(order))
            }
        )*}
    )*};
}

atomic!(
    /// A truth value.
    AtomicBool,
    bool
);
atomic!(
    /// Eight bits.
    AtomicU8,
    u8
);
atomic!(
    /// 32 bits.
    AtomicU32,
    u32
);
atomic!(
    /// 64 bits.
    AtomicU64,
    u64
);
atomic!(
    /// A machine word.
    AtomicUsize,
    usize
);
atomic!(
    /// A pointer.
    AtomicPtr<T>,
    *mut T
);
read_modify_write!(
    AtomicBool, bool: fetch_and fetch_or fetch_xor;
    AtomicU8, u8: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min;
    AtomicU32, u32: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min;
    AtomicU64, u64: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min;
    AtomicUsize, usize: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min;
);

/// As in `std`; weakened to `Relaxed` it is no fence at all.
#[track_caller]
pub fn fence(order: Ordering) {
    match main(order) {
        Ordering::Relaxed => (),
        order => base::fence(order),
    }
}

/// Nothing: a model runs in program order as far as one thread can tell.
pub fn compiler_fence(_: Ordering) {}
