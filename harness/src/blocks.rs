//! Blocks of trials, for the commands that have a document of their own.
//!
//! Every point is measured once in each block, each time in another order, so that what changes slowly on a machine does not meet
//! the same points each time. A canary sings before and after each trial, and counters of the machine are read; a trial that was
//! disturbed is kept, and is tried again with the [`Patience`] of a sweep.
//!
//! - [`Blocks`] says which point comes next;
//! - [`Watch`] says what the machine did meanwhile;
//! - [`Gathered`] puts the trials of a point together.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use clap::Args;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::machine::canary::{self, Canary};
use crate::machine::{Disturbance, Noise};
use crate::record::{self, Conditions};
use crate::report::grouped;
use crate::stats::{self, CONFIDENCE, Estimate, median};
use crate::sweep::{Outcome, Patience};

/// How often everything is measured.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BlockArgs {
    /// How often every point is measured, each time in another order; the table shows medians
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub blocks: usize,
    /// How often a trial that the machine disturbed is tried again in its block; all of them are kept
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub retries: usize,
}

impl BlockArgs {
    /// Refuses to measure nothing.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.blocks > 0, "--blocks is 0; at least one block must be measured");
        Ok(())
    }
}

/// When a trial took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Trials that ended before it.
    pub(crate) number: usize,
    /// Its block.
    pub(crate) block: usize,
    /// How often it was tried before in this block.
    pub(crate) attempt: usize,
}

/// The order of the trials.
pub(crate) struct Blocks {
    args: BlockArgs,
    seed: u64,
}

impl Blocks {
    pub(crate) fn new(args: BlockArgs, seed: u64) -> Blocks {
        Blocks { args, seed }
    }

    /// Measures all `points`. `trial` says whether the machine disturbed it; `None`: the user wants to stop.
    pub(crate) fn all<P>(
        &self,
        points: &[P],
        mut trial: impl FnMut(&P, Turn) -> Result<Option<bool>>,
    ) -> Result<Outcome> {
        let (mut patience, mut number) = (Patience::new(self.args.retries), 0);
        for block in 0..self.args.blocks {
            let mut order: Vec<&P> = points.iter().collect();
            shuffle(self.seed, block, &mut order);
            for point in order {
                for attempt in 0.. {
                    let Some(disturbed) = trial(point, Turn { number, block, attempt })? else {
                        return Ok(Outcome::Interrupted);
                    };
                    number += 1;
                    if !patience.again(disturbed, attempt) {
                        break;
                    }
                }
            }
        }
        Ok(Outcome::Complete)
    }
}

/// Brings things into the order that they have in this block. It is the same for as many things.
pub(crate) fn shuffle<T>(seed: u64, block: usize, things: &mut [T]) {
    things.shuffle(&mut StdRng::seed_from_u64(seed ^ (block as u64) << 32));
}

/// The machine during a trial.
pub(crate) struct Watch<'a> {
    canary: &'a Canary,
    before: record::Canary,
    noise: Noise,
}

impl<'a> Watch<'a> {
    /// Just before the trial.
    pub(crate) fn begin(canary: &'a Canary) -> Watch<'a> {
        let before = canary.sing_or_echo();
        Watch { canary, before, noise: Noise::now() }
    }

    /// Just after it: what the machine did, and what of it is beyond what is tolerable. `crowded`: there were more threads than
    /// CPUs, so that waiting for one is no disturbance.
    pub(crate) fn end(self, crowded: bool) -> (Conditions, Vec<String>) {
        let seen = Noise::now().disturbance(&self.noise);
        judged(&seen, crowded, self.before, self.canary.sing())
    }
}

/// What the machine did during a trial, and what of it is beyond what is tolerable.
pub(crate) fn judged(
    seen: &Disturbance,
    crowded: bool,
    before: record::Canary,
    after: record::Canary,
) -> (Conditions, Vec<String>) {
    let mut disturbed = seen.reasons_of(crowded);
    disturbed.extend(canary::reasons(&before, "before"));
    disturbed.extend(canary::reasons(&after, "after"));
    let conditions = Conditions {
        canary_before: Some(before),
        canary_after: Some(after),
        other_cores: seen.other_cores,
        steal_share: seen.steal_share,
        preemptions_per_cpu_second: seen.preemptions_per_cpu_second,
        pressure: seen.pressure,
        throttled_seconds: seen.throttled_seconds,
    };
    (conditions, disturbed)
}

/// A trial of a document.
pub(crate) trait Repeated {
    /// What tells points apart.
    fn point(&self) -> (&str, &str, usize, u64);
    fn block(&self) -> usize;
    fn attempt(&self) -> usize;
    fn tainted(&self) -> &[String];
    /// By which the trial in the middle is found.
    fn speed(&self) -> f64;
}

/// The trials of one point.
pub(crate) struct Gathered<'a, T> {
    /// All that were made.
    pub(crate) all: Vec<&'a T>,
    /// Those that count: the clean ones if there are any, or else all.
    pub(crate) counted: Vec<&'a T>,
    /// Blocks that were measured, and those that have a clean trial.
    measured: usize,
    clean: usize,
    repeated: usize,
}

impl<'a, T: Repeated> Gathered<'a, T> {
    /// The points of a document, in the order of their first trials.
    pub(crate) fn of(trials: impl IntoIterator<Item = &'a T>) -> Vec<Gathered<'a, T>> {
        let mut points: Vec<Vec<&T>> = Vec::new();
        for trial in trials {
            match points.iter_mut().find(|own| own[0].point() == trial.point()) {
                Some(own) => own.push(trial),
                None => points.push(vec![trial]),
            }
        }
        points.into_iter().map(Gathered::new).collect()
    }

    fn new(all: Vec<&'a T>) -> Gathered<'a, T> {
        let blocks = |trials: &[&T]| {
            let mut blocks: Vec<usize> = trials.iter().map(|trial| trial.block()).collect();
            blocks.sort_unstable();
            blocks.dedup();
            blocks.len()
        };
        let undisturbed: Vec<&T> = all.iter().copied().filter(|trial| trial.tainted().is_empty()).collect();
        let (measured, clean) = (blocks(&all), blocks(&undisturbed));
        let repeated = all.iter().filter(|trial| trial.attempt() > 0).count();
        let counted = if clean > 0 { undisturbed } else { all.clone() };
        Gathered { all, counted, measured, clean, repeated }
    }

    /// The median over blocks, with its interval.
    pub(crate) fn estimate(&self, of: impl Fn(&T) -> Option<f64>) -> Option<Estimate> {
        let mut blocks: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for trial in &self.counted {
            if let Some(value) = of(trial) {
                blocks.entry(trial.block()).or_default().push(value);
            }
        }
        Estimate::of_trials(&blocks.into_values().collect::<Vec<_>>(), 0)
    }

    /// The median over all trials that count.
    pub(crate) fn median(&self, of: impl Fn(&T) -> Option<f64>) -> Option<f64> {
        median(&self.counted.iter().filter_map(|trial| of(trial)).collect::<Vec<_>>())
    }

    /// The trial in the middle by speed, for what has no median: a course over time, a list of sites.
    pub(crate) fn typical(&self) -> &'a T {
        let mut by_speed = self.counted.clone();
        by_speed.sort_by(|one, other| one.speed().total_cmp(&other.speed()));
        by_speed[(by_speed.len() - 1) / 2]
    }

    /// `!` if no trial is clean, `2/3` if two of three blocks are, `+1` for a trial that was made again.
    pub(crate) fn flags(&self) -> String {
        let clean = match self.clean {
            0 => "!".to_owned(),
            all if all == self.measured => String::new(),
            some => format!("{some}/{}", self.measured),
        };
        let repeated = if self.repeated > 0 { format!("+{}", self.repeated) } else { String::new() };
        [clean, repeated].into_iter().filter(|flag| !flag.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// `12,345 ±678`, or without an interval where there are too few blocks for one.
pub(crate) fn with_interval(estimate: Option<Estimate>) -> String {
    let Some(Estimate { median, interval }) = estimate else { return "–".into() };
    let half = interval.map_or(String::new(), |interval| format!(" ±{}", grouped(interval.half_width())));
    format!("{}{half}", grouped(median))
}

/// What the flags of [`Gathered`] mean, for those that are in the table, and what it is made of.
pub(crate) fn legend<T: Repeated>(points: &[Gathered<'_, T>], blocks: usize) -> String {
    let reach = stats::reach(blocks);
    let mut lines = vec![if blocks < stats::LEAST_FOR_INTERVAL {
        format!(
            "Medians of {blocks} of the 6 blocks that a 95 % interval takes: how far a figure moves when measured again is unknown."
        )
    } else if reach < CONFIDENCE {
        let percent = 100.0 * reach;
        format!(
            "Medians of {blocks} blocks; ± is half of their range, which holds the median in {percent:.0} of 100 cases; 6 are the least for 95."
        )
    } else {
        format!("Medians of {blocks} blocks; ± is half of the 95 % interval.")
    }];
    let any = |which: fn(&Gathered<'_, T>) -> bool| points.iter().any(which);
    if any(|point| point.clean == 0) {
        lines.push("! every trial was disturbed: the file says by what, in `tainted`".into());
    }
    if any(|point| point.clean > 0 && point.clean < point.measured) {
        lines.push("n/m: n of m blocks are clean; the others are left out".into());
    }
    if any(|point| point.repeated > 0) {
        lines.push("+n: n trials were made again because the machine disturbed them".into());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Trial {
        name: &'static str,
        block: usize,
        attempt: usize,
        speed: f64,
        tainted: Vec<String>,
    }

    impl Repeated for Trial {
        fn point(&self) -> (&str, &str, usize, u64) {
            (self.name, "", 1, 0)
        }

        fn block(&self) -> usize {
            self.block
        }

        fn attempt(&self) -> usize {
            self.attempt
        }

        fn tainted(&self) -> &[String] {
            &self.tainted
        }

        fn speed(&self) -> f64 {
            self.speed
        }
    }

    fn trial(name: &'static str, (block, attempt): (usize, usize), speed: f64, clean: bool) -> Trial {
        let tainted = if clean { Vec::new() } else { vec!["noise".into()] };
        Trial { name, block, attempt, speed, tainted }
    }

    #[test]
    fn every_point_comes_once_in_each_block_in_another_order_and_again_if_disturbed() {
        let args = BlockArgs { blocks: 3, retries: 1 };
        let points: Vec<usize> = (0..20).collect();
        let (blocks, mut seen) = (Blocks::new(args, 7), Vec::new());
        let outcome = blocks.all(&points, |point, turn| {
            assert_eq!(turn.number, seen.len());
            seen.push((turn.block, *point, turn.attempt));
            // Point 3 is disturbed whenever it is measured.
            Ok(Some(*point == 3))
        });
        assert_eq!(outcome.unwrap(), Outcome::Complete);
        let of_block = |block| -> Vec<usize> {
            seen.iter().filter(|(own, _, attempt)| *own == block && *attempt == 0).map(|it| it.1).collect()
        };
        for block in 0..3 {
            let mut points = of_block(block);
            points.sort_unstable();
            assert_eq!(points, (0..20).collect::<Vec<_>>());
            assert!(seen.contains(&(block, 3, 1)) && !seen.contains(&(block, 3, 2)));
        }
        assert!(of_block(0) != of_block(1) && of_block(1) != of_block(2));
        assert_eq!(seen.len(), 63);
        let stopped = blocks.all(&points, |point, _| Ok((*point != 5).then_some(false)));
        assert_eq!(stopped.unwrap(), Outcome::Interrupted);
        assert!(BlockArgs { blocks: 0, ..args }.check().is_err());
    }

    #[test]
    fn clean_trials_alone_count_where_there_are_any() {
        let trials = [
            trial("a", (0, 0), 900.0, false),
            trial("a", (0, 1), 100.0, true),
            trial("b", (0, 0), 5.0, false),
            trial("a", (1, 0), 140.0, true),
            trial("a", (2, 0), 10.0, false),
            trial("b", (1, 0), 7.0, false),
            trial("a", (3, 0), 120.0, true),
        ];
        let points = Gathered::of(&trials);
        let [a, b] = &points[..] else { panic!("two points") };
        assert_eq!((a.all.len(), a.counted.len(), a.flags().as_str()), (5, 3, "3/4 +1"));
        let estimate = a.estimate(|trial| Some(trial.speed)).unwrap();
        assert_eq!((estimate.median, a.typical().speed), (120.0, 120.0));
        assert_eq!(with_interval(Some(estimate)), "120 ±20");
        assert_eq!((b.counted.len(), b.flags().as_str()), (2, "!"));
        assert_eq!((b.median(|trial| Some(trial.speed)), b.typical().speed), (Some(6.0), 5.0));
        let legend = legend(&points, 4);
        assert!(legend.starts_with("Medians of 4 blocks"), "{legend}");
        assert!(
            legend.contains("! every trial") && legend.contains("n/m") && legend.contains("+n"),
            "{legend}"
        );
        assert_eq!(with_interval(None), "–");
    }
}
