//! Cores, sockets, memory nodes and caches, from `/sys/devices/system`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::tree::{self, Tree};

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";

/// Where a logical CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// The number that the system knows it by.
    pub id: usize,
    /// Its core, named by the lowest CPU of that core. SMT siblings share it.
    pub core: usize,
    /// Its socket.
    pub socket: usize,
    /// Its memory node.
    pub node: usize,
}

/// A cache as one CPU sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// `L1d`, `L2`, `L3`, …
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// How many logical CPUs share it.
    pub shared_by: usize,
}

/// The online CPUs in ascending order; none when the tree does not list them.
pub fn read(tree: &Tree) -> Vec<Cpu> {
    let online = tree.cpus(&format!("{CPUS}/online")).unwrap_or_else(|| tree.numbered(CPUS, "cpu"));
    let mut node_of = BTreeMap::new();
    for node in tree.numbered(NODES, "node") {
        // A node with memory and no CPU has an empty list.
        for cpu in tree.cpus(&format!("{NODES}/node{node}/cpulist")).unwrap_or_default() {
            node_of.insert(cpu, node);
        }
    }
    let place = |id: usize| {
        let folder = format!("{CPUS}/cpu{id}/topology");
        let siblings = tree
            .cpus(&format!("{folder}/core_cpus_list"))
            .or_else(|| tree.cpus(&format!("{folder}/thread_siblings_list")));
        let core = siblings.and_then(|cpus| cpus.into_iter().find(|cpu| online.contains(cpu))).unwrap_or(id);
        // Some virtual machines say -1.
        let socket = tree.number::<usize>(&format!("{folder}/physical_package_id")).unwrap_or(0);
        Cpu { id, core, socket, node: node_of.get(&id).copied().unwrap_or(0) }
    };
    online.iter().map(|&id| place(id)).collect()
}

/// The nodes that have memory and that this process may take some from, ascending; none when the tree does not list nodes.
pub fn memory_nodes(tree: &Tree) -> Vec<usize> {
    let mut nodes = tree.cpus(&format!("{NODES}/has_memory")).unwrap_or_else(|| tree.numbered(NODES, "node"));
    // A control group may have some of them only. The list may name nodes that could be plugged in later.
    let allowed = tree.field("proc/self/status", "Mems_allowed_list").and_then(|list| tree::cpu_list(&list));
    if let Some(allowed) = allowed {
        nodes.retain(|node| allowed.contains(node));
    }
    nodes
}

/// How many different answers the CPUs give.
pub fn count(cpus: &[Cpu], what: impl Fn(&Cpu) -> usize) -> usize {
    cpus.iter().map(what).collect::<BTreeSet<_>>().len()
}

/// The most hardware threads of any core; `None` when no CPU is known.
pub fn smt(cpus: &[Cpu]) -> Option<usize> {
    let mut threads = BTreeMap::new();
    for cpu in cpus {
        *threads.entry(cpu.core).or_insert(0) += 1;
    }
    threads.into_values().max()
}

/// The data and unified caches of one CPU, innermost first.
pub fn caches(tree: &Tree, cpu: usize) -> Vec<Cache> {
    let folder = format!("{CPUS}/cpu{cpu}/cache");
    let read = |index: usize| {
        let text = |name: &str| tree.text(&format!("{folder}/index{index}/{name}"));
        let level: u32 = text("level")?.parse().ok()?;
        let name = match text("type")?.as_str() {
            "Data" => format!("L{level}d"),
            "Unified" => format!("L{level}"),
            _ => return None,
        };
        let shared_by =
            text("shared_cpu_list").and_then(|list| tree::cpu_list(&list)).map_or(1, |cpus| cpus.len());
        Some((level, Cache { name, bytes: tree::bytes(&text("size")?)?, shared_by }))
    };
    let mut caches: Vec<_> = tree.numbered(&folder, "index").into_iter().filter_map(read).collect();
    caches.sort_by_key(|&(level, _)| level);
    caches.into_iter().map(|(_, cache)| cache).collect()
}
