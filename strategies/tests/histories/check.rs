//! What a history of one index must be: linearizable node by node, and its searches as the contract says (P2 to P5).

use crate::checker::{Call, linearize};
use crate::node::{Act, Node};
use crate::record::{Event, Search, What};
use crate::support::Oracle;
use hnsw_core::distance::Metric;
use hnsw_core::graph::NodeId;
use hnsw_core::hnsw::Neighbor;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// What is known of a node: the readings before and after the calls that inserted and removed it.
pub struct Life<'a> {
    pub vector: &'a [f32],
    pub inserted: (u64, u64),
    pub removed: Option<(u64, u64)>,
}

/// The nodes that were inserted.
///
/// # Errors
/// If two inserts were given one node, or a node was removed twice or never inserted.
pub fn lives(events: &[Event]) -> Result<BTreeMap<NodeId, Life<'_>>, String> {
    let mut lives = BTreeMap::new();
    for event in events {
        if let What::Insert { node, vector } = &event.what {
            let life = Life { vector, inserted: (event.begin, event.end), removed: None };
            if lives.insert(*node, life).is_some() {
                return Err(format!("node {node} was given out twice"));
            }
        }
    }
    for event in events {
        if let What::Remove { node, removed: true } = event.what {
            let life: &mut Life<'_> =
                lives.get_mut(&node).ok_or(format!("node {node} was removed and never inserted"))?;
            if life.removed.replace((event.begin, event.end)).is_some() {
                return Err(format!("node {node} was removed twice:\n{}", mentions(events, node)));
            }
        }
    }
    Ok(lives)
}

/// Checks all of a history; `capacity` is at least the number of its nodes.
///
/// # Errors
/// What is wrong, described.
pub fn check(events: &[Event], metric: Metric, capacity: usize) -> Result<(), String> {
    let lives = lives(events)?;
    let dim = lives.values().next().map_or(1, |life| life.vector.len());
    let oracle = Oracle::new(dim, metric);
    for event in events {
        match &event.what {
            What::Search(search) => check_search(event, search, &lives, &oracle, capacity)?,
            What::Vector { node, answer: Some(vector) } => {
                let stored = lives.get(node).map(|life| oracle.stored(life.vector));
                if stored.as_ref() != Some(vector) {
                    return Err(format!("the vector of {node} is {stored:?}: {event}"));
                }
            }
            _ => (),
        }
    }
    acts(events, &lives, &oracle, capacity).into_iter().try_for_each(|(node, acts)| check_node(node, &acts))
}

fn order(a: &Neighbor, b: &Neighbor) -> std::cmp::Ordering {
    a.distance.total_cmp(&b.distance).then(a.node.cmp(&b.node))
}

/// P2, P3, P4 and P5 for one search.
fn check_search(
    event: &Event,
    Search { query, k, ef, answer }: &Search,
    lives: &BTreeMap<NodeId, Life<'_>>,
    oracle: &Oracle,
    capacity: usize,
) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{why}: {event}"));
    if answer.len() > *k || !answer.is_sorted_by(|a, b| order(a, b).is_lt()) {
        return wrong("more than k, out of order, or a node twice".into());
    }
    let mut present = oracle.clone();
    let mut known = HashSet::new();
    for Neighbor { node, distance } in answer {
        let Some(life) = lives.get(node) else { return wrong(format!("node {node} was never inserted")) };
        if life.inserted.0 > event.end || life.removed.is_some_and(|(_, end)| end < event.begin) {
            return wrong(format!("node {node} was not there"));
        }
        let exact = oracle.distance_to(query, life.vector);
        if exact.to_bits() != distance.to_bits() {
            return wrong(format!("node {node} is {exact} away"));
        }
        present.insert(*node, life.vector);
        known.insert(*node);
    }
    let all_through = |life: &Life<'_>| {
        life.inserted.1 < event.begin && life.removed.is_none_or(|(begin, _)| begin > event.end)
    };
    let must: Vec<_> = lives.iter().filter(|(_, life)| all_through(life)).collect();
    if answer.len() < must.len().min(*k) {
        return wrong(format!("{} nodes were there all the time", must.len()));
    }
    if *ef >= capacity {
        must.iter().filter(|(node, _)| !known.contains(*node)).for_each(|(node, life)| {
            present.insert(**node, life.vector);
        });
        let exact = present.nearest(query, *k);
        if exact != *answer {
            return wrong(format!("at least these should be there: {exact:?}"));
        }
    }
    Ok(())
}

/// A call of a node, and the event that it is part of.
type Part<'a> = (Call<Act>, &'a Event);

/// What was done to each node, and found of it.
fn acts<'a>(
    events: &'a [Event],
    lives: &BTreeMap<NodeId, Life<'_>>,
    oracle: &Oracle,
    capacity: usize,
) -> BTreeMap<NodeId, Vec<Part<'a>>> {
    let mut acts: BTreeMap<NodeId, Vec<Part<'a>>> = BTreeMap::new();
    for event in events {
        let mut add = |node: NodeId, op: Act| {
            let call = Call { begin: event.begin, end: event.end, op };
            acts.entry(node).or_default().push((call, event));
        };
        match &event.what {
            What::Insert { node, .. } => {
                [Act::Publish, Act::Link].into_iter().for_each(|act| add(*node, act))
            }
            What::Remove { node, removed: true } => add(*node, Act::Remove),
            What::Remove { node, removed: false } => add(*node, Act::NotFound),
            What::Contains { node, answer } => add(*node, Act::Contains(*answer)),
            What::Vector { node, answer } => add(*node, Act::Contains(answer.is_some())),
            What::Search(Search { query, k, ef, answer }) => {
                let found: HashSet<NodeId> = answer.iter().map(|neighbor| neighbor.node).collect();
                for node in &found {
                    add(*node, Act::Met);
                    add(*node, Act::Live);
                }
                let last = answer.last().filter(|_| answer.len() == *k);
                let belongs = |node: NodeId, life: &Life<'_>| {
                    let distance = || oracle.distance_to(query, life.vector);
                    last.is_none_or(|last| order(&Neighbor { node, distance: distance() }, last).is_lt())
                };
                if *ef >= capacity {
                    let others = lives.iter().filter(|(node, _)| !found.contains(*node));
                    others
                        .filter(|(node, life)| belongs(**node, life))
                        .for_each(|(node, _)| add(*node, Act::Missed));
                }
            }
        }
    }
    acts
}

fn check_node(node: NodeId, parts: &[Part<'_>]) -> Result<(), String> {
    let calls: Vec<Call<Act>> = parts.iter().map(|(call, _)| call.clone()).collect();
    let Err(stuck) = linearize(&Node, &calls) else { return Ok(()) };
    let mut text = format!("node {node} is not linearizable. What was done to it, or found:\n");
    let mut sorted: Vec<&Part<'_>> = parts.iter().collect();
    sorted.sort_by_key(|(call, _)| call.begin);
    for (call, event) in sorted {
        let _ = writeln!(text, "    {:<16} {event}", format!("{:?}", call.op));
    }
    let line = |text: &mut String, numbers: &[usize]| {
        for &number in numbers {
            let Call { begin, end, op } = &calls[number];
            let _ = write!(text, " {op:?}[{begin}, {end}]");
        }
    };
    text.push_str("the longest order that fits:");
    line(&mut text, &stuck.order);
    let _ = write!(text, "\nthen it is {:?}, and none of these fits:", stuck.state);
    line(&mut text, &stuck.next);
    Err(text)
}

/// The events that name a node.
fn mentions(events: &[Event], wanted: NodeId) -> String {
    let names = |event: &&Event| match &event.what {
        What::Insert { node, .. }
        | What::Remove { node, .. }
        | What::Contains { node, .. }
        | What::Vector { node, .. } => *node == wanted,
        What::Search(search) => search.answer.iter().any(|neighbor| neighbor.node == wanted),
    };
    let mut sorted: Vec<&Event> = events.iter().filter(names).collect();
    sorted.sort_by_key(|event| event.begin);
    sorted.into_iter().map(|event| format!("    {event}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 8;

    fn node(id: u32) -> NodeId {
        NodeId::new(id)
    }

    fn event(begin: u64, end: u64, what: What) -> Event {
        Event { thread: begin as usize % 3, begin, end, what }
    }

    /// Node `id` at `id` on a line.
    fn insert(begin: u64, end: u64, id: u32) -> Event {
        event(begin, end, What::Insert { node: node(id), vector: vec![id as f32] })
    }

    fn remove(begin: u64, end: u64, id: u32, removed: bool) -> Event {
        event(begin, end, What::Remove { node: node(id), removed })
    }

    /// A search at 0, whose distances are squares.
    fn search(begin: u64, end: u64, k: usize, ef: usize, ids: &[u32]) -> Event {
        let answer = ids.iter().map(|&id| Neighbor { node: node(id), distance: (id * id) as f32 }).collect();
        event(begin, end, What::Search(Search { query: vec![0.0], k, ef, answer }))
    }

    /// Nodes 0 and 1 from 0 to 3, and these.
    fn verdict(others: &[Event]) -> Result<(), String> {
        check(&[&[insert(0, 1, 0), insert(2, 3, 1)][..], others].concat(), Metric::L2, CAPACITY)
    }

    fn assert_wrong(why: &str, others: &[Event]) {
        let verdict = verdict(others).expect_err(why);
        assert!(verdict.contains(why), "{verdict}");
    }

    #[test]
    fn right_answers_pass() {
        assert_eq!(verdict(&[search(4, 5, 8, 8, &[0, 1]), search(6, 7, 1, 8, &[0])]), Ok(()));
        // Of an insert and a removal under way, each may be seen or not.
        for seen in [&[0, 1][..], &[0, 1, 2], &[1], &[1, 2]] {
            let under_way = [insert(4, 9, 2), remove(5, 10, 0, true), search(6, 8, 8, 8, seen)];
            assert_eq!(verdict(&under_way), Ok(()), "{seen:?}");
        }
        assert_eq!(verdict(&[remove(4, 5, 7, false), remove(6, 7, 0, true), remove(8, 9, 0, false)]), Ok(()));
        let vector = |answer: Option<f32>| What::Vector { node: node(1), answer: answer.map(|x| vec![x]) };
        assert_eq!(verdict(&[event(4, 5, vector(Some(1.0)))]), Ok(()));
        assert_wrong("the vector of", &[event(4, 5, vector(Some(2.0)))]);
        assert_wrong("not linearizable", &[event(4, 5, vector(None))]);
    }

    #[test]
    fn wrong_answers_are_told() {
        assert_wrong("out of order", &[search(4, 5, 8, 8, &[1, 0])]);
        assert_wrong("a node twice", &[search(4, 5, 8, 8, &[0, 0])]);
        assert_wrong("more than k", &[search(4, 5, 1, 8, &[0, 1])]);
        assert_wrong("never inserted", &[search(4, 5, 8, 8, &[0, 1, 5])]);
        assert_wrong("nodes were there all the time", &[search(4, 5, 2, 2, &[1])]);
        assert_wrong("should be there", &[insert(4, 5, 2), search(6, 7, 2, 8, &[0, 2])]);
        assert_wrong("was not there", &[remove(4, 5, 0, true), search(6, 7, 8, 8, &[0, 1])]);
        assert_wrong("was not there", &[search(4, 5, 8, 8, &[0, 1, 2]), insert(6, 7, 2)]);
        let Event { what: What::Search(mut far), .. } = search(4, 5, 8, 8, &[0, 1]) else { unreachable!() };
        far.answer[1].distance += f32::EPSILON;
        assert_wrong("is 1 away", &[event(4, 5, What::Search(far))]);
    }

    #[test]
    fn what_only_an_order_shows_is_told() {
        // Each answer is right alone: the insert and the removal are under way all the time.
        let found = |begin| search(begin, begin + 1, 8, 8, &[0, 1, 2]);
        let missed = |begin| search(begin, begin + 1, 8, 8, &[0, 1]);
        assert_eq!(verdict(&[insert(4, 20, 2), missed(5), found(7)]), Ok(()));
        assert_wrong("not linearizable", &[insert(4, 20, 2), found(5), missed(7)]);
        let gone = |begin| remove(begin, begin + 1, 2, false);
        assert_eq!(
            verdict(&[insert(4, 5, 2), remove(6, 20, 2, true), found(7), gone(9), missed(11)]),
            Ok(())
        );
        assert_wrong("not linearizable", &[insert(4, 5, 2), remove(6, 20, 2, true), gone(7), found(9)]);
        // A full answer says nothing of what is farther.
        let nearest = |begin| search(begin, begin + 1, 2, 8, &[0, 1]);
        assert_eq!(verdict(&[insert(4, 20, 2), found(5), nearest(7)]), Ok(()));
    }

    #[test]
    fn ids_are_given_out_and_taken_back_once() {
        assert_wrong("given out twice", &[insert(4, 5, 1)]);
        assert_wrong("removed twice", &[remove(4, 7, 1, true), remove(5, 6, 1, true)]);
        assert_wrong("never inserted", &[remove(4, 5, 3, true)]);
    }
}
