//! Overlapping groups of near points: what is compared with what.
//!
//! Some points, chosen at random, are *leaders*; each point joins the groups of the leaders nearest to it, [`FAN`] of them. So
//! two points that are near each other are together in some group, most likely in many. Groups that are too large are split
//! in the same way, each point going to one part. (A relative of HCNNG; Munoz et al., "Hierarchical
//! Clustering-Based Graphs for Large Scale Approximate Nearest Neighbor Search", 2019.)

use super::codes::{Codes, Work};
use super::spare::Spare;
use crate::distance::tile::Panels;
use crate::huge;
use crate::mix::mix;
use core::convert::Infallible;
use core::ops::ControlFlow;
use rayon::iter::repeat_n;
use rayon::prelude::*;

/// Groups that each point joins.
pub(super) const FAN: usize = 10;
/// The most leaders. Beyond, groups are larger at first, and are split.
const MOST_LEADERS: usize = 8192;
/// The most leaders that all points are compared with. If there are more, a point is compared with [`AROUND`] of them: those that are
/// nearest to the nearest of its [`GUIDES`].
const ALL: usize = 4096;
/// Leaders, of all, that tell where a point is.
const GUIDES: usize = 512;
/// Leaders that a point is compared with, of those around its guide.
const AROUND: usize = 2048;
/// The most points of one guide that one thread assigns at a time.
const PORTION: usize = 4096;
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
    spare: &Spare<Work>,
    tick: impl Fn(usize) -> ControlFlow<()> + Sync,
) -> ControlFlow<(), Vec<Vec<Slot>>> {
    let count = codes.len();
    if count <= MOST {
        tick(count)?;
        return ControlFlow::Continue(vec![(0..count).map(|point| (point * FAN) as Slot).collect()]);
    }
    let leaders = choose(count, (count * FAN).div_ceil(MEAN).min(MOST_LEADERS), seed);
    let leaders: Vec<u32> = leaders.into_iter().map(|leader| leader as u32).collect();
    let mut groups: Vec<Vec<Slot>> = vec![Vec::new(); leaders.len()];
    let mut join = |point: u32, nearest: &[u32; FAN]| {
        for (slot, leader) in (point * FAN as u32..).zip(nearest) {
            groups[*leader as usize].push(slot);
        }
    };
    if leaders.len() <= ALL {
        let nearest = assign(codes, count, &|i| i as u32, &leaders, spare, &tick)?;
        (0..).zip(&nearest).for_each(|(point, nearest)| join(point, nearest));
    } else {
        let portions = assign_guided(codes, &leaders, spare, &tick)?;
        for Portion { points, nearest, .. } in &portions {
            points.iter().zip(nearest).for_each(|(point, nearest)| join(*point, nearest));
        }
    }
    let small = groups
        .into_par_iter()
        .enumerate()
        .flat_map(|(i, group)| split(codes, group, seed ^ mix(i as u64), 0, spare));
    ControlFlow::Continue(small.collect())
}

/// Points with the same guide, and for each of them the nearest leaders.
struct Portion {
    guide: u32,
    points: Vec<u32>,
    nearest: Vec<[u32; FAN]>,
}

/// For each point the nearest of the leaders around its guide. Few of these are not the nearest of all.
fn assign_guided(
    codes: &Codes<'_>,
    leaders: &[u32],
    spare: &Spare<Work>,
    tick: impl Fn(usize) -> ControlFlow<()> + Sync,
) -> ControlFlow<(), Vec<Portion>> {
    let guides: Vec<u32> = choose(leaders.len(), GUIDES, 0).into_iter().map(|i| leaders[i]).collect();
    let ControlFlow::Continue(own) =
        assign::<1, Infallible>(codes, codes.len(), &|i| i as u32, &guides, spare, |_| {
            ControlFlow::Continue(())
        });
    let mut guided: Vec<Vec<u32>> = vec![Vec::new(); guides.len()];
    (0..).zip(&own).for_each(|(point, [guide])| guided[*guide as usize].push(point));
    let cut = |(guide, points): (usize, Vec<u32>)| {
        let portions = points.chunks(PORTION).map(<[u32]>::to_vec);
        let portion = |points| Portion { guide: guides[guide], points, nearest: Vec::new() };
        portions.map(portion).collect::<Vec<_>>()
    };
    let mut portions: Vec<Portion> = guided.into_iter().enumerate().flat_map(cut).collect();
    portions.par_iter_mut().with_max_len(1).try_for_each(|Portion { guide, points, nearest }| {
        let mut squares = Vec::new();
        codes.squares(*guide, leaders.iter().copied(), &mut squares);
        let mut around: Vec<u32> = (0..leaders.len() as u32).collect();
        around.select_nth_unstable_by_key(AROUND, |i| (squares[*i as usize], *i));
        around.truncate(AROUND);
        around.sort_unstable();
        spare.with(|Work { tile, rows, panels, .. }| {
            codes.columns(around.iter().map(|i| leaders[*i as usize]), panels);
            codes.rows(points.iter().copied(), rows);
            nearest.reserve(points.len());
            codes.tiles().nearest(rows, panels, FAN, None, tile, |_, found| {
                nearest.push(std::array::from_fn(|i| around[found[i] as usize]));
            });
        });
        tick(points.len())
    })?;
    ControlFlow::Continue(portions)
}

/// For each of `count` points, which `point` gives the numbers of, the places of the `K` nearest leaders in their list.
fn assign<const K: usize, Stop: Send>(
    codes: &Codes<'_>,
    count: usize,
    point: &(dyn Fn(usize) -> u32 + Sync),
    leaders: &[u32],
    spare: &Spare<Work>,
    tick: impl Fn(usize) -> ControlFlow<Stop> + Sync,
) -> ControlFlow<Stop, Vec<[u32; K]>> {
    let mut panels = Panels::new(codes.dim());
    codes.columns(leaders.iter().copied(), &mut panels);
    let mut nearest = huge::collect(repeat_n([0; K], count));
    nearest.par_chunks_mut(GRAIN).enumerate().try_for_each(|(chunk, nearest)| {
        spare.with(|Work { tile, rows, .. }| {
            let first = chunk * GRAIN;
            codes.rows((0..nearest.len()).map(|i| point(first + i)), rows);
            codes.tiles().nearest(rows, &panels, K, None, tile, |row, found| {
                nearest[row].copy_from_slice(found);
            });
        });
        tick(nearest.len())
    })?;
    ControlFlow::Continue(nearest)
}

/// The parts of a group, none of which is too large.
fn split(
    codes: &Codes<'_>,
    group: Vec<Slot>,
    seed: u64,
    splits: usize,
    spare: &Spare<Work>,
) -> Vec<Vec<Slot>> {
    if group.len() <= MOST {
        return vec![group];
    }
    if splits == SPLITS {
        return group.chunks(MOST).map(<[Slot]>::to_vec).collect();
    }
    let leaders = choose(group.len(), group.len().div_ceil(MEAN), seed);
    let points: Vec<u32> = group.iter().map(|slot| point(*slot)).collect();
    let ControlFlow::Continue(nearest) = spare.with(|work| {
        codes.for_group(&points, work, |codes, number, _| {
            let leaders: Vec<u32> = leaders.iter().map(|leader| number(*leader)).collect();
            assign::<1, Infallible>(codes, points.len(), number, &leaders, spare, |_| {
                ControlFlow::Continue(())
            })
        })
    });
    let mut parts = vec![Vec::new(); leaders.len()];
    for (slot, nearest) in group.iter().zip(nearest) {
        parts[nearest[0] as usize].push(*slot);
    }
    drop((group, points));
    let smaller = parts
        .into_par_iter()
        .enumerate()
        .flat_map(|(i, part)| split(codes, part, seed ^ mix(i as u64 + 1), splits + 1, spare));
    smaller.collect()
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

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use crate::distance::Metric;
    use crate::distance::tile::Tiles;

    #[test]
    fn leaders_around_a_guide_are_nearly_always_the_nearest() {
        const DIM: usize = 4;
        let (count, leaders) = (20_000, AROUND as u32 * 3 / 2);
        let component = |i: usize| (mix(i as u64) >> 40) as f32;
        let rows: Vec<f32> = (0..count * DIM).map(component).collect();
        let codes = Codes::new(&rows, DIM, Metric::L2, Tiles::new());
        let spare = Work::spare(DIM);
        let leaders: Vec<u32> = (0..leaders).map(|i| i * 6).collect();
        let go_on = |_| ControlFlow::<()>::Continue(());
        let all = assign::<FAN, ()>(&codes, count, &|i| i as u32, &leaders, &spare, go_on);
        let all = all.continue_value().unwrap();
        let portions = assign_guided(&codes, &leaders, &spare, go_on).continue_value().unwrap();
        let (mut seen, mut agree) = (vec![false; count], 0);
        for Portion { points, nearest, .. } in &portions {
            assert_eq!(points.len(), nearest.len());
            for (point, nearest) in points.iter().zip(nearest) {
                assert!(!core::mem::replace(&mut seen[*point as usize], true), "point {point} comes twice");
                let mut distinct = nearest.to_vec();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), FAN);
                agree += all[*point as usize].iter().filter(|leader| nearest.contains(leader)).count();
            }
        }
        assert!(seen.into_iter().all(|seen| seen), "each point is in a portion");
        assert!(agree > count * FAN * 95 / 100, "{agree} of {}", count * FAN);
    }
}
