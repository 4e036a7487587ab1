//! The result document: one JSON file per sweep, valid after every row.
//!
//! - [`Document`], [`Run`], [`Row`]: what is in it; `results/schema/v1.json` is the same as a JSON Schema.
//! - [`read`]: the one place where versions of the format are told apart.
//! - [`Writer`]: adds rows so that a crash or a full disk at any moment leaves a whole document behind.
//! - [`Claim`]: at most one process writes a document.
//! - [`RecordError`]: one line each, with the cure.

mod claim;
mod counters;
mod document;
mod error;
mod kind;
mod reader;
mod writer;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use claim::Claim;
pub use counters::{CounterGroup, Counters};
pub use document::{
    Build, Canary, Conditions, Config, Contention, Dataset, Document, Graph, Isolation, Key, Latency, Memory,
    Op, Ops, Phases, Row, Run, SCHEMA_VERSION, TAIL, now_rfc3339,
};
pub use error::RecordError;
pub use reader::{parse, read};
pub use writer::Writer;

/// The file of the same name with `suffix` after it: in the same folder, so on the same file system.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
