//! One writer per result file.
//!
//! **Invariant.** While a [`Claim`] on a path lives, no other process has one. It is an advisory lock on `PATH.lock`, which
//! the system releases however the process ends; a lock file that a killed process left behind is as good as none.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{RecordError, beside};

/// The right to write a result file.
#[derive(Debug)]
pub struct Claim {
    lock: PathBuf,
    /// Locked as long as it is open.
    file: File,
}

impl Claim {
    /// Claims `path` for this process, and finds out early if it is no place for a file.
    ///
    /// # Errors
    /// [`RecordError::Taken`] when another process writes there, [`RecordError::NotAFile`] for a folder or device,
    /// [`RecordError::Unwritable`].
    pub fn of(path: &Path) -> Result<Claim, RecordError> {
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return Err(RecordError::NotAFile { path: path.to_path_buf() });
        }
        let lock = beside(path, ".lock");
        let unwritable = |error| RecordError::Unwritable { path: path.to_path_buf(), error };
        loop {
            let file =
                File::options().create(true).truncate(false).write(true).open(&lock).map_err(unwritable)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(RecordError::Taken { path: path.to_path_buf() }),
                // A file system without locks: go on without, as programs without locks do.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(unwritable(error)),
            }
            // Whoever had the lock may have removed the file between our opening and our locking of it.
            if is_at(&file, &lock) {
                return Ok(Claim { lock, file });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While we hold the lock, so that nobody else has claimed the file that goes.
        if is_at(&self.file, &self.lock) {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    file.metadata().is_ok_and(|open| path.metadata().is_ok_and(|there| same(&open, &there)))
}

#[cfg(unix)]
fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_excludes_others_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.json");
        let claim = Claim::of(&path).unwrap();
        assert!(matches!(Claim::of(&path), Err(RecordError::Taken { .. })));
        assert!(Claim::of(&folder.path().join("other.json")).is_ok());
        drop(claim);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Claim::of(&path).is_ok());
    }

    #[test]
    fn a_lock_file_of_a_dead_process_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.json");
        fs::write(beside(&path, ".lock"), "").unwrap();
        assert!(Claim::of(&path).is_ok());
    }

    #[test]
    fn many_claimants_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.json");
        let (holders, granted) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        match Claim::of(&path) {
                            Ok(_claim) => {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                                granted.fetch_add(1, Ordering::SeqCst);
                                holders.fetch_sub(1, Ordering::SeqCst);
                            }
                            Err(error) => assert!(matches!(error, RecordError::Taken { .. }), "{error}"),
                        }
                    }
                });
            }
        });
        assert!(granted.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn folders_are_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Claim::of(folder.path()), Err(RecordError::NotAFile { .. })));
        assert!(!beside(folder.path(), ".lock").exists());
    }
}
