//! SHA-256 of the files of a set, kept beside it in `NAME.sha256`, in the form that `sha256sum -c` reads.

use super::truth::{TruthError, Watch};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

/// No honest record is longer.
const MAX_RECORD: u64 = 1 << 20;
/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;

/// Takes in bytes, gives their SHA-256 in hexadecimal.
#[derive(Default)]
pub(super) struct Sum(Sha256);

impl Sum {
    #[cfg(feature = "fetch")]
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// That of a file.
    pub(super) fn of(path: &Path, watch: Watch<'_>) -> Result<String> {
        let cannot = || format!("{}: cannot be read", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        let (mut sum, mut block) = (Sum::default(), vec![0; BLOCK]);
        loop {
            if watch.cancelled() {
                return Err(TruthError::Cancelled.into());
            }
            match file.read(&mut block).with_context(cannot)? {
                0 => return Ok(sum.hex()),
                read => sum.0.update(&block[..read]),
            }
        }
    }
}

/// What a record says: names, which are relative to its folder, and sums.
pub(super) type Record = Vec<(String, String)>;

/// The record beside a file or folder of a set.
pub(super) fn record_of(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// Reads a record, if there is one.
pub(super) fn read(record: &Path) -> Result<Record> {
    let mut text = String::new();
    match File::open(record) {
        Ok(file) => {
            let cannot = || format!("{}: cannot be read; remove it", record.display());
            file.take(MAX_RECORD).read_to_string(&mut text).with_context(cannot)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::new()),
        Err(error) => bail!("{}: cannot be read: {error}; remove it", record.display()),
    }
    let line = |line: &str| {
        let (sum, name) = line.split_once(' ')?;
        let name = name.trim_start_matches([' ', '*']);
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_sum.then(|| (name.to_owned(), sum.to_ascii_lowercase()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// A record as a file holds it.
#[cfg(any(feature = "fetch", test))]
pub(super) fn text(record: &Record) -> String {
    record.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

/// Compares what is at `path`, a file or a folder, with the record beside it, if there is one.
pub(super) fn inspect(path: &Path, out: &mut dyn Write, watch: Watch<'_>) -> Result<()> {
    let record = record_of(path);
    let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut same = 0;
    for (name, expected) in read(&record)? {
        // A way up would lead out of the folder again.
        let is_down = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        let is_inside =
            is_down && name.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let file = record.with_file_name(&name);
        // A record may name what is not there; the readers say what they need.
        if !is_inside || !file.is_file() {
            continue;
        }
        if Sum::of(&file, watch)? != expected {
            bail!("{}: is not what {} says; fetch or copy it again", file.display(), record.display());
        }
        same += 1;
    }
    if same > 0 {
        let files = if same == 1 { "file" } else { "files" };
        writeln!(out, "{}: {same} {files} as {} says", path.display(), record.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// SHA-256 of "abc", from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn said(path: &Path) -> Result<String> {
        let mut out = Vec::new();
        inspect(path, &mut out, Watch::none())?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn files_are_compared_with_the_record_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.hdf5");
        fs::write(&file, "abc").unwrap();
        assert_eq!(said(&file).unwrap(), "", "without a record nothing is said");
        let record = record_of(&file);
        fs::write(&record, format!("# a note\n{}  set.hdf5\n", ABC.to_uppercase())).unwrap();
        assert!(said(&file).unwrap().contains("set.hdf5: 1 file as "));
        fs::write(&file, "abd").unwrap();
        let line = said(&file).unwrap_err().to_string();
        assert!(line.contains("set.hdf5: is not what") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn a_folder_is_compared_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        fs::create_dir(&set).unwrap();
        for name in ["base.fvecs", "query.fvecs"] {
            fs::write(set.join(name), "abc").unwrap();
        }
        fs::write(folder.path().join("other"), "not abc").unwrap();
        let record = ["set/base.fvecs", "set/query.fvecs", "settled", "set/absent", "set/../other"];
        let record = record.map(|name| (name.to_owned(), ABC.to_owned())).to_vec();
        fs::write(record_of(&set), text(&record)).unwrap();
        assert_eq!(read(&record_of(&set)).unwrap(), record);
        assert!(said(&set).unwrap().contains("set: 2 files as "));
        fs::write(set.join("query.fvecs"), "").unwrap();
        assert!(said(&set).unwrap_err().to_string().contains("query.fvecs: is not what"));
    }
}
