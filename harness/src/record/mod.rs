//! The result document: one JSON file per sweep, valid after every row.
//!
//! - [`Document`], [`Run`], [`Row`]: what is in it; `results/schema/v1.json` is the same as a JSON Schema.
//! - [`read`]: the one place where versions of the format are told apart.
//! - [`Writer`]: adds rows so that a crash or a full disk at any moment leaves a whole document behind.
//! - [`RecordError`]: one line each, with the cure.

mod document;
mod error;
mod reader;
mod writer;

pub use document::{
    Build, Config, Contention, Dataset, Document, Graph, Key, Latency, Memory, Op, Ops, Row, Run,
    SCHEMA_VERSION, now_rfc3339,
};
pub use error::RecordError;
pub use reader::{parse, read};
pub use writer::Writer;
