//! A diverse choice of candidates by code.

use super::codes::Codes;

/// A point and its squared distance from the owner, in one word that sorts by distance. Ties go by the number of the point,
/// which does not depend on the order in which candidates were found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Near(u64);

impl Near {
    fn new(square: i32, point: u32) -> Near {
        Near(u64::from(square as u32) << 32 | u64::from(point))
    }

    pub fn square(self) -> i32 {
        (self.0 >> 32) as i32
    }

    pub fn point(self) -> u32 {
        self.0 as u32
    }
}

/// Work space of [`Diverse::choose`].
#[derive(Default)]
pub(super) struct Diverse {
    squares: Vec<i32>,
    /// Candidates that none of the kept ones crowds out, nearest first.
    waiting: Vec<Near>,
    kept: Vec<Near>,
}

impl Diverse {
    /// Of `others`, those of the `considered` nearest to `owner` that are nearer to it than to any taken before them, by less
    /// than a factor of `alpha`: at most `limit`, nearest first. None if codes cannot tell these distances.
    pub fn choose(
        &mut self,
        codes: &Codes<'_>,
        owner: u32,
        others: &[u32],
        considered: usize,
        limit: usize,
        alpha: f32,
    ) -> Option<&[Near]> {
        let Diverse { squares, waiting, kept } = self;
        codes.squares(owner, others.iter().copied(), squares);
        waiting.clear();
        waiting.extend(squares.iter().zip(others).map(|(square, point)| Near::new(*square, *point)));
        if waiting.len() > considered {
            waiting.select_nth_unstable(considered - 1);
            waiting.truncate(considered);
        }
        waiting.sort_unstable();
        if !waiting.last().is_some_and(|farthest| codes.clear(farthest.square())) {
            return None;
        }
        kept.clear();
        while let Some(next) = waiting.first().copied() {
            kept.push(next);
            if kept.len() == limit {
                break;
            }
            waiting.remove(0);
            codes.squares(next.point(), waiting.iter().map(|near| near.point()), squares);
            let mut squares = squares.iter();
            waiting.retain(|near| {
                squares.next().is_some_and(|apart| alpha * *apart as f32 >= near.square() as f32)
            });
        }
        Some(kept)
    }
}
