//! What the process takes, by its allocator and by the kernel: beside the ledger of an index, which counts what it asked for.
//!
//! The three views differ for reasons that are worth seeing. The allocator rounds up, keeps headers, and keeps what was freed; the
//! kernel counts pages that were touched, whole, and those of the program and of mapped files as well.

use serde::{Deserialize, Serialize};

use crate::machine::{Tree, kilobytes};

/// The process at one moment. A figure that the system does not give is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Handed out by the allocator and not taken back, with headers and rounding. Blocks that glibc keeps ready for the thread that
    /// freed them are among these.
    pub allocated_bytes: Option<u64>,
    /// Kept by the allocator for what comes: free in its heaps.
    pub kept_bytes: Option<u64>,
    /// Resident set: pages in memory, shared ones whole.
    pub rss_bytes: Option<u64>,
    /// The most that was resident at once since the program began.
    pub peak_rss_bytes: Option<u64>,
    /// Proportional set: a page that n processes share counts as its nth part.
    pub pss_bytes: Option<u64>,
    /// Of the resident pages, those that no file is behind: heaps, stacks, mappings of the allocator.
    pub anonymous_bytes: Option<u64>,
    /// Of these, in huge pages.
    pub huge_bytes: Option<u64>,
    /// Swapped out.
    pub swap_bytes: Option<u64>,
}

impl Footprint {
    /// Reads it. The kernel walks the page tables for it, and the allocator its free lists: milliseconds in a process of gigabytes,
    /// so not within a timed window.
    pub fn now() -> Footprint {
        let heap = heap();
        let system = Footprint::of(&Tree::system());
        Footprint {
            allocated_bytes: heap.map(|heap| heap.allocated),
            kept_bytes: heap.map(|heap| heap.kept),
            peak_rss_bytes: system.peak_rss_bytes.or_else(peak_from_getrusage),
            ..system
        }
    }

    /// What the kernel says in this tree, without the allocator.
    fn of(tree: &Tree) -> Footprint {
        let rollup = tree.text("proc/self/smaps_rollup").unwrap_or_default();
        // One reading: each walks the page tables.
        let mapped = |key: &str| kilobytes(&rollup, key);
        Footprint {
            rss_bytes: mapped("Rss").or_else(|| resident(tree)),
            peak_rss_bytes: tree.kilobytes("proc/self/status", "VmHWM"),
            pss_bytes: mapped("Pss"),
            anonymous_bytes: mapped("Anonymous"),
            huge_bytes: mapped("AnonHugePages"),
            swap_bytes: mapped("Swap"),
            ..Footprint::default()
        }
    }

    /// The least that a look costs: the resident set alone, which the kernel counts as it goes. For time series.
    pub fn resident() -> Option<u64> {
        resident(&Tree::system())
    }
}

fn resident(tree: &Tree) -> Option<u64> {
    tree.kilobytes("proc/self/status", "VmRSS")
}

#[cfg(target_os = "macos")]
fn peak_from_getrusage() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    // macOS counts bytes here, where Linux counts kilobytes.
    getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|usage| u64::try_from(usage.max_rss()).ok())
}

#[cfg(not(target_os = "macos"))]
fn peak_from_getrusage() -> Option<u64> {
    None
}

/// The heap of the process.
#[derive(Clone, Copy)]
struct Heap {
    allocated: u64,
    kept: u64,
}

/// What glibc knows of all its arenas, if it is 2.33 or later; the older form counts in 32 bits, and is not asked.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heap() -> Option<Heap> {
    // By name at run time, so that the program starts with an older glibc too.
    // SAFETY: the name is a C string; the call has no other condition.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: in every glibc that has this symbol it is a function of this type.
    let mallinfo2: unsafe extern "C" fn() -> libc::mallinfo2 = unsafe { std::mem::transmute(found) };
    // SAFETY: it takes nothing, locks what it reads, and may be called from any thread.
    let info = unsafe { mallinfo2() };
    Some(Heap { allocated: (info.uordblks + info.hblkhd) as u64, kept: info.fordblks as u64 })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn heap() -> Option<Heap> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_what_the_kernel_says_of_all_mappings() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("proc/self");
        fs::create_dir_all(&folder).expect("a folder");
        let rollup = "5581d0000000-7ffd1c5f2000 ---p 00000000 00:00 0 [rollup]\n\
            Rss:               40960 kB\nPss:               40000 kB\nPss_Anon:          38000 kB\n\
            Anonymous:         38912 kB\nAnonHugePages:      2048 kB\nSwap:                  0 kB\nSwapPss: 4 kB\n";
        fs::write(folder.join("smaps_rollup"), rollup).expect("a file");
        let read = Footprint::of(&Tree::at(root.path()));
        let expected = Footprint {
            rss_bytes: Some(40_960 << 10),
            pss_bytes: Some(40_000 << 10),
            anonymous_bytes: Some(38_912 << 10),
            huge_bytes: Some(2048 << 10),
            swap_bytes: Some(0),
            ..Footprint::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn an_old_kernel_gives_the_resident_set_alone() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("proc/self")).expect("a folder");
        fs::write(root.path().join("proc/self/status"), "VmHWM:\t 900 kB\nVmRSS:\t 800 kB\n")
            .expect("a file");
        let read = Footprint::of(&Tree::at(root.path()));
        let expected =
            Footprint { rss_bytes: Some(800 << 10), peak_rss_bytes: Some(900 << 10), ..Footprint::default() };
        assert_eq!(read, expected);
        assert_eq!(
            Footprint::of(&Tree::at(root.path().join("proc"))),
            Footprint::default(),
            "no such file at all"
        );
    }

    #[test]
    fn every_view_sees_a_large_block() {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return;
        }
        const BYTES: u64 = 64 << 20;
        let before = Footprint::now();
        let block = vec![1_u8; BYTES as usize];
        let after = Footprint::now();
        // Other tests of this process allocate and free meanwhile: some MB at most.
        let sees = |of: fn(&Footprint) -> Option<u64>| {
            let (Some(before), Some(after)) = (of(&before), of(&after)) else { return true };
            after.saturating_sub(before) > BYTES * 3 / 4
        };
        assert!(sees(|print| print.allocated_bytes), "{before:?}, then {after:?}");
        assert!(sees(|print| print.rss_bytes), "{before:?}, then {after:?}");
        assert!(sees(|print| print.anonymous_bytes), "{before:?}, then {after:?}");
        assert!(after.peak_rss_bytes >= Some(block.len() as u64), "{after:?}");
    }

    #[test]
    fn a_look_at_the_resident_set_alone_is_within_what_the_process_ever_had() {
        if cfg!(target_os = "linux") {
            let (resident, print) = (Footprint::resident(), Footprint::now());
            assert!(resident > Some(100 << 10), "{resident:?}");
            assert!(resident <= print.peak_rss_bytes, "{resident:?}, {print:?}");
        }
    }
}
