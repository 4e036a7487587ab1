//! One node of an index as a sequential object: what calls may do to it and find of it.
//!
//! | state | | `contains` | a search with a beam for all nodes |
//! |---|---|---|---|
//! | absent | not published | false | does not find it |
//! | published | its lists are written, no list names it | true | does not find it |
//! | linked | a list or the entry point names it | true | finds it |
//! | removed | a tombstone, linked or not yet | false | does not return it |
//!
//! An insert is two writes in one interval, because a node is published before it is linked; others may find it, and even
//! remove it, in between. A node in an answer is two observations: the search *met* it by some link, and it was *live* at
//! some instant of the search, which need not be the same. A node that is missing from an answer that it belongs to is one:
//! *missed*, because at some instant it was not linked or not live.

use crate::checker::Spec;

pub struct Node;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    life: Life,
    linked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Life {
    #[default]
    Absent,
    Live,
    Removed,
}

/// What a call did to the node, or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Publish,
    Link,
    /// A removal that was the first.
    Remove,
    /// A removal that found nothing to remove.
    NotFound,
    Contains(bool),
    Live,
    Met,
    Missed,
}

impl Spec for Node {
    type State = State;
    type Op = Act;

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, &state: &State, act: &Act) -> Option<State> {
        let State { life, linked } = state;
        let live = life == Life::Live;
        let (fits, after) = match act {
            Act::Publish => (life == Life::Absent, State { life: Life::Live, ..state }),
            Act::Link => (life != Life::Absent && !linked, State { linked: true, ..state }),
            Act::Remove => (live, State { life: Life::Removed, ..state }),
            Act::NotFound => (!live, state),
            Act::Contains(answer) => (live == *answer, state),
            Act::Live => (live, state),
            Act::Met => (linked, state),
            Act::Missed => (!(live && linked), state),
        };
        fits.then_some(after)
    }

    fn only_reads(&self, act: &Act) -> bool {
        !matches!(act, Act::Publish | Act::Link | Act::Remove)
    }
}

#[cfg(test)]
mod tests {
    use super::Act::*;
    use super::*;
    use crate::checker::{Call, linearize};

    /// An insert from 10 to 20, and these calls.
    fn fits(others: &[(u64, u64, Act)]) -> bool {
        let all = [&[(10, 20, Publish), (10, 20, Link)][..], others].concat();
        let calls: Vec<_> = all.into_iter().map(|(begin, end, op)| Call { begin, end, op }).collect();
        linearize(&Node, &calls).is_ok()
    }

    #[test]
    fn a_node_that_is_published_may_not_be_found_yet() {
        assert!(fits(&[(11, 12, Contains(true)), (13, 14, Missed), (15, 16, Met), (15, 16, Live)]));
        assert!(!fits(&[(11, 12, Met), (13, 14, Missed)]), "what was met once is met for ever");
        assert!(!fits(&[(11, 12, Contains(true)), (13, 14, NotFound)]));
        assert!(!fits(&[(11, 12, Missed), (21, 22, Missed)]), "after the insert it is linked");
        assert!(fits(&[(1, 2, Contains(false)), (3, 4, NotFound), (5, 19, Met), (6, 7, Missed)]));
        assert!(!fits(&[(1, 9, Live)]), "before the insert");
    }

    #[test]
    fn a_node_is_removed_once_and_for_all() {
        assert!(fits(&[
            (21, 30, Remove),
            (22, 29, Live),
            (22, 29, Met),
            (23, 28, NotFound),
            (31, 32, Missed)
        ]));
        assert!(!fits(&[(21, 30, Remove), (22, 31, Remove)]));
        assert!(!fits(&[(21, 30, Remove), (22, 23, NotFound), (24, 25, Contains(true))]), "gone, and back");
        assert!(!fits(&[(21, 30, Remove), (31, 40, Live), (31, 40, Met)]));
        assert!(
            fits(&[(11, 12, Remove), (13, 14, NotFound), (15, 16, Missed)]),
            "in the middle of its insert"
        );
    }

    #[test]
    fn a_search_may_meet_a_node_after_it_was_removed() {
        // It was live when the search began, and the search does not look again.
        assert!(fits(&[(21, 40, Met), (21, 40, Live), (22, 23, Remove)]));
        // One that sees the removal need not have met the node.
        assert!(fits(&[(21, 40, Missed), (22, 23, Remove)]));
        assert!(!fits(&[(24, 40, Met), (24, 40, Live), (22, 23, Remove)]));
    }
}
