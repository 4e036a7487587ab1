//! Where worker threads run.
//!
//! A thread that the scheduler moves loses its caches in the middle of a measurement, and two threads on one core
//! measure SMT rather than the strategy. So a [`Placement`] gives each thread a CPU of its own, always among those that
//! the process may run on. Pinning exists on Linux; elsewhere a plan leaves every thread free, and [`NOTE`] says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::Machine;

/// Why threads are not pinned on this system; `None` where they can be.
pub const NOTE: Option<&str> =
    if cfg!(target_os = "linux") { None } else { Some("this system offers no way to pin a thread to a CPU") };

/// How threads are placed on CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Fill distinct cores of one socket, then of the next, and SMT siblings only when each core has a thread.
    #[default]
    Compact,
    /// Leave the threads to the scheduler.
    None,
}

impl Placement {
    /// The name in flags and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Placement::Compact => "compact",
            Placement::None => "none",
        }
    }

    /// The CPU of each of `threads` threads, `None` for one that stays free. All are allowed CPUs. Threads beyond them
    /// share CPUs evenly, in the same order.
    pub fn plan(self, machine: &Machine, threads: usize) -> Vec<Option<usize>> {
        if self == Placement::None || NOTE.is_some() {
            return vec![None; threads];
        }
        let order = compact(machine);
        (0..threads).map(|thread| order.get(thread % order.len().max(1)).copied()).collect()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The allowed CPUs: first one of each core, then the second of each core, and so on; socket by socket within each.
fn compact(machine: &Machine) -> Vec<usize> {
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut keyed: Vec<_> = machine
        .allowed_cpus
        .iter()
        .map(|&id| {
            let cpu = machine.topology.iter().find(|cpu| cpu.id == id);
            let (socket, node, core) = cpu.map_or((0, 0, id), |cpu| (cpu.socket, cpu.node, cpu.core));
            let sibling = taken.entry(core).or_default();
            *sibling += 1;
            (*sibling, socket, node, core, id)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(.., id)| id).collect()
}

/// Why a thread was not pinned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The process may not run there.
    #[error("CPU {0} is not among the CPUs that this process may run on")]
    NotAllowed(usize),
    /// The system refused.
    #[error("the system refuses to pin a thread to CPU {cpu}: {reason}")]
    Refused {
        /// The CPU asked for.
        cpu: usize,
        /// What the system says.
        reason: String,
    },
}

/// The CPUs that the process could run on when this was first asked, which must be before its main thread is pinned.
/// Empty where the system does not say.
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| system::affinity_of_main_thread().unwrap_or_default())
}

/// Lets the calling thread run on `cpu` only, and checks that the system obeyed.
///
/// # Errors
/// When `cpu` is not [`allowed`], or the system refuses, as it always does where [`NOTE`] is given.
pub fn pin_current_thread(cpu: usize) -> Result<(), PinError> {
    let allowed = allowed();
    if !allowed.is_empty() && !allowed.contains(&cpu) {
        return Err(PinError::NotAllowed(cpu));
    }
    system::pin(cpu).map_err(|reason| PinError::Refused { cpu, reason })
}

#[cfg(target_os = "linux")]
mod system {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    const SELF: Pid = Pid::from_raw(0);

    pub fn affinity_of_main_thread() -> Option<Vec<usize>> {
        affinity(Pid::this())
    }

    pub fn pin(cpu: usize) -> Result<(), String> {
        let mut only = CpuSet::new();
        only.set(cpu).map_err(|_| format!("sets of CPUs end at {}", CpuSet::count()))?;
        sched_setaffinity(SELF, &only).map_err(|error| error.desc().to_owned())?;
        match affinity(SELF) {
            Some(now) if now == [cpu] => Ok(()),
            _ => Err("it took the request and did not obey".to_owned()),
        }
    }

    fn affinity(thread: Pid) -> Option<Vec<usize>> {
        let set = sched_getaffinity(thread).ok()?;
        Some((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn affinity_of_main_thread() -> Option<Vec<usize>> {
        None
    }

    pub fn pin(_cpu: usize) -> Result<(), String> {
        Err(super::NOTE.unwrap_or("unsupported").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn cpus(plan: Vec<Option<usize>>) -> Vec<usize> {
        plan.into_iter().map(|cpu| cpu.expect("a pinned thread")).collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn compact_takes_cores_before_siblings_and_one_socket_before_the_next() {
        let (_keep, tree) = fixtures::two_sockets_smt();
        let machine = Machine::read(&tree, &[]);
        assert_eq!(cpus(Placement::Compact.plan(&machine, 8)), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cpus(Placement::Compact.plan(&machine, 10)), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);

        let few = Machine::read(&tree, &[1, 2, 5, 6, 7]);
        // CPUs 1 and 5 are one core, 2 and 6 another; of the core of 3 and 7 only 7 is allowed.
        assert_eq!(cpus(Placement::Compact.plan(&few, 5)), [1, 2, 7, 5, 6]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_plan_never_leaves_the_allowed_cpus() {
        let (_keep, tree) = fixtures::two_sockets_smt();
        for mask in 1_u32..256 {
            let allowed: Vec<usize> = (0..8).filter(|cpu| mask >> cpu & 1 == 1).collect();
            let machine = Machine::read(&tree, &allowed);
            let plan = cpus(Placement::Compact.plan(&machine, allowed.len()));
            let mut sorted = plan.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, allowed, "each allowed CPU once, for {mask:08b}: {plan:?}");
        }
    }

    #[test]
    fn placement_none_and_an_unknown_machine_leave_threads_free() {
        let (_keep, tree) = fixtures::one_socket();
        let machine = Machine::read(&tree, &[]);
        assert_eq!(Placement::None.plan(&machine, 3), [None, None, None]);
        assert_eq!(Placement::Compact.plan(&Machine::default(), 2), [None, None]);
        assert!(Placement::Compact.plan(&machine, 0).is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pins_the_calling_thread_and_no_other() {
        use nix::{sched::sched_getaffinity, unistd::Pid};
        let before = sched_getaffinity(Pid::from_raw(0)).expect("an affinity");
        let cpu = *allowed().last().expect("an allowed CPU");
        std::thread::spawn(move || {
            pin_current_thread(cpu).expect("pinned");
            let now = sched_getaffinity(Pid::from_raw(0)).expect("an affinity");
            let set: Vec<usize> = (0..1024).filter(|&at| now.is_set(at).unwrap_or(false)).collect();
            assert_eq!(set, [cpu]);
        })
        .join()
        .expect("no panic");
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).expect("an affinity"), before);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn refuses_a_cpu_outside_the_allowed_set() {
        let outside = allowed().last().expect("an allowed CPU") + 1;
        assert_eq!(pin_current_thread(outside), Err(PinError::NotAllowed(outside)));
        assert_eq!(pin_current_thread(usize::MAX), Err(PinError::NotAllowed(usize::MAX)));
    }

    #[test]
    fn names_agree_everywhere() {
        use clap::ValueEnum;
        for placement in Placement::value_variants() {
            let value = placement.to_possible_value().expect("a flag value");
            assert_eq!(value.get_name(), placement.name());
            assert_eq!(serde_json::to_value(placement).expect("JSON"), placement.name());
            assert_eq!(placement.to_string(), placement.name());
        }
    }
}
