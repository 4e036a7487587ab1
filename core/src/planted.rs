//! Planted bugs: what shows that tests can fail.
//!
//! A place where the right code could be wrong asks `planted!("name")`. That is the literal `false`, and what depends on it is
//! not compiled, unless the private cfg `hnsw_planted` is set, which `scripts/planted` does through `RUSTFLAGS`. Then one build
//! has all bugs, and the environment variable `HNSW_PLANTED` names the one to wake. The script tells which test must fail.

/// True if the bug of this name is planted.
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        cfg!(hnsw_planted) && $crate::planted::is($name)
    };
}

#[cfg(not(hnsw_planted))]
#[doc(hidden)]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}

#[cfg(hnsw_planted)]
#[doc(hidden)]
pub fn is(name: &str) -> bool {
    use std::cell::OnceCell;
    thread_local! {
        static PLANTED: OnceCell<String> = const { OnceCell::new() };
    }
    PLANTED.with(|planted| planted.get_or_init(|| std::env::var("HNSW_PLANTED").unwrap_or_default()) == name)
}

/// Keeps a number for the next call of this thread, and returns that of the call before.
#[cfg(hnsw_planted)]
pub(crate) fn postpone(number: u32) -> Option<u32> {
    use std::cell::Cell;
    thread_local! {
        static POSTPONED: Cell<Option<u32>> = const { Cell::new(None) };
    }
    POSTPONED.replace(Some(number))
}
