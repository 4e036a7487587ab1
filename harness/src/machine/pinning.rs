//! Keeping a thread on one CPU.
//!
//! A thread that the scheduler moves loses its caches in the middle of a measurement. Pinning exists on Linux; elsewhere
//! every thread stays free, and [`NOTE`] says so.

use std::sync::OnceLock;

/// Why threads are not pinned on this system; `None` where they can be.
pub const NOTE: Option<&str> =
    if cfg!(target_os = "linux") { None } else { Some("this system offers no way to pin a thread to a CPU") };

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
    use super::*;

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
}
