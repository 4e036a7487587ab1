//! The `latency` subcommand: how long operations take that come at a given rate, and which rate can be served.
//!
//! - `arrivals`: when operations are meant to begin;
//! - `worker`: the open loop, which counts from then, and the closed one, which does not;
//! - `wall`: waiting until then; `timing`: histograms of what it took;
//! - `window`: workers on an index;
//! - `rate`: the search for the highest rate, which sees windows and no index.

mod args;
mod arrivals;
mod document;
mod rate;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod timing;
mod wall;
mod window;
mod worker;

pub use args::LatencyArgs;
pub use arrivals::Arrivals;
pub use document::{Closed, Config, Document, Point, RateSearch, SCHEMA_VERSION, Spread, Step, Timed, parse};
pub(crate) use document::{KINDS, Kind, read};

use std::io::Write;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use hnsw_core::hnsw::IndexConfig;

use crate::blocks::{Blocks, Turn, judged};
use crate::churn::described;
use crate::data::{Dataset, TruthCache};
use crate::flags::GraphArgs;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record::{self, Conditions};
use crate::sweep::{Bed, Outcome, Strategy, recall};
use crate::{output, progress};
use args::{MAX_RATE, Plan};
use arrivals::Offer;
use rate::Goal;
use window::{Happened, Loop, Shape, open_window};

/// Measures, and prints the tables to `out`. `stop` ends it early; what was measured until then is kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer, or the index, was not what the contract promises.
pub fn run(args: &LatencyArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    args.check()?;
    let machine = Machine::detect();
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, machine, memory, stop)?;
    if outcome == Outcome::Interrupted && document.points.is_empty() && document.searches.is_empty() {
        eprintln!("stopped before the first window had ended; nothing was written");
        return Ok(outcome);
    }
    table::print(&document, out)?;
    output::write_file(&document, args.output.out.as_deref(), out)?;
    let faults: Vec<String> = document
        .points
        .iter()
        .flat_map(|point| {
            point
                .faults()
                .into_iter()
                .map(move |fault| format!("{} x{}: {fault}", point.strategy, point.threads))
        })
        .collect();
    output::check_contract(&faults)?;
    Ok(outcome)
}

fn measure(
    args: &LatencyArgs,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Outcome)> {
    output::warn_of_debug_build();
    let mut dataset = args.data()?;
    let plan = args.plan(&machine, &dataset)?;
    progress::watched("exact neighbours", args.output.quiet, stop, |watch| {
        dataset.ensure_truth(args.graph.k, TruthCache::of_user().as_ref(), watch)
    })?;
    let canary = Canary::new(args.place.pin.first_cpu(&machine));
    let bench = Bench { args, plan: &plan, dataset: &dataset, canary, stop };
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        started: record::now_rfc3339(),
        command: std::env::args().collect(),
        machine: machine.clone(),
        build: build_info(),
        dataset: described(&dataset),
        config: bench.config(&machine, memory),
        points: Vec::new(),
        searches: Vec::new(),
    };
    let outcome = bench.all(&machine, &mut document)?;
    Ok((document, outcome))
}

/// What all subjects share.
struct Bench<'a> {
    args: &'a LatencyArgs,
    plan: &'a Plan,
    dataset: &'a Dataset,
    canary: Canary,
    stop: &'a AtomicBool,
}

/// What is measured in each block.
struct Wanted {
    strategy: &'static dyn Strategy,
    threads: usize,
    asked: Asked,
}

#[derive(Clone, Copy)]
enum Asked {
    /// What operations take at so many per second.
    At(f64),
    /// The highest rate at which p99 is within so many microseconds.
    Within(f64),
}

/// `None` and `Break` from any of these mean that the user wants to stop.
impl Bench<'_> {
    /// Every strategy at every thread count, in each block.
    fn all(&self, machine: &Machine, document: &mut Document) -> Result<Outcome> {
        let Bench { args, plan, .. } = *self;
        let asked = || args.rate.iter().copied().map(Asked::At).chain(args.p99.map(Asked::Within));
        let mut wanted = Vec::new();
        for &strategy in &plan.strategies {
            for &threads in &plan.threads {
                wanted.extend(asked().map(|asked| Wanted { strategy, threads, asked }));
            }
        }
        let outcome = Blocks::new(args.blocks, args.seed).all(
            &wanted,
            |&Wanted { strategy, threads, asked }, turn| {
                let cpus = args.place.pin.plan(machine, threads);
                let oversubscribed = args.place.pin.oversubscribes(machine, threads);
                let mut subject =
                    Subject { bench: self, strategy, cpus, oversubscribed, turn, standing: None };
                subject.measure(asked, document)
            },
        )?;
        let place = |strategy: &str, threads: usize| {
            wanted.iter().position(|own| own.strategy.name() == strategy && own.threads == threads)
        };
        document.searches.sort_by_key(|search| place(&search.strategy, search.threads));
        // A rate that was searched for is another one in each block; those that were given are in the order of the flag.
        let given = |rate: f64| args.rate.iter().position(|own| *own == rate);
        document.points.sort_by_key(|point| (place(&point.strategy, point.threads), given(point.rate)));
        Ok(outcome)
    }

    fn config(&self, machine: &Machine, memory: MemoryInForce) -> Config {
        let GraphArgs { m, ef_construction, ef, k } = self.args.graph;
        let LatencyArgs { seconds, seed, blocks, .. } = *self.args;
        Config {
            rates: self.args.rate.clone(),
            p99_us: self.args.p99,
            arrivals: self.args.arrivals,
            closed: self.args.closed,
            writes: self.args.writes,
            filled: self.plan.filled,
            codec: self.args.codec.clone(),
            m,
            ef_construction,
            ef,
            k,
            seconds,
            blocks: blocks.blocks,
            retries: blocks.retries,
            seed,
            pin: self.args.place.pin.clone(),
            placement: self.args.place.pin.seats(machine, self.plan.threads.last().copied().unwrap_or(1)),
            memory_policy: memory,
        }
    }

    fn stopped(&self) -> bool {
        // Relaxed [latency-stop]: a wish; nothing is read because of it.
        self.stop.load(Ordering::Relaxed)
    }

    /// An index of the rows that are there when a window opens.
    fn raise(&self, strategy: &dyn Strategy) -> Result<Option<Rc<dyn Bed>>> {
        let config = IndexConfig {
            capacity: self.dataset.len(),
            ..self.args.graph.index(self.dataset, self.args.seed)
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
    /// True if the machine disturbed it, and it is worth another try.
    fn measure(&mut self, asked: Asked, document: &mut Document) -> Result<Option<bool>> {
        match asked {
            Asked::At(rate) => {
                let Some((point, disturbed)) = self.point(rate)? else { return Ok(None) };
                document.points.push(point);
                Ok(Some(disturbed))
            }
            Asked::Within(p99) => {
                let Some(search) = self.search(p99)? else { return Ok(None) };
                let rate = search.rate;
                document.searches.push(search);
                if let Some(rate) = rate {
                    let Some((point, _)) = self.point(rate)? else { return Ok(None) };
                    document.points.push(point);
                }
                // A search has many windows: one more would be disturbed as often.
                Ok(Some(false))
            }
        }
    }

    fn name(&self) -> String {
        format!("{} x{}", self.strategy.name(), self.cpus.len())
    }

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
        let Bench { args, dataset, .. } = *self.bench;
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
        let Bench { args, dataset, plan, stop, .. } = *self.bench;
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
        let spinner = progress::spinner(format!("{} at {rate:.0}/s", self.name()), args.output.quiet);
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
        spinner.finish_and_clear();
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
        let spinner = progress::spinner(format!("{}, at full speed", self.name()), args.output.quiet);
        let Some(index) = self.index()? else { return Ok(None) };
        let Some(full) = self.window(&*index, f64::INFINITY, Loop::Closed, 0) else { return Ok(None) };
        drop(index);
        // p99 of fewer than a hundred operations is their maximum.
        let least = (100.0 / args.seconds).min(MAX_RATE);
        let goal = Goal { p99, start: full.happened.per_second() / 2.0, least, most: MAX_RATE };
        let (mut windows, mut reasons) = (0, Vec::new());
        let found = rate::highest(&goal, |rate| {
            windows += 1;
            spinner.set_message(format!("{} at {rate:.0}/s, window {windows}", self.name()));
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
        spinner.finish_and_clear();
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
