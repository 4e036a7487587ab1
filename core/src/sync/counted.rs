//! What was done at each site, in builds that count: `--cfg hnsw_count`, which `scripts/sites` sets.

/// What one place of the source did to atomics and locks, since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteCount {
    /// The name of the site, or `file:line` where a place has none: locks, and accesses that have no ordering to name.
    pub site: String,
    /// From the root of the workspace.
    pub file: String,
    /// `load`, `store`, `update`, `exchange`, `fence`, `lock`, `read lock`, `write lock`.
    pub access: &'static str,
    /// How often.
    pub count: u64,
    /// Of these: exchanges that failed; locks that were not free at once.
    pub lost: u64,
    /// Time that threads waited for a lock.
    pub waited_ns: u64,
    /// Time that threads held it.
    pub held_ns: u64,
}

/// What all sites did since the process began, by name and kind; `None` in a build that does not count.
pub fn site_counts() -> Option<Vec<SiteCount>> {
    #[cfg(hnsw_count)]
    return Some(super::count::sites());
    #[cfg(not(hnsw_count))]
    None
}
