//! Whether a trial that the machine disturbed is tried again.
//!
//! One that was disturbed by chance is worth another try. Where most are disturbed the machine is not quiet, trying again tells
//! nothing new, and the sweep would only last longer than it said: so no more than a share of the trials are second ones.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of so many trials one may be a repetition.
const ONE_OF: usize = 6;
/// Trials that count as done before the first, so that a short sweep has repetitions too.
const HEAD_START: usize = 24;

pub(super) struct Patience {
    /// How often one trial is tried again at most.
    most: usize,
    trials: AtomicUsize,
    repetitions: AtomicUsize,
}

impl Patience {
    pub(super) fn new(most: usize) -> Patience {
        Patience { most, trials: AtomicUsize::new(0), repetitions: AtomicUsize::new(0) }
    }

    /// Counts a trial, which was tried `attempt` times before; true if it is to be tried again.
    pub(super) fn again(&self, disturbed: bool, attempt: usize) -> bool {
        // Relaxed: counts of the one thread that runs trials.
        let trials = self.trials.fetch_add(1, Ordering::Relaxed) + 1;
        if !disturbed || attempt >= self.most {
            return false;
        }
        // Relaxed: as above.
        let again = self.repetitions.load(Ordering::Relaxed) * ONE_OF < trials + HEAD_START;
        self.repetitions.fetch_add(usize::from(again), Ordering::Relaxed);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repetitions of so many points, all of whose trials are disturbed.
    fn repetitions(points: usize, most: usize) -> usize {
        let patience = Patience::new(most);
        (0..points).map(|_| (0..).take_while(|attempt| patience.again(true, *attempt)).count()).sum()
    }

    #[test]
    fn a_quiet_machine_repeats_nothing() {
        let patience = Patience::new(3);
        assert!((0..100).all(|_| !patience.again(false, 0)));
        assert!(patience.again(true, 0) && patience.again(true, 2) && !patience.again(true, 3));
    }

    #[test]
    fn where_all_is_disturbed_one_in_six_is_a_repetition() {
        assert_eq!(repetitions(4, 1), 4);
        assert_eq!(repetitions(100, 0), 0);
        let of_many = repetitions(1_000, 1);
        assert!((195..=215).contains(&of_many), "{of_many} of {}", 1_000 + of_many);
    }
}
