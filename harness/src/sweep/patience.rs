//! Whether a trial that the machine disturbed is tried again.
//!
//! One that was disturbed by chance is worth another try. Where most are disturbed the machine is not quiet, trying again tells
//! nothing new, and the sweep would only last longer than it said: so no more than a share of the trials are second ones.

use serde::{Deserialize, Serialize};

/// Of so many trials one may be a repetition.
const ONE_OF: usize = 6;
/// Trials that count as done before the first, so that a short sweep has repetitions too.
const HEAD_START: usize = 24;

/// See [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Patience {
    /// How often one trial is tried again at most.
    most: usize,
    trials: usize,
    repetitions: usize,
}

impl Patience {
    pub(crate) fn new(most: usize) -> Patience {
        Patience { most, trials: 0, repetitions: 0 }
    }

    /// Counts a trial, which was tried `attempt` times before; true if it is to be tried again.
    pub(crate) fn again(&mut self, disturbed: bool, attempt: usize) -> bool {
        self.trials += 1;
        let again = disturbed && attempt < self.most && self.repetitions * ONE_OF < self.trials + HEAD_START;
        self.repetitions += usize::from(again);
        again
    }

    /// Counts a trial of which another process has a row, and asked its own [`Patience::again`].
    pub(crate) fn count(&mut self, attempt: usize) {
        self.trials += 1;
        self.repetitions += usize::from(attempt > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repetitions of so many points, all of whose trials are disturbed.
    fn repetitions(points: usize, most: usize) -> usize {
        let mut patience = Patience::new(most);
        (0..points).map(|_| (0..).take_while(|attempt| patience.again(true, *attempt)).count()).sum()
    }

    #[test]
    fn a_quiet_machine_repeats_nothing() {
        let mut patience = Patience::new(3);
        assert!((0..100).all(|_| !patience.again(false, 0)));
        assert!(patience.again(true, 0) && patience.again(true, 2) && !patience.again(true, 3));
    }

    /// The one that is asked sits in the process of a session, the one that counts in that of the sweep.
    #[test]
    fn who_counts_the_rows_of_another_knows_what_that_one_knows() {
        let (mut asked, mut counting) = (Patience::new(2), Patience::new(2));
        for point in 0..300 {
            for attempt in 0.. {
                let again = asked.again(point % 3 > 0, attempt);
                counting.count(attempt);
                if !again {
                    break;
                }
            }
            assert_eq!(asked, counting, "after point {point}");
        }
        assert!(asked.repetitions > 24 && asked.trials > 300, "{asked:?}");
    }

    #[test]
    fn where_all_is_disturbed_one_in_six_is_a_repetition() {
        assert_eq!(repetitions(4, 1), 4);
        assert_eq!(repetitions(100, 0), 0);
        let of_many = repetitions(1_000, 1);
        assert!((195..=215).contains(&of_many), "{of_many} of {}", 1_000 + of_many);
    }
}
