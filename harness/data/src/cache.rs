//! Ground truth kept on disk under the digest of what it was computed from.
//!
//! A file is `magic, key (32), queries u32, k u32, slack f32, ids u32.., distances f32.., BLAKE3 of all before (32)`, all
//! little-endian. It is written to a temporary file and renamed, so that a reader sees all of it or nothing, and it is
//! checked from end to end when it is read; one that does not check is as good as none.

use super::dataset::Dataset;
use super::truth::Truth;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"HNSWGT01";
const HEAD: usize = MAGIC.len() + 32 + 12;
const DIGEST: usize = 32;

/// A folder of ground truths.
#[derive(Clone, Debug)]
pub struct TruthCache {
    folder: PathBuf,
}

/// The cache could not be written. The ground truth is there all the same.
#[derive(Debug, Error)]
#[error(
    "the ground truth was not kept in {folder}: {error}; set HNSW_LAB_CACHE to a folder that can be written"
)]
pub struct CacheError {
    folder: String,
    error: std::io::Error,
}

impl TruthCache {
    /// A cache in `folder`, which is made when something is kept.
    pub fn in_folder(folder: impl Into<PathBuf>) -> TruthCache {
        TruthCache { folder: folder.into() }
    }

    /// The cache of this user: `$HNSW_LAB_CACHE`, else `$XDG_CACHE_HOME/hnsw-lab`, else `~/.cache/hnsw-lab`. `None`
    /// without any of these.
    pub fn of_user() -> Option<TruthCache> {
        TruthCache::from_environment(|name| std::env::var_os(name))
    }

    fn from_environment(get: impl Fn(&str) -> Option<OsString>) -> Option<TruthCache> {
        let folder = |name| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        folder("HNSW_LAB_CACHE")
            .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("hnsw-lab")))
            .or_else(|| Some(folder("HOME")?.join(".cache/hnsw-lab")))
            .map(TruthCache::in_folder)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ground truth of `set` for `k`, if it is kept and whole.
    pub fn get(&self, set: &Dataset, k: usize) -> Option<Truth> {
        let key = key(set, k);
        let path = self.path(&key);
        // What the file must have, so that another file of any size is never read.
        let k = k.min(set.len());
        let entries = set.query_count() * k;
        let len = (HEAD + 8 * entries + DIGEST) as u64;
        if fs::metadata(&path).ok()?.len() != len {
            return None;
        }
        let bytes = fs::read(&path).ok().filter(|bytes| bytes.len() as u64 == len)?;
        let (body, digest) = bytes.split_last_chunk::<DIGEST>()?;
        if blake3::hash(body) != blake3::Hash::from_bytes(*digest) {
            return None;
        }
        let (head, values) = body.split_at(HEAD);
        let (expected, slack) = head.split_last_chunk::<4>()?;
        if expected != &start(&key, set.query_count(), k)[..] {
            return None;
        }
        let (ids, distances) = values.split_at(4 * entries);
        Some(Truth {
            k,
            ids: ids.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect(),
            distances: distances.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            slack: f32::from_le_bytes(*slack),
        })
        .filter(|truth| truth.ids.iter().all(|&id| (id as usize) < set.len()))
    }

    /// Keeps the ground truth of `set` that was computed for `k`.
    ///
    /// # Errors
    /// When the folder or the file cannot be written; an older file is then as it was.
    pub fn put(&self, set: &Dataset, k: usize, truth: &Truth) -> Result<(), CacheError> {
        let key = key(set, k);
        let mut bytes = start(&key, set.query_count(), truth.k);
        bytes.reserve(4 + 8 * truth.ids.len() + DIGEST);
        bytes.extend(truth.slack.to_le_bytes());
        bytes.extend(truth.ids.iter().flat_map(|id| id.to_le_bytes()));
        bytes.extend(truth.distances.iter().flat_map(|d| d.to_le_bytes()));
        bytes.extend(blake3::hash(&bytes).as_bytes());
        let write = || {
            fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&bytes)?;
            file.persist(self.path(&key)).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(|error| CacheError { folder: self.folder.display().to_string(), error })
    }

    fn path(&self, key: &blake3::Hash) -> PathBuf {
        self.folder.join(format!("{}.truth", &key.to_hex()[..32]))
    }
}

fn start(key: &blake3::Hash, queries: usize, k: usize) -> Vec<u8> {
    [MAGIC, &key.as_bytes()[..], &(queries as u32).to_le_bytes(), &(k as u32).to_le_bytes()].concat()
}

/// What a ground truth depends on. Metric, base and queries are in the digest of the set.
fn key(set: &Dataset, k: usize) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("hnsw-lab ground truth, version 1");
    hasher.update(set.digest().as_bytes());
    hasher.update(&(k.min(set.len()) as u64).to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::super::{TruthSource, Watch, generate};
    use super::*;

    fn small() -> Dataset {
        generate::uniform(&generate::Shape { rows: 200, dim: 5, queries: 7, seed: 1 }).unwrap()
    }

    #[test]
    fn what_was_computed_once_is_read_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TruthCache::in_folder(folder.path().join("new"));
        let (mut first, mut second) = (small(), small());
        let source = first.ensure_truth(3, Some(&cache), Watch::none()).unwrap();
        assert_eq!(source, TruthSource::Computed { not_cached: None });
        assert_eq!(second.ensure_truth(3, Some(&cache), Watch::none()).unwrap(), TruthSource::Cached);
        assert_eq!(first.truth(), second.truth());
        assert_eq!(second.ensure_truth(2, Some(&cache), Watch::none()).unwrap(), TruthSource::Given);
        assert_eq!(cache.get(&first, 4), None, "another k is another truth");
    }

    #[test]
    fn the_environment_names_the_folder() {
        let folder = |variables: &[(&str, &str)]| {
            let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
            TruthCache::from_environment(get).map(|cache| cache.folder().to_owned())
        };
        let (own, xdg, home) = (("HNSW_LAB_CACHE", "/own"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/a"));
        assert_eq!(folder(&[home, xdg, own]), Some("/own".into()));
        assert_eq!(folder(&[home, xdg, ("HNSW_LAB_CACHE", "")]), Some("/xdg/hnsw-lab".into()));
        assert_eq!(folder(&[home]), Some("/home/a/.cache/hnsw-lab".into()));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TruthCache::in_folder(folder.path());
        let mut set = small();
        set.ensure_truth(3, Some(&cache), Watch::none()).unwrap();
        let path = cache.path(&key(&set, 3));
        let good = fs::read(&path).unwrap();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(cache.get(&set, 3), None, "byte {position} was changed");
            fs::write(&path, &good[..position]).unwrap();
            assert_eq!(cache.get(&set, 3), None, "cut at {position}");
        }
        let mut again = small();
        let source = again.ensure_truth(3, Some(&cache), Watch::none()).unwrap();
        assert_eq!(source, TruthSource::Computed { not_cached: None });
        assert_eq!(fs::read(&path).unwrap(), good, "computed again and mended");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_a_remark() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = TruthCache::in_folder(file.path().join("below a file"));
        let mut set = small();
        let source = set.ensure_truth(3, Some(&cache), Watch::none()).unwrap();
        let TruthSource::Computed { not_cached: Some(remark) } = source else { panic!("{source:?}") };
        assert!(remark.contains("set HNSW_LAB_CACHE"), "{remark}");
        assert!(set.truth().is_some());
    }
}
