//! The reader of HDF5.
//!
//! Files are read piece by piece, not mapped: one that gets shorter meanwhile is an error and no signal. What a dataset
//! announces is compared with the length of the file before anything is allocated. Links to other files are not followed.

use super::Part;
use crate::error::{Problem, ReadError};
use crate::read::{Element, Matrix, regular_file};
use hdf5_reader::error::Error;
use hdf5_reader::{Dataset, Datatype, FileStorage, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use hnsw_core::error::MAX_DIM;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads this many bytes at a time, but at least a row, and whole chunks.
const BLOCK: usize = 4 << 20;
/// What DEFLATE makes of a byte at most; other filters give less.
const EXPANSION: u64 = 1032;
/// No honest chunk is larger.
const MAX_CHUNK: u64 = 1 << 30;

/// An open file.
pub(crate) struct Hdf5 {
    path: PathBuf,
    len: u64,
    file: Hdf5File,
    /// The names of the datasets at its top.
    datasets: Vec<String>,
}

impl Hdf5 {
    /// Opens a file and looks what is in it.
    pub(crate) fn open(path: &Path) -> Result<Hdf5, ReadError> {
        let open = || {
            let (file, len) = regular_file(path)?;
            if len == 0 {
                return Err(Problem::Empty);
            }
            let storage = Arc::new(FileStorage::from_file(file).map_err(problem)?);
            let options = OpenOptions {
                max_chunk_bytes: usize::try_from(len.saturating_mul(EXPANSION).min(MAX_CHUNK))
                    .unwrap_or(usize::MAX),
                ..OpenOptions::default()
            };
            let file = Hdf5File::from_storage_with_options(storage, options).map_err(problem)?;
            let need = file.superblock().eof_address;
            if need > len {
                return Err(Problem::Hdf5Cut { len, need });
            }
            let (_, datasets) = file.root_group().and_then(|top| top.member_names()).map_err(problem)?;
            Ok(Hdf5 { path: path.to_owned(), len, file, datasets })
        };
        open().map_err(|problem| ReadError { file: path.display().to_string(), problem })
    }

    /// Whether it has this part.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.datasets.iter().any(|name| name == part.dataset())
    }

    /// What it says of its metric.
    pub(crate) fn distance(&self) -> Result<Option<String>, ReadError> {
        let read = || {
            let attributes = self.file.root_group()?.attributes()?;
            attributes.iter().find(|a| a.name == "distance").map(|a| a.read_string()).transpose()
        };
        read().map_err(|error| ReadError {
            file: format!("{}, attribute distance", self.path.display()),
            problem: problem(error),
        })
    }

    /// Vectors, at most `limit` rows of them.
    pub(crate) fn vectors(&self, part: Part, limit: Option<usize>) -> Result<Matrix<f32>, ReadError> {
        self.read(part, limit)
    }

    /// Row numbers, at most `limit` rows of them.
    pub(crate) fn ids(&self, part: Part, limit: Option<usize>) -> Result<Matrix<u32>, ReadError> {
        self.read(part, limit)
    }

    fn read<V: Value>(&self, part: Part, limit: Option<usize>) -> Result<Matrix<V>, ReadError> {
        let read = || {
            if !self.has(part) {
                return Err(Problem::Hdf5Missing);
            }
            let dataset = self.file.dataset(part.dataset()).map_err(problem)?;
            let element = element(dataset.dtype())?;
            match element {
                Element::U8 => self.rows::<u8, V>(&dataset, element, limit),
                Element::I8 => self.rows::<i8, V>(&dataset, element, limit),
                Element::U16 => self.rows::<u16, V>(&dataset, element, limit),
                Element::I16 => self.rows::<i16, V>(&dataset, element, limit),
                Element::U32 => self.rows::<u32, V>(&dataset, element, limit),
                Element::I32 => self.rows::<i32, V>(&dataset, element, limit),
                Element::U64 => self.rows::<u64, V>(&dataset, element, limit),
                Element::I64 => self.rows::<i64, V>(&dataset, element, limit),
                Element::F32 => self.rows::<f32, V>(&dataset, element, limit),
                Element::F64 => self.rows::<f64, V>(&dataset, element, limit),
                Element::F16 => Err(Problem::Hdf5Type { found: "f16".into() }),
            }
        };
        read().map_err(|problem| ReadError { file: part.place(&self.path), problem })
    }

    fn rows<N: Number, V: Value>(
        &self,
        dataset: &Dataset,
        element: Element,
        limit: Option<usize>,
    ) -> Result<Matrix<V>, Problem> {
        let &[rows_in_file, dim] = dataset.shape() else {
            return Err(Problem::Hdf5Rank { rank: dataset.ndim() });
        };
        if dim == 0 || dim > MAX_DIM as u64 {
            return Err(Problem::Hdf5Dim { dim });
        }
        let chunks = dataset.chunks();
        let need = u128::from(rows_in_file) * u128::from(dim) * element.size() as u128;
        let most = u128::from(self.len) * if chunks.is_some() { u128::from(EXPANSION) } else { 1 };
        if need > most {
            return Err(Problem::Hdf5Length { rows: rows_in_file, dim, need, len: self.len });
        }
        let dim = dim as usize;
        let too_large = |rows| Problem::Memory { rows, dim };
        let rows_in_file = usize::try_from(rows_in_file).map_err(|_| too_large(usize::MAX))?;
        let rows = rows_in_file.min(limit.unwrap_or(usize::MAX));
        if rows == 0 {
            return Err(Problem::NoRows);
        }
        let mut values = Vec::new();
        values.try_reserve_exact(rows * dim).map_err(|_| too_large(rows))?;
        // A chunk is unpacked once only if no block ends inside it.
        let chunk_rows =
            chunks.as_ref().and_then(|chunk| chunk.first()).map_or(1, |&rows| rows.max(1) as usize);
        let rows_per_block = (BLOCK / (dim * element.size())).next_multiple_of(chunk_rows).clamp(1, rows);
        for first in (0..rows).step_by(rows_per_block) {
            let last = (first + rows_per_block).min(rows);
            let slice = |start: usize, end: usize| SliceInfoElem::Slice {
                start: start as u64,
                end: end as u64,
                step: 1,
            };
            let selection = SliceInfo { selections: vec![slice(first, last), slice(0, dim)] };
            let block = dataset.read_slice::<N>(&selection).map_err(problem)?;
            let numbers = block.as_slice().unwrap_or_default();
            for (row, numbers) in (first..).zip(numbers.chunks_exact(dim)) {
                for (component, &number) in numbers.iter().enumerate() {
                    values.push(V::of(number, element, row, component)?);
                }
            }
        }
        if values.len() != rows * dim {
            return Err(Problem::Hdf5(format!(
                "{} values were read instead of {}",
                values.len(),
                rows * dim
            )));
        }
        Ok(Matrix { values, dim, rows_in_file, element })
    }
}

/// The type of the values of a dataset.
fn element(datatype: &Datatype) -> Result<Element, Problem> {
    Ok(match datatype {
        Datatype::FloatingPoint { size: 4, .. } => Element::F32,
        Datatype::FloatingPoint { size: 8, .. } => Element::F64,
        Datatype::FixedPoint { size: 1, signed: false, .. } => Element::U8,
        Datatype::FixedPoint { size: 1, signed: true, .. } => Element::I8,
        Datatype::FixedPoint { size: 2, signed: false, .. } => Element::U16,
        Datatype::FixedPoint { size: 2, signed: true, .. } => Element::I16,
        Datatype::FixedPoint { size: 4, signed: false, .. } => Element::U32,
        Datatype::FixedPoint { size: 4, signed: true, .. } => Element::I32,
        Datatype::FixedPoint { size: 8, signed: false, .. } => Element::U64,
        Datatype::FixedPoint { size: 8, signed: true, .. } => Element::I64,
        Datatype::FloatingPoint { size, .. } => {
            return Err(Problem::Hdf5Type { found: format!("floats of {size} bytes") });
        }
        Datatype::FixedPoint { size, .. } => {
            return Err(Problem::Hdf5Type { found: format!("integers of {size} bytes") });
        }
        Datatype::String { .. } => return Err(Problem::Hdf5Type { found: "text".into() }),
        Datatype::Enum { .. } => return Err(Problem::Hdf5Type { found: "an enumeration (or bool)".into() }),
        _ => return Err(Problem::Hdf5Type { found: "no plain numbers".into() }),
    })
}

/// A number in a file.
trait Number: H5Type + Copy {
    fn to_f32(self) -> f32;
    /// `None` for a float.
    fn to_i64(self) -> Option<i64>;
}

macro_rules! integers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_i64(self) -> Option<i64> {
                // What does not fit is no row number either.
                Some(i64::try_from(self).unwrap_or(i64::MAX))
            }
        }
    )*};
}

integers!(u8, i8, u16, i16, u32, i32, u64, i64);

macro_rules! floats {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_i64(self) -> Option<i64> {
                None
            }
        }
    )*};
}

floats!(f32, f64);

/// What numbers of files are turned into.
trait Value: Sized {
    fn of(number: impl Number, element: Element, row: usize, component: usize) -> Result<Self, Problem>;
}

impl Value for f32 {
    fn of(number: impl Number, _: Element, row: usize, component: usize) -> Result<f32, Problem> {
        let value = number.to_f32();
        if value.is_finite() { Ok(value) } else { Err(Problem::NotFinite { row, component }) }
    }
}

impl Value for u32 {
    fn of(number: impl Number, element: Element, row: usize, component: usize) -> Result<u32, Problem> {
        let id = number.to_i64().ok_or(Problem::NotIds { found: element.name() })?;
        u32::try_from(id).map_err(|_| Problem::Id { row, component, id })
    }
}

/// What the reader says, in one line.
fn problem(error: Error) -> Problem {
    match error {
        Error::InvalidMagic => Problem::Hdf5Magic,
        Error::Io(error) => Problem::Io(error),
        other => Problem::Hdf5(other.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}
