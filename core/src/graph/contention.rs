//! What threads waited for.

/// Counts of waiting and repeated work since the graph was made. A strategy leaves at zero what it cannot meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// Times a lock was found taken.
    pub lock_waits: u64,
    /// Compare-and-swap operations that lost to another thread.
    pub cas_failures: u64,
    /// Commits that were refused and repeated.
    pub commit_conflicts: u64,
    /// Times a reader had to look again because a list changed under it.
    pub read_retries: u64,
    /// Reads that were answered from an older version.
    pub versions_walked: u64,
}

impl core::ops::Sub for Contention {
    type Output = Contention;
    /// What was added between two readings.
    fn sub(self, earlier: Contention) -> Contention {
        Contention {
            lock_waits: self.lock_waits - earlier.lock_waits,
            cas_failures: self.cas_failures - earlier.cas_failures,
            commit_conflicts: self.commit_conflicts - earlier.commit_conflicts,
            read_retries: self.read_retries - earlier.read_retries,
            versions_walked: self.versions_walked - earlier.versions_walked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_readings_is_that_of_each_count() {
        let reading = |by: u64| Contention {
            lock_waits: 1 + by,
            cas_failures: 2 + 2 * by,
            commit_conflicts: 3 + 3 * by,
            read_retries: 4 + 4 * by,
            versions_walked: 5 + 5 * by,
        };
        let added = reading(10) - reading(0);
        assert_eq!(
            added,
            Contention {
                lock_waits: 10,
                cas_failures: 20,
                commit_conflicts: 30,
                read_retries: 40,
                versions_walked: 50
            }
        );
    }
}
