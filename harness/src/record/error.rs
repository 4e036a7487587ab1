//! What can go wrong with a result file: one line each, with the cure.

use std::io;
use std::path::PathBuf;

use super::SCHEMA_VERSION;

/// Why a result file could not be read, resumed or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RecordError {
    /// The file is absent, a folder, or not permitted.
    #[error("cannot read {}: {error}; give the path of a result file that `hnsw-lab sweep` wrote", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    /// Not JSON, cut short, or JSON of another shape.
    #[error(
        "{} is not a result document of hnsw-lab: {detail}; restore a copy, or make it anew with `hnsw-lab sweep --fresh`",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    /// Written by another command than a sweep.
    #[error("{} was written by `{command}`: {reader}; give a file that `hnsw-lab sweep` wrote", path.display())]
    Other { path: PathBuf, command: &'static str, reader: &'static str },
    /// Written by a later version of this program.
    #[error(
        "{} has schema version {found}, and this program reads versions up to {SCHEMA_VERSION}; use a newer hnsw-lab",
        path.display()
    )]
    Newer { path: PathBuf, found: u64 },
    /// A sweep of another configuration is in the file.
    #[error(
        "{} holds another sweep ({differences}); write elsewhere with `--out`, or replace it with `--fresh`",
        path.display()
    )]
    Mismatch { path: PathBuf, differences: String },
    /// The row has the key of a row that is already there.
    #[error("{} already holds a row for {key}; resume skips rows that are done", path.display())]
    Duplicate { path: PathBuf, key: String },
    /// The row holds what JSON cannot: NaN or an infinity.
    #[error("the row for {key} cannot be recorded: {detail}")]
    NotANumber { key: String, detail: String },
    /// A folder or a device.
    #[error("{} is not a regular file; give the name of a file with `--out`", path.display())]
    NotAFile { path: PathBuf },
    /// Something else than a result document.
    #[error(
        "{} is there and is no result document, so it is not replaced; remove it, or write elsewhere with `--out`",
        path.display()
    )]
    Foreign { path: PathBuf },
    /// Another process writes the same file.
    #[error(
        "another sweep is writing {}; wait until it has ended, or write elsewhere with `--out`",
        path.display()
    )]
    Taken { path: PathBuf },
    /// Full disk, folder absent or not permitted. What was there before is still there.
    #[error("cannot write {}: {error}; any earlier file is intact; {}", path.display(), cure(error))]
    Unwritable { path: PathBuf, error: io::Error },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "make its folder, or choose another place with `--out`"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a place that you may write to with `--out`"
        }
        _ => "free space there, or choose another place with `--out`",
    }
}
