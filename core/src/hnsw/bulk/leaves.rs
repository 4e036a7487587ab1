//! Overlapping groups of near points: what is compared with what.
//!
//! Some points, chosen at random, are *leaders*; each point joins the groups of the leaders nearest to it, [`FAN`] of them. So
//! two points that are near each other are together in some group, most likely in many. Groups that are too large are split
//! in the same way, each point going to one part. (A relative of HCNNG; Munoz et al., "Hierarchical
//! Clustering-Based Graphs for Large Scale Approximate Nearest Neighbor Search", 2019.)

use super::codes::Codes;
use crate::distance::tile::TileScratch;
use crate::mix::mix;
use core::ops::ControlFlow;
use rayon::prelude::*;

/// Groups that each point joins.
pub(super) const FAN: usize = 10;
/// The most leaders: finding the nearest takes time in proportion. Beyond, groups are larger at first, and are split.
const MOST_LEADERS: usize = 8192;
/// Points of a group on average.
const MEAN: usize = 512;
/// The most points of a group.
const MOST: usize = 1024;
/// Points that one thread assigns at a time.
const GRAIN: usize = 512;
/// Splits of a group before it is cut wherever it may be: copies of one point cannot be told apart.
const SPLITS: usize = 8;

/// A point in a group: the `slot % FAN`-th group of point `slot / FAN`.
pub(super) type Slot = u32;

/// The point of a slot.
pub(super) fn point(slot: Slot) -> u32 {
    slot / FAN as u32
}

/// The groups: one for all if they are few, else every point is in [`FAN`] of them.
pub(super) fn leaves(
    codes: &Codes<'_>,
    seed: u64,
    tick: impl Fn(usize) -> ControlFlow<()> + Sync,
) -> ControlFlow<(), Vec<Vec<Slot>>> {
    let count = codes.len();
    if count <= MOST {
        tick(count)?;
        return ControlFlow::Continue(vec![(0..count).map(|point| (point * FAN) as Slot).collect()]);
    }
    let leaders = choose(count, (count * FAN).div_ceil(MEAN).min(MOST_LEADERS), seed);
    let mut panels = codes.panels();
    codes.columns(leaders.iter().map(|leader| *leader as u32), &mut panels);
    let mut nearest = vec![0u32; count * FAN];
    nearest.par_chunks_mut(GRAIN * FAN).enumerate().try_for_each_init(
        || (TileScratch::default(), Vec::new()),
        |(scratch, rows), (chunk, nearest)| {
            let points = nearest.len() / FAN;
            let first = (chunk * GRAIN) as u32;
            codes.rows((0..points as u32).map(|i| first + i), rows);
            codes.tiles().nearest(rows, &panels, FAN, None, scratch, |row, found| {
                nearest[row * FAN..][..FAN].copy_from_slice(found);
            });
            tick(points)
        },
    )?;
    let mut groups: Vec<Vec<Slot>> = vec![Vec::new(); leaders.len()];
    for (point, nearest) in nearest.chunks_exact(FAN).enumerate() {
        for (i, leader) in nearest.iter().enumerate() {
            groups[*leader as usize].push((point * FAN + i) as Slot);
        }
    }
    let small = groups.into_par_iter().enumerate().map(|(i, group)| {
        let mut parts = Vec::new();
        split(codes, group, seed ^ mix(i as u64), 0, &mut parts);
        parts
    });
    ControlFlow::Continue(small.flatten_iter().collect())
}

/// Splits a group until no part is too large.
fn split(codes: &Codes<'_>, group: Vec<Slot>, seed: u64, splits: usize, parts: &mut Vec<Vec<Slot>>) {
    if group.len() <= MOST {
        parts.push(group);
        return;
    }
    if splits == SPLITS {
        parts.extend(group.chunks(MOST).map(<[Slot]>::to_vec));
        return;
    }
    let leaders = choose(group.len(), group.len().div_ceil(MEAN), seed);
    let (mut panels, mut rows) = (codes.panels(), Vec::new());
    let points = group.iter().map(|slot| point(*slot));
    if codes.tell(points.clone()) {
        codes.columns(leaders.iter().map(|leader| point(group[*leader])), &mut panels);
        codes.rows(points, &mut rows);
    } else {
        let vectors = codes.gather(points);
        let local = codes.local(&vectors);
        local.columns(leaders.iter().map(|leader| *leader as u32), &mut panels);
        local.rows(0..group.len() as u32, &mut rows);
    }
    let mut halves = vec![Vec::new(); leaders.len()];
    codes.tiles().nearest(&rows, &panels, 1, None, &mut TileScratch::default(), |row, found| {
        halves[found[0] as usize].push(group[row]);
    });
    for (i, half) in halves.into_iter().enumerate() {
        split(codes, half, seed ^ mix(i as u64 + 1), splits + 1, parts);
    }
}

/// `wanted` different numbers below `count`, in order; all of them if there are no more.
fn choose(count: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let wanted = wanted.min(count);
    // One of each of `wanted` stretches of equal length.
    (0..wanted)
        .map(|i| {
            let (from, to) = (i * count / wanted, (i + 1) * count / wanted);
            from + (mix(seed ^ i as u64) % (to - from) as u64) as usize
        })
        .collect()
}
