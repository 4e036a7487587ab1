//! Where threads would run under each policy of `--pin`.

use std::io::{self, Write};

use super::super::pinning::NOTE;
use super::super::tree::spelled;
use super::super::{Machine, Placement};
use crate::sweep::powers_of_two;

/// What a policy does with a number of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    threads: usize,
    cores: usize,
    /// Threads of each node that has a CPU for this process, by ascending number.
    per_node: Vec<usize>,
    cpus: String,
}

/// The plans for the thread counts that commands take when none are given, with the policies that make the same ones.
pub(super) fn plans(machine: &Machine) -> Vec<(String, Vec<Line>)> {
    let mut plans: Vec<(String, Vec<Line>)> = Vec::new();
    for placement in Placement::ORDERS {
        let of = |threads| line(&placement, machine, threads);
        let lines: Option<Vec<Line>> = powers_of_two(machine.allowed_cores).into_iter().map(of).collect();
        let Some(lines) = lines else { continue };
        match plans.iter_mut().find(|(_, known)| *known == lines) {
            Some((names, _)) => *names = format!("{names}, {placement}"),
            None => plans.push((placement.to_string(), lines)),
        }
    }
    plans
}

/// `None` where threads are not placed, or where CPUs are not known.
fn line(placement: &Placement, machine: &Machine, threads: usize) -> Option<Line> {
    let seats = placement.seats(machine, threads)?;
    let mut cpus: Vec<usize> = seats.iter().map(|seat| seat.cpu).collect();
    cpus.sort_unstable();
    let mut cores: Vec<usize> = seats.iter().map(|seat| seat.core.unwrap_or(seat.cpu)).collect();
    cores.sort_unstable();
    cores.dedup();
    let known = |id: &&usize| machine.topology.iter().find(|cpu| cpu.id == **id).map(|cpu| cpu.node);
    let mut nodes: Vec<usize> = machine.allowed_cpus.iter().filter_map(|id| known(&id)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let on = |node: &usize| seats.iter().filter(|seat| seat.node == Some(*node)).count();
    Some(Line { threads, cores: cores.len(), per_node: nodes.iter().map(on).collect(), cpus: spelled(&cpus) })
}

/// Prints the plans as a table with a blank line behind; nothing where threads are not placed.
pub(super) fn print(machine: &Machine, out: &mut dyn Write) -> io::Result<()> {
    let plans = plans(machine);
    if NOTE.is_some() || plans.is_empty() {
        return Ok(());
    }
    let per_node = |line: &Line| {
        let counts: Vec<String> = line.per_node.iter().map(usize::to_string).collect();
        counts.join("+")
    };
    let lines = || plans.iter().flat_map(|(_, lines)| lines);
    let names = plans.iter().map(|(names, _)| names.len()).max().unwrap_or(0).max("--pin".len());
    let nodes = lines().map(|line| per_node(line).len()).max().unwrap_or(0).max("per node".len());
    writeln!(out, "{:<names$}  threads  cores  {:<nodes$}  CPUs", "--pin", "per node")?;
    for (policies, lines) in &plans {
        for line in lines {
            let Line { threads, cores, cpus, .. } = line;
            writeln!(
                out,
                "{policies:<names$}  {threads:>7}  {cores:>5}  {:<nodes$}  {cpus}",
                per_node(line)
            )?;
        }
    }
    writeln!(out)
}
