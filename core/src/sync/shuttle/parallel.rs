//! Loops over many things at once, one after another here. The threads of `rayon` are none of `shuttle`: they would wait for
//! locks whose holders cannot run, and be run at no point. So a batch is the work of the thread that calls it, which others
//! interleave with, and not of several.

use ::std::iter::FlatMap;
use ::std::ops::Range;
use ::std::slice::{Chunks, ChunksExact, ChunksMut, Iter};

/// As `rayon::slice`, for what is used.
pub trait Slice<T> {
    /// One by one.
    fn par_iter(&self) -> Iter<'_, T>;
    /// So many at a time.
    fn par_chunks(&self, len: usize) -> Chunks<'_, T>;
    /// So many at a time, and what is left over at no time.
    fn par_chunks_exact(&self, len: usize) -> ChunksExact<'_, T>;
    /// So many at a time, to change them.
    fn par_chunks_mut(&mut self, len: usize) -> ChunksMut<'_, T>;
    /// Sorts.
    fn par_sort_unstable(&mut self)
    where
        T: Ord;
}

impl<T> Slice<T> for [T] {
    fn par_iter(&self) -> Iter<'_, T> {
        self.iter()
    }

    fn par_chunks(&self, len: usize) -> Chunks<'_, T> {
        self.chunks(len)
    }

    fn par_chunks_exact(&self, len: usize) -> ChunksExact<'_, T> {
        self.chunks_exact(len)
    }

    fn par_chunks_mut(&mut self, len: usize) -> ChunksMut<'_, T> {
        self.chunks_mut(len)
    }

    fn par_sort_unstable(&mut self)
    where
        T: Ord,
    {
        self.sort_unstable();
    }
}

/// As `rayon::iter`, for what is used and iterators do not have.
pub trait Loop: Iterator + Sized {
    /// Of no effect.
    fn with_min_len(self, _len: usize) -> Self {
        self
    }

    /// Of no effect.
    fn with_max_len(self, _len: usize) -> Self {
        self
    }

    /// All of what `f` makes of each.
    fn flat_map_iter<I: IntoIterator, F: FnMut(Self::Item) -> I>(self, f: F) -> FlatMap<Self, I, F> {
        self.flat_map(f)
    }

    /// The first thing that `f` makes of any.
    fn find_map_first<R>(mut self, f: impl FnMut(Self::Item) -> Option<R>) -> Option<R> {
        self.find_map(f)
    }
}

impl<I: Iterator> Loop for I {}

/// As in `rayon`, for what is used.
pub trait IntoLoop {
    /// One by one.
    fn into_par_iter(self) -> Self;
}

impl IntoLoop for Range<usize> {
    fn into_par_iter(self) -> Self {
        self
    }
}
