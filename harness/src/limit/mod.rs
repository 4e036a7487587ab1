//! The `limit` subcommand: what the memory of this machine allows a search, measured without any search.
//!
//! A search reads rows at random places, and knows only a hop ahead which. So three figures bound it, each for one working set
//! at one number of threads: rows gathered from a list that is known ahead, loads that depend on each other, and rows in order.

mod args;
mod document;
mod measure;
mod memory;
mod table;
#[cfg(test)]
mod tests;

pub use args::LimitArgs;
pub use document::{Document, Point, SCHEMA_VERSION, Spread};

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use crate::machine::{Machine, MemoryInForce, build_info};
use crate::{output, progress};
use args::{Plan, Shape};
use memory::WorkingSet;

/// Measures, and prints the table to `out`. `stop` ends it early.
///
/// # Errors
/// One line that says what is wrong; also when `stop` was set.
pub fn run(args: &LimitArgs, stop: &AtomicBool, out: &mut dyn Write) -> Result<()> {
    let machine = Machine::detect();
    let plan = Plan::of(args, &machine)?;
    output::check_file(args.out.as_deref())?;
    let memory = args.place.settle(&machine)?;
    let document = measure(plan, machine, memory, args.quiet, stop)?;
    table::print(&document, out)?;
    output::write_file(&document, args.out.as_deref(), out)?;
    Ok(())
}

fn measure(
    plan: Plan,
    machine: Machine,
    memory: MemoryInForce,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Document> {
    output::warn_of_debug_build();
    let mut points = Vec::new();
    for shape in &plan.shapes {
        let spinner = progress::spinner(format!("{} rows of {} bytes", shape.rows, shape.bytes), quiet);
        points.extend(points_of(shape, &plan, &machine, stop)?);
        spinner.finish_and_clear();
    }
    let placement = plan.placement.seats(&machine, plan.threads.last().copied().unwrap_or(1));
    Ok(Document {
        schema_version: SCHEMA_VERSION,
        machine,
        build: build_info(),
        pin: plan.placement,
        placement,
        memory_policy: Some(memory),
        seconds: plan.seconds,
        points,
    })
}

fn points_of(shape: &Shape, plan: &Plan, machine: &Machine, stop: &AtomicBool) -> Result<Vec<Point>> {
    let set = WorkingSet::new(shape);
    let time = Duration::from_secs_f64(plan.seconds);
    let point = |&threads: &usize| {
        let cpus = plan.placement.plan(machine, threads);
        let crew = measure::Crew { cpus, time, stop, unpinned: None };
        crew.point(shape, &set, plan.placement.oversubscribes(machine, threads))
    };
    plan.threads.iter().map(point).collect()
}
