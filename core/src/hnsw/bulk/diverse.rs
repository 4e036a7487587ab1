//! A diverse choice of candidates by code: all distances that the choice may ask for, in one tile.

use super::codes::Codes;
use crate::distance::tile::{Panels, Tiles};

/// Work space of [`Diverse::choose`].
pub(super) struct Diverse {
    panels: Panels,
    rows: Vec<i32>,
    keys: Vec<i32>,
    /// Squared distance from the owner, and column, of the candidates that are considered.
    sorted: Vec<(i32, usize)>,
    /// Where in `sorted` the kept ones are.
    kept: Vec<usize>,
}

impl Diverse {
    pub fn new(codes: &Codes<'_>) -> Self {
        let panels = codes.panels();
        Diverse { panels, rows: Vec::new(), keys: Vec::new(), sorted: Vec::new(), kept: Vec::new() }
    }

    /// Of `points`, the first of which is the owner, those of the `considered` nearest that are nearer to the owner than to
    /// any taken before them, by less than a factor of `alpha`: at most `limit`, nearest first, with their squared distances
    /// from the owner. None if codes cannot tell these distances.
    pub fn choose<'s>(
        &'s mut self,
        codes: &Codes<'_>,
        tiles: &Tiles,
        points: &'s [u32],
        considered: usize,
        limit: usize,
        alpha: f32,
    ) -> Option<impl Iterator<Item = (u32, i32)> + 's> {
        let Diverse { panels, rows, keys, sorted, kept } = self;
        codes.columns(points.iter().copied(), panels);
        codes.rows(points[..1].iter().copied(), rows);
        tiles.keys(rows, panels, keys);
        // The distance from itself is 0, so its key is minus the part that is missing in all of its row.
        sorted.clear();
        sorted.extend((1..points.len()).map(|column| (keys[column] - keys[0], column)));
        // Ties go by the number of the point, which does not depend on the order of candidates.
        sorted.sort_unstable_by_key(|(square, column)| (*square, points[*column]));
        sorted.truncate(considered);
        if !sorted.last().is_some_and(|(square, _)| codes.clear(*square)) {
            return None;
        }
        rows.clear();
        codes.rows(sorted.iter().map(|(_, column)| points[*column]), rows);
        tiles.keys(rows, panels, keys);
        let width = keys.len() / sorted.len();
        kept.clear();
        for (i, (square, column)) in sorted.iter().enumerate() {
            if kept.len() == limit {
                break;
            }
            let row = &keys[i * width..][..width];
            let apart = |other: &usize| (row[sorted[*other].1] - row[*column]) as f32;
            if !kept.iter().any(|other| alpha * apart(other) < *square as f32) {
                kept.push(i);
            }
        }
        Some(kept.iter().map(|i| (points[sorted[*i].1], sorted[*i].0)))
    }
}
