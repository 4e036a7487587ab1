//! HDF5 files as ann-benchmarks publishes them: one file is a whole data set.
//!
//! | in the file | what it is |
//! |---|---|
//! | dataset `train` | the base |
//! | dataset `test` | the queries |
//! | dataset `neighbors` | the ground truth, if it is there |
//! | attribute `distance` | the metric: `euclidean`, `angular`, `dot` or `ip` |
//!
//! Only a build with the cargo feature `hdf5` reads them; any other says how to get one.

use std::path::Path;

#[cfg(feature = "hdf5")]
#[path = "hdf5_file.rs"]
mod file;

#[cfg(not(feature = "hdf5"))]
#[path = "hdf5_absent.rs"]
mod file;

pub(super) use file::Hdf5;

/// Extensions of such files.
const EXTENSIONS: [&str; 2] = ["hdf5", "h5"];

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Base,
    Queries,
    Truth,
}

impl Part {
    pub(super) const ALL: [Part; 3] = [Part::Base, Part::Queries, Part::Truth];

    /// The dataset that holds it.
    pub(super) const fn dataset(self) -> &'static str {
        match self {
            Part::Base => "train",
            Part::Queries => "test",
            Part::Truth => "neighbors",
        }
    }

    /// What messages call the place that it is read from.
    pub(super) fn place(self, path: &Path) -> String {
        match is_named(path) {
            true => format!("{}, dataset {}", path.display(), self.dataset()),
            false => path.display().to_string(),
        }
    }
}

/// Whether the extension of `path` is that of such a file.
pub(super) fn is_named(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|name| extension.eq_ignore_ascii_case(name))
}

#[cfg(test)]
#[path = "hdf5_tests.rs"]
mod tests;
