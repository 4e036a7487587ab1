//! What stands for the reader of HDF5 in a build without it.

use super::Part;
use crate::data::error::{Problem, ReadError};
use crate::data::read::{Matrix, regular_file};
use std::path::Path;

/// A file that this build does not open.
pub(in crate::data) enum Hdf5 {}

impl Hdf5 {
    /// Says that the file is not there, or how it can be read.
    pub(in crate::data) fn open(path: &Path) -> Result<Hdf5, ReadError> {
        let problem = regular_file(path).err().unwrap_or(Problem::Hdf5Feature);
        Err(ReadError { file: path.display().to_string(), problem })
    }

    pub(in crate::data) fn has(&self, _: Part) -> bool {
        match *self {}
    }

    pub(in crate::data) fn distance(&self) -> Result<Option<String>, ReadError> {
        match *self {}
    }

    pub(in crate::data) fn vectors(&self, _: Part, _: Option<usize>) -> Result<Matrix<f32>, ReadError> {
        match *self {}
    }

    pub(in crate::data) fn ids(&self, _: Part, _: Option<usize>) -> Result<Matrix<u32>, ReadError> {
        match *self {}
    }
}
