//! Vector rows: where they are kept and how they are coded.
//!
//! A [`Vectors`] is an append-only store of rows. A row is written once, by the one thread that reserved its node, before
//! that node is published; afterwards it never changes. So readers need no synchronisation of their own: whoever learned
//! of a node through a link learned of its row with it.
//!
//! # Invariants
//! - I1: row `i` is written at most once, between `reserve` and `publish` of node `i`.
//! - I2: a row is read only by the thread that wrote it, or after the node was met in the graph (in a list, or as entry
//!   point).
//!
//! # Synchronisation
//! None here: the edges of the graph (Release when a list that names the node is installed, Acquire when it is read) order
//! the write of a row before every read.
//!
//! # Progress
//! Reading is wait-free; growth is that of [`Segments`].
//!
//! # Memory
//! Rows in segments, padded to cache lines; nothing is freed before the store is dropped.

mod codec;
mod f16;
mod lvq4;
mod rabitq;
mod reranked;
mod split;
mod sq8;

pub use codec::{Codec, F32, check_vector};
pub use f16::F16;
pub use lvq4::{Lvq4, Lvq4Query};
pub use rabitq::RaBitQ;
pub use reranked::{Lossy, Reranked};
pub use split::Split;
pub use sq8::Sq8;

use crate::graph::NodeId;
use crate::segments::Segments;
use crate::sync::cell::Watches;

/// One cache line of a row.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Line(pub [f32; 16]);

/// Pointers to rows as kernels over codes take them.
#[inline(always)]
fn bytes_of(rows: &[*const Line]) -> &[*const u8] {
    // SAFETY: pointers to `Line` and to `u8` have the same layout.
    unsafe { core::slice::from_raw_parts(rows.as_ptr().cast(), rows.len()) }
}

/// The store of all rows of an index.
pub struct Vectors<C: Codec> {
    codec: C,
    /// Reached through raw pointers only, because a row is written while others are read.
    rows: Segments<Line>,
    /// Present if the codec has rests; reached as rows are.
    rests: Option<Segments<Line>>,
    /// One per row and its rest.
    watches: Watches,
}

impl<C: Codec> Vectors<C> {
    /// An empty store for up to `capacity` rows.
    pub fn new(codec: C, capacity: usize) -> Self {
        let segments = |lines| Segments::new(lines, capacity, || Line([0.0; 16]));
        let rows = segments(codec.lines());
        let rests = (codec.rest_lines() > 0).then(|| segments(codec.rest_lines()));
        Vectors { codec, rows, rests, watches: Watches::default() }
    }

    /// The codec of the rows.
    #[inline(always)]
    pub fn codec(&self) -> &C {
        &self.codec
    }

    /// Makes room for rows `0 .. rows`.
    pub fn grow(&self, rows: usize) {
        self.rows.grow(rows);
        if let Some(rests) = &self.rests {
            rests.grow(rows);
        }
    }

    /// Writes the row of `node` from a vector that the codec has checked.
    ///
    /// # Safety
    /// The caller reserved `node`, has not published it, writes it once, and has grown the store to hold it.
    pub unsafe fn write(&self, node: NodeId, vector: &[f32]) {
        self.watches.write(node.index());
        let row = self.rows.row_ptr(node.index()).cast_mut();
        let rest = self.rest_ptr(node).cast_mut();
        // SAFETY: only this thread knows row and rest (the caller's promise), which are valid for this many lines.
        let (row, rest) = unsafe {
            (
                core::slice::from_raw_parts_mut(row, self.codec.lines()),
                core::slice::from_raw_parts_mut(rest, self.codec.rest_lines()),
            )
        };
        self.codec.encode(vector, row, rest);
    }

    /// Where the rest of a node is, or an aligned address for no lines.
    #[inline(always)]
    fn rest_ptr(&self, node: NodeId) -> *const Line {
        self.rests
            .as_ref()
            .map_or(core::ptr::NonNull::dangling().as_ptr(), |rests| rests.row_ptr(node.index()))
    }

    /// The address of the row of `node`.
    ///
    /// The pointer is valid, aligned to 64 bytes and the content constant while the store lives, **if** the node was met in
    /// the graph or is the caller's own (I2); that is for the caller to know before it reads through it.
    #[inline(always)]
    pub fn row(&self, node: NodeId) -> *const Line {
        self.watches.read(node.index());
        self.rows.row_ptr(node.index())
    }

    /// The address of the rest of `node`, on the same terms as [`Vectors::row`]. Leads to no lines if the codec has no rests.
    #[inline(always)]
    pub fn rest(&self, node: NodeId) -> *const Line {
        self.watches.read(node.index());
        self.rest_ptr(node)
    }

    /// What [`Codec::distances_between`] compares: the rest if the codec is coarse, else the row; on the same terms.
    #[inline(always)]
    pub fn fine_row(&self, node: NodeId) -> *const Line {
        if C::COARSE { self.rest(node) } else { self.row(node) }
    }

    /// A copy of the vector of a node as it can be rebuilt from its row.
    ///
    /// # Safety
    /// The node was met in the graph or is the caller's own (I2).
    pub unsafe fn decode(&self, node: NodeId) -> Vec<f32> {
        // SAFETY: row and rest are written and constant (I1, the caller's promise).
        let (row, rest) = unsafe {
            (
                core::slice::from_raw_parts(self.row(node), self.codec.lines()),
                core::slice::from_raw_parts(self.rest(node), self.codec.rest_lines()),
            )
        };
        self.codec.decode(row, rest)
    }

    /// Bytes allocated for rows and rests.
    pub fn allocated_bytes(&self) -> usize {
        self.rows.allocated_bytes() + self.rests.as_ref().map_or(0, Segments::allocated_bytes)
    }

    /// Bytes of the spines.
    pub fn spine_bytes(&self) -> usize {
        self.rows.spine_bytes() + self.rests.as_ref().map_or(0, Segments::spine_bytes)
    }
}

/// Calls the macro `$callback` with the list of all codecs, `(name, type), …`.
///
/// ```
/// use hnsw_core::vectors::Codec;
/// macro_rules! names {
///     ($(($name:literal, $codec:ty)),+) => { [$(($name, <$codec>::NAME)),+] };
/// }
/// assert!(hnsw_core::for_each_codec!(names).iter().all(|(listed, own)| listed == own));
/// ```
#[macro_export]
macro_rules! for_each_codec {
    ($callback:ident) => {
        $callback! {
            ("f32", $crate::vectors::F32),
            ("f16", $crate::vectors::F16),
            ("sq8", $crate::vectors::Sq8),
            ("sq8+f32", $crate::vectors::Reranked<$crate::vectors::Sq8>),
            ("split", $crate::vectors::Split),
            ("lvq4+f32", $crate::vectors::Reranked<$crate::vectors::Lvq4>),
            ("rabitq1+f32", $crate::vectors::Reranked<$crate::vectors::RaBitQ<1>>),
            ("rabitq2+f32", $crate::vectors::Reranked<$crate::vectors::RaBitQ<2>>),
            ("rabitq4+f32", $crate::vectors::Reranked<$crate::vectors::RaBitQ<4>>)
        }
    };
}
