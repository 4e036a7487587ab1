//! Rows as an index keeps its vectors: in segments that ask for huge pages, each row at a cache line.

use hnsw_core::segments::Segments;

use super::args::Shape;

/// Bytes of a cache line.
const LINE: usize = size_of::<Line>();
/// The most entries of a list of rows to read: so many rows are more than any cache holds.
const MAX_LIST: usize = 1 << 22;
const MIN_LIST: usize = 1 << 12;
/// The most bytes that a list takes.
pub(super) const LIST_BYTES: usize = MAX_LIST * size_of::<u32>();
const SEED: u64 = 42;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; 16]);

/// Cache lines of a row.
pub(super) fn lines_of(bytes: usize) -> usize {
    bytes.div_ceil(LINE)
}

/// The rows that are read.
pub(super) struct WorkingSet {
    rows: usize,
    lines: usize,
    memory: Segments<Line>,
}

impl WorkingSet {
    /// Rows of which each names another one, such that all of them are one ring.
    pub(super) fn new(shape: &Shape) -> WorkingSet {
        let lines = lines_of(shape.bytes);
        let mut memory = Segments::new(lines, shape.rows, || Line([0; 16]));
        memory.grow(shape.rows);
        let mut order: Vec<u32> = (0..shape.rows as u32).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut order);
        for (at, &row) in order.iter().enumerate() {
            memory.row_mut(row as usize)[0].0[0] = order[(at + 1) % order.len()];
        }
        WorkingSet { rows: shape.rows, lines, memory }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Cache lines of a row.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Bytes of the cache lines of a row.
    pub(super) fn row_bytes(&self) -> usize {
        self.lines * LINE
    }

    /// The row that this one names.
    #[inline(always)]
    pub(super) fn next(&self, row: usize) -> usize {
        self.memory.row(row)[0].0[0] as usize
    }

    #[inline(always)]
    pub(super) fn prefetch(&self, row: usize) {
        self.memory.prefetch(row, self.lines);
    }

    /// Reads all of a row.
    #[inline(always)]
    pub(super) fn read(&self, row: usize, sum: &mut Sum) {
        for line in self.memory.row(row) {
            // Sums that do not depend on each other, which a compiler turns into a few vectors.
            for (sum, word) in sum.0.iter_mut().zip(&line.0) {
                *sum = sum.wrapping_add(*word);
            }
        }
    }

    /// Random rows, as many as a power of two, so that the end of the list goes on at its beginning.
    pub(super) fn list(&self, worker: usize) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(SEED + 1 + worker as u64);
        let len = self.rows.next_power_of_two().clamp(MIN_LIST, MAX_LIST);
        (0..len).map(|_| random.u32(..self.rows as u32)).collect()
    }
}

/// What was read, so that it cannot be left out.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum([u32; 16]);
