//! Whether the hardware counters of the CPU can be read.

use std::io;

/// Opens a counter of instructions for this process and closes it again.
///
/// # Errors
/// When the system does not let us.
#[cfg(target_os = "linux")]
pub fn try_counters() -> io::Result<()> {
    use std::os::fd::{FromRawFd, OwnedFd};

    /// The first published form of `struct perf_event_attr`, which each kernel takes.
    #[repr(C)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        sample_period: u64,
        sample_type: u64,
        read_format: u64,
        flags: u64,
        wakeup_events: u32,
        breakpoint_type: u32,
        breakpoint_address: u64,
    }
    const HARDWARE: u32 = 0;
    const INSTRUCTIONS: u64 = 1;
    const DISABLED: u64 = 1;
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
    let attributes = Attributes {
        kind: HARDWARE,
        size: size_of::<Attributes>() as u32,
        config: INSTRUCTIONS,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: DISABLED | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
        wakeup_events: 0,
        breakpoint_type: 0,
        breakpoint_address: 0,
    };
    let (this_process, any_cpu, no_group, no_flags) = (0, -1, -1, 0_u64);
    // SAFETY: the kernel reads `size` bytes from the pointer, which is valid for them, and writes nothing.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_process,
            any_cpu,
            no_group,
            no_flags,
        )
    };
    if descriptor >= 0 {
        // SAFETY: the kernel has just opened it for us and no one else knows of it.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor as i32) });
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Opens a counter of instructions for this process and closes it again.
///
/// # Errors
/// Always: hardware counters are read on Linux only.
#[cfg(not(target_os = "linux"))]
pub fn try_counters() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_same_answer_twice_and_leaks_no_descriptor() {
        let descriptors = || std::fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let kind = || try_counters().map_err(|error| error.kind());
        let first = kind();
        let before = descriptors();
        for _ in 0..50 {
            assert_eq!(kind(), first);
        }
        let (before, after) = (before.unwrap_or(0), descriptors().unwrap_or(0));
        assert!(after < before + 50, "{before} descriptors, then {after}");
    }
}
