//! The machine that a measurement ran on: what it is, what it lets us use, how quiet it is, and where threads run.
//!
//! [`Machine::detect`] records the facts once per run and the result document carries them. What a system does not show
//! is `null` there, never guessed. [`Placement`] places worker threads, [`memory`] their pages, [`noise`] and [`canary`] say why a trial
//! cannot be trusted, and [`doctor`] puts all of it in words.

mod build;
pub mod canary;
mod cgroup;
mod clock;
pub mod doctor;
pub mod memory;
pub mod noise;
pub mod pinning;
mod place;
mod placement;
#[cfg(any(target_os = "macos", test))]
mod sysctl;
mod topology;
mod tree;

use serde::{Deserialize, Serialize};

pub use build::{BuildInfo, build_info};
pub use canary::Canary;
pub use memory::{MemoryInForce, MemoryPolicy};
pub use noise::{Disturbance, Noise};
pub use pinning::{PinError, pin_current_thread};
pub use place::PlaceArgs;
pub use placement::{Placement, Seat};
pub use topology::{Cache, Cpu};
pub use tree::Tree;
pub(crate) use tree::kilobytes;

/// The facts about a machine that a result document records. `None` is "not visible from here".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The model that the CPU names.
    pub cpu_model: Option<String>,
    /// The maker that the CPU names.
    pub vendor: Option<String>,
    /// The architecture that the program was compiled for, as Rust names it.
    pub arch: String,
    /// Logical CPUs that are online, whoever may use them.
    pub logical_cpus: usize,
    /// The logical CPUs that this process may run on, ascending.
    pub allowed_cpus: Vec<usize>,
    /// CPUs' worth of time that the tightest control group grants; `None` when there is no quota.
    pub cpu_quota: Option<f64>,
    /// How many threads can run at once: the allowed CPUs, or the whole CPUs within the quota if those are fewer. At
    /// least 1. The default for thread counts; more threads are oversubscribed.
    pub allowed_cores: usize,
    /// Sockets with a CPU online.
    pub sockets: Option<usize>,
    /// Physical cores with a CPU online.
    pub cores: Option<usize>,
    /// The most hardware threads of any core; 1 means no SMT.
    pub smt: Option<usize>,
    /// Memory nodes.
    pub numa_nodes: Option<usize>,
    /// The memory nodes that this process may take memory from, ascending. Empty when not visible.
    pub memory_nodes: Vec<usize>,
    /// Where each online CPU is. Empty when not visible.
    pub topology: Vec<Cpu>,
    /// The data and unified caches of the first allowed CPU, innermost first.
    pub caches: Vec<Cache>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The tightest memory limit of a control group, in bytes; `None` when there is none below the memory itself.
    pub memory_limit_bytes: Option<u64>,
    /// The release of the kernel.
    pub kernel: Option<String>,
    /// The operating system, with its version.
    pub os: Option<String>,
    /// The hypervisor, or "unnamed" when the CPU says that there is one and nothing names it.
    pub hypervisor: Option<String>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub thp: Option<String>,
    /// The frequency governor of the first allowed CPU.
    pub governor: Option<String>,
    /// Whether the CPU may exceed its nominal frequency.
    pub turbo: Option<bool>,
    /// The instruction-set extensions that matter to the kernels and that this CPU has.
    pub isa_flags: Vec<String>,
    /// A digest of the host's name: tells machines apart without naming them.
    pub hostname_hash: Option<String>,
}

impl Machine {
    /// This machine, as this process sees it.
    pub fn detect() -> Machine {
        let machine = Machine::read(&Tree::system(), pinning::allowed());
        #[cfg(target_os = "macos")]
        let machine = sysctl::complete(machine, sysctl::ask);
        Machine { isa_flags: isa_flags(), ..machine }
    }

    /// The machine that a file tree describes. `affinity` is the set of CPUs that the process may run on; when it is
    /// empty, that which the tree gives.
    pub fn read(tree: &Tree, affinity: &[usize]) -> Machine {
        let topology = topology::read(tree);
        let allowed_cpus = allowed_cpus(tree, affinity, &topology);
        let first = allowed_cpus.first().copied().unwrap_or(0);
        let cpu_quota = cgroup::cpu_quota(tree);
        let memory_bytes = tree.kilobytes("proc/meminfo", "MemTotal");
        let known = |count: usize| (count > 0).then_some(count);
        let cpuinfo = |key| tree.field("proc/cpuinfo", key);
        Machine {
            cpu_model: cpuinfo("model name").or_else(|| cpuinfo("CPU part")),
            vendor: cpuinfo("vendor_id").or_else(|| cpuinfo("CPU implementer")),
            arch: std::env::consts::ARCH.to_owned(),
            logical_cpus: topology.len().max(allowed_cpus.len()),
            allowed_cores: allowed_cores(allowed_cpus.len(), cpu_quota),
            cpu_quota,
            sockets: known(topology::count(&topology, |cpu| cpu.socket)),
            cores: known(topology::count(&topology, |cpu| cpu.core)),
            smt: topology::smt(&topology),
            numa_nodes: known(tree.numbered("sys/devices/system/node", "node").len()),
            memory_nodes: topology::memory_nodes(tree),
            caches: topology::caches(tree, first),
            memory_bytes,
            memory_limit_bytes: cgroup::memory_limit(tree)
                .map(|(limit, _)| limit)
                .filter(|&limit| memory_bytes.is_none_or(|all| limit < all)),
            kernel: tree.text("proc/sys/kernel/osrelease"),
            os: os_name(tree),
            hypervisor: hypervisor(tree),
            thp: tree
                .text("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|all| Some(all.split_once('[')?.1.split_once(']')?.0.to_owned())),
            governor: tree.text(&format!("sys/devices/system/cpu/cpu{first}/cpufreq/scaling_governor")),
            turbo: turbo(tree),
            isa_flags: Vec::new(),
            hostname_hash: tree.text("proc/sys/kernel/hostname").map(|name| digest(&name)),
            topology,
            allowed_cpus,
        }
    }

    /// Bytes that this process could still take without swapping or meeting its limit.
    pub fn available_memory() -> Option<u64> {
        available_memory(&Tree::system())
    }
}

fn available_memory(tree: &Tree) -> Option<u64> {
    let free = tree.kilobytes("proc/meminfo", "MemAvailable");
    let below_limit = cgroup::memory_limit(tree).map(|(limit, used)| limit.saturating_sub(used));
    free.into_iter().chain(below_limit).min()
}

/// The CPUs of the affinity that are online; failing that the best substitute that is visible. Never empty.
fn allowed_cpus(tree: &Tree, affinity: &[usize], topology: &[Cpu]) -> Vec<usize> {
    let mut allowed = if affinity.is_empty() {
        let listed = tree.field("proc/self/status", "Cpus_allowed_list");
        listed.and_then(|list| tree::cpu_list(&list)).unwrap_or_default()
    } else {
        affinity.to_vec()
    };
    if !topology.is_empty() {
        // The list may name CPUs that could be plugged in later.
        allowed.retain(|&id| topology.iter().any(|cpu| cpu.id == id));
    }
    if allowed.is_empty() {
        allowed = topology.iter().map(|cpu| cpu.id).collect();
    }
    if allowed.is_empty() {
        allowed = (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    allowed
}

/// A thread beyond the whole CPUs of a quota would be stopped in each period, so a part of a CPU does not count.
fn allowed_cores(allowed: usize, quota: Option<f64>) -> usize {
    let within = quota.map_or(allowed, |cpus| cpus.floor() as usize);
    allowed.min(within).max(1)
}

fn os_name(tree: &Tree) -> Option<String> {
    let release = tree.text("etc/os-release").or_else(|| tree.text("usr/lib/os-release"))?;
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

fn hypervisor(tree: &Tree) -> Option<String> {
    if let Some(kind) = tree.text("sys/hypervisor/type") {
        return Some(kind);
    }
    let flags = tree.field("proc/cpuinfo", "flags")?;
    if !flags.split_whitespace().any(|flag| flag == "hypervisor") {
        return None;
    }
    let vendor = tree.text("sys/class/dmi/id/sys_vendor");
    let product = tree.text("sys/class/dmi/id/product_name");
    let name = [vendor, product].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(if name.is_empty() { "unnamed".to_owned() } else { name })
}

fn turbo(tree: &Tree) -> Option<bool> {
    let forbidden = tree.number::<u8>("sys/devices/system/cpu/intel_pstate/no_turbo");
    let allowed = tree.number::<u8>("sys/devices/system/cpu/cpufreq/boost");
    forbidden.map(|no| no == 0).or(allowed.map(|yes| yes != 0))
}

fn digest(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..16].to_owned()
}

macro_rules! detected {
    ($detect:ident: $($flag:tt)*) => {
        [$(($flag, std::arch::$detect!($flag))),*]
            .into_iter()
            .filter_map(|(flag, here): (&str, bool)| here.then(|| flag.to_owned()))
            .collect()
    };
}

#[cfg(target_arch = "x86_64")]
fn isa_flags() -> Vec<String> {
    detected!(is_x86_feature_detected: "sse4.2" "popcnt" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vl"
        "avx512vnni" "avx512fp16" "avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn isa_flags() -> Vec<String> {
    detected!(is_aarch64_feature_detected: "neon" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn isa_flags() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
