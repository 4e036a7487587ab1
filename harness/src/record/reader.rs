//! Reading a result document of any version that this program knows.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{Document, RecordError, SCHEMA_VERSION, kind};
use crate::output::one_line;

/// Reads the result document at `path`.
///
/// # Errors
/// [`RecordError::Unreadable`] and those of [`parse`].
pub fn read(path: &Path) -> Result<Document, RecordError> {
    let unreadable = |error| RecordError::Unreadable { path: path.to_path_buf(), error };
    // A device may have no end.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    parse(&fs::read(path).map_err(unreadable)?, path)
}

/// Reads a result document from `bytes`; `path` is only for messages.
///
/// This is the one place that tells versions apart: an older version gets an arm that reads its own types and
/// converts them. Fields that this program does not know are ignored, so additions need no new version.
///
/// # Errors
/// [`RecordError::Corrupt`], [`RecordError::Other`] or [`RecordError::Newer`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Document, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u64,
    }
    let corrupt =
        |detail: String| RecordError::Corrupt { path: path.to_path_buf(), detail: one_line(&detail) };
    if bytes.is_empty() {
        return Err(corrupt("it is empty".into()));
    }
    // Before the version, because documents of other commands have versions of their own.
    if let Some((command, reader)) = kind::other(bytes) {
        return Err(RecordError::Other { path: path.to_path_buf(), command, reader });
    }
    let Versioned { schema_version } =
        serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    match schema_version {
        1 => serde_json::from_slice(bytes).map(completed).map_err(|error| corrupt(error.to_string())),
        found if found > u64::from(SCHEMA_VERSION) => {
            Err(RecordError::Newer { path: path.to_path_buf(), found })
        }
        found => Err(corrupt(format!("there is no schema version {found}"))),
    }
}

/// Rows of before there were several codecs in a document do not name theirs.
fn completed(mut document: Document) -> Document {
    let codec = document.run.config.codec.clone();
    for row in document.rows.iter_mut().filter(|row| row.codec.is_empty()) {
        row.codec.clone_from(&codec);
    }
    document
}
