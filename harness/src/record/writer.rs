//! Writing a result document row by row.
//!
//! **Invariant.** The file at the path is at every moment either what it was before or a whole valid document with all
//! rows pushed so far: the new text goes to a temporary file beside it, reaches the disk, and takes its place by rename.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Document, Key, RecordError, Row, Run, beside, read};

/// What the name of a document that is being written ends with.
const TEMPORARY: &str = ".tmp";

/// Holds a document and keeps the file up to date with it.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    document: Document,
    done: BTreeSet<Key>,
}

impl Writer {
    /// A new document for `path`. A file that is there is replaced when the first row is pushed, not before;
    /// that the place can be written is tried now, so that a sweep does not learn it after its first trial.
    ///
    /// # Errors
    /// [`RecordError::Unwritable`]; [`RecordError::Foreign`] when something else than a result document is there.
    pub fn create(path: &Path, run: Run) -> Result<Writer, RecordError> {
        refuse_foreign(path)?;
        let writer = Writer { path: path.to_path_buf(), document: Document::new(run), done: BTreeSet::new() };
        writer.try_to_write()?;
        Ok(writer)
    }

    /// Continues the document at `path`, which must hold rows of the same sweep as `run`: same configuration, data
    /// set, CPU model, number of allowed CPUs and build. [`Writer::done`] tells what need not be run again.
    ///
    /// # Errors
    /// [`RecordError::Mismatch`] naming what differs, [`RecordError::Unwritable`], and those of [`read`].
    pub fn resume(path: &Path, run: &Run) -> Result<Writer, RecordError> {
        let document = read(path)?;
        let differences = differences(&document.run, run);
        if !differences.is_empty() {
            let differences = differences.join(", ");
            return Err(RecordError::Mismatch { path: path.to_path_buf(), differences });
        }
        let done = document.rows.iter().map(Row::key).collect();
        let writer = Writer { path: path.to_path_buf(), document, done };
        writer.try_to_write()?;
        Ok(writer)
    }

    /// Resumes if there is a file at `path` and `fresh` is false, else creates.
    ///
    /// # Errors
    /// Those of [`Writer::resume`] and [`Writer::create`].
    pub fn open(path: &Path, run: Run, fresh: bool) -> Result<Writer, RecordError> {
        refuse_foreign(path)?;
        if !fresh && path.exists() { Writer::resume(path, &run) } else { Writer::create(path, run) }
    }

    /// Adds a row and writes the whole document. After a write error the row is kept in memory, so that the next
    /// push writes both.
    ///
    /// # Errors
    /// [`RecordError::Duplicate`], [`RecordError::NotANumber`] (the row is not taken) or [`RecordError::Unwritable`].
    pub fn push(&mut self, row: Row) -> Result<(), RecordError> {
        let key = row.key();
        let again = |there: &Row| there.attempt == row.attempt && there.key() == key;
        if self.done.contains(&key) && self.document.rows.iter().any(again) {
            return Err(RecordError::Duplicate { path: self.path.clone(), key: key.to_string() });
        }
        row.check()?;
        self.document.rows.push(row);
        self.done.insert(key);
        self.or_unwritable(replace(&self.path, &self.document))
    }

    /// Keys of the rows that the document has, whatever the attempt.
    pub fn done(&self) -> &BTreeSet<Key> {
        &self.done
    }

    /// The document as it stands.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the document beside its place and takes it away again.
    fn try_to_write(&self) -> Result<(), RecordError> {
        let temporary = beside(&self.path, TEMPORARY);
        self.or_unwritable(
            write_synced(&temporary, &self.document).and_then(|()| fs::remove_file(&temporary)),
        )
    }

    fn or_unwritable(&self, result: io::Result<()>) -> Result<(), RecordError> {
        result.map_err(|error| RecordError::Unwritable { path: self.path.clone(), error })
    }
}

/// What makes rows of `ours` unfit to stand beside rows of `earlier`.
fn differences(earlier: &Run, ours: &Run) -> Vec<String> {
    let identity = |run: &Run| {
        serde_json::json!({
            "config": run.config,
            "dataset": { "digest": run.dataset.digest, "metric": run.dataset.metric },
            "machine": { "cpu": run.cpu_model(), "allowed_cpus": run.allowed_cpus.len() },
            "build": { "version": run.build.version, "git_commit": run.build.git_commit },
        })
    };
    let (earlier, ours) = (identity(earlier), identity(ours));
    let mut found = Vec::new();
    for (group, fields) in ours.as_object().into_iter().flatten() {
        for (name, now) in fields.as_object().into_iter().flatten() {
            let before = &earlier[group][name];
            if before == now {
                continue;
            }
            // The CPUs of all workers of a large machine would fill the screen.
            if [before, now].iter().any(|value| is_table(value)) {
                found.push(format!("{group}.{name} differs"));
            } else {
                found.push(format!("{group}.{name} is {} there and {} now", brief(before), brief(now)));
            }
        }
    }
    found
}

fn is_table(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "unknown".into(),
        other => other.to_string(),
    }
}

/// Refuses what is neither a result document, whole or damaged, nor an empty file: no sweep replaces it.
fn refuse_foreign(path: &Path) -> Result<(), RecordError> {
    if path.exists() && !may_be_ours(path) {
        return Err(RecordError::Foreign { path: path.to_path_buf() });
    }
    Ok(())
}

fn may_be_ours(path: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut beginning));
    read.is_ok()
        && (beginning.is_empty() || String::from_utf8_lossy(&beginning).contains("\"schema_version\""))
}

fn replace(path: &Path, document: &Document) -> io::Result<()> {
    let temporary = beside(path, TEMPORARY);
    write_synced(&temporary, document)?;
    fs::rename(&temporary, path).inspect_err(|_| remove_quietly(&temporary))?;
    // The rename itself must reach the disk too; not every file system lets a folder be synced.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn write_synced(path: &Path, document: &Document) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write_document(&mut out, document)
        .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.sync_all())
        .inspect_err(|_| remove_quietly(path))
}

/// Best effort: the error that led here is the one to report.
fn remove_quietly(path: &Path) {
    let _ = fs::remove_file(path);
}

/// The run spread out for people, then one line per row, so that files can be compared line by line.
fn write_document(out: &mut impl Write, document: &Document) -> io::Result<()> {
    write!(out, "{{\n\"schema_version\": {},\n\"run\": ", document.schema_version)?;
    serde_json::to_writer_pretty(&mut *out, &document.run)?;
    out.write_all(b",\n\"rows\": [")?;
    for (position, row) in document.rows.iter().enumerate() {
        out.write_all(if position == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, row)?;
    }
    out.write_all(b"\n]\n}\n")
}
