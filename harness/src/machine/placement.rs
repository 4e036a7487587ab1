//! Which CPU each worker thread gets.
//!
//! Two threads on one core measure SMT rather than the strategy, and two sockets measure the link between them. So a
//! [`Placement`] says which CPUs come first; all of them are CPUs that the process may run on: the affinity that the
//! system reports is already cut to the control group's set of CPUs. A quota takes no CPU away: it bounds how many
//! threads count as not oversubscribed.
//!
//! An order of CPUs does not depend on the number of threads, so the first entries of a map of many threads are the map
//! of few.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Machine;
use super::pinning::NOTE;
use super::tree::{in_order, spelled};

/// How threads are placed on CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Placement {
    /// Distinct cores of one memory node, then of the next, socket by socket; SMT siblings only when each core has a
    /// thread.
    #[default]
    Compact,
    /// Distinct cores, in turn from each socket and memory node; SMT siblings only when each core has a thread.
    Scatter,
    /// All hardware threads of a core before the next core, socket by socket.
    Smt,
    /// Leave the threads to the scheduler.
    None,
    /// These CPUs, in this order.
    List(Vec<usize>),
}

/// Where a thread runs, as documents keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Number of the thread, from 0.
    pub thread: usize,
    /// Its CPU.
    pub cpu: usize,
    /// The core of that CPU, named by its lowest CPU; null where cores are not visible, as are the rest.
    pub core: Option<usize>,
    /// The socket.
    pub socket: Option<usize>,
    /// The memory node.
    pub node: Option<usize>,
}

impl Placement {
    /// The policies that order the CPUs of a machine by themselves.
    pub const ORDERS: [Placement; 3] = [Placement::Compact, Placement::Scatter, Placement::Smt];

    /// Checks that the machine has what is asked for.
    ///
    /// # Errors
    /// A list that names a CPU which this process may not run on, or a list where threads cannot be pinned.
    pub fn check(&self, machine: &Machine) -> Result<()> {
        let Placement::List(cpus) = self else { return Ok(()) };
        if let Some(note) = NOTE {
            bail!("--pin {self} cannot be done: {note}");
        }
        for cpu in cpus {
            let allowed = spelled(&machine.allowed_cpus);
            ensure!(
                machine.allowed_cpus.contains(cpu),
                "--pin has CPU {cpu}; this process may run on {allowed} only"
            );
        }
        Ok(())
    }

    /// The CPU of each of `threads` threads, `None` for one that stays free. All are allowed CPUs. Threads beyond them
    /// share CPUs evenly, in the same order.
    pub fn plan(&self, machine: &Machine, threads: usize) -> Vec<Option<usize>> {
        if NOTE.is_some() {
            return vec![None; threads];
        }
        let order = self.order(machine);
        (0..threads).map(|thread| order.get(thread % order.len().max(1)).copied()).collect()
    }

    /// The CPU of the first thread, where threads are pinned.
    pub fn first_cpu(&self, machine: &Machine) -> Option<usize> {
        self.plan(machine, 1).first().copied().flatten()
    }

    /// The plan with what is known of each CPU; `None` where threads stay free.
    pub fn seats(&self, machine: &Machine, threads: usize) -> Option<Vec<Seat>> {
        let seat = |(thread, cpu): (usize, Option<usize>)| {
            let cpu = cpu?;
            let known = machine.topology.iter().find(|known| known.id == cpu);
            Some(Seat {
                thread,
                cpu,
                core: known.map(|known| known.core),
                socket: known.map(|known| known.socket),
                node: known.map(|known| known.node),
            })
        };
        self.plan(machine, threads).into_iter().enumerate().map(seat).collect()
    }

    /// The CPUs that threads may get, ascending, as many as can run at once.
    pub fn cpus(&self, machine: &Machine) -> Vec<usize> {
        let all: BTreeSet<usize> = match self {
            Placement::List(cpus) => cpus.iter().copied().collect(),
            _ => machine.allowed_cpus.iter().copied().collect(),
        };
        all.into_iter().take(machine.allowed_cores).collect()
    }

    /// Whether so many threads are more than can run at once, or two of them get one CPU.
    pub fn oversubscribes(&self, machine: &Machine, threads: usize) -> bool {
        let shared = match self {
            Placement::List(cpus) => {
                let first: BTreeSet<usize> = cpus.iter().copied().take(threads).collect();
                first.len() < threads
            }
            _ => false,
        };
        shared || threads > machine.allowed_cores
    }

    /// The CPUs that threads get one after another; none for [`Placement::None`], and where no CPU is known.
    fn order(&self, machine: &Machine) -> Vec<usize> {
        let mut sites = match self {
            Placement::None => return Vec::new(),
            Placement::List(cpus) => return cpus.clone(),
            _ => sites(machine),
        };
        sites.sort_unstable_by_key(|site| (site.turn, site.socket, site.node, site.core, site.id));
        match self {
            Placement::Smt => {
                sites.sort_unstable_by_key(|site| (site.socket, site.node, site.core, site.turn, site.id));
            }
            Placement::Scatter => scatter(&mut sites),
            _ => {}
        }
        sites.into_iter().map(|site| site.id).collect()
    }
}

/// An allowed CPU.
#[derive(Clone, Copy)]
struct Site {
    /// 1 for the first allowed CPU of a core, 2 for the second, …
    turn: usize,
    socket: usize,
    node: usize,
    core: usize,
    id: usize,
}

fn sites(machine: &Machine) -> Vec<Site> {
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let site = |&id: &usize| {
        let known = machine.topology.iter().find(|cpu| cpu.id == id);
        let (socket, node, core) = known.map_or((0, 0, id), |cpu| (cpu.socket, cpu.node, cpu.core));
        let turn = taken.entry(core).or_default();
        *turn += 1;
        Site { turn: *turn, socket, node, core, id }
    };
    machine.allowed_cpus.iter().map(site).collect()
}

/// Deals out sites, which are in the order of [`Placement::Compact`]: each node gives its first core, then each its second,
/// and the nodes of a socket do not follow one another while another socket has its turn to come.
fn scatter(sites: &mut Vec<Site>) {
    let mut nodes: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for site in &*sites {
        nodes.entry(site.socket).or_default().insert(site.node);
    }
    let mut dealt: BTreeMap<(usize, usize, usize), usize> = BTreeMap::new();
    let round = |site: &Site| {
        let before = dealt.entry((site.turn, site.socket, site.node)).or_default();
        *before += 1;
        let node_of_socket = nodes[&site.socket].range(..site.node).count();
        ((site.turn, *before, node_of_socket, site.socket), *site)
    };
    let mut keyed: Vec<_> = sites.iter().map(round).collect();
    keyed.sort_by_key(|(key, _)| *key);
    *sites = keyed.into_iter().map(|(_, site)| site).collect();
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Compact => f.pad("compact"),
            Placement::Scatter => f.pad("scatter"),
            Placement::Smt => f.pad("smt"),
            Placement::None => f.pad("none"),
            Placement::List(cpus) => f.pad(&format!("list:{}", spelled(cpus))),
        }
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> String {
        placement.to_string()
    }
}

impl TryFrom<String> for Placement {
    type Error = String;

    fn try_from(text: String) -> Result<Placement, String> {
        text.parse()
    }
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Placement, String> {
        match text {
            "compact" => Ok(Placement::Compact),
            "scatter" => Ok(Placement::Scatter),
            "smt" => Ok(Placement::Smt),
            "none" => Ok(Placement::None),
            _ => match text.strip_prefix("list:") {
                Some(cpus) => in_order(cpus)
                    .map(Placement::List)
                    .ok_or_else(|| "a list is of CPU numbers and ranges, as in list:0,2,4-7".into()),
                None => Err("there are compact, scatter, smt, none, and lists such as list:0,2,4-7".into()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
