//! Writers. Everything goes to temporary files beside the target, which are renamed when all of them are complete: a full
//! disk or a crash leaves what was there before.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes rows of `dim` values as fvecs.
///
/// # Errors
/// Those of the sink, or when the values are not whole rows.
pub fn write_fvecs(to: &mut dyn Write, dim: usize, values: &[f32]) -> io::Result<()> {
    write_vecs(to, dim, values, |x| x.to_le_bytes())
}

/// Writes rows of `k` row numbers as ivecs.
///
/// # Errors
/// Those of the sink, when the ids are not whole rows, or when one is above the largest i32.
pub fn write_ivecs(to: &mut dyn Write, k: usize, ids: &[u32]) -> io::Result<()> {
    if ids.iter().any(|&id| id > i32::MAX as u32) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "ivecs holds no row number above 2147483647",
        ));
    }
    write_vecs(to, k, ids, |id| id.to_le_bytes())
}

fn write_vecs<T: Copy>(
    to: &mut dyn Write,
    dim: usize,
    values: &[T],
    bytes: impl Fn(T) -> [u8; 4],
) -> io::Result<()> {
    if dim == 0 || !values.len().is_multiple_of(dim) {
        let error = format!("{} values are not whole rows of {dim}", values.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    let mut block = Vec::new();
    for row in values.chunks_exact(dim) {
        block.clear();
        block.extend((dim as u32).to_le_bytes());
        block.extend(row.iter().flat_map(|&x| bytes(x)));
        to.write_all(&block)?;
    }
    Ok(())
}

/// Complete files that are not yet in their place.
#[derive(Default)]
pub(super) struct Staged {
    files: Vec<(NamedTempFile, PathBuf)>,
}

impl Staged {
    /// Writes the content of `path` beside it.
    pub(super) fn add(
        &mut self,
        path: PathBuf,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The permissions of an ordinary new file; those of a temporary one would hide it from other users.
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::PermissionsExt;
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)?
        };
        #[cfg(not(unix))]
        let file = NamedTempFile::new_in(folder)?;
        let mut buffer = BufWriter::new(file);
        content(&mut buffer)?;
        let file = buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        self.files.push((file, path));
        Ok(())
    }

    /// Puts all files in their place. Without `overwrite`, none that is there is touched.
    pub(super) fn commit(self, overwrite: bool) -> io::Result<()> {
        for (file, path) in self.files {
            let placed = if overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
            placed.map_err(|e| e.error)?;
        }
        Ok(())
    }
}
