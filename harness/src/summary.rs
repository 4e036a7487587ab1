//! Rows of a document gathered into points, blocks into estimates. Tables and figures both read this, so that they
//! cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use hnsw_core::hnsw::Phase;

use crate::counters::{Event, Group};
use crate::record::{Counters, Document, Op, Ops, Row};
use crate::stats::{Estimate, median, paired_ratios};

/// The strategy without any synchronisation: what all others have to beat.
pub const BASELINE: &str = "sequential";

/// The recall at which strategies are compared, where the sweep reached it.
pub const RECALL_GOAL: f64 = 0.95;

/// All repetitions of one (strategy, codec, workload, threads, ef).
#[derive(Clone, Debug)]
pub struct Point {
    /// Concurrency strategy.
    pub strategy: String,
    /// How vectors are stored.
    pub codec: String,
    /// Workload.
    pub workload: String,
    /// Worker threads.
    pub threads: usize,
    /// Beam width of searches, where the workload searches.
    pub ef: Option<usize>,
    /// More threads than allowed CPUs.
    pub oversubscribed: bool,
    /// All of its rows are tainted, so they had to be used. Where some are clean, those alone are.
    pub tainted: bool,
    /// Blocks that were measured, whether or not a row of them is used.
    pub measured: usize,
    /// Trials that were repeated because they were tainted.
    pub repeated: usize,
    /// Operations of all kinds per second of the trials that are used, by block.
    pub trials: BTreeMap<usize, Vec<f64>>,
    /// The median of the trials of each block.
    pub blocks: BTreeMap<usize, f64>,
    /// Operations of all kinds per second.
    pub throughput: Estimate,
    /// The kind of operation whose latency this is: searches where there are any.
    pub timed: &'static str,
    /// Median latency in microseconds; median over blocks.
    pub p50: Option<f64>,
    /// 99th percentile of latency in microseconds; median over blocks.
    pub p99: Option<f64>,
    /// Median recall, where the workload searches.
    pub recall: Option<f64>,
    /// Recall by block, where the workload searches.
    pub recalls: BTreeMap<usize, f64>,
    /// Searches per second, by block.
    pub searches: BTreeMap<usize, f64>,
    /// Inserts per second, by block.
    pub inserts: BTreeMap<usize, f64>,
    /// Distances computed by one timed operation, where they were counted; median over blocks.
    pub evaluations: Option<f64>,
    /// Lists read by one timed operation, where they were counted; median over blocks.
    pub hops: Option<f64>,
    /// Answers with fewer neighbours than asked for and held, in all blocks; where it was counted.
    pub short_answers: Option<u64>,
    /// Lists per second that the writer beside it changed; median over blocks.
    pub updates: Option<f64>,
    /// What inserts spent their time on, in the order of `Phase::ALL`, in microseconds; medians over blocks.
    pub phases: Option<Vec<f64>>,
    /// What CPU and kernel counted, where that was asked.
    pub counted: Option<Counted>,
    /// Memory above the raw vectors, in percent of them; median over blocks.
    pub overhead_percent: f64,
    /// Unreachable live points, worst block.
    pub unreachable: u64,
    /// Bytes per live point and category above the raw vectors; median over blocks.
    pub overhead_per_point: Vec<(&'static str, f64)>,
}

/// What one operation took of CPU and kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// By event, in the order of [`Event::ALL`]; median over blocks, of those that have it.
    pub per_op: [Option<f64>; Event::ALL.len()],
    /// Instructions per cycle; median over blocks.
    pub ipc: Option<f64>,
    /// The largest factor that a count was multiplied by.
    pub scaling: Option<f64>,
    /// Why events were not counted, by group, in any block.
    pub unavailable: BTreeSet<(Group, String)>,
}

impl Counted {
    fn of(rows: &[&Row]) -> Option<Counted> {
        let counters: Vec<&Counters> = rows.iter().filter_map(|row| row.counters.as_ref()).collect();
        let over_blocks = |of: &dyn Fn(&Counters) -> Option<f64>| {
            median(&counters.iter().filter_map(|counters| of(counters)).collect::<Vec<_>>())
        };
        let groups = || counters.iter().flat_map(|all| Group::ALL.map(|group| (group, all.group(group))));
        let scaling = groups().filter_map(|(_, group)| group.scaling).reduce(f64::max);
        let unavailable = groups().filter_map(|(name, group)| Some((name, group.unavailable.clone()?)));
        (!counters.is_empty()).then(|| Counted {
            per_op: Event::ALL.map(|event| over_blocks(&|counters| counters.per_op(event))),
            ipc: over_blocks(&Counters::ipc),
            scaling,
            unavailable: unavailable.collect(),
        })
    }

    /// What one operation took of `event`.
    pub fn per_op(&self, event: Event) -> Option<f64> {
        let at = Event::ALL.iter().position(|other| *other == event)?;
        self.per_op[at]
    }
}

impl Point {
    fn of(all: &[&Row], seed: u64) -> Option<Point> {
        let first = all.first()?;
        let measured = all.iter().map(|row| row.block).collect::<BTreeSet<_>>().len();
        let repeated = all.iter().filter(|row| row.attempt > 0).count();
        let oversubscribed = all.iter().any(|row| row.oversubscribed);
        let unreachable = all.iter().map(|row| row.graph.unreachable).max()?;
        let short_answers = all.iter().filter_map(|row| row.short_answers).reduce(u64::saturating_add);
        let tainted = all.iter().all(|row| !row.tainted.is_empty());
        // Clean rows alone, wherever there are any.
        let rows: Vec<&Row> = all.iter().copied().filter(|row| tainted || row.tainted.is_empty()).collect();
        let mut trials: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for row in &rows {
            trials.entry(row.block).or_default().push(row.ops.per_second());
        }
        let throughput = Estimate::of_trials(&trials.values().cloned().collect::<Vec<_>>(), seed)?;
        let by_block = |of: &dyn Fn(&Row) -> Option<f64>| -> BTreeMap<usize, f64> {
            let values = |block: &usize| {
                let own = rows.iter().filter(|row| row.block == *block);
                median(&own.filter_map(|row| of(row)).collect::<Vec<_>>())
            };
            trials.keys().filter_map(|block| Some((*block, values(block)?))).collect()
        };
        let over_blocks = |of: &dyn Fn(&Row) -> Option<f64>| {
            median(&rows.iter().filter_map(|row| of(row)).collect::<Vec<_>>())
        };
        let latency = |of: fn(&crate::record::Latency) -> f64| {
            over_blocks(&|row| Some(of(&row.ops.named().next()?.1.latency_us)))
        };
        let rates = |of: fn(&Ops) -> Option<&Op>| by_block(&|row| Some(of(&row.ops)?.per_second));
        let timed = |of: fn(&Op) -> Option<f64>| {
            over_blocks(&|row| row.ops.named().next().and_then(|(_, op)| of(op)))
        };
        let phase = |at: usize| over_blocks(&|row| row.phases.map(|phases| phases.all()[at]));
        let overhead_per_point =
            first.memory.overhead().into_iter().enumerate().map(|(category, (name, _))| {
                let bytes =
                    |row: &Row| Some(row.memory.overhead()[category].1 as f64 / row.graph.live.max(1) as f64);
                (name, over_blocks(&bytes).unwrap_or(0.0))
            });
        Some(Point {
            strategy: first.strategy.clone(),
            codec: first.codec.clone(),
            workload: first.workload.clone(),
            threads: first.threads,
            ef: first.ef,
            oversubscribed,
            tainted,
            measured,
            repeated,
            throughput,
            timed: first.ops.named().next().map_or("none", |(name, _)| name),
            p50: latency(|latency| latency.p50),
            p99: latency(|latency| latency.p99),
            recall: over_blocks(&|row| row.recall_at_k),
            recalls: by_block(&|row| row.recall_at_k),
            searches: rates(|ops| ops.search.as_ref()),
            inserts: rates(|ops| ops.insert.as_ref()),
            evaluations: timed(|op| op.evaluations_per_op),
            hops: timed(|op| op.hops_per_op),
            short_answers,
            updates: over_blocks(&|row| row.updates_per_second),
            phases: (0..Phase::ALL.len()).map(phase).collect(),
            counted: Counted::of(&rows),
            overhead_percent: over_blocks(&|row| Some(row.memory.overhead_percent))?,
            unreachable,
            overhead_per_point: overhead_per_point.collect(),
            blocks: by_block(&|row| Some(row.ops.per_second())),
            trials: trials.clone(),
        })
    }
}

/// The beam width at which a workload's strategies are compared, and why that one.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenEf {
    /// Beam width; `None` if the workload does not search.
    pub ef: Option<usize>,
    /// For people: why this one. Empty if there was no choice.
    pub why: String,
}

/// All points of a document.
#[derive(Clone, Debug)]
pub struct Summary {
    points: Vec<Point>,
    seed: u64,
}

impl Summary {
    /// Gathers the rows of `document`. Points come in the order of the configuration: codec, workload, strategy, then
    /// threads and ef ascending; what the configuration does not name comes last, by name.
    pub fn of(document: &Document) -> Summary {
        let config = &document.run.config;
        let codecs: Vec<String> = config.codecs().map(String::from).collect();
        let rank = |names: &[String], name: &str| {
            (names.iter().position(|other| other == name).unwrap_or(names.len()), name.to_owned())
        };
        let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in &document.rows {
            let key = (
                rank(&codecs, &row.codec),
                rank(&config.workloads, &row.workload),
                rank(&config.strategies, &row.strategy),
                row.threads,
                row.ef,
            );
            groups.entry(key).or_default().push(row);
        }
        let points = groups.values().filter_map(|rows| Point::of(rows, config.seed)).collect();
        Summary { points, seed: config.seed }
    }

    /// Codecs that have points, in order.
    pub fn codecs(&self) -> Vec<&str> {
        in_order(self.points.iter().map(|point| point.codec.as_str()))
    }

    /// The points of one codec.
    pub fn of_codec(&self, codec: &str) -> Summary {
        let points = self.points.iter().filter(|point| point.codec == codec).cloned().collect();
        Summary { points, seed: self.seed }
    }

    /// Each codec with its points: what is compared with each other in tables and figures.
    pub fn by_codec(&self) -> Vec<(String, Summary)> {
        self.codecs().into_iter().map(|codec| (codec.to_owned(), self.of_codec(codec))).collect()
    }

    /// Workloads that have points, in order.
    pub fn workloads(&self) -> Vec<&str> {
        in_order(self.points.iter().map(|point| point.workload.as_str()))
    }

    /// What all draws follow from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All points, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// All points of a workload.
    pub fn of_workload<'s>(&'s self, workload: &str) -> impl Iterator<Item = &'s Point> {
        self.points.iter().filter(move |point| point.workload == workload)
    }

    /// The points of a workload at one beam width.
    pub fn at<'s>(&'s self, workload: &str, ef: Option<usize>) -> Vec<&'s Point> {
        self.of_workload(workload).filter(|point| point.ef == ef).collect()
    }

    /// Strategies that have points, in order.
    pub fn strategies(&self) -> Vec<&str> {
        in_order(self.points.iter().map(|point| point.strategy.as_str()))
    }

    /// The smallest beam width at which every strategy's median recall, at every thread count, reaches
    /// [`RECALL_GOAL`]; the largest one if none does.
    pub fn chosen_ef(&self, workload: &str) -> ChosenEf {
        let efs: BTreeSet<Option<usize>> = self.of_workload(workload).map(|point| point.ef).collect();
        let reaches = |ef: &&Option<usize>| {
            self.at(workload, **ef)
                .iter()
                .all(|point| point.recall.is_some_and(|recall| recall >= RECALL_GOAL))
        };
        if efs.len() <= 1 {
            return ChosenEf { ef: efs.into_iter().next().flatten(), why: String::new() };
        }
        match efs.iter().find(reaches) {
            Some(ef) => ChosenEf {
                ef: *ef,
                why: format!("the smallest at which every strategy's median recall reaches {RECALL_GOAL}"),
            },
            None => ChosenEf {
                ef: efs.into_iter().next_back().flatten(),
                why: format!("the largest; no ef has every strategy's median recall at {RECALL_GOAL}"),
            },
        }
    }

    /// `point` over the same strategy at one thread.
    pub fn over_itself(&self, point: &Point) -> Option<Estimate> {
        self.over(point, &point.strategy)
    }

    /// `point` over [`BASELINE`] at one thread.
    pub fn over_baseline(&self, point: &Point) -> Option<Estimate> {
        self.over(point, BASELINE)
    }

    fn over(&self, point: &Point, strategy: &str) -> Option<Estimate> {
        let base = self.points.iter().find(|base| {
            base.strategy == strategy
                && base.threads == 1
                && (&base.codec, &base.workload, base.ef) == (&point.codec, &point.workload, point.ef)
        })?;
        Estimate::of(&paired_ratios(&point.blocks, &base.blocks), self.seed)
    }

    /// One point over another, block by block.
    pub fn between(&self, point: &Point, base: &Point) -> Option<Estimate> {
        Estimate::of(&paired_ratios(&point.blocks, &base.blocks), self.seed)
    }

    /// `point` by its threads, over `base`, which has one.
    pub fn per_thread_over(&self, point: &Point, base: &Point) -> Option<Estimate> {
        let each = point.blocks.iter().map(|(block, rate)| (*block, rate / point.threads as f64)).collect();
        Estimate::of(&paired_ratios(&each, &base.blocks), self.seed)
    }

    /// What a role of a `reader-writer` point keeps of the rate that it reaches in the workload `alone`.
    pub fn kept(
        &self,
        point: &Point,
        rate: fn(&Point) -> &BTreeMap<usize, f64>,
        alone: &str,
    ) -> Option<Estimate> {
        let alone = self.points.iter().find(|other| {
            other.workload == alone
                && (&other.strategy, &other.codec, other.threads)
                    == (&point.strategy, &point.codec, point.threads)
        })?;
        Estimate::of(&paired_ratios(rate(point), rate(alone)), self.seed)
    }

    /// How many threads each other strategy needs to beat [`BASELINE`] on one thread, `None` where no measured
    /// count does. Oversubscribed points do not count.
    pub fn threads_to_beat_baseline(&self, points: &[&Point]) -> Vec<(String, Option<usize>)> {
        let beats = |point: &&&Point| {
            !point.oversubscribed && self.over_baseline(point).is_some_and(|ratio| ratio.exceeds(1.0))
        };
        in_order(points.iter().map(|point| point.strategy.as_str()))
            .into_iter()
            .filter(|strategy| *strategy != BASELINE)
            .map(|strategy| {
                let own = points.iter().filter(|point| point.strategy == strategy);
                (strategy.to_owned(), own.filter(beats).map(|point| point.threads).min())
            })
            .collect()
    }
}

/// Distinct names in the order in which they first appear.
fn in_order<'s>(names: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}
