//! Data sets from files: a folder with `base.*`, `query.*` and perhaps `gt.*` and `meta.json`, one file of HDF5, or files named
//! one by one.

use super::dataset::{Dataset, DatasetError};
use super::error::{Problem, ReadError};
use super::hdf5::{self, Hdf5, Part};
use super::read::{Format, read_ids, read_part, read_vectors};
use hnsw_core::distance::Metric;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// No honest description is longer.
const MAX_META: u64 = 1 << 20;

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Instead of the folder's `query.*`, or of the queries in the HDF5 file.
    pub queries: Option<PathBuf>,
    /// Instead of the folder's `gt.*`, or of the neighbours in the HDF5 file.
    pub truth: Option<PathBuf>,
    /// Instead of what `meta.json` or the HDF5 file says, or L2. The ground truth of data that name another metric is not
    /// used.
    pub metric: Option<Metric>,
    /// The most base rows. With fewer than the file has, the ground truth of the file is not used.
    pub limit: Option<usize>,
    /// The most queries.
    pub query_limit: Option<usize>,
}

/// Files do not make a data set.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The files do not fit together.
    #[error("{path}: {error}")]
    Dataset {
        /// What was loaded.
        path: String,
        /// What is wrong with it.
        error: DatasetError,
    },
    /// A part is not in the folder.
    #[error(
        "{folder}: no {stem}.* in a format that is read; put one there, such as {stem}.fvecs or {stem}.npy"
    )]
    Missing {
        /// The folder.
        folder: String,
        /// `base` or `query`.
        stem: &'static str,
    },
    /// A part is there twice.
    #[error("{folder}: both {first} and {second} are there; leave one of them")]
    Ambiguous {
        /// The folder.
        folder: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// A base file alone.
    #[error(
        "{base}: a base file needs queries too; add --queries FILE or give a folder with base.* and query.*"
    )]
    NoQueries {
        /// The base file.
        base: String,
    },
    /// Base and queries are of different spaces.
    #[error(
        "{queries}: dimension {found}, but {base} has dimension {expected}; give queries of that dimension"
    )]
    Dim {
        /// The file of the queries.
        queries: String,
        /// Their dimension.
        found: usize,
        /// The file of the base.
        base: String,
        /// Its dimension.
        expected: usize,
    },
    /// As many answers as queries are needed.
    #[error("{truth}: {found} rows, but {queries} has {expected}; give the truth of these queries")]
    TruthRows {
        /// The file of the truth.
        truth: String,
        /// Its rows.
        found: usize,
        /// The file of the queries.
        queries: String,
        /// Its rows.
        expected: usize,
    },
    /// `meta.json` is no description.
    #[error("{file}: {reason}; repair or remove it")]
    Meta {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The files of a data set.
struct Files {
    base: PathBuf,
    queries: PathBuf,
    truth: Option<PathBuf>,
    meta: Meta,
}

/// What `meta.json` says.
#[derive(Default)]
pub(super) struct Meta {
    pub name: Option<String>,
    pub metric: Option<Metric>,
    pub provenance: Option<String>,
}

/// The data at `path`, with this metric if the data do not say; without a path the embedded set.
///
/// # Errors
/// Those of [`load`].
pub fn load_or_embedded(path: Option<&Path>, metric: Option<Metric>) -> Result<Dataset, LoadError> {
    match path {
        Some(path) => load(path, &LoadOptions { metric, ..LoadOptions::default() }),
        None => Ok(super::embedded()),
    }
}

/// Loads the data set of a folder, of an HDF5 file, or of the base file `path` with the files in `options`.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset, LoadError> {
    let files = find(path, options)?;
    let metric = options.metric.or(files.meta.metric).unwrap_or(Metric::L2);
    let base = read_vectors(&files.base, options.limit)?;
    let queries = read_part(&files.queries, Part::Queries, options.query_limit)?;
    if base.dim != queries.dim {
        return Err(LoadError::Dim {
            queries: Part::Queries.place(&files.queries),
            found: queries.dim,
            base: Part::Base.place(&files.base),
            expected: base.dim,
        });
    }
    let whole = base.rows() == base.rows_in_file;
    let same_metric = options.truth.is_some() || files.meta.metric.is_none_or(|of_truth| of_truth == metric);
    let truth = match files.truth {
        Some(file) if whole && same_metric => {
            let truth = read_ids(&file, options.query_limit)?;
            if truth.rows_in_file != queries.rows_in_file {
                return Err(LoadError::TruthRows {
                    truth: Part::Truth.place(&file),
                    found: truth.rows_in_file,
                    queries: Part::Queries.place(&files.queries),
                    expected: queries.rows_in_file,
                });
            }
            Some((file, truth))
        }
        _ => None,
    };
    let stem = || path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let name = files.meta.name.unwrap_or_else(stem);
    let provenance = files.meta.provenance.unwrap_or_else(|| "a file of the user".into());
    let wrong = |path: String| |error| LoadError::Dataset { path, error };
    let set = Dataset::new(name, metric, base.dim, base.values, queries.values, provenance)
        .map_err(wrong(path.display().to_string()))?;
    match truth {
        Some((file, truth)) => {
            set.with_truth(truth.values, truth.dim).map_err(wrong(Part::Truth.place(&file)))
        }
        None => Ok(set),
    }
}

fn find(path: &Path, options: &LoadOptions) -> Result<Files, LoadError> {
    let LoadOptions { queries, truth, .. } = options.clone();
    if path.is_dir() {
        let missing = |stem| LoadError::Missing { folder: path.display().to_string(), stem };
        return Ok(Files {
            base: part(path, "base")?.ok_or_else(|| missing("base"))?,
            truth: match (truth, &queries) {
                (Some(file), _) => Some(file),
                // The truth of a folder is that of its own queries.
                (None, Some(_)) => None,
                (None, None) => part(path, "gt")?,
            },
            queries: match queries {
                Some(file) => file,
                None => part(path, "query")?.ok_or_else(|| missing("query"))?,
            },
            meta: meta(path)?,
        });
    }
    if hdf5::is_named(path) {
        return find_in_hdf5(path, options);
    }
    match queries {
        Some(queries) => Ok(Files { base: path.into(), queries, truth, meta: Meta::default() }),
        // A file that is not there is the more useful message.
        None => Err(path.metadata().err().map_or_else(
            || LoadError::NoQueries { base: path.display().to_string() },
            |error| ReadError { file: path.display().to_string(), problem: Problem::Io(error) }.into(),
        )),
    }
}

/// All parts are in the one file, but for those that others are named for.
fn find_in_hdf5(path: &Path, options: &LoadOptions) -> Result<Files, LoadError> {
    let file = Hdf5::open(path)?;
    let distance = file.distance()?;
    let metric = distance.as_deref().and_then(parse_metric);
    let known = distance.is_none() || metric.is_some();
    if let Some(distance) = distance.filter(|_| !known && options.metric.is_none()) {
        let problem = Problem::Hdf5Distance { distance };
        return Err(ReadError { file: path.display().to_string(), problem }.into());
    }
    // Of its own queries, by its own metric.
    let own_truth = options.queries.is_none() && known && file.has(Part::Truth);
    Ok(Files {
        base: path.into(),
        queries: options.queries.clone().unwrap_or_else(|| path.into()),
        truth: options.truth.clone().or_else(|| own_truth.then(|| path.into())),
        meta: Meta { metric, ..Meta::default() },
    })
}

/// The one file of the folder whose name is `stem` and an extension that is read.
pub(super) fn part(folder: &Path, stem: &'static str) -> Result<Option<PathBuf>, LoadError> {
    let io = |e| ReadError { file: folder.display().to_string(), problem: Problem::Io(e) };
    let mut found: Option<PathBuf> = None;
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let named =
            path.file_name().and_then(|n| n.to_str()?.strip_prefix(stem)?.strip_prefix('.')).is_some();
        if !named || Format::of(&path).is_none() {
            continue;
        }
        if let Some(other) = found {
            let mut both =
                [&other, &path].map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned());
            both.sort();
            let [first, second] = both;
            return Err(LoadError::Ambiguous { folder: folder.display().to_string(), first, second });
        }
        found = Some(path);
    }
    Ok(found)
}

/// The description in a folder, if there is one.
pub(super) fn meta(folder: &Path) -> Result<Meta, LoadError> {
    let path = folder.join("meta.json");
    let wrong = |reason: String| LoadError::Meta { file: path.display().to_string(), reason };
    let mut text = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(MAX_META + 1).read_to_end(&mut text)) {
        Ok(_) if text.len() as u64 > MAX_META => Err(wrong(format!("is longer than {MAX_META} bytes"))),
        Ok(_) => parse_meta(&text).map_err(wrong),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Meta::default()),
        Err(error) => Err(wrong(format!("cannot be read: {error}"))),
    }
}

/// Reads a description; keys that are not known are passed over.
pub(super) fn parse_meta(text: &[u8]) -> Result<Meta, String> {
    let json: serde_json::Value = serde_json::from_slice(text).map_err(|e| format!("is no JSON ({e})"))?;
    if !json.is_object() {
        return Err("is no JSON object".into());
    }
    let metric = match &json["metric"] {
        serde_json::Value::Null => None,
        value => Some(value.as_str().and_then(parse_metric).ok_or_else(|| {
            format!("names the metric {value}; known are \"l2\", \"ip\", \"cosine\" and \"angular\"")
        })?),
    };
    // What the sets say of themselves: how they were made, and the licences of what they were made from.
    let how = json["how"].as_str().map(str::to_owned);
    let licences =
        ["licences", "licence", "source"].iter().map(|key| &json[*key]).find(|value| !value.is_null());
    let provenance = match (how, licences) {
        (how, None) => how,
        (None, Some(licences)) => Some(format!("licences: {licences}")),
        (Some(how), Some(licences)) => Some(format!("{how}; licences: {licences}")),
    };
    Ok(Meta { name: json["name"].as_str().map(str::to_owned), metric, provenance })
}

/// The metric of that name; `angular` is another name of the cosine.
pub(super) fn parse_metric(name: &str) -> Option<Metric> {
    match name.to_ascii_lowercase().as_str() {
        "l2" | "euclidean" => Some(Metric::L2),
        "ip" | "dot" => Some(Metric::InnerProduct),
        "cosine" | "angular" => Some(Metric::Cosine),
        _ => None,
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
