//! Snapshots in a history. A snapshot is the set of writes that it shows: inserts, and removals of what it shows inserted.
//! If the writes have one order, and each snapshot shows those up to one place in it, then of two snapshots one shows all that
//! the other does. So the history is serializable, with its snapshots, if
//! - they form a chain by inclusion, in the order of their stamps;
//! - the chain agrees with real time: a snapshot shows every write whose call had ended before it was taken, none whose call
//!   began after, and with each write all those that had ended before that one began;
//! - each answers as brute force does for the nodes that it shows, then and later.

use crate::check::lives;
use crate::clock::Clock;
use crate::record::{Event, timed};
use crate::support::{Oracle, Random};
use hnsw_core::distance::Metric;
use hnsw_core::graph::{NodeId, NodeState, Snapshots, View};
use hnsw_core::hnsw::{Index, IndexSnapshot, Neighbor};

/// What a snapshot showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    pub begin: u64,
    pub end: u64,
    pub stamp: u64,
    /// By node.
    pub states: Vec<NodeState>,
    pub query: Vec<f32>,
    pub answer: Vec<Neighbor>,
}

impl Shot {
    fn new<G: Snapshots>(
        snapshot: &IndexSnapshot<G>,
        (begin, end): (u64, u64),
        query: Vec<f32>,
        all: usize,
    ) -> Self {
        let view = snapshot.view();
        Shot {
            begin,
            end,
            stamp: snapshot.stamp().0,
            states: (0..all as u32).map(|id| view.state(NodeId::new(id))).collect(),
            answer: snapshot.search(&query, all, all).expect("the query is sound"),
            query,
        }
    }

    fn shows(&self, write: &Write) -> bool {
        let state = self.states.get(write.node.index()).copied().unwrap_or(NodeState::Free);
        state == NodeState::Tombstone || (state == NodeState::Live && !write.removes)
    }
}

/// Takes snapshots, looks at each at once and again when all are taken, and gives back what they showed.
///
/// # Panics
/// When one shows something else later.
pub fn watch<G: Snapshots>(index: &Index<G>, clock: &Clock, mut random: Random, count: usize) -> Vec<Shot> {
    let all = index.config().capacity;
    let take = |_| {
        let (begin, snapshot, end) = timed(clock, || index.snapshot());
        let shot = Shot::new(&snapshot, (begin, end), random.vector(index.config().dim), all);
        (snapshot, shot)
    };
    let taken: Vec<_> = (0..count).map(take).collect();
    let shots = taken.into_iter().map(|(snapshot, shot)| {
        let again = Shot::new(&snapshot, (shot.begin, shot.end), shot.query.clone(), all);
        assert_eq!(again, shot, "a snapshot changed");
        shot
    });
    shots.collect()
}

/// An insert or a removal, between two readings of the clock.
struct Write {
    node: NodeId,
    removes: bool,
    begin: u64,
    end: u64,
}

impl core::fmt::Display for Write {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let what = if self.removes { "remove" } else { "insert" };
        write!(f, "{what} of node {} [{}, {}]", self.node, self.begin, self.end)
    }
}

fn describe(shot: &Shot, writes: &[Write]) -> String {
    let shown = writes.iter().filter(|write| shot.shows(write)).map(|write| format!("\n    {write}"));
    format!("snapshot [{}, {}] of commit {}:{}", shot.begin, shot.end, shot.stamp, shown.collect::<String>())
}

/// # Errors
/// What is wrong, described.
pub fn check(events: &[Event], shots: &[Shot], metric: Metric) -> Result<(), String> {
    let lives = lives(events)?;
    let mut writes = Vec::new();
    for (&node, life) in &lives {
        let mut add = |removes, (begin, end)| writes.push(Write { node, removes, begin, end });
        add(false, life.inserted);
        life.removed.into_iter().for_each(|removed| add(true, removed));
    }
    for shot in shots {
        let wrong = |why: String| Err(format!("{why}: {}", describe(shot, &writes)));
        for (id, state) in (0..).zip(&shot.states) {
            let life = lives.get(&NodeId::new(id));
            let known = match state {
                NodeState::Free | NodeState::Reserved => true,
                NodeState::Live => life.is_some(),
                NodeState::Tombstone => life.is_some_and(|life| life.removed.is_some()),
            };
            if !known {
                return wrong(format!("node {id} is {state:?}, and no call made it so"));
            }
        }
        let (shown, hidden): (Vec<_>, Vec<_>) = writes.iter().partition(|write| shot.shows(write));
        if let Some(write) = shown.iter().find(|write| write.begin > shot.end) {
            return wrong(format!("it shows what began after it was taken, the {write}"));
        }
        if let Some(write) = hidden.iter().find(|write| write.end < shot.begin) {
            return wrong(format!("it misses what had ended before it was taken, the {write}"));
        }
        for write in &shown {
            if let Some(before) = hidden.iter().find(|before| before.end < write.begin) {
                return wrong(format!("it shows the {write} and misses what came before, the {before}"));
            }
        }
        let mut oracle = Oracle::new(shot.query.len(), metric);
        for (&node, life) in &lives {
            if shot.states.get(node.index()) == Some(&NodeState::Live) {
                oracle.insert(node, life.vector);
            }
        }
        let exact = oracle.nearest(&shot.query, oracle.len());
        if exact != shot.answer {
            return wrong(format!("{:?} -> {:?}, not {exact:?}", shot.query, shot.answer));
        }
    }
    let mut chain: Vec<&Shot> = shots.iter().collect();
    chain.sort_by_key(|shot| shot.stamp);
    for pair in chain.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        let grows = writes.iter().all(|write| !a.shows(write) || b.shows(write));
        let is_same = || writes.iter().all(|write| a.shows(write) == b.shows(write));
        if !grows || (a.stamp == b.stamp && !is_same()) {
            return Err(format!("no chain: {}\n{}", describe(a, &writes), describe(b, &writes)));
        }
        if let Some(earlier) = chain.iter().find(|later| later.stamp > a.stamp && later.end < a.begin) {
            return Err(format!("no order: {}\n{}", describe(a, &writes), describe(earlier, &writes)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::What;
    use NodeState::{Free, Live, Tombstone};

    fn node(id: u32) -> NodeId {
        NodeId::new(id)
    }

    fn insert(begin: u64, end: u64, id: u32) -> Event {
        Event { thread: 0, begin, end, what: What::Insert { node: node(id), vector: vec![id as f32] } }
    }

    fn remove(begin: u64, end: u64, id: u32) -> Event {
        Event { thread: 1, begin, end, what: What::Remove { node: node(id), removed: true } }
    }

    /// A snapshot that answers right for what it shows.
    fn shot(begin: u64, end: u64, stamp: u64, states: &[NodeState]) -> Shot {
        let live = (0..).zip(states).filter(|(_, state)| **state == Live);
        let answer = live.map(|(id, _): (u32, _)| Neighbor { node: node(id), distance: (id * id) as f32 });
        Shot { begin, end, stamp, states: states.to_vec(), query: vec![0.0], answer: answer.collect() }
    }

    fn verdict(events: &[Event], shots: &[Shot]) -> Result<(), String> {
        check(events, shots, Metric::L2)
    }

    fn assert_wrong(why: &str, events: &[Event], shots: &[Shot]) {
        let verdict = verdict(events, shots).expect_err(why);
        assert!(verdict.contains(why), "{verdict}");
    }

    #[test]
    fn a_chain_passes_in_any_order_of_calls_under_way() {
        let events = [insert(0, 20, 0), insert(1, 21, 1), remove(2, 22, 0)];
        let chain = [
            shot(3, 10, 0, &[Free, Free]),
            shot(4, 11, 1, &[Free, Live]),
            shot(5, 12, 2, &[Live, Live]),
            shot(6, 13, 2, &[Live, Live]),
            shot(7, 14, 3, &[Tombstone, Live]),
        ];
        assert_eq!(verdict(&events, &chain), Ok(()));
        let reversed: Vec<_> = chain.iter().rev().cloned().collect();
        assert_eq!(verdict(&events, &reversed), Ok(()));
    }

    #[test]
    fn snapshots_that_cross_are_told() {
        let events = [insert(0, 20, 0), insert(1, 21, 1)];
        let [a, b] = [&[Live, Free], &[Free, Live]];
        assert_wrong("no chain", &events, &[shot(3, 10, 1, a), shot(4, 11, 2, b)]);
        assert_wrong("no chain", &events, &[shot(3, 10, 1, a), shot(4, 11, 1, &[Live, Live])]);
        assert_wrong("no chain", &events, &[shot(3, 10, 2, a), shot(4, 11, 1, &[Live, Live])]);
        assert_wrong("no order", &events, &[shot(3, 4, 2, &[Live, Live]), shot(5, 6, 1, a)]);
    }

    #[test]
    fn snapshots_out_of_time_are_told() {
        let events = [insert(0, 1, 0), insert(4, 9, 1), insert(10, 11, 2)];
        assert_eq!(verdict(&events, &[shot(2, 3, 1, &[Live]), shot(5, 6, 2, &[Live, Live])]), Ok(()));
        assert_wrong("began after", &events, &[shot(2, 3, 1, &[Live, Live])]);
        assert_wrong("had ended before", &events, &[shot(2, 3, 0, &[Free])]);
        assert_wrong("misses what came before", &events, &[shot(5, 12, 2, &[Live, Free, Live])]);
    }

    #[test]
    fn wrong_content_is_told() {
        let events = [insert(0, 1, 0), insert(2, 3, 1)];
        assert_wrong("no call made it so", &events, &[shot(4, 5, 2, &[Live, Live, Live])]);
        assert_wrong("no call made it so", &events, &[shot(4, 5, 2, &[Live, Tombstone])]);
        let mut partial = shot(4, 5, 2, &[Live, Live]);
        partial.answer.pop();
        assert_wrong("not [", &events, &[partial]);
    }
}
