//! One strategy at one thread count, with an index of its own: in the process of the command, or in one of its own.

use std::fmt::{self, Display, Formatter};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use hnsw_core::hnsw::IndexConfig;
use serde::{Deserialize, Serialize};

use super::args::{LatencyArgs, MAX_RATE, Plan};
use super::arrivals::Offer;
use super::document::{Closed, Point, RateSearch, Step};
use super::rate::{self, Goal};
use super::timing;
use super::window::{Happened, Loop, Shape, open_window};
use crate::apart::{Apart, Ground, Measure};
use crate::blocks::{Turn, judged};
use crate::data::Dataset;
use crate::flags::OutArgs;
use crate::machine::{Canary, Machine, PlaceArgs};
use crate::record::Conditions;
use crate::sweep::{Bed, Outcome, Strategy, named, recall};

/// What is measured in one turn.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    pub(super) strategy: String,
    pub(super) threads: usize,
    pub(super) asked: Asked,
    pub(super) turn: Turn,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Asked {
    /// What operations take at so many per second.
    At(f64),
    /// The highest rate at which p99 is within so many microseconds.
    Within(f64),
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Found {
    Point {
        point: Box<Point>,
        /// Whether the machine disturbed it.
        disturbed: bool,
    },
    Search(RateSearch),
}

impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Task { strategy, threads, turn, .. } = self;
        match self.asked {
            Asked::At(rate) => write!(f, "{strategy} x{threads} at {rate:.0}/s in block {}", turn.block),
            Asked::Within(p99) => {
                write!(f, "{strategy} x{threads} within {p99:.0} us in block {}", turn.block)
            }
        }
    }
}

impl Apart for LatencyArgs {
    const COMMAND: &'static str = "latency";
    type Task = Task;
    type Found = Found;

    fn silent(self) -> LatencyArgs {
        LatencyArgs { output: OutArgs::NONE, ..self }
    }

    fn place(&self) -> &PlaceArgs {
        &self.place
    }

    fn load(&self) -> Result<Dataset> {
        self.data()
    }

    fn bench<'a>(&'a self, ground: Ground, stop: &'a AtomicBool) -> Result<Box<Measure<'a, LatencyArgs>>> {
        let bench = Bench::new(self, ground, stop)?;
        Ok(Box::new(move |task, push| bench.task(task, push)))
    }
}

/// What all tasks of a process share.
pub(super) struct Bench<'a> {
    args: &'a LatencyArgs,
    machine: Machine,
    dataset: Dataset,
    plan: Plan,
    canary: Canary,
    stop: &'a AtomicBool,
}

/// `None` and `Interrupted` from any of these mean that the user wants to stop.
impl<'a> Bench<'a> {
    /// On data that know their exact neighbours.
    pub(super) fn new(args: &'a LatencyArgs, ground: Ground, stop: &'a AtomicBool) -> Result<Bench<'a>> {
        let Ground { machine, dataset, canary, .. } = ground;
        let plan = args.plan(&machine, &dataset)?;
        Ok(Bench { args, machine, dataset, plan, canary, stop })
    }

    /// Does a task, and hands what it finds to `push`, which returns false to stop.
    pub(super) fn task(&self, task: &Task, push: &mut dyn FnMut(Found) -> bool) -> Result<Outcome> {
        let pin = &self.args.place.pin;
        let mut subject = Subject {
            bench: self,
            strategy: named(std::slice::from_ref(&task.strategy))?[0],
            cpus: pin.plan(&self.machine, task.threads),
            oversubscribed: pin.oversubscribes(&self.machine, task.threads),
            turn: task.turn,
            standing: None,
        };
        let rate = match task.asked {
            Asked::At(rate) => Some(rate),
            Asked::Within(p99) => {
                let Some(search) = subject.search(p99)? else { return Ok(Outcome::Interrupted) };
                let rate = search.rate;
                if !push(Found::Search(search)) {
                    return Ok(Outcome::Interrupted);
                }
                rate
            }
        };
        let Some(rate) = rate else { return Ok(Outcome::Complete) };
        let Some((point, disturbed)) = subject.point(rate)? else { return Ok(Outcome::Interrupted) };
        push(Found::Point { point: Box::new(point), disturbed });
        Ok(Outcome::Complete)
    }

    fn stopped(&self) -> bool {
        // Relaxed [latency-stop]: a wish; nothing is read because of it.
        self.stop.load(Ordering::Relaxed)
    }

    /// An index of the rows that are there when a window opens.
    fn raise(&self, strategy: &dyn Strategy) -> Result<Option<Rc<dyn Bed>>> {
        let config = IndexConfig {
            capacity: self.dataset.len(),
            ..self.args.graph.index(&self.dataset, self.args.seed)
        };
        let Some(made) = strategy.index(&self.args.codec, config, &self.plan.sample) else {
            bail!("--codec {} is not one of this program", self.args.codec);
        };
        let index: Rc<dyn Bed> = made?.into();
        Ok(self.fill(&*index, 0, self.plan.filled)?.then_some(index))
    }

    /// Inserts rows on all CPUs. False if the user wants to stop.
    fn fill(&self, index: &dyn Bed, from: usize, to: usize) -> Result<bool> {
        let rows = &self.dataset.base()[from * self.dataset.dim()..to * self.dataset.dim()];
        let go_on = |_| if self.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let filled = rows.is_empty() || index.fill(rows, &go_on);
        ensure!(filled || self.stopped(), "the index refused rows of the data set");
        Ok(filled)
    }
}

/// A strategy at a thread count.
struct Subject<'a> {
    bench: &'a Bench<'a>,
    strategy: &'static dyn Strategy,
    cpus: Vec<Option<usize>>,
    oversubscribed: bool,
    turn: Turn,
    /// The index, where all windows of the turn can have the same.
    standing: Option<Standing>,
}

/// An index that nothing is inserted into, and what is known of it.
struct Standing {
    index: Rc<dyn Bed>,
    worth: Option<Worth>,
}

/// What an index with all rows is worth.
#[derive(Clone, Copy)]
struct Worth {
    recall: f64,
    unreachable: usize,
}

/// As above.
impl Subject<'_> {
    /// One that nothing was inserted into since it was filled.
    fn index(&mut self) -> Result<Option<Rc<dyn Bed>>> {
        if let Some(standing) = &self.standing {
            return Ok(Some(Rc::clone(&standing.index)));
        }
        let index = self.bench.raise(self.strategy)?;
        if self.bench.args.writes == 0.0 {
            self.standing = index.clone().map(|index| Standing { index, worth: None });
        }
        Ok(index)
    }

    /// What an index is worth once all rows are in it: those from `from` on come in now.
    fn worth(&mut self, index: &dyn Bed, from: usize) -> Result<Option<Worth>> {
        if let Some(worth) = self.standing.as_ref().and_then(|standing| standing.worth) {
            return Ok(Some(worth));
        }
        let Bench { args, dataset, .. } = self.bench;
        if !self.bench.fill(index, from, dataset.len())? {
            return Ok(None);
        }
        index.quiesce();
        let unreachable = index.health().unreachable;
        let worth = Worth { recall: recall(index, dataset, args.graph.k, args.graph.ef), unreachable };
        if let Some(standing) = &mut self.standing {
            standing.worth = Some(worth);
        }
        Ok(Some(worth))
    }

    /// A window of its own. `number` tells it from others of the turn at the same rate: they have other arrivals, as they have in
    /// other blocks.
    fn window(&self, index: &dyn Bed, rate: f64, way: Loop, number: u64) -> Option<Seen> {
        let Bench { args, dataset, plan, stop, .. } = self.bench;
        let offer = Offer {
            arrivals: args.arrivals,
            rate,
            workers: self.cpus.len(),
            writes: args.writes,
            seed: args.seed.wrapping_add(number | (self.turn.block as u64) << 32),
        };
        let shape =
            Shape { dataset, cpus: &self.cpus, filled: plan.filled, k: args.graph.k, ef: args.graph.ef };
        let length = Duration::from_secs_f64(args.seconds);
        let before = self.bench.canary.sing_or_echo();
        let happened = open_window(index, &shape, &offer, way, length, stop);
        if happened.interrupted || self.bench.stopped() {
            return None;
        }
        let after = self.bench.canary.sing();
        let (conditions, disturbed) = judged(&happened.seen, self.oversubscribed, before, after);
        Some(Seen { happened, conditions, disturbed })
    }

    /// The point, and whether the machine disturbed it.
    fn point(&mut self, rate: f64) -> Result<Option<(Point, bool)>> {
        let args = self.bench.args;
        let Some(index) = self.index()? else { return Ok(None) };
        let Some(open) = self.window(&*index, rate, Loop::Open, 0) else { return Ok(None) };
        let Some(worth) = self.worth(&*index, open.happened.next_row)? else { return Ok(None) };
        drop(index);
        let mut closed = None;
        if args.closed {
            let Some(index) = self.index()? else { return Ok(None) };
            let Some(seen) = self.window(&*index, rate, Loop::Closed, 0) else { return Ok(None) };
            closed = Some(seen);
        }
        let disturbed =
            !open.disturbed.is_empty() || closed.as_ref().is_some_and(|closed| !closed.disturbed.is_empty());
        Ok(Some((self.told(rate, open, closed, worth)?, disturbed)))
    }

    fn told(&self, rate: f64, open: Seen, closed: Option<Seen>, worth: Worth) -> Result<Point> {
        let mut tainted: Vec<String> = open.tainted().cloned().collect();
        let beside = closed.iter().flat_map(Seen::tainted);
        tainted.extend(beside.map(|reason| format!("in the closed loop, {reason}")));
        let (conditions, open) = (open.conditions, open.happened);
        Ok(Point {
            strategy: self.strategy.name().to_owned(),
            threads: self.cpus.len(),
            oversubscribed: self.oversubscribed,
            rate,
            block: self.turn.block,
            attempt: self.turn.attempt,
            number: self.turn.number,
            seconds: open.seconds,
            offered: open.worked.offered,
            backlog: open.worked.backlog,
            achieved_per_second: open.achieved(),
            saturated: open.saturated(),
            search: open.worked.search.told()?,
            insert: open.worked.insert.told()?,
            closed: closed.as_ref().map(|closed| told_closed(&closed.happened)).transpose()?,
            recall_at_k: worth.recall,
            short_answers: open.worked.short,
            unreachable: worth.unreachable,
            conditions,
            tainted,
        })
    }

    fn search(&mut self, p99: f64) -> Result<Option<RateSearch>> {
        let args = self.bench.args;
        let Some(index) = self.index()? else { return Ok(None) };
        let Some(full) = self.window(&*index, f64::INFINITY, Loop::Closed, 0) else { return Ok(None) };
        drop(index);
        // p99 of fewer than a hundred operations is their maximum.
        let least = (100.0 / args.seconds).min(MAX_RATE);
        let goal = Goal { p99, start: full.happened.per_second() / 2.0, least, most: MAX_RATE };
        let (mut windows, mut reasons) = (0, Vec::new());
        let found = rate::highest(&goal, |rate| {
            windows += 1;
            let Some(index) = self.index()? else { return Ok(None) };
            let Some(seen) = self.window(&*index, rate, Loop::Open, windows as u64) else {
                return Ok(None);
            };
            let tainted: Vec<&str> = seen.tainted().map(String::as_str).collect();
            if !tainted.is_empty() {
                reasons.push(tainted.join("; "));
            }
            anyhow::Ok(Some(seen.happened.probe()))
        })?;
        let tainted =
            reasons.last().map(|last| format!("{} of {windows} windows, the last: {last}", reasons.len()));
        Ok(found.map(|found| RateSearch {
            strategy: self.strategy.name().to_owned(),
            threads: self.cpus.len(),
            oversubscribed: self.oversubscribed,
            block: self.turn.block,
            closed_per_second: full.happened.per_second(),
            rate: found.rate,
            p99_us: found.p99,
            failed_rate: found.failed,
            windows,
            steps: found.steps.iter().map(told_step).collect(),
            tainted: tainted.into_iter().collect(),
        }))
    }
}

/// A window, and what the machine did meanwhile.
struct Seen {
    happened: Happened,
    conditions: Conditions,
    /// What of it is beyond what is tolerable.
    disturbed: Vec<String>,
}

impl Seen {
    /// Why not to trust it.
    fn tainted(&self) -> impl Iterator<Item = &String> {
        self.disturbed.iter().chain(&self.happened.tainted)
    }
}

fn told_closed(happened: &Happened) -> Result<Closed> {
    let spread =
        |timing: &timing::Timing| (timing.count() > 0).then(|| timing::spread(&timing.service)).transpose();
    Ok(Closed {
        per_second: happened.per_second(),
        search: spread(&happened.worked.search)?,
        insert: spread(&happened.worked.insert)?,
    })
}

fn told_step(step: &rate::Step) -> Step {
    let p99 = |probe: &rate::Probe| (!probe.saturated).then_some(probe.p99);
    Step { rate: step.rate, p99_us: step.probes.iter().map(p99).collect(), met: step.met }
}
