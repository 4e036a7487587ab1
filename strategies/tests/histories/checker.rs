//! Whether a history is linearizable: whether each of its calls can have taken effect at one instant between its beginning
//! and its end, so that, in the order of these instants, a sequential object would have answered as the calls did.
//!
//! The search is that of Wing and Gong, *Testing and verifying concurrent objects* (1993), with the memory of Lowe, *Testing
//! for linearizability* (2017): depth first over the calls that may come next, and never twice from the same set of calls in
//! the same state. A call may come next if no other call that is left ended before it began. The objects are small, one for
//! each node of an index: linearizability is local (Herlihy and Wing 1990), so a history is linearizable if each object's
//! part of it is.
//!
//! A call that fits and only reads is taken at once, with no way back: it changes nothing, so whatever order there is of the
//! others, there is one with this call first. That holds of reads alone. A write of the value that is there already must
//! not be taken so: it may be needed later, where it changes something.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A sequential object.
pub trait Spec {
    type State: Clone + Eq + Hash + Debug;
    /// A call with its answer.
    type Op;

    fn initial(&self) -> Self::State;

    /// The state behind the call; none if an object in this state does not answer so.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// True if the call leaves every state as it is.
    fn only_reads(&self, op: &Self::Op) -> bool;
}

/// A call, between two readings of a clock that orders calls.
#[derive(Clone, Debug)]
pub struct Call<O> {
    pub begin: u64,
    pub end: u64,
    pub op: O,
}

/// Why a history is not linearizable: the longest order of calls that fits, and what none of the others fits behind.
#[derive(Debug)]
pub struct Stuck<S> {
    pub order: Vec<usize>,
    pub state: S,
    /// The calls that would have to come next.
    pub next: Vec<usize>,
}

/// An order of the calls, by their numbers, that fits their times and answers.
///
/// # Errors
/// If there is none.
pub fn linearize<S: Spec>(spec: &S, calls: &[Call<S::Op>]) -> Result<Vec<usize>, Stuck<S::State>> {
    let mut by_begin: Vec<usize> = (0..calls.len()).collect();
    by_begin.sort_by_key(|&call| calls[call].begin);
    let mut search = Search {
        spec,
        calls,
        by_begin,
        first: 0,
        taken: vec![0; calls.len().div_ceil(64)],
        order: Vec::new(),
        seen: HashSet::new(),
        longest: Stuck { order: Vec::new(), state: spec.initial(), next: Vec::new() },
    };
    if search.complete(spec.initial()) { Ok(search.order) } else { Err(search.longest) }
}

struct Search<'a, S: Spec> {
    spec: &'a S,
    calls: &'a [Call<S::Op>],
    by_begin: Vec<usize>,
    /// All calls before this place of `by_begin` are taken.
    first: usize,
    /// A bit for each call.
    taken: Vec<u64>,
    order: Vec<usize>,
    /// From where there is no way on.
    seen: HashSet<(Vec<u64>, S::State)>,
    longest: Stuck<S::State>,
}

impl<S: Spec> Search<'_, S> {
    /// Appends all calls that are left to `order`. False, with `order` as it was, if they do not fit.
    fn complete(&mut self, state: S::State) -> bool {
        let before = self.order.len();
        let next = loop {
            let next = self.next();
            let fits = |&&call: &&usize| {
                let op = &self.calls[call].op;
                self.spec.only_reads(op) && self.spec.step(&state, op).is_some()
            };
            match next.iter().find(fits) {
                Some(&read) => self.take(read),
                None => break next,
            }
        };
        if next.is_empty() {
            return true;
        }
        if self.seen.insert((self.taken.clone(), state.clone())) {
            if self.order.len() >= self.longest.order.len() {
                self.longest = Stuck { order: self.order.clone(), state: state.clone(), next: next.clone() };
            }
            for call in next {
                let op = &self.calls[call].op;
                if !self.spec.only_reads(op)
                    && let Some(after) = self.spec.step(&state, op)
                {
                    self.take(call);
                    if self.complete(after) {
                        return true;
                    }
                    self.give_back(self.order.len() - 1);
                }
            }
        }
        self.give_back(before);
        false
    }

    fn is_taken(&self, call: usize) -> bool {
        self.taken[call / 64] >> (call % 64) & 1 == 1
    }

    fn take(&mut self, call: usize) {
        self.taken[call / 64] |= 1 << (call % 64);
        self.order.push(call);
        while self.by_begin.get(self.first).is_some_and(|&call| self.is_taken(call)) {
            self.first += 1;
        }
    }

    /// Takes back all calls of the order but the first `keep`.
    fn give_back(&mut self, keep: usize) {
        for call in self.order.drain(keep..) {
            self.taken[call / 64] &= !(1 << (call % 64));
            self.first = self
                .first
                .min(self.by_begin.partition_point(|&c| self.calls[c].begin < self.calls[call].begin));
        }
    }

    /// The calls that may come next, in the order in which they began.
    fn next(&self) -> Vec<usize> {
        let (mut next, mut first_end) = (Vec::new(), u64::MAX);
        for &call in &self.by_begin[self.first..] {
            if self.calls[call].begin > first_end {
                break;
            }
            if !self.is_taken(call) {
                first_end = first_end.min(self.calls[call].end);
                next.push(call);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A register that begins with 0.
    struct Register;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Write(u8),
        Read(u8),
        /// Writes the second number if the first was there.
        Swap(u8, u8),
    }
    use Op::{Read, Swap, Write};

    impl Spec for Register {
        type State = u8;
        type Op = Op;

        fn initial(&self) -> u8 {
            0
        }

        fn step(&self, state: &u8, op: &Op) -> Option<u8> {
            match *op {
                Write(value) => Some(value),
                Read(value) => (value == *state).then_some(value),
                Swap(from, to) => (from == *state).then_some(to),
            }
        }

        fn only_reads(&self, op: &Op) -> bool {
            matches!(op, Read(_))
        }
    }

    fn calls(history: &[(u64, u64, Op)]) -> Vec<Call<Op>> {
        history.iter().map(|&(begin, end, op)| Call { begin, end, op }).collect()
    }

    /// Whether an order of the calls that are left fits: tries all of them.
    fn fits(left: &[Call<Op>], state: u8) -> bool {
        let may_be_next = |i: usize| left.iter().all(|other| other.end > left[i].begin);
        left.is_empty()
            || (0..left.len()).filter(|&i| may_be_next(i)).any(|i| {
                let mut rest = left.to_vec();
                let call = rest.remove(i);
                Register.step(&state, &call.op).is_some_and(|state| fits(&rest, state))
            })
    }

    fn assert_fits(history: &[(u64, u64, Op)]) {
        let calls = calls(history);
        let order = linearize(&Register, &calls).expect("linearizable");
        let state = order.iter().try_fold(0, |state, &call| Register.step(&state, &calls[call].op));
        assert!(state.is_some() && order.len() == calls.len(), "{order:?}");
        for (place, &call) in order.iter().enumerate() {
            assert!(order[place..].iter().all(|&later| calls[later].end >= calls[call].begin), "{order:?}");
        }
    }

    fn stuck(history: &[(u64, u64, Op)]) -> Stuck<u8> {
        linearize(&Register, &calls(history)).expect_err("not linearizable")
    }

    #[test]
    fn calls_one_after_another_have_one_order() {
        assert_fits(&[]);
        assert_fits(&[
            (0, 1, Read(0)),
            (2, 3, Write(5)),
            (4, 5, Read(5)),
            (6, 7, Swap(5, 0)),
            (8, 9, Read(0)),
        ]);
        let stuck = stuck(&[(0, 1, Write(5)), (2, 3, Read(0)), (4, 5, Read(5))]);
        assert_eq!((stuck.order, stuck.state, stuck.next), (vec![0], 5, vec![1]));
    }

    #[test]
    fn a_new_value_is_not_old_again() {
        // During the write one read may find the old value and one the new, in this order only.
        assert_fits(&[(0, 9, Write(1)), (1, 2, Read(0)), (3, 4, Read(1))]);
        stuck(&[(0, 9, Write(1)), (1, 2, Read(1)), (3, 4, Read(0))]);
        assert_fits(&[(0, 9, Write(1)), (1, 4, Read(1)), (2, 5, Read(0))]);
    }

    #[test]
    fn one_order_of_many_is_found() {
        // All overlap. Only one order of the swaps fits, and it is not that of their beginnings.
        let chain = [(0, 90, Swap(3, 4)), (1, 91, Swap(1, 2)), (2, 92, Swap(2, 3)), (3, 93, Swap(0, 1))];
        assert_fits(&chain);
        // Just so: the last link may begin only when the read of its answer has not ended.
        assert_fits(&[&chain[1..], &[(80, 100, Read(4)), (94, 99, Swap(3, 4))]].concat());
        stuck(&[&chain[1..], &[(80, 95, Read(4)), (96, 99, Swap(3, 4))]].concat());
    }

    #[test]
    fn a_write_of_the_value_that_is_there_is_not_wasted() {
        // Taken first, where it changes nothing, the write of 0 would be missing behind that of 1.
        assert_fits(&[
            (0, 9, Write(0)),
            (1, 10, Write(1)),
            (2, 11, Read(1)),
            (12, 13, Read(0)),
            (3, 14, Write(0)),
        ]);
        assert_fits(&[(0, 9, Write(0)), (1, 3, Write(1)), (2, 5, Read(1)), (6, 8, Read(0))]);
        stuck(&[(0, 4, Write(0)), (1, 3, Write(1)), (2, 5, Read(1)), (6, 8, Read(0)), (9, 10, Read(1))]);
    }

    #[test]
    fn a_set_of_calls_is_searched_once() {
        // Without memory the search would try all orders of 14 writes.
        let mut history: Vec<_> = (0..14).map(|i| (i, 100 + i, Write(i as u8 % 2))).collect();
        history.push((200, 201, Read(7)));
        assert_eq!(stuck(&history).order.len(), 14);
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0u8..3).prop_map(Write),
            (0u8..3).prop_map(Read),
            (0u8..3, 0u8..3).prop_map(|(from, to)| Swap(from, to)),
        ]
    }

    proptest! {
        #[test]
        fn trying_all_orders_gives_the_same(
            ops in prop::collection::vec(any_op(), 0..7),
            times in Just((0..14).collect::<Vec<u64>>()).prop_shuffle(),
        ) {
            let times = times.chunks(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])));
            let history: Vec<_> = ops.into_iter().zip(times).map(|(op, (begin, end))| (begin, end, op)).collect();
            prop_assert_eq!(linearize(&Register, &calls(&history)).is_ok(), fits(&calls(&history), 0));
        }
    }
}
