//! Printing to standard output, where a closed pipe is not an error, and writing a small document as a whole.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Writes `text` to standard output. A reader that went away (`| head`) has seen what it wanted.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Refuses a place where no file can go. Makes its folder.
pub(crate) fn check_place(path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    if path.exists() && !path.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes beside the file and then renames, so that there is never half a file.
pub(crate) fn write_json(document: &impl Serialize, path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, document)?;
    writeln!(file)?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    Ok(())
}

/// Refuses a file, if one was asked for, that cannot be written; before the time is spent.
pub(crate) fn check_file(path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| check_place(path).with_context(|| unwritable(path)))
}

/// Writes the document to the file, if one was asked for, and says so.
pub(crate) fn write_file(document: &impl Serialize, path: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    write_json(document, path).with_context(|| unwritable(path))?;
    Ok(writeln!(out, "\nwrote {}", path.display())?)
}

fn unwritable(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// What ended a measurement before its time, with what became of that which was measured before.
pub(crate) fn cut_short(error: &anyhow::Error, path: Option<&Path>) -> anyhow::Error {
    let place = path.map_or("above".into(), |path| format!("in {}", path.display()));
    anyhow!("{error:#}; what was measured before it is {place}")
}

/// The bytes of a document that `hnsw-lab COMMAND` wrote.
///
/// # Errors
/// One line that says why they cannot be read.
pub(crate) fn read_bytes(path: &Path, command: &str) -> Result<Vec<u8>> {
    let unreadable =
        || format!("cannot read {}; give the path of a file that `hnsw-lab {command}` wrote", path.display());
    // A device may have no end.
    let regular = path.metadata().with_context(unreadable)?.is_file();
    ensure!(regular, "{}: it is not a regular file", unreadable());
    fs::read(path).with_context(unreadable)
}

/// Reads a document that `hnsw-lab COMMAND` wrote, of this version of its form; `path` is only for messages.
///
/// # Errors
/// One line that says what is wrong with it.
pub(crate) fn parse_json<D: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
    command: &str,
    version: u32,
) -> Result<D> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u32,
    }
    let file = path.display();
    // Told with what is wrong with the rest: documents of other commands have versions too.
    let found = serde_json::from_slice::<Versioned>(bytes).ok().map(|versioned| versioned.schema_version);
    let of_version = match found {
        Some(found) if found != version => format!(" of version {version}: it has schema version {found}"),
        _ => String::new(),
    };
    let other = || {
        format!(
            "{file} is no document of `hnsw-lab {command}`{of_version}; make one with `hnsw-lab {command} --out`"
        )
    };
    let document = serde_json::from_slice(bytes)
        .map_err(|error| anyhow!(one_line(&error.to_string())))
        .with_context(other)?;
    ensure!(of_version.is_empty(), other());
    Ok(document)
}

/// A message with what it quotes of a file, which may have breaks of lines in it, as one line.
pub(crate) fn one_line(message: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(shown).collect()
}

/// Says that the build is the wrong one to measure with, if it is.
pub(crate) fn warn_of_debug_build() {
    if cfg!(debug_assertions) {
        eprintln!(
            "warning: this build has debug assertions, so its timings mean nothing; build it with --release"
        );
    }
}

/// Fails if anything was found that the contract forbids; each fault says where.
pub(crate) fn check_contract(faults: &[String]) -> Result<()> {
    ensure!(
        faults.is_empty(),
        "the contract does not hold: {}; please report this with the command",
        faults.join("; ")
    );
    Ok(())
}
