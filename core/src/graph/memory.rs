//! Exact memory of a graph, by purpose.

use core::alloc::Layout;

/// Bytes by category. Every byte that is allocated and not freed is in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Vectors in use, without padding.
    pub vectors_bytes: usize,
    /// Codes that repeat vectors in short, so that searches read less.
    pub codes_bytes: usize,
    /// Adjacency storage of nodes in use, all levels, with the empty slots inside their lists.
    pub links_bytes: usize,
    /// Allocated for growth and not yet used by any node or row.
    pub slack_bytes: usize,
    /// Node levels and states, and what leads from a node to its lists above level 0.
    pub levels_bytes: usize,
    /// Locks, versions, pointers and other costs of concurrency control, per node or per list.
    pub sync_bytes: usize,
    /// Ids that are kept beside the node number.
    pub ids_bytes: usize,
    /// Replaced and not yet freed.
    pub retired_bytes: usize,
    /// Old versions that a live snapshot may need.
    pub snapshots_bytes: usize,
    /// Search and insert scratch.
    pub scratch_bytes: usize,
    /// Fixed costs that do not grow with the number of nodes: spines, roots, registries.
    pub fixed_bytes: usize,
}

impl MemoryReport {
    /// The sum of all categories.
    pub fn total(&self) -> usize {
        self.vectors_bytes + self.overhead()
    }

    /// Everything that is not vectors in use.
    pub fn overhead(&self) -> usize {
        self.codes_bytes
            + self.links_bytes
            + self.slack_bytes
            + self.levels_bytes
            + self.sync_bytes
            + self.ids_bytes
            + self.retired_bytes
            + self.snapshots_bytes
            + self.scratch_bytes
            + self.fixed_bytes
    }

    /// [`MemoryReport::overhead`] as a percentage of `raw` bytes.
    pub fn overhead_percent(&self, raw: usize) -> f64 {
        if raw == 0 { 0.0 } else { 100.0 * self.overhead() as f64 / raw as f64 }
    }
}

impl core::ops::Add for MemoryReport {
    type Output = MemoryReport;
    fn add(self, o: MemoryReport) -> MemoryReport {
        MemoryReport {
            vectors_bytes: self.vectors_bytes + o.vectors_bytes,
            codes_bytes: self.codes_bytes + o.codes_bytes,
            links_bytes: self.links_bytes + o.links_bytes,
            slack_bytes: self.slack_bytes + o.slack_bytes,
            levels_bytes: self.levels_bytes + o.levels_bytes,
            sync_bytes: self.sync_bytes + o.sync_bytes,
            ids_bytes: self.ids_bytes + o.ids_bytes,
            retired_bytes: self.retired_bytes + o.retired_bytes,
            snapshots_bytes: self.snapshots_bytes + o.snapshots_bytes,
            scratch_bytes: self.scratch_bytes + o.scratch_bytes,
            fixed_bytes: self.fixed_bytes + o.fixed_bytes,
        }
    }
}

/// Bytes that an `Arc` of a `T` takes from the allocator: two counts, then the value where its alignment wants it.
pub fn arc_bytes<T>() -> usize {
    let counts = Layout::new::<[usize; 2]>();
    let (both, _) = counts.extend(Layout::new::<T>()).expect("it is allocated, so it has a size");
    both.pad_to_align().size()
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    /// Each category another power of two, so that no two sums are the same.
    fn each() -> MemoryReport {
        MemoryReport {
            vectors_bytes: 1,
            codes_bytes: 2,
            links_bytes: 4,
            slack_bytes: 8,
            levels_bytes: 16,
            sync_bytes: 32,
            ids_bytes: 64,
            retired_bytes: 128,
            snapshots_bytes: 256,
            scratch_bytes: 512,
            fixed_bytes: 1024,
        }
    }

    #[test]
    fn every_category_counts_once() {
        assert_eq!(each().total(), 2047);
        assert_eq!(each().overhead(), 2046);
        assert_eq!(each().overhead_percent(4092), 50.0);
        assert_eq!(each().overhead_percent(0), 0.0);
    }

    #[test]
    fn reports_are_added_category_by_category() {
        let double = MemoryReport {
            vectors_bytes: 2,
            codes_bytes: 4,
            links_bytes: 8,
            slack_bytes: 16,
            levels_bytes: 32,
            sync_bytes: 64,
            ids_bytes: 128,
            retired_bytes: 256,
            snapshots_bytes: 512,
            scratch_bytes: 1024,
            fixed_bytes: 2048,
        };
        assert_eq!(each() + each(), double);
        assert_eq!(double + each() + MemoryReport::default(), each() + double);
        assert_eq!((double + each()).total(), 3 * 2047);
    }

    #[test]
    fn an_arc_takes_two_counts_and_what_alignment_skips() {
        #[repr(align(128))]
        struct Line([u8; 128]);
        assert_eq!(arc_bytes::<()>(), 16);
        assert_eq!(arc_bytes::<u8>(), 24);
        assert_eq!(arc_bytes::<u64>(), 24);
        assert_eq!(arc_bytes::<Line>(), 128 + size_of_val(&Line([0; 128]).0));
    }
}
