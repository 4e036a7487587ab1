//! What an answer is worth while others write.
//!
//! A search over a changing index has no single right answer: the set of points that it was asked about is only known to lie
//! between two others. MUST are the points that were there from its beginning to its end, MAY those whose insert or removal
//! overlaps it. Whatever set S the search saw, MUST ⊆ S ⊆ MUST ∪ MAY. So recall has bounds, and both are exact:
//!
//! - the least is reached by S = MUST and the points of MAY that were *not* returned: a returned point of MAY adds at most a hit
//!   and displaces at most one, so leaving it out never helps; one that was not returned can only displace;
//! - the most by S = MUST and the points of MAY that *were* returned, for the same two reasons.
//!
//! An answer outside MUST ∪ MAY is a *ghost*: a point that was not there at any time of the search. It is a bug, not a matter of
//! recall.

use hnsw_core::graph::NodeId;

use super::history::{Lives, Search, Standing};

/// Ages in nanoseconds: a point is in the first class whose bound its age is below.
pub(super) const AGES: [(u64, &str); 6] = [
    (10_000, "< 10 us"),
    (100_000, "< 100 us"),
    (1_000_000, "< 1 ms"),
    (10_000_000, "< 10 ms"),
    (100_000_000, "< 100 ms"),
    (u64::MAX, "older"),
];

/// Points that belong in an answer whatever the search saw, by their age when it began.
pub(super) type Ages = [Age; AGES.len()];

/// Of one class of ages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    /// Points that belong in an answer.
    pub(super) due: u64,
    /// Those of them that were in it.
    pub(super) found: u64,
}

/// What one answer is worth.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Score {
    /// The least and the most that recall@k may be. Both 1 if there was nothing to find.
    pub(super) recall: [f64; 2],
    /// Fewer answers than MUST has points, and than k.
    pub(super) short: bool,
    pub(super) ages: Ages,
}

/// A point that the search may have seen.
struct Point {
    node: NodeId,
    distance: f32,
    must: bool,
    returned: bool,
    age: u64,
}

/// Scores a search for `k` neighbours; `distances` holds that of each row from what was searched for.
pub(super) fn score(search: &Search, k: usize, lives: &Lives, distances: &[f32]) -> Score {
    let mut points: Vec<Point> = Vec::new();
    for (node, life) in lives.iter() {
        let standing = life.standing(search.span);
        if standing != Standing::Never {
            points.push(Point {
                node,
                distance: distances[life.row as usize],
                must: standing == Standing::Must,
                returned: search.answers.contains(&node),
                age: life.age(search.span.begin),
            });
        }
    }
    points.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.node.cmp(&b.node)));
    let certain = points.iter().filter(|point| point.must).count();
    let mut ages = Ages::default();
    for point in points.iter().take(k).filter(|point| point.must) {
        // Among the k nearest of all that may have been there, so among the k nearest of any set that was.
        let class = AGES.iter().position(|(bound, _)| point.age < *bound).unwrap_or(AGES.len() - 1);
        ages[class].due += 1;
        ages[class].found += u64::from(point.returned);
    }
    Score {
        recall: [
            recall(&points, k, |point| point.must || !point.returned),
            recall(&points, k, |point| point.must || point.returned),
        ],
        short: search.answers.len() < k.min(certain),
        ages,
    }
}

/// Returned points that were not there at any time of the search.
pub(super) fn ghosts(search: &Search, lives: &Lives) -> impl Iterator<Item = NodeId> {
    let never = |node| lives.get(node).is_none_or(|life| life.standing(search.span) == Standing::Never);
    search.answers.iter().copied().filter(move |node| never(*node))
}

/// Recall@k if the search saw those of the sorted points for which `seen` holds. Among ties for the last place any choice is
/// right, so the best one counts.
fn recall(points: &[Point], k: usize, seen: impl Fn(&Point) -> bool) -> f64 {
    let seen: Vec<&Point> = points.iter().filter(|point| seen(point)).collect();
    let wanted = seen.len().min(k);
    let Some(last) = wanted.checked_sub(1).map(|last| seen[last].distance) else { return 1.0 };
    let before = seen.partition_point(|point| point.distance < last);
    let returned = |points: &[&Point]| points.iter().filter(|point| point.returned).count();
    let tied = seen.partition_point(|point| point.distance <= last);
    let hits = returned(&seen[..before]) + returned(&seen[before..tied]).min(wanted - before);
    hits as f64 / wanted as f64
}

#[cfg(test)]
mod tests {
    use super::super::history::{Life, Span, Target};
    use super::*;
    use proptest::prelude::*;

    const fn span(begin: u64, end: u64) -> Span {
        Span { begin, end }
    }

    const SEARCH: Span = span(100, 200);

    fn lives(all: &[(Span, Option<Span>)]) -> Lives {
        let mut lives = Lives::default();
        for (row, (insert, remove)) in all.iter().enumerate() {
            let life = Life { row: row as u32, insert: *insert, remove: *remove };
            lives.add(NodeId::new(row as u32), life).unwrap();
        }
        lives
    }

    fn search(answers: &[u32]) -> Search {
        let answers = answers.iter().map(|node| NodeId::new(*node)).collect();
        Search { target: Target::Query(0), span: SEARCH, answers }
    }

    #[test]
    fn only_what_was_over_or_had_not_begun_is_certain() {
        let standing = |insert, remove| Life { row: 0, insert, remove }.standing(SEARCH);
        assert_eq!(standing(span(1, 99), None), Standing::Must);
        assert_eq!(standing(span(1, 100), None), Standing::May);
        assert_eq!(standing(span(200, 300), None), Standing::May);
        assert_eq!(standing(span(201, 300), None), Standing::Never);
        assert_eq!(standing(span(1, 2), Some(span(3, 99))), Standing::Never);
        assert_eq!(standing(span(1, 2), Some(span(3, 100))), Standing::May);
        assert_eq!(standing(span(1, 2), Some(span(200, 300))), Standing::May);
        assert_eq!(standing(span(1, 2), Some(span(201, 300))), Standing::Must);
    }

    /// Rows 0 and 2 were there, row 1 came during the search; their distances are their numbers.
    #[test]
    fn a_point_that_may_have_been_there_counts_for_and_against() {
        let lives = lives(&[(span(1, 2), None), (span(150, 160), None), (span(1, 2), None)]);
        let recall = |answers: &[u32]| score(&search(answers), 2, &lives, &[0.0, 1.0, 2.0]).recall;
        // Without row 1, both were found; with it, it is missing.
        assert_eq!(recall(&[0, 2]), [0.5, 1.0]);
        // With row 1, both were found; without it, row 2 is missing.
        assert_eq!(recall(&[0, 1]), [0.5, 1.0]);
        assert_eq!(recall(&[0]), [0.5, 0.5]);
    }

    #[test]
    fn ghosts_are_points_of_no_time_of_the_search() {
        let lives = lives(&[
            (span(1, 2), Some(span(3, 4))),
            (span(1, 2), Some(span(3, 150))),
            (span(300, 400), None),
        ]);
        let found: Vec<NodeId> = ghosts(&search(&[0, 1, 2, 7]), &lives).collect();
        assert_eq!(found, [0, 2, 7].map(NodeId::new));
    }

    #[test]
    fn an_answer_is_short_only_beside_what_was_there() {
        let lives = lives(&[(span(1, 2), None), (span(150, 160), None)]);
        assert!(!score(&search(&[0]), 5, &lives, &[0.0; 2]).short);
        assert_eq!(ghosts(&search(&[1]), &lives).count(), 0);
        assert!(score(&search(&[]), 5, &lives, &[0.0; 2]).short);
    }

    #[test]
    fn a_fresh_point_that_is_missed_is_counted_by_its_age() {
        let lives = lives(&[(span(1, 2), None), (span(1, 99), None)]);
        let scored = score(&search(&[0]), 2, &lives, &[0.0, 1.0]);
        assert_eq!(scored.ages[0], Age { due: 2, found: 1 });
    }

    proptest! {
        /// The bounds are those over all sets that the search may have seen.
        #[test]
        fn bounds_are_reached_and_never_passed(
            kinds in prop::collection::vec(0u8..3, 1..9),
            returned in any::<u16>(),
            order in any::<u64>(),
            k in 1usize..5,
        ) {
            let spans = kinds.iter().map(|kind| match kind {
                0 => (span(1, 2), None),
                1 => (span(1, 150), None),
                _ => (span(1, 2), Some(span(120, 300))),
            });
            let lives = lives(&spans.collect::<Vec<_>>());
            let distances: Vec<f32> =
                (0..kinds.len()).map(|row| ((order >> (4 * row)) & 7) as f32).collect();
            let mut answers: Vec<u32> = (0..kinds.len() as u32).filter(|row| returned >> row & 1 == 1).collect();
            answers.truncate(k);
            let scored = score(&search(&answers), k, &lives, &distances);
            let mut bounds = [f64::INFINITY, f64::NEG_INFINITY];
            for seen in 0..1u32 << kinds.len() {
                let seen = |row: usize| kinds[row] == 0 || seen >> row & 1 == 1;
                let missed = |row: &usize| !answers.contains(&(*row as u32));
                let mut near: Vec<usize> = (0..kinds.len()).filter(|row| seen(*row)).collect();
                near.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]).then(missed(a).cmp(&missed(b))));
                near.truncate(k);
                let hits = near.iter().filter(|row| !missed(row)).count();
                let recall = if near.is_empty() { 1.0 } else { hits as f64 / near.len() as f64 };
                bounds = [bounds[0].min(recall), bounds[1].max(recall)];
            }
            prop_assert_eq!(scored.recall, bounds);
        }
    }
}
