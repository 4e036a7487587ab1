//! Concurrency strategies for one HNSW graph. Each is a folder that implements [`hnsw_core::graph::Graph`]; none knows
//! another.
//!
//! | name | type | adjacency | readers | writers |
//! |---|---|---|---|---|
//! | `sequential` | [`Sequential`] | in place | one lock for a whole session, alone | the same |
//! | `coarse` | [`Coarse`] | in place | one lock for a whole session, shared | one lock for a whole session, alone |
//! | `fine` | [`Fine`] | in place | lock one list, copy it | lock one list, change it |
//! | `lockfree` | [`LockFree`] | immutable blocks behind 32-bit handles | one load, wait-free | copy, compare-and-swap |
//! | `mvcc` | [`Mvcc`] | newest version in place, older ones on a chain | never wait; or a snapshot | prepare alone, commit in groups |
//! | `slots` | [`Slots`] | in place, atomic slots | one load per link, wait-free | prepare alone, lock one list to store it |
//! | `seqlock` | [`SeqLock`] | in place, behind a version | copy one list, again if it was stored meanwhile | prepare alone, claim one list to store it |
//! | `batch` | [`Batch`] | in place | copy one list if no one writes, else lock it | batches in rounds; lock one list, change it |
//!
//! [`for_each_strategy!`] is the one list of them; tests, sweeps and tables are made from it. The building blocks that
//! several strategies share are `lists` (arrays with one row per adjacency list), `in_place` (sessions of lists that change one
//! by one, with `lock` and `entry`) and [`table`] (a plain graph for whoever holds a lock on all of it).
//!
//! # Use
//!
//! [`hnsw_core::hnsw::Index`] is the index; its first type parameter is the strategy, and nothing else changes with it. All
//! its methods take `&self`.
//!
//! ```
//! use core::ops::ControlFlow;
//! use hnsw_core::distance::Metric;
//! use hnsw_core::graph::Graph;
//! use hnsw_core::hnsw::{Index, IndexConfig};
//! use hnsw_strategies::{Batch, Coarse, Fine, LockFree, Mvcc, SeqLock, Sequential, Slots};
//!
//! fn ten_lines<G: Graph>(rows: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
//!     let index = Index::<G>::new(IndexConfig { capacity: 1_000, ..IndexConfig::new(8, Metric::L2) })?;
//!     let first = index.insert_batch(rows, |_rows_done| ControlFlow::Continue(()))?;
//!     assert_eq!(first.index() + rows.len() / 8, index.node_count(), "row i is node first + i");
//!     let query = [0.5; 8];
//!     let node = index.insert(&query)?;
//!     let nearest = index.search(&query, 10, 64)?;
//!     assert_eq!((nearest.len(), nearest[0].node, nearest[0].distance), (10, node, 0.0));
//!     index.remove(node)?;
//!     assert!(index.search(&query, 10, 64)?.iter().all(|neighbor| neighbor.node != node));
//!     Ok(())
//! }
//!
//! // 400 vectors of 8 components: multiples of the golden ratio, modulo 1.
//! let rows: Vec<f32> = (0..400 * 8).map(|i| (f64::from(i) * 0.618_033_988_749_895).fract() as f32).collect();
//! ten_lines::<Sequential>(&rows)?;
//! ten_lines::<Coarse>(&rows)?;
//! ten_lines::<Fine>(&rows)?;
//! ten_lines::<LockFree>(&rows)?;
//! ten_lines::<Mvcc>(&rows)?;
//! ten_lines::<Slots>(&rows)?;
//! ten_lines::<SeqLock>(&rows)?;
//! ten_lines::<Batch>(&rows)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Mvcc`] has snapshots besides ([`Snapshots`](hnsw_core::graph::Snapshots)):
//!
//! ```
//! use hnsw_core::{distance::Metric, hnsw::{Index, IndexConfig}};
//! use hnsw_strategies::Mvcc;
//!
//! let index = Index::<Mvcc>::new(IndexConfig::new(2, Metric::L2))?;
//! let near = index.insert(&[0.1, 0.0])?;
//! let before = index.snapshot();
//! index.remove(near)?;
//! let nearer = index.insert(&[0.0, 0.0])?;
//! assert_eq!(before.search(&[0.0, 0.0], 5, 5)?[0].node, near, "as it was, however much is written");
//! assert_eq!(index.search(&[0.0, 0.0], 5, 5)?[0].node, nearer);
//! assert!(before.contains(near) && !before.contains(nearer));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

pub mod batch;
pub mod coarse;
mod entry;
pub mod fine;
mod in_place;
mod lists;
mod lock;
pub mod lockfree;
pub mod mvcc;
pub mod seqlock;
pub mod sequential;
pub mod slots;
pub mod table;

pub use batch::Batch;
pub use coarse::Coarse;
pub use fine::Fine;
pub use lockfree::LockFree;
pub use mvcc::Mvcc;
pub use seqlock::SeqLock;
pub use sequential::Sequential;
pub use slots::Slots;

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
            (lockfree, $crate::LockFree),
            (mvcc, $crate::Mvcc),
            (slots, $crate::Slots),
            (seqlock, $crate::SeqLock),
            (batch, $crate::Batch)
        }
    };
}
