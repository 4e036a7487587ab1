//! What a trial does.

use super::script::Round;
use clap::ValueEnum;
use hnsw_core::vectors::{Codec, F32};
use serde::{Deserialize, Serialize};

/// A workload. All are closed loops: each worker begins an operation when its last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
pub enum Workload {
    /// Insert all base vectors into an empty index, one by one.
    Build,
    /// Search the index that `build` built, at each ef.
    Search,
    /// The same in calls of 128 queries.
    SearchBatch,
    /// As `search`, beside one thread more that changes lists at the rate of --update-rate.
    SearchWriter,
    /// Insert all base vectors into an empty index, as one array.
    Bulk,
    /// Search the index that `bulk` built, at each ef.
    BulkSearch,
    /// The same in calls of 128 queries.
    BulkSearchBatch,
    /// 95 searches to 5 inserts, on an index that holds four fifths of the base vectors at the start.
    Mixed,
    /// As many inserts as searches, on an index that holds half of the base vectors at the start.
    WriteHeavy,
    /// Half of the threads search and half insert; and each half does so alone.
    ReaderWriter,
    /// The readers of `reader-writer` alone; comes with it.
    #[value(skip)]
    ReaderAlone,
    /// The writers of `reader-writer` alone; comes with it.
    #[value(skip)]
    WriterAlone,
    /// As `build`, with a look at the clock at each step of an insert: what it spends its time on.
    Phases,
}

impl Workload {
    /// All of them, in the order of tables.
    pub const ALL: [Workload; 13] = [
        Workload::Build,
        Workload::Search,
        Workload::SearchBatch,
        Workload::SearchWriter,
        Workload::Bulk,
        Workload::BulkSearch,
        Workload::BulkSearchBatch,
        Workload::Mixed,
        Workload::WriteHeavy,
        Workload::ReaderWriter,
        Workload::ReaderAlone,
        Workload::WriterAlone,
        Workload::Phases,
    ];

    /// Whether it is measured with this codec. Phases are with `f32` alone: one codec is enough to tell how strategies
    /// differ, and inserts that are timed step by step are compiled for it only.
    pub fn suits(self, codec: &str) -> bool {
        self != Workload::Phases || codec == F32::NAME
    }

    /// The name in flags and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Build => "build",
            Workload::Search => "search",
            Workload::SearchBatch => "search-batch",
            Workload::SearchWriter => "search-writer",
            Workload::Bulk => "bulk",
            Workload::BulkSearch => "bulk-search",
            Workload::BulkSearchBatch => "bulk-search-batch",
            Workload::Mixed => "mixed",
            Workload::WriteHeavy => "write-heavy",
            Workload::ReaderWriter => "reader-writer",
            Workload::ReaderAlone => "reader-alone",
            Workload::WriterAlone => "writer-alone",
            Workload::Phases => "phases",
        }
    }

    /// The workload of this name.
    pub fn by_name(name: &str) -> Option<Workload> {
        Workload::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Whether it is run at each ef.
    pub const fn is_per_ef(self) -> bool {
        matches!(
            self,
            Workload::Search
                | Workload::SearchBatch
                | Workload::SearchWriter
                | Workload::BulkSearch
                | Workload::BulkSearchBatch
        )
    }

    /// Whether it searches.
    pub const fn searches(self) -> bool {
        !matches!(self, Workload::Build | Workload::Bulk | Workload::WriterAlone | Workload::Phases)
    }

    /// Whether it builds what others search.
    pub const fn builds(self) -> bool {
        matches!(self, Workload::Build | Workload::Bulk)
    }

    /// Whether its index holds a part of the base vectors when the window opens, and gets more of them.
    pub const fn is_mixed(self) -> bool {
        self.mix().is_some() || self.is_split()
    }

    /// Whether half of the threads search and half insert, or one half does nothing.
    pub const fn is_split(self) -> bool {
        matches!(self, Workload::ReaderWriter | Workload::ReaderAlone | Workload::WriterAlone)
    }

    /// What it needs, one for each role.
    pub const fn least_threads(self) -> usize {
        if self.is_split() { 2 } else { 1 }
    }

    /// Whether operations come in calls of many, which are timed as one.
    pub const fn is_in_calls(self) -> bool {
        matches!(self, Workload::SearchBatch | Workload::Bulk | Workload::BulkSearchBatch)
    }

    /// The round of a worker that only searches.
    pub const fn search(self) -> Round {
        if self.is_in_calls() { Round::SEARCH_EACH } else { Round::SEARCH }
    }

    /// Of `base` vectors, those in the index when the window opens.
    pub const fn prefill(self, base: usize) -> usize {
        match self {
            Workload::Build | Workload::Bulk | Workload::Phases => 0,
            Workload::Search
            | Workload::SearchBatch
            | Workload::SearchWriter
            | Workload::BulkSearch
            | Workload::BulkSearchBatch => base,
            Workload::Mixed => base - base / 5,
            Workload::WriteHeavy | Workload::ReaderWriter | Workload::ReaderAlone | Workload::WriterAlone => {
                base / 2
            }
        }
    }

    /// The round of each worker, where all do the same mix.
    pub const fn mix(self) -> Option<Round> {
        match self {
            Workload::Mixed => Some(Round::of(20, 1)),
            Workload::WriteHeavy => Some(Round::of(2, 1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flags() {
        for workload in Workload::ALL {
            if let Some(flag) = workload.to_possible_value() {
                assert_eq!(flag.get_name(), workload.name());
            }
            assert_eq!(Workload::by_name(workload.name()), Some(workload));
        }
        assert!(Workload::ALL.is_sorted() && Workload::by_name("nap").is_none());
    }

    #[test]
    fn mixed_workloads_leave_something_to_insert() {
        for workload in Workload::ALL.into_iter().filter(|workload| workload.is_mixed()) {
            assert!(workload.prefill(10_000) < 10_000 && workload.prefill(10_000) > 0);
            if let Some(round) = workload.mix() {
                assert!(round.inserts > 0 && round.inserts < round.steps);
            }
        }
    }
}
