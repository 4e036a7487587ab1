//! The `latency` subcommand: how long operations take that come at a given rate, and which rate can be served.
//!
//! - `arrivals`: when operations are meant to begin;
//! - `worker`: the open loop, which counts from then, and the closed one, which does not;
//! - `wall`: waiting until then; `timing`: histograms of what it took;
//! - `window`: workers on an index;
//! - `bench`: one strategy at one thread count, in this process or in one of its own;
//! - `rate`: the search for the highest rate, which sees windows and no index.

mod args;
mod arrivals;
mod bench;
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
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::apart::{self, Ground, Measure};
use crate::blocks::Blocks;
use crate::churn::described;
use crate::data::{TruthCache, TruthSource};
use crate::flags::GraphArgs;
use crate::machine::{Canary, Machine, MemoryInForce, build_info};
use crate::record;
use crate::sweep::{Outcome, Strategy};
use crate::{output, progress};
use args::Plan;
use bench::{Asked, Found, Task};

/// Measures, and prints the tables to `out`. `stop` ends it early, as does a trial that fails; what was measured until then is kept.
///
/// # Errors
/// One line that says what is wrong; also when an answer, or the index, was not what the contract promises.
pub fn run(args: &LatencyArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<Outcome> {
    args.check()?;
    let machine = Machine::detect();
    output::check_file(args.output.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let (document, outcome) = measure(args, machine, memory, stop)?;
    if document.points.is_empty() && document.searches.is_empty() {
        let outcome = outcome?;
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
    outcome.map_err(|error| output::cut_short(&error, args.output.out.as_deref()))
}

/// What was measured, and how it ended.
fn measure(
    args: &LatencyArgs,
    machine: Machine,
    memory: MemoryInForce,
    stop: &AtomicBool,
) -> Result<(Document, Result<Outcome>)> {
    output::warn_of_debug_build();
    let mut dataset = args.data()?;
    let plan = args.plan(&machine, &dataset)?;
    let truth = progress::watched("exact neighbours", args.output.quiet, stop, |watch| {
        dataset.ensure_truth(args.graph.k, TruthCache::of_user().as_ref(), watch)
    })?;
    let canary = Canary::new(args.place.pin.first_cpu(&machine));
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        started: record::now_rfc3339(),
        command: std::env::args().collect(),
        machine: machine.clone(),
        build: build_info(),
        dataset: described(&dataset),
        config: config(args, &plan, &machine, memory.clone()),
        points: Vec::new(),
        searches: Vec::new(),
    };
    let (brought, ground) = (truth == TruthSource::Given, Ground { machine, memory, dataset, canary });
    let mut measure = apart::measurer(args, args.apart.isolation(), ground, brought, stop)?;
    let outcome = all(args, &plan, &mut document, &mut measure);
    Ok((document, outcome))
}

/// Every strategy at every thread count, in each block.
fn all(
    args: &LatencyArgs,
    plan: &Plan,
    document: &mut Document,
    measure: &mut Measure<'_, LatencyArgs>,
) -> Result<Outcome> {
    let asked = || args.rate.iter().copied().map(Asked::At).chain(args.p99.map(Asked::Within));
    let mut wanted: Vec<(&'static dyn Strategy, usize, Asked)> = Vec::new();
    for &strategy in &plan.strategies {
        for &threads in &plan.threads {
            wanted.extend(asked().map(|asked| (strategy, threads, asked)));
        }
    }
    let outcome = Blocks::new(args.blocks, args.seed).all(&wanted, |&(strategy, threads, asked), turn| {
        let task = Task { strategy: strategy.name().to_owned(), threads, asked, turn };
        let spinner = progress::spinner(task.to_string(), args.output.quiet);
        // A search has many windows: one more would be disturbed as often.
        let mut again = false;
        let outcome = measure(&task, &mut |found| {
            match found {
                Found::Point { point, disturbed } => {
                    again = disturbed && matches!(asked, Asked::At(_));
                    document.points.push(*point);
                }
                Found::Search(search) => document.searches.push(search),
            }
            true
        })?;
        spinner.finish_and_clear();
        Ok((outcome == Outcome::Complete).then_some(again))
    });
    let place = |strategy: &str, threads: usize| {
        wanted.iter().position(|own| own.0.name() == strategy && own.1 == threads)
    };
    document.searches.sort_by_key(|search| place(&search.strategy, search.threads));
    // A rate that was searched for is another one in each block; those that were given are in the order of the flag.
    let given = |rate: f64| args.rate.iter().position(|own| *own == rate);
    document.points.sort_by_key(|point| (place(&point.strategy, point.threads), given(point.rate)));
    outcome
}

fn config(args: &LatencyArgs, plan: &Plan, machine: &Machine, memory: MemoryInForce) -> Config {
    let GraphArgs { m, ef_construction, ef, k } = args.graph;
    let LatencyArgs { seconds, seed, blocks, .. } = *args;
    Config {
        rates: args.rate.clone(),
        p99_us: args.p99,
        arrivals: args.arrivals,
        closed: args.closed,
        writes: args.writes,
        filled: plan.filled,
        codec: args.codec.clone(),
        m,
        ef_construction,
        ef,
        k,
        seconds,
        blocks: blocks.blocks,
        retries: blocks.retries,
        isolation: args.apart.isolation(),
        seed,
        pin: args.place.pin.clone(),
        placement: args.place.pin.seats(machine, plan.threads.last().copied().unwrap_or(1)),
        memory_policy: memory,
    }
}
