//! Concurrency strategies for one HNSW graph. Each is a folder that implements [`hnsw_core::graph::Graph`]; none knows
//! another.
//!
//! | name | type | adjacency | readers | writers |
//! |---|---|---|---|---|
//! | `sequential` | [`Sequential`] | in place | one lock for a whole session, alone | the same |
//! | `coarse` | [`Coarse`] | in place | one lock for a whole session, shared | one lock for a whole session, alone |
//! | `fine` | [`Fine`] | in place | lock one list, copy it | lock one list, change it |
//! | `mvcc` | [`Mvcc`] | in place, older versions on undo chains | copy, look again if it changed; or a snapshot | prepare alone, commit in groups |
//!
//! [`for_each_strategy!`] is the one list of them; tests, sweeps and tables are made from it. The building blocks that
//! several strategies share are `lists` (arrays with one row per adjacency list) and [`table`] (a plain graph for whoever
//! holds a lock on all of it).
#![deny(missing_docs)]

pub mod coarse;
pub mod fine;
mod lists;
pub mod mvcc;
pub mod sequential;
pub mod table;

pub use coarse::Coarse;
pub use fine::Fine;
pub use mvcc::Mvcc;
pub use sequential::Sequential;

/// Calls the macro `$callback` with the list of all strategies, `(name, type), …`.
///
/// ```
/// use hnsw_core::graph::Graph;
/// macro_rules! names {
///     ($(($name:ident, $graph:ty)),+) => { [$((stringify!($name), <$graph>::NAME)),+] };
/// }
/// assert!(hnsw_strategies::for_each_strategy!(names).iter().all(|(listed, own)| listed == own));
/// ```
#[macro_export]
macro_rules! for_each_strategy {
    ($callback:ident) => {
        $callback! {
            (sequential, $crate::Sequential),
            (coarse, $crate::Coarse),
            (fine, $crate::Fine),
            (mvcc, $crate::Mvcc)
        }
    };
}
