//! A set of numbers below a bound, which knows how many members are below a member.

/// A bit for each number, and for every 64 of them how many members come before: 1.5 bits a number.
pub(super) struct Members {
    words: Box<[u64]>,
    before: Box<[u32]>,
}

impl Members {
    /// The numbers for which `flags` says true.
    pub(super) fn new(flags: &[bool]) -> Self {
        let word = |flags: &[bool]| flags.iter().rev().fold(0, |word, flag| word << 1 | u64::from(*flag));
        let words: Box<[u64]> = flags.chunks(u64::BITS as usize).map(word).collect();
        let mut sum = 0;
        let before = words
            .iter()
            .map(|word| {
                let before = sum;
                sum += word.count_ones();
                before
            })
            .collect();
        Members { words, before }
    }

    /// The number of members below `number`, if it is a member.
    #[inline]
    pub(super) fn rank(&self, number: usize) -> Option<usize> {
        let (at, bit) = (number / u64::BITS as usize, 1u64 << (number % u64::BITS as usize));
        let word = *self.words.get(at)?;
        (word & bit != 0).then(|| self.before[at] as usize + (word & (bit - 1)).count_ones() as usize)
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.before)
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_counted(flags in prop::collection::vec(any::<bool>(), 0..300)) {
            let members = Members::new(&flags);
            for number in 0..flags.len() + 70 {
                let counted = flags[..number.min(flags.len())].iter().filter(|flag| **flag).count();
                let expected = flags.get(number).is_some_and(|flag| *flag).then_some(counted);
                prop_assert_eq!(members.rank(number), expected);
            }
        }
    }
}
