//! Data sets: where vectors, queries and the right answers come from.
//!
//! - [`Dataset`]: checked vectors and queries with a metric, a digest and, if known, the [`Truth`].
//! - [`embedded()`]: the real data set that is part of the binary.
//! - [`load`]: a folder (`base.*`, `query.*`, `gt.*`) or single files, in the formats of [`Format`]; with the cargo feature
//!   `hdf5` also a file of ann-benchmarks.
//! - [`generate`]: seeded sets that are the same on every machine.
//! - [`Truth`]: exact nearest neighbours, computed in parallel and kept in a [`TruthCache`]; they score recall.
//! - [`cmd`]: the `data` subcommand.
//!
//! Files are never trusted: a reader checks that what a header announces is what the file holds before it allocates, and
//! everything wrong with a file is one [`ReadError`] that says where and what to do.
//!
//! ```
//! use hnsw_data::{Watch, generate};
//!
//! let shape = generate::Shape { rows: 1_000, dim: 16, queries: 10, seed: 1 };
//! let mut set = generate::uniform(&shape)?;
//! set.ensure_truth(10, None, Watch::none())?; // or with `TruthCache::of_user()`
//! let truth = set.truth().expect("just made sure of");
//! // The distances that a search of query 0 came back with:
//! let answer = truth.distances[..9].iter().copied();
//! assert_eq!(truth.recall(0, 10, answer), 0.9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
pub mod cmd;
mod dataset;
mod embedded;
mod error;
mod fetch;
mod folder;
pub mod generate;
mod hdf5;
pub mod inspect;
mod npy;
mod read;
mod sums;
mod truth;
mod write;

pub use cache::{CacheError, TruthCache};
pub use dataset::{Dataset, DatasetError, TruthSource};
pub use embedded::embedded;
pub use error::{Problem, ReadError};
pub use folder::load_or_embedded;
pub use folder::{LoadError, LoadOptions, load};
pub use read::{Element, Format, Matrix, read_ids, read_ids_from, read_vectors, read_vectors_from};
pub use truth::CodedBase;
pub use truth::{Truth, TruthError, Watch};
pub use write::{write_fvecs, write_ivecs};
