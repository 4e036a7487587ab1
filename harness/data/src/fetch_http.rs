//! The download: to a temporary file beside the target, summed and counted on the way, renamed when everything of the set
//! is there and right. Nothing is resumed; whatever goes wrong, the temporary files go.

use super::{Content, Origin, Set};
use crate::sums::{self, Sum};
use crate::truth::{TruthError, Watch};
use anyhow::{Context, Result, anyhow, bail};
use flate2::read::GzDecoder;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// Bytes that are asked for at once.
const BLOCK: usize = 1 << 16;
/// How long a server may keep silent; also how long Ctrl-C may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file that will be in its place when all are there.
struct Arrived {
    file: NamedTempFile,
    name: &'static str,
    sum: String,
}

impl Set {
    /// The files that it is here.
    fn files(&self) -> Vec<&'static str> {
        let files = |origin: &Origin| match origin.content {
            Content::File(name) => vec![name],
            Content::Archive(members) => members.iter().map(|member| member.1).collect(),
        };
        self.origins.iter().flat_map(files).collect()
    }
}

/// Makes sure that `folder` has the set.
pub(super) fn download(
    set: &Set,
    folder: &Path,
    force: bool,
    out: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<()> {
    let record_path = folder.join(format!("{}.sha256", set.name));
    if !force && is_there(set, folder, &record_path, watch)? {
        writeln!(out, "{} is in {} already, and as it should be", set.name, folder.display())?;
        return Ok(());
    }
    let new = Folders::make(set, folder)?;
    let mut arrived = Vec::new();
    for origin in set.origins {
        fetch(origin, folder, &mut arrived, out, watch)?;
    }
    let record = arrived.iter().map(|file| (file.name.to_owned(), file.sum.clone())).collect();
    for Arrived { file, name, .. } in arrived {
        let path = folder.join(name);
        file.persist(&path).map_err(|e| e.error).with_context(|| cannot_write(&path))?;
    }
    fs::write(&record_path, sums::text(&record)).with_context(|| cannot_write(&record_path))?;
    new.keep();
    writeln!(
        out,
        "wrote {} to {}; its checksums are in {}",
        set.name,
        folder.display(),
        record_path.display()
    )?;
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// Whether all files are there and right. Something else in their place is an error: it may be the user's.
fn is_there(set: &Set, folder: &Path, record_path: &Path, watch: Watch<'_>) -> Result<bool> {
    let present: Vec<_> = set.files().into_iter().filter(|name| folder.join(name).exists()).collect();
    let Some(first) = present.first() else { return Ok(false) };
    if present.len() < set.files().len() {
        bail!(
            "{}: is there already, but {} is not complete; remove it or add --force",
            folder.join(first).display(),
            set.name
        );
    }
    let record = sums::read(record_path)?;
    for name in present {
        let path = folder.join(name);
        let stated = set.origins.iter().find(|o| matches!(o.content, Content::File(file) if file == name));
        let stated = stated.and_then(|origin| origin.sha256.map(|sum| (sum, origin.stated_by.to_owned())));
        let noted = || {
            let (_, sum) = record.iter().find(|(of, _)| of == name)?;
            Some((sum.as_str(), record_path.display().to_string()))
        };
        let Some((expected, by)) = stated.or_else(noted) else {
            bail!(
                "{}: is there already, and there is no {} to compare it with; remove it or add --force",
                path.display(),
                record_path.display()
            );
        };
        if Sum::of(&path, watch)? != expected {
            bail!("{}: is there, but differs from what {by} says; remove it or add --force", path.display());
        }
    }
    Ok(true)
}

/// Folders that are removed again, if they are empty, unless they are kept.
struct Folders(Vec<PathBuf>);

impl Folders {
    fn make(set: &Set, folder: &Path) -> Result<Folders> {
        let mut made = Folders(Vec::new());
        let inner = set.files().into_iter().filter_map(|name| folder.join(name).parent().map(Path::to_owned));
        for path in std::iter::once(folder.to_owned()).chain(inner) {
            if !path.is_dir() {
                fs::create_dir_all(&path).with_context(|| cannot_write(&path))?;
                made.0.push(path);
            }
        }
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Only if nothing is in it.
            fs::remove_dir(path).ok();
        }
    }
}

/// An ordinary new file, for now under another name.
fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fetch-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).with_context(|| cannot_write(folder))
}

fn fetch(
    origin: &Origin,
    folder: &Path,
    arrived: &mut Vec<Arrived>,
    out: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<()> {
    let url = origin.url;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .accept_encoding("identity")
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| unreachable(url, &error))?;
    let length = response.body().content_length();
    if let (Some(expected), Some(length)) = (origin.bytes, length)
        && expected != length
    {
        bail!("{url}: the server has {length} bytes, but {expected} were expected; the set has changed");
    }
    let mut file = temporary(folder)?;
    let (read, sum) = copy(response.into_body().into_reader(), &mut file, length.or(origin.bytes), watch)
        .map_err(|error| match error {
            Stopped::Cancelled => TruthError::Cancelled.into(),
            Stopped::Reading(at, error) => anyhow!("{url}: it broke off at byte {at} ({error}); try again"),
            Stopped::Writing(error) => anyhow!(error).context(cannot_write(folder)),
        })?;
    let expected = length.or(origin.bytes).unwrap_or(read);
    if read != expected {
        bail!("{url}: {read} bytes came instead of {expected}; try again");
    }
    if let Some(expected) = origin.sha256.filter(|&expected| expected != sum) {
        bail!(
            "{url}: its SHA-256 is {sum}, but {} states {expected}; it was changed or damaged, and is not kept",
            origin.stated_by
        );
    }
    match origin.sha256 {
        Some(_) => writeln!(out, "{url}: {read} bytes, SHA-256 as stated by {}", origin.stated_by)?,
        None => writeln!(out, "{url}: {read} bytes, SHA-256 {sum}, which no one states")?,
    }
    match origin.content {
        Content::File(name) => arrived.push(Arrived { file, name, sum }),
        Content::Archive(members) => unpack(url, file, members, folder, arrived, watch)?,
    }
    Ok(())
}

/// What cannot be reached, and why, in one line.
fn unreachable(url: &str, error: &ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::StatusCode(404) => {
            anyhow!("{url}: the server does not have it (HTTP 404); it has moved")
        }
        ureq::Error::StatusCode(code) => anyhow!("{url}: the server answered HTTP {code}; try again later"),
        ureq::Error::HostNotFound => {
            anyhow!("{url}: the name of the server is not known; is there a network?")
        }
        other => anyhow!("{url}: cannot be reached ({other}); is there a network?"),
    }
}

/// Why a copy did not end.
#[derive(Debug)]
pub(super) enum Stopped {
    Cancelled,
    Reading(u64, io::Error),
    Writing(io::Error),
}

/// Copies everything; the number of bytes and their sum.
pub(super) fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    length: Option<u64>,
    watch: Watch<'_>,
) -> Result<(u64, String), Stopped> {
    let (mut sum, mut block, mut done) = (Sum::default(), vec![0; BLOCK], 0);
    loop {
        if watch.cancelled() {
            return Err(Stopped::Cancelled);
        }
        let read = match from.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stopped::Reading(done, error)),
        };
        to.write_all(&block[..read]).map_err(Stopped::Writing)?;
        sum.update(&block[..read]);
        done += read as u64;
        if let Some(length) = length {
            (watch.progress)(done, length.max(done));
        }
    }
    to.flush().map_err(Stopped::Writing)?;
    Ok((done, sum.hex()))
}

/// Takes the members out of an archive whose bytes were checked.
fn unpack(
    url: &str,
    mut archive: NamedTempFile,
    members: &'static [(&'static str, &'static str)],
    folder: &Path,
    arrived: &mut Vec<Arrived>,
    watch: Watch<'_>,
) -> Result<()> {
    let broken = || format!("{url}: is no gzipped tar that can be read");
    archive.seek(SeekFrom::Start(0)).with_context(broken)?;
    let mut tar = tar::Archive::new(GzDecoder::new(archive.as_file()));
    let before = arrived.len();
    for entry in tar.entries().with_context(broken)? {
        let entry = entry.with_context(broken)?;
        let path = entry.path().with_context(broken)?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path);
        let Some(&(_, name)) = members.iter().find(|(member, _)| Path::new(member) == path) else { continue };
        let mut file = temporary(folder)?;
        let (_, sum) = copy(entry, &mut file, None, watch).map_err(|error| match error {
            Stopped::Cancelled => TruthError::Cancelled.into(),
            Stopped::Reading(_, error) => anyhow!(error).context(broken()),
            Stopped::Writing(error) => anyhow!(error).context(cannot_write(folder)),
        })?;
        arrived.push(Arrived { file, name, sum });
    }
    if arrived.len() - before != members.len() {
        bail!("{url}: not all of its files are in it; the set has changed");
    }
    Ok(())
}
