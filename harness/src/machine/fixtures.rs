//! File trees of made-up machines.

use std::fs;

use tempfile::TempDir;

use super::tree::Tree;

pub mod models;
pub mod stored;

/// A tree with these files. It lives as long as the folder does.
pub fn tree_of(files: &[(&str, &str)]) -> (TempDir, Tree) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("a file");
    }
    let tree = Tree::at(folder.path());
    (folder, tree)
}

struct Layout {
    id: usize,
    siblings: &'static str,
    socket: &'static str,
}

fn machine(layout: &[Layout], rest: &[(&str, &str)]) -> (TempDir, Tree) {
    let mut files: Vec<(String, String)> =
        rest.iter().map(|&(path, content)| (path.to_owned(), content.to_owned())).collect();
    for cpu in layout {
        let folder = format!("sys/devices/system/cpu/cpu{}/topology", cpu.id);
        files.push((format!("{folder}/thread_siblings_list"), cpu.siblings.to_owned()));
        files.push((format!("{folder}/physical_package_id"), cpu.socket.to_owned()));
    }
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    tree_of(&files)
}

/// One socket, four cores, no SMT, one memory node; a desktop with everything visible.
pub fn one_socket() -> (TempDir, Tree) {
    let layout = [
        Layout { id: 0, siblings: "0\n", socket: "0\n" },
        Layout { id: 1, siblings: "1\n", socket: "0\n" },
        Layout { id: 2, siblings: "2\n", socket: "0\n" },
        Layout { id: 3, siblings: "3\n", socket: "0\n" },
    ];
    let cache = "sys/devices/system/cpu/cpu0/cache";
    let caches = [
        ("index0", "1", "Data", "32K", "0"),
        ("index1", "1", "Instruction", "32K", "0"),
        ("index2", "2", "Unified", "1024K", "0"),
        ("index3", "3", "Unified", "8M", "0-3"),
    ];
    let mut files: Vec<(String, &str)> = Vec::new();
    for (index, level, kind, size, shared) in caches {
        for (name, value) in [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)] {
            files.push((format!("{cache}/{index}/{name}"), value));
        }
    }
    let mut rest: Vec<(&str, &str)> = vec![
        (
            "proc/cpuinfo",
            "processor\t: 0\nvendor_id\t: Maker\nmodel name\t: Fast CPU 4\nflags\t\t: fpu sse2\n",
        ),
        ("proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n"),
        // CPUs that could be plugged in are listed as allowed.
        ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-127\n"),
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ("proc/sys/kernel/hostname", "box\n"),
        ("etc/os-release", "NAME=Some\nPRETTY_NAME=\"Some Linux 12\"\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"),
        ("sys/devices/system/node/node0/cpulist", "0-3\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ];
    rest.extend(files.iter().map(|(path, content)| (path.as_str(), *content)));
    machine(&layout, &rest)
}

/// Two sockets of two cores with two hardware threads each, a memory node per socket; a virtual machine.
pub fn two_sockets_smt() -> (TempDir, Tree) {
    let layout = [
        Layout { id: 0, siblings: "0,4", socket: "0" },
        Layout { id: 1, siblings: "1,5", socket: "0" },
        Layout { id: 2, siblings: "2,6", socket: "1" },
        Layout { id: 3, siblings: "3,7", socket: "1" },
        Layout { id: 4, siblings: "0,4", socket: "0" },
        Layout { id: 5, siblings: "1,5", socket: "0" },
        Layout { id: 6, siblings: "2,6", socket: "1" },
        Layout { id: 7, siblings: "3,7", socket: "1" },
    ];
    let rest = [
        ("proc/cpuinfo", "model name\t: Server CPU\nflags\t\t: fpu hypervisor avx2\n"),
        ("proc/meminfo", "MemTotal:       1024 kB\n"),
        ("proc/self/status", "Cpus_allowed_list:\t0-7\n"),
        ("sys/class/dmi/id/sys_vendor", "Cloud\n"),
        ("sys/class/dmi/id/product_name", "Instance\n"),
        ("sys/devices/system/cpu/online", "0-7\n"),
        ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ("sys/devices/system/node/node0/cpulist", "0-1,4-5\n"),
        ("sys/devices/system/node/node1/cpulist", "2-3,6-7\n"),
    ];
    machine(&layout, &rest)
}
