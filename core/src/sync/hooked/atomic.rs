//! The atomics of `std`, with a hook before each access.

use super::{Access, before, lost};
use ::std::sync::atomic as base;
use ::std::sync::atomic::Ordering;

macro_rules! atomic {
    ($(#[$doc:meta])* $name:ident $(<$g:ident>)?, $value:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$g>)? {
            cell: base::$name $(<$g>)?,
        }

        impl $(<$g>)? $name $(<$g>)? {
            /// With this value.
            pub const fn new(value: $value) -> Self {
                Self { cell: base::$name::new(value) }
            }

            /// The value at the end.
            pub fn into_inner(self) -> $value {
                self.cell.into_inner()
            }

            /// As in `std`.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                before(Access::Load);
                self.cell.load(order)
            }

            /// As in `std`.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                before(Access::Store);
                self.cell.store(value, order);
            }

            /// As in `std`.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                before(Access::Update);
                self.cell.swap(value, order)
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
                before(Access::Exchange);
                let exchanged = self.cell.compare_exchange(current, new, success, failed);
                if exchanged.is_err() {
                    lost(Access::Exchange);
                }
                exchanged
            }

            /// As in `std`.
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
                before(Access::Load);
                let mut seen = self.cell.load(fetch);
                while let Some(next) = f(seen) {
                    before(Access::Exchange);
                    match self.cell.compare_exchange(seen, next, set, fetch) {
                        Ok(old) => return Ok(old),
                        Err(other) => {
                            lost(Access::Exchange);
                            seen = other;
                        }
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
                before(Access::Update);
                self.cell.$method(value, order)
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
