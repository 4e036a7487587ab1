//! What an error of the system means for a counter, and what would help.

use std::io;

use super::{Event, Reason};

/// Where the system says what it lets anyone count.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Why the system does not let us count `event`.
#[cfg(target_os = "linux")]
pub fn reason(event: Event, error: &io::Error) -> Reason {
    told(event, error, std::fs::read_to_string(PARANOID).ok().as_deref().map(str::trim))
}

/// Why the system does not let us count `event`, where it has this level of distrust.
pub fn told(event: Event, error: &io::Error, paranoid: Option<&str>) -> Reason {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
            "the machine, or its hypervisor, has no such counter".into()
        }
        Some(libc::EACCES | libc::EPERM) => forbidden(event, paranoid),
        Some(libc::ENOSYS) => "this kernel has no perf events, or a container hides them".into(),
        Some(libc::EINVAL) => "this kernel or CPU does not take the counter in its group".into(),
        Some(libc::EBUSY) => "another program keeps the counters of the CPU for itself".into(),
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many open files: each worker takes 13 for its counters; raise the limit (ulimit -n)".into()
        }
        _ => format!("the system answers: {error}"),
    }
}

fn forbidden(event: Event, paranoid: Option<&str>) -> Reason {
    let most = event.most_paranoid();
    let level = paranoid.and_then(|text| text.parse::<i32>().ok());
    match (level, paranoid) {
        (Some(level), _) if level <= most => format!(
            "forbidden, though {PARANOID} is {level}: a container may have to be started with CAP_PERFMON and a seccomp \
             profile that permits perf_event_open"
        ),
        (_, text) => format!(
            "forbidden: {PARANOID} is {}; {most} or less (sysctl kernel.perf_event_paranoid={most}) or CAP_PERFMON allows it",
            text.unwrap_or("not visible")
        ),
    }
}
