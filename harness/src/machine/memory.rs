//! Which memory nodes pages come from.
//!
//! Linux takes a page from the node of the thread that touches it first, unless the thread has another policy. A policy is
//! set on the thread that runs a command before it starts any other, and threads inherit it: so it holds for data, index
//! and scratch alike, though not for pages that the program had before. The system's answer is read back and recorded, so
//! that a document tells what held even when `numactl` had set it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Machine;
use super::tree::spelled;

/// What `--memory` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryPolicy {
    /// From the node of the thread that touches a page first.
    Local,
    /// Page by page from all nodes that the process may use.
    Interleave,
    /// From this node only.
    Bind(usize),
}

/// The policy that held, as documents keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryInForce {
    /// What was asked for; null if nothing was, and the policy stayed that of whoever started the program.
    pub asked: Option<String>,
    /// `local`, `interleave`, `bind` or `other`, as the system says; null where it does not.
    pub policy: Option<String>,
    /// The nodes that the policy names; empty for `local`.
    pub nodes: Vec<usize>,
    /// False where all memory is in one node, so that no policy makes a difference; null where nodes are not visible.
    pub effective: Option<bool>,
}

/// Why there are no policies on this system; `None` where there are.
pub const NOTE: Option<&str> =
    if cfg!(target_os = "linux") { None } else { Some("this system offers no choice of memory nodes") };

/// What could be asked of a process: the mode of [`system::set`] and the nodes that go with it.
type Request = (Mode, Vec<usize>);

/// A policy as the system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Local,
    Interleave,
    Bind,
    Other,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Mode::Local => "local",
            Mode::Interleave => "interleave",
            Mode::Bind => "bind",
            Mode::Other => "other",
        }
    }
}

/// Gives the calling thread, and those that it starts, the policy that was asked for, and says which one holds now.
///
/// # Errors
/// A node that the process may not use; a system that knows no policies, or refuses them.
pub fn settle(asked: Option<MemoryPolicy>, machine: &Machine) -> Result<MemoryInForce> {
    if let Some(policy) = asked
        && let Some(request) = policy.request(machine, NOTE)?
    {
        if let Err(why) = system::set(&request) {
            bail!(
                "--memory {policy} cannot be done: the system answers `{why}`; a container must be given CAP_SYS_NICE, or a \
                 seccomp profile with set_mempolicy"
            );
        }
        let held = system::get();
        ensure!(
            held.as_ref().is_none_or(|held| *held == request),
            "--memory {policy} cannot be done: the system took the request and did not obey"
        );
    }
    let (mode, nodes) = system::get().map_or((None, Vec::new()), |(mode, nodes)| (Some(mode), nodes));
    Ok(MemoryInForce {
        asked: asked.map(|policy| policy.to_string()),
        policy: mode.map(|mode| mode.name().to_owned()),
        nodes,
        effective: (!machine.memory_nodes.is_empty()).then_some(machine.memory_nodes.len() > 1),
    })
}

/// Whether a thread may choose where its memory comes from. Leaves it as it is.
///
/// # Errors
/// What the system says.
pub fn try_policies() -> Result<(), String> {
    match (NOTE, system::get()) {
        (Some(note), _) => Err(note.to_owned()),
        (None, Some(held @ (Mode::Local | Mode::Interleave | Mode::Bind, _))) => system::set(&held),
        // What holds is not known well enough to set it again, so this is the best answer without a change.
        (None, Some((Mode::Other, _))) => Ok(()),
        (None, None) => Err("the system does not tell its memory policy".to_owned()),
    }
}

impl MemoryPolicy {
    /// What to ask the system for; `None` where all memory is in one node and every policy does the same.
    fn request(self, machine: &Machine, note: Option<&str>) -> Result<Option<Request>> {
        let nodes = &machine.memory_nodes;
        if let Some(note) = note {
            bail!("--memory {self} cannot be done: {note}");
        }
        if let MemoryPolicy::Bind(node) = self {
            ensure!(!nodes.is_empty(), "--memory {self} cannot be done: memory nodes are not visible here");
            let there = match nodes[..] {
                [only] => format!("all memory is in node {only}"),
                _ => format!("this process may use the nodes {}", spelled(nodes)),
            };
            ensure!(nodes.contains(&node), "--memory {self} cannot be done: {there}");
        }
        Ok(match self {
            _ if nodes.len() == 1 => None,
            MemoryPolicy::Local => Some((Mode::Local, Vec::new())),
            MemoryPolicy::Bind(node) => Some((Mode::Bind, vec![node])),
            MemoryPolicy::Interleave => {
                ensure!(
                    !nodes.is_empty(),
                    "--memory {self} cannot be done: memory nodes are not visible here"
                );
                Some((Mode::Interleave, nodes.clone()))
            }
        })
    }
}

impl fmt::Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryPolicy::Local => f.write_str("local"),
            MemoryPolicy::Interleave => f.write_str("interleave"),
            MemoryPolicy::Bind(node) => write!(f, "bind:{node}"),
        }
    }
}

impl FromStr for MemoryPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<MemoryPolicy, String> {
        match text {
            "local" => Ok(MemoryPolicy::Local),
            "interleave" => Ok(MemoryPolicy::Interleave),
            _ => text
                .strip_prefix("bind:")
                .and_then(|node| node.parse().ok())
                .map(MemoryPolicy::Bind)
                .ok_or_else(|| "there are local, interleave, and bind with a node, as in bind:0".into()),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Mode, Request};
    use std::io;

    const BITS: usize = usize::BITS as usize;
    /// Words of a set of nodes: of 1024 nodes, more than any kernel is built for.
    const WORDS: usize = 1024 / BITS;
    /// The kernel takes one from the number of bits that it is told.
    const LENGTH: usize = WORDS * BITS + 1;
    /// Flags that come with a mode.
    const FLAGS: libc::c_int =
        libc::MPOL_F_NUMA_BALANCING | libc::MPOL_F_RELATIVE_NODES | libc::MPOL_F_STATIC_NODES;

    /// The policy of the calling thread.
    pub fn get() -> Option<Request> {
        let (mut mode, mut mask) = (0 as libc::c_int, [0_usize; WORDS]);
        let (no_address, no_flags) = (std::ptr::null::<libc::c_void>(), 0 as libc::c_ulong);
        // SAFETY: the kernel writes one int to the first pointer and at most LENGTH - 1 bits to the second, which are valid
        // for them; without flags it looks at no address.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut mode,
                mask.as_mut_ptr(),
                LENGTH as libc::c_ulong,
                no_address,
                no_flags,
            )
        };
        if answer != 0 {
            return None;
        }
        let mode = match mode & !FLAGS {
            libc::MPOL_DEFAULT | libc::MPOL_LOCAL => return Some((Mode::Local, Vec::new())),
            libc::MPOL_INTERLEAVE => Mode::Interleave,
            libc::MPOL_BIND => Mode::Bind,
            _ => Mode::Other,
        };
        let is_set = |node: &usize| mask[node / BITS] >> (node % BITS) & 1 == 1;
        Some((mode, (0..WORDS * BITS).filter(is_set).collect()))
    }

    /// Gives the calling thread a policy, which threads that it starts inherit.
    pub fn set((mode, nodes): &Request) -> Result<(), String> {
        let mode = match mode {
            Mode::Local => libc::MPOL_DEFAULT,
            Mode::Interleave => libc::MPOL_INTERLEAVE,
            Mode::Bind => libc::MPOL_BIND,
            Mode::Other => return Err("no such policy".to_owned()),
        };
        let mut mask = [0_usize; WORDS];
        for &node in nodes {
            let word = mask.get_mut(node / BITS).ok_or_else(|| format!("there is no node {node}"))?;
            *word |= 1 << (node % BITS);
        }
        // SAFETY: the kernel reads at most LENGTH - 1 bits from the pointer, which is valid for them, and writes nothing.
        let answer =
            unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask.as_ptr(), LENGTH as libc::c_ulong) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error().to_string()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Request;

    pub fn get() -> Option<Request> {
        None
    }

    pub fn set(_: &Request) -> Result<(), String> {
        Err(super::NOTE.unwrap_or("unsupported").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_nodes(nodes: &[usize]) -> Machine {
        Machine { memory_nodes: nodes.to_vec(), ..Machine::default() }
    }

    fn refused(policy: MemoryPolicy, nodes: &[usize], note: Option<&str>) -> String {
        policy.request(&with_nodes(nodes), note).expect_err("refused").to_string()
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for policy in [MemoryPolicy::Local, MemoryPolicy::Interleave, MemoryPolicy::Bind(3)] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for bad in ["", "bind", "bind:", "bind:-1", "bind:x", "local ", "bind:0,1", "default"] {
            assert!(bad.parse::<MemoryPolicy>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interleave_takes_all_nodes_with_memory_and_bind_takes_one() {
        let machine = with_nodes(&[0, 1, 4]);
        let request = |policy: MemoryPolicy| policy.request(&machine, None).expect("granted");
        assert_eq!(request(MemoryPolicy::Interleave), Some((Mode::Interleave, vec![0, 1, 4])));
        assert_eq!(request(MemoryPolicy::Bind(4)), Some((Mode::Bind, vec![4])));
        assert_eq!(request(MemoryPolicy::Local), Some((Mode::Local, vec![])));
        assert_eq!(
            refused(MemoryPolicy::Bind(2), &[0, 1, 4], None),
            "--memory bind:2 cannot be done: this process may use the nodes 0-1,4"
        );
    }

    #[test]
    fn on_one_node_nothing_need_be_asked_and_other_nodes_are_refused() {
        let one = with_nodes(&[0]);
        for policy in [MemoryPolicy::Local, MemoryPolicy::Interleave, MemoryPolicy::Bind(0)] {
            assert_eq!(policy.request(&one, None).expect("granted"), None);
        }
        assert_eq!(
            refused(MemoryPolicy::Bind(1), &[0], None),
            "--memory bind:1 cannot be done: all memory is in node 0"
        );
        // What is not visible is not taken for one node.
        for policy in [MemoryPolicy::Interleave, MemoryPolicy::Bind(0)] {
            assert!(refused(policy, &[], None).ends_with("memory nodes are not visible here"));
        }
    }

    #[test]
    fn a_system_without_policies_refuses_all_of_them_in_one_line() {
        for policy in [MemoryPolicy::Local, MemoryPolicy::Interleave, MemoryPolicy::Bind(0)] {
            let said = refused(policy, &[0], Some("no choice"));
            assert_eq!(said, format!("--memory {policy} cannot be done: no choice"));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn interleave_on_one_node_is_recorded_as_having_no_effect() {
        let before = system::get();
        let held = settle(Some(MemoryPolicy::Interleave), &with_nodes(&[0])).expect("accepted");
        assert_eq!((held.asked.as_deref(), held.effective), (Some("interleave"), Some(false)));
        assert_eq!(system::get(), before, "nothing was asked of the system");
        let unasked = settle(None, &with_nodes(&[])).expect("accepted");
        assert_eq!((unasked.asked, unasked.effective), (None, None));
        assert_eq!(unasked.policy, before.map(|(mode, _)| mode.name().to_owned()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_policy_holds_for_the_thread_and_those_that_it_starts() {
        // Node 0 need not be there, and a container may forbid the call; then the answer is an error and nothing changes.
        let outcome = std::thread::spawn(|| {
            let request = (Mode::Bind, vec![0]);
            let before = system::get();
            let set = system::set(&request);
            let inherited = std::thread::spawn(system::get).join().expect("no panic");
            (set.is_ok() && before.is_some(), before, inherited, system::get())
        });
        let (is_set, before, inherited, now) = outcome.join().expect("no panic");
        let expected = if is_set { Some((Mode::Bind, vec![0])) } else { before };
        assert_eq!((inherited, now), (expected.clone(), expected));
        assert!(system::set(&(Mode::Bind, vec![1 << 20])).is_err(), "a node beyond all kernels");
        assert!(system::set(&(Mode::Interleave, vec![1023])).is_err(), "a node that is not there");
    }

    #[test]
    fn trying_changes_nothing() {
        let before = system::get();
        let tried = try_policies();
        assert_eq!(system::get(), before);
        assert!(before.is_some() || tried.is_err());
    }
}
