//! What a trial does.

use clap::ValueEnum;

/// A workload. All are closed loops: each worker begins an operation when its last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Workload {
    /// Insert all base vectors into an empty index.
    Build,
    /// Search the index that was built, at each ef.
    Search,
    /// 95 searches to 5 inserts, on an index that holds four fifths of the base vectors at the start.
    Mixed,
    /// As many inserts as searches, on an index that holds half of the base vectors at the start.
    WriteHeavy,
}

impl Workload {
    /// All of them, in the order of tables.
    pub const ALL: [Workload; 4] = [Workload::Build, Workload::Search, Workload::Mixed, Workload::WriteHeavy];

    /// The name in flags and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Build => "build",
            Workload::Search => "search",
            Workload::Mixed => "mixed",
            Workload::WriteHeavy => "write-heavy",
        }
    }

    /// Of `base` vectors, those in the index when the window opens.
    pub const fn prefill(self, base: usize) -> usize {
        match self {
            Workload::Build => 0,
            Workload::Search => base,
            Workload::Mixed => base - base / 5,
            Workload::WriteHeavy => base / 2,
        }
    }

    /// Operations of one round of a mixed workload, and how many of them are inserts.
    pub const fn mix(self) -> Option<(usize, usize)> {
        match self {
            Workload::Build | Workload::Search => None,
            Workload::Mixed => Some((20, 1)),
            Workload::WriteHeavy => Some((2, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flags() {
        for workload in Workload::ALL {
            let flag = workload.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), workload.name());
        }
    }

    #[test]
    fn mixed_workloads_leave_something_to_insert() {
        for workload in [Workload::Mixed, Workload::WriteHeavy] {
            assert!(workload.prefill(10_000) < 10_000 && workload.prefill(10_000) > 0);
            let (round, inserts) = workload.mix().unwrap();
            assert!(inserts < round);
        }
    }
}
