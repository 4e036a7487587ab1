//! What stands for the reader of HDF5 in a build without it.

use super::Part;
use crate::error::{Problem, ReadError};
use crate::read::{Matrix, regular_file};
use std::path::Path;

/// A file that this build does not open.
pub(crate) enum Hdf5 {}

impl Hdf5 {
    /// Says that the file is not there, or how it can be read.
    pub(crate) fn open(path: &Path) -> Result<Hdf5, ReadError> {
        let problem = regular_file(path).err().unwrap_or(Problem::Hdf5Feature);
        Err(ReadError { file: path.display().to_string(), problem })
    }

    pub(crate) fn has(&self, _: Part) -> bool {
        match *self {}
    }

    pub(crate) fn distance(&self) -> Result<Option<String>, ReadError> {
        match *self {}
    }

    pub(crate) fn vectors(&self, _: Part, _: Option<usize>) -> Result<Matrix<f32>, ReadError> {
        match *self {}
    }

    pub(crate) fn ids(&self, _: Part, _: Option<usize>) -> Result<Matrix<u32>, ReadError> {
        match *self {}
    }
}
