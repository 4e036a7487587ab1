//! What can be wrong with a data file.

use hnsw_core::error::MAX_DIM;
use std::io;
use thiserror::Error;

/// A data file cannot be used.
#[derive(Debug, Error)]
#[error("{file}: {problem}")]
pub struct ReadError {
    /// The file, as it was given.
    pub file: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a data file, and what to do about it. Rows and components count from 0, offsets are in bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The system refused.
    #[error("cannot be read: {0}; check its name and permissions")]
    Io(io::Error),
    /// A folder, pipe or device.
    #[error("is not a regular file; give a data file")]
    NotAFile,
    /// The name tells no format.
    #[error(
        "has no known extension; rename it to one of .fvecs .bvecs .ivecs .fbin .u8bin .i8bin .ibin .npy .hdf5"
    )]
    Extension,
    /// Nothing in it.
    #[error("is empty; make or download it again")]
    Empty,
    /// Zero rows, announced or asked for.
    #[error("no rows: the header announces none or the row limit is 0; at least one is needed")]
    NoRows,
    /// Ends inside the header.
    #[error(
        "ends at byte {len}, inside its header of {need} bytes; it is truncated: copy or download it again"
    )]
    ShortHeader {
        /// Bytes of the file.
        len: u64,
        /// Bytes of the header.
        need: u64,
    },
    /// What the header announces is not what the file holds.
    #[error(
        "its header announces {rows} rows of {dim}, so {need} bytes, but the file has {len}; it is truncated or of \
         another format: copy it again or correct the extension"
    )]
    Length {
        /// Rows announced.
        rows: u64,
        /// Dimension announced.
        dim: u64,
        /// Bytes that these take with the header.
        need: u128,
        /// Bytes of the file.
        len: u64,
    },
    /// Bytes left after the last whole row.
    #[error(
        "{tail} bytes are left at byte {offset}, after {rows} rows of dimension {dim}; it is truncated or its rows \
         differ in length: copy or make it again"
    )]
    Tail {
        /// Whole rows.
        rows: u64,
        /// Their dimension.
        dim: u64,
        /// Bytes after them.
        tail: u64,
        /// Where those bytes start.
        offset: u64,
    },
    /// A dimension out of range.
    #[error(
        "the dimension at byte {offset} is {dim}; it must be from 1 to {MAX_DIM}: check the format and extension"
    )]
    Dim {
        /// Where it stands.
        offset: u64,
        /// What it says.
        dim: i64,
    },
    /// Rows of different dimensions.
    #[error(
        "row {row} at byte {offset} has dimension {found}, the rows before it {expected}; all must be equal: make it again"
    )]
    Ragged {
        /// The first such row.
        row: usize,
        /// Where it starts.
        offset: u64,
        /// The dimension of the rows before.
        expected: usize,
        /// Its dimension.
        found: i64,
    },
    /// NaN, infinite, or too large for f32.
    #[error("component {component} of row {row} is not a finite f32 number; remove or repair that row")]
    NotFinite {
        /// The first such row.
        row: usize,
        /// The first such component of it.
        component: usize,
    },
    /// A neighbour id that is none.
    #[error(
        "entry {component} of row {row} is {id}, which is no row number; compute the truth again (`data truth`)"
    )]
    Id {
        /// The first such row.
        row: usize,
        /// The first such entry of it.
        component: usize,
        /// What it says.
        id: i64,
    },
    /// Row numbers asked of a file of other things.
    #[error(
        "holds {found} values where row numbers are needed; give .ivecs, .ibin or an integer .npy of 32 or 64 bits"
    )]
    NotIds {
        /// The type of its values.
        found: &'static str,
    },
    /// The file got shorter while it was read.
    #[error("ended at byte {offset} while it was read; wait until it is written and try again")]
    Shrunk {
        /// Where it ended.
        offset: u64,
    },
    /// Too large for the memory.
    #[error("{rows} rows of {dim} do not fit the memory; read fewer with a row limit")]
    Memory {
        /// Rows.
        rows: usize,
        /// Dimension.
        dim: usize,
    },
    /// Not an npy file.
    #[error("does not begin as an .npy file does; correct the extension or save it with numpy.save")]
    NpyMagic,
    /// A version from the future.
    #[error(
        "is .npy of version {major}.{minor}; versions 1.0, 2.0 and 3.0 are read: save it again with numpy.save"
    )]
    NpyVersion {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The header text is not what numpy writes.
    #[error(
        "the .npy header is broken at byte {offset} ({expected} expected); save it again with numpy.save"
    )]
    NpyHeader {
        /// Where, in the file.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// Column-major.
    #[error("is in Fortran (column) order; save numpy.ascontiguousarray(a) instead")]
    NpyOrder,
    /// A type that is no plain little-endian number.
    #[error(
        "holds values of type {descr}; little-endian f2, f4, f8, i1, u1, i4 (for row numbers also u4, i8) are read: \
         save a.astype('<f4')"
    )]
    NpyType {
        /// The type as numpy writes it.
        descr: String,
    },
    /// Not a matrix.
    #[error("is an array of {rank} dimensions; rows of vectors need 2: save a.reshape(rows, dim)")]
    NpyRank {
        /// Number of dimensions.
        rank: usize,
    },
    /// HDF5 in a build that does not read it.
    #[error(
        "is HDF5, which this build does not read; build one that does: cargo run --release -p hnsw-lab --features hdf5 -- …"
    )]
    Hdf5Feature,
    /// Not an HDF5 file.
    #[error("does not begin as an HDF5 file does; correct the extension or download it again")]
    Hdf5Magic,
    /// Shorter than its header says.
    #[error(
        "ends at byte {len}, but its header announces {need} bytes; it is truncated: copy or download it again"
    )]
    Hdf5Cut {
        /// Bytes of the file.
        len: u64,
        /// Bytes announced.
        need: u64,
    },
    /// A structure inside it is broken, or of a kind that is not read.
    #[error("cannot be read as HDF5: {0}; copy or download it again, or save it anew with h5py")]
    Hdf5(String),
    /// A dataset is not there.
    #[error(
        "is not there; a data set in HDF5 has `train`, `test` and perhaps `neighbors`, as those of ann-benchmarks"
    )]
    Hdf5Missing,
    /// Not a matrix.
    #[error("has {rank} dimensions; rows of vectors need 2: save a.reshape(rows, dim)")]
    Hdf5Rank {
        /// Number of dimensions.
        rank: usize,
    },
    /// A dimension out of range.
    #[error("rows have {dim} values; they must have from 1 to {MAX_DIM}")]
    Hdf5Dim {
        /// Values of a row.
        dim: u64,
    },
    /// More than the file can hold.
    #[error(
        "announces {rows} rows of {dim}, so {need} bytes, which a file of {len} cannot hold; it is broken or was never \
         written: download or make it again"
    )]
    Hdf5Length {
        /// Rows announced.
        rows: u64,
        /// Their dimension.
        dim: u64,
        /// Bytes that these take.
        need: u128,
        /// Bytes of the file.
        len: u64,
    },
    /// A type that is no plain number.
    #[error("holds {found}; f32, f64 and integers of 8 to 64 bits are read: save a.astype('<f4')")]
    Hdf5Type {
        /// What its values are.
        found: String,
    },
    /// A metric that is not measured here.
    #[error(
        "says that its distance is {distance:?}; known are euclidean, angular, dot and ip: choose another set, or give \
         --metric"
    )]
    Hdf5Distance {
        /// What it says.
        distance: String,
    },
}
