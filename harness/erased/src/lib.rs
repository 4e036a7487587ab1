//! Every strategy with every codec, behind one type.
//!
//! All that is compiled for each pair of them is here, and little else: it takes most of the time of a build, and a change of the
//! harness does not repeat it.
//!
//! - [`ALL`]: the strategies, [`CODECS`]: the codecs, by name.
//! - [`Bed`]: an index without its types; [`Hands`]: a worker's access to it.
//! - [`Script`]: what a worker is told to do; [`Log`]: what it is told about it.
//!
//! ```
//! use hnsw_core::distance::Metric;
//! use hnsw_core::hnsw::IndexConfig;
//!
//! let lockfree = hnsw_erased::by_name("lockfree").expect("it is one of them");
//! let config = IndexConfig::new(2, Metric::L2);
//! let index = lockfree.index("f32", config, &[]).expect("it is a codec")?;
//! let mut hands = index.hands();
//! assert!(hands.insert(&[1.0, 2.0]));
//! assert_eq!(hands.search(&[1.0, 1.0], 10, 10), Some(1));
//! # Ok::<(), hnsw_core::error::ConfigError>(())
//! ```
#![deny(missing_docs)]

mod bed;
mod codecs;
mod script;
mod strategies;

pub use bed::{Bed, EDIT, Hands, Progress};
pub use codecs::{CODECS, CodecInfo};
pub use script::{Log, Script, Step};
pub use strategies::{ALL, Strategy, by_name};
