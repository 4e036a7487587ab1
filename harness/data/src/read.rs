//! Readers of vector files.
//!
//! Each format is reduced to a [`Layout`] (type, rows, dimension), which is checked against the length of the file before
//! anything is allocated; one loop then reads the rows of all formats.

use super::error::{Problem, ReadError};
use super::hdf5::{self, Hdf5, Part};
use super::npy;
use half::f16;
use hnsw_core::error::MAX_DIM;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file format, told by the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Per row: dimension (i32), then f32 values.
    Fvecs,
    /// Per row: dimension (i32), then u8 values.
    Bvecs,
    /// Per row: dimension (i32), then i32 values.
    Ivecs,
    /// Rows and dimension (u32 each), then f32 values.
    Fbin,
    /// Rows and dimension (u32 each), then u8 values.
    U8bin,
    /// Rows and dimension (u32 each), then i8 values.
    I8bin,
    /// Rows and dimension (u32 each), then i32 values; of ground truth perhaps as many f32 distances after them.
    Ibin,
    /// A numpy matrix in C order.
    Npy,
}

impl Format {
    /// Every format with its extension.
    pub const ALL: [(&'static str, Format); 8] = [
        ("fvecs", Format::Fvecs),
        ("bvecs", Format::Bvecs),
        ("ivecs", Format::Ivecs),
        ("fbin", Format::Fbin),
        ("u8bin", Format::U8bin),
        ("i8bin", Format::I8bin),
        ("ibin", Format::Ibin),
        ("npy", Format::Npy),
    ];

    /// The format that the extension of `path` names, in any case.
    pub fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        Self::ALL.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|&(_, format)| format)
    }
}

/// The type of the values in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision; rounded to f32.
    F64,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit unsigned; in HDF5 only.
    U16,
    /// 16-bit signed; in HDF5 only.
    I16,
    /// 32-bit signed; as vector components rounded to f32.
    I32,
    /// 32-bit unsigned; row numbers, and in HDF5 vector components too.
    U32,
    /// 64-bit signed; row numbers, and in HDF5 vector components too.
    I64,
    /// 64-bit unsigned; in HDF5 only.
    U64,
}

impl Element {
    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Element::U8 | Element::I8 => 1,
            Element::F16 | Element::U16 | Element::I16 => 2,
            Element::F32 | Element::I32 | Element::U32 => 4,
            Element::F64 | Element::I64 | Element::U64 => 8,
        }
    }

    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Element::F16 => "f16",
            Element::F32 => "f32",
            Element::F64 => "f64",
            Element::U8 => "u8",
            Element::I8 => "i8",
            Element::U16 => "u16",
            Element::I16 => "i16",
            Element::I32 => "i32",
            Element::U32 => "u32",
            Element::I64 => "i64",
            Element::U64 => "u64",
        }
    }
}

/// Rows read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    /// The rows, one after the other: a whole number of `dim` values, at least one row.
    pub values: Vec<T>,
    /// Values of a row, at least 1.
    pub dim: usize,
    /// Rows of the file; more than [`Matrix::rows`] if a limit cut them.
    pub rows_in_file: usize,
    /// The type of the values in the file.
    pub element: Element,
}

impl<T> Matrix<T> {
    /// Rows read.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dim
    }
}

/// Reads vectors, at most `limit` rows of them; from HDF5 those of the base.
///
/// # Errors
/// Names the file, what is wrong with it and where.
pub fn read_vectors(path: &Path, limit: Option<usize>) -> Result<Matrix<f32>, ReadError> {
    read_part(path, Part::Base, limit)
}

/// Reads the vectors of a part, which makes a difference in HDF5 only.
pub(super) fn read_part(path: &Path, part: Part, limit: Option<usize>) -> Result<Matrix<f32>, ReadError> {
    if hdf5::is_named(path) { Hdf5::open(path)?.vectors(part, limit) } else { from_path(path, limit) }
}

/// Reads row numbers (ground truth), at most `limit` rows of them.
///
/// # Errors
/// As [`read_vectors`].
pub fn read_ids(path: &Path, limit: Option<usize>) -> Result<Matrix<u32>, ReadError> {
    if hdf5::is_named(path) { Hdf5::open(path)?.ids(Part::Truth, limit) } else { from_path(path, limit) }
}

/// Reads vectors from a source of `len` bytes.
///
/// # Errors
/// What is wrong and where.
pub fn read_vectors_from(
    source: impl Read,
    len: u64,
    format: Format,
    limit: Option<usize>,
) -> Result<Matrix<f32>, Problem> {
    from_source(source, len, format, limit)
}

/// Reads row numbers from a source of `len` bytes.
///
/// # Errors
/// What is wrong and where.
pub fn read_ids_from(
    source: impl Read,
    len: u64,
    format: Format,
    limit: Option<usize>,
) -> Result<Matrix<u32>, Problem> {
    from_source(source, len, format, limit)
}

fn from_path<T: Value>(path: &Path, limit: Option<usize>) -> Result<Matrix<T>, ReadError> {
    let read = || {
        let format = Format::of(path).ok_or(Problem::Extension)?;
        let (file, len) = regular_file(path)?;
        from_source(file, len, format, limit)
    };
    read().map_err(|problem| ReadError { file: path.display().to_string(), problem })
}

/// Opens a file and asks for its length.
pub(super) fn regular_file(path: &Path) -> Result<(File, u64), Problem> {
    // Asked before opening, because opening a pipe waits for its writer.
    if !path.metadata().map_err(Problem::Io)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let file = File::open(path).map_err(Problem::Io)?;
    let len = file.metadata().map_err(Problem::Io)?.len();
    Ok((file, len))
}

fn from_source<T: Value>(
    mut source: impl Read,
    len: u64,
    format: Format,
    limit: Option<usize>,
) -> Result<Matrix<T>, Problem> {
    if len == 0 {
        return Err(Problem::Empty);
    }
    match format {
        Format::Fvecs => vecs(source, len, Element::F32, limit),
        Format::Bvecs => vecs(source, len, Element::U8, limit),
        Format::Ivecs => vecs(source, len, Element::I32, limit),
        Format::Fbin => bin(source, len, Element::F32, limit),
        Format::U8bin => bin(source, len, Element::U8, limit),
        Format::I8bin => bin(source, len, Element::I8, limit),
        Format::Ibin => bin(source, len, Element::I32, limit),
        Format::Npy => {
            let npy::Header { element, rows, dim, bytes } = npy::header(&mut source, len)?;
            let layout = Layout { element, rows, dim, start: bytes, dim_before_row: false };
            layout.check(len, 0, T::MAY_BE_FOLLOWED)?;
            read_rows(source, &layout, limit)
        }
    }
}

fn vecs<T: Value>(
    mut source: impl Read,
    len: u64,
    element: Element,
    limit: Option<usize>,
) -> Result<Matrix<T>, Problem> {
    let [dim] = words(&mut source, len)?;
    let announced = dim as i32;
    if announced < 1 || dim as usize > MAX_DIM {
        return Err(Problem::Dim { offset: 0, dim: announced.into() });
    }
    let row_bytes = 4 + u64::from(dim) * element.size() as u64;
    let (rows, tail) = (len / row_bytes, len % row_bytes);
    if tail != 0 {
        return Err(Problem::Tail { rows, dim: dim.into(), tail, offset: len - tail });
    }
    let layout = Layout { element, rows, dim: dim.into(), start: 0, dim_before_row: true };
    read_rows(dim.to_le_bytes().as_slice().chain(source), &layout, limit)
}

fn bin<T: Value>(
    mut source: impl Read,
    len: u64,
    element: Element,
    limit: Option<usize>,
) -> Result<Matrix<T>, Problem> {
    let [rows, dim] = words(&mut source, len)?;
    let layout = Layout { element, rows: rows.into(), dim: dim.into(), start: 8, dim_before_row: false };
    layout.check(len, 4, T::MAY_BE_FOLLOWED)?;
    read_rows(source, &layout, limit)
}

/// The little-endian words that a file of `len` bytes begins with.
fn words<const N: usize>(source: &mut impl Read, len: u64) -> Result<[u32; N], Problem> {
    let need = 4 * N as u64;
    if len < need {
        return Err(Problem::ShortHeader { len, need });
    }
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        let mut bytes = [0; 4];
        source.read_exact(&mut bytes).map_err(|e| short_read(e, 4 * i as u64))?;
        *word = u32::from_le_bytes(bytes);
    }
    Ok(words)
}

/// Where the values of a file are.
struct Layout {
    element: Element,
    rows: u64,
    dim: u64,
    /// Bytes before the first row.
    start: u64,
    /// Each row begins with its dimension.
    dim_before_row: bool,
}

impl Layout {
    /// Compares what a header announces with the length of the file. Everything is allocated after this, so nothing is
    /// larger than what the file really holds.
    fn check(&self, len: u64, dim_offset: u64, may_be_followed: bool) -> Result<(), Problem> {
        if self.rows == 0 {
            return Err(Problem::NoRows);
        }
        if self.dim == 0 || self.dim > MAX_DIM as u64 {
            return Err(Problem::Dim { offset: dim_offset, dim: self.dim.try_into().unwrap_or(i64::MAX) });
        }
        let values = u128::from(self.rows) * u128::from(self.dim) * self.element.size() as u128;
        let need = u128::from(self.start) + values;
        let followed = may_be_followed && self.element == Element::I32 && u128::from(len) == need + values;
        if u128::from(len) != need && !followed {
            return Err(Problem::Length { rows: self.rows, dim: self.dim, need, len });
        }
        Ok(())
    }
}

/// A type that values of files are turned into.
trait Value: Sized {
    /// Whether values of the same number of bytes may follow the matrix: the distances of a ground truth.
    const MAY_BE_FOLLOWED: bool;

    /// Appends the values of a row.
    fn append(element: Element, row: usize, bytes: &[u8], to: &mut Vec<Self>) -> Result<(), Problem>;
}

impl Value for f32 {
    const MAY_BE_FOLLOWED: bool = false;

    fn append(element: Element, row: usize, bytes: &[u8], to: &mut Vec<f32>) -> Result<(), Problem> {
        let from = to.len();
        match element {
            Element::U8 => to.extend(bytes.iter().map(|&b| f32::from(b))),
            Element::I8 => to.extend(bytes.iter().map(|&b| f32::from(b as i8))),
            Element::F16 => to.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
            Element::F32 => to.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Element::I32 => to.extend(bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b) as f32)),
            Element::F64 => to.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32)),
            Element::U16 | Element::I16 | Element::U32 | Element::I64 | Element::U64 => {
                return Err(Problem::NpyType { descr: format!("{} for vectors", element.name()) });
            }
        }
        match to[from..].iter().position(|x| !x.is_finite()) {
            Some(component) => Err(Problem::NotFinite { row, component }),
            None => Ok(()),
        }
    }
}

impl Value for u32 {
    const MAY_BE_FOLLOWED: bool = true;

    fn append(element: Element, row: usize, bytes: &[u8], to: &mut Vec<u32>) -> Result<(), Problem> {
        let mut push = |(component, id): (usize, i64)| {
            to.push(u32::try_from(id).map_err(|_| Problem::Id { row, component, id })?);
            Ok(())
        };
        match element {
            Element::I32 => {
                let ids = bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b).into());
                ids.enumerate().try_for_each(&mut push)
            }
            Element::U32 => {
                let ids = bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b).into());
                ids.enumerate().try_for_each(&mut push)
            }
            Element::I64 => {
                let ids = bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b));
                ids.enumerate().try_for_each(&mut push)
            }
            _ => Err(Problem::NotIds { found: element.name() }),
        }
    }
}

/// Reads this many bytes at a time, but at least a row.
const BLOCK: usize = 1 << 20;

fn read_rows<T: Value>(
    mut source: impl Read,
    layout: &Layout,
    limit: Option<usize>,
) -> Result<Matrix<T>, Problem> {
    let dim = layout.dim as usize;
    let too_large = |rows| Problem::Memory { rows, dim };
    let rows_in_file = usize::try_from(layout.rows).map_err(|_| too_large(usize::MAX))?;
    let rows = rows_in_file.min(limit.unwrap_or(usize::MAX));
    if rows == 0 {
        return Err(Problem::NoRows);
    }
    let mut values = Vec::new();
    values.try_reserve_exact(rows * dim).map_err(|_| too_large(rows))?;
    let prefix = if layout.dim_before_row { 4 } else { 0 };
    let row_bytes = prefix + dim * layout.element.size();
    let rows_per_block = (BLOCK / row_bytes).clamp(1, rows);
    let mut block = vec![0; rows_per_block * row_bytes];
    for first in (0..rows).step_by(rows_per_block) {
        let block = &mut block[..rows_per_block.min(rows - first) * row_bytes];
        let offset = |row| layout.start + (row * row_bytes) as u64;
        source.read_exact(block).map_err(|e| short_read(e, offset(first)))?;
        for (row, bytes) in (first..).zip(block.chunks_exact(row_bytes)) {
            let (head, bytes) = bytes.split_at(prefix);
            if let Ok(head) = head.try_into() {
                let found = i32::from_le_bytes(head);
                if i64::from(found) != dim as i64 {
                    let (offset, found) = (offset(row), found.into());
                    return Err(Problem::Ragged { row, offset, expected: dim, found });
                }
            }
            T::append(layout.element, row, bytes, &mut values)?;
        }
    }
    Ok(Matrix { values, dim, rows_in_file, element: layout.element })
}

pub(super) fn short_read(error: io::Error, offset: u64) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::Shrunk { offset },
        _ => Problem::Io(error),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
