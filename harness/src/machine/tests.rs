use super::fixtures::{one_socket, tree_of, two_sockets_smt};
use super::*;

#[test]
fn reads_one_socket_without_smt() {
    let (_keep, tree) = one_socket();
    let machine = Machine::read(&tree, &[]);
    assert_eq!(machine.cpu_model.as_deref(), Some("Fast CPU 4"));
    assert_eq!(machine.vendor.as_deref(), Some("Maker"));
    assert_eq!((machine.logical_cpus, machine.allowed_cores), (4, 4));
    assert_eq!(machine.allowed_cpus, [0, 1, 2, 3], "only those online");
    assert_eq!((machine.sockets, machine.cores, machine.smt), (Some(1), Some(4), Some(1)));
    assert_eq!(machine.numa_nodes, Some(1));
    let caches: Vec<_> = machine.caches.iter().map(|c| (c.name.as_str(), c.bytes, c.shared_by)).collect();
    assert_eq!(caches, [("L1d", 32 << 10, 1), ("L2", 1 << 20, 1), ("L3", 8 << 20, 4)]);
    assert_eq!(machine.memory_bytes, Some(16 << 30));
    assert_eq!(machine.memory_limit_bytes, None);
    assert_eq!(available_memory(&tree), Some(8 << 30));
    assert_eq!(machine.kernel.as_deref(), Some("6.1.0"));
    assert_eq!(machine.os.as_deref(), Some("Some Linux 12"));
    assert_eq!(machine.hypervisor, None);
    assert_eq!(machine.thp.as_deref(), Some("madvise"));
    assert_eq!((machine.governor.as_deref(), machine.turbo), (Some("performance"), Some(false)));
    let hash = machine.hostname_hash.expect("a digest");
    assert!(hash.len() == 16 && !hash.contains("box"), "{hash}");
}

#[test]
fn reads_two_sockets_with_smt_and_two_nodes() {
    let (_keep, tree) = two_sockets_smt();
    let machine = Machine::read(&tree, &[]);
    assert_eq!((machine.sockets, machine.cores, machine.smt), (Some(2), Some(4), Some(2)));
    assert_eq!((machine.numa_nodes, machine.logical_cpus), (Some(2), 8));
    assert_eq!(machine.topology[6], Cpu { id: 6, core: 2, socket: 1, node: 1 });
    assert_eq!(machine.hypervisor.as_deref(), Some("Cloud Instance"));
    assert_eq!((machine.governor, machine.turbo), (None, Some(true)));
}

#[test]
fn the_affinity_of_the_process_counts_not_that_of_the_machine() {
    let (_keep, tree) = two_sockets_smt();
    let machine = Machine::read(&tree, &[3, 5, 99]);
    assert_eq!(machine.allowed_cpus, [3, 5], "CPU 99 is not online");
    assert_eq!((machine.allowed_cores, machine.logical_cpus), (2, 8));
}

#[test]
fn a_quota_of_one_and_a_half_cpus_lets_one_thread_run() {
    let (_keep, tree) = tree_of(&[
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/fs/cgroup/job/cpu.max", "150000 100000\n"),
    ]);
    let machine = Machine::read(&tree, &[]);
    assert_eq!((machine.cpu_quota, machine.allowed_cores), (Some(1.5), 1));
    assert_eq!(machine.allowed_cpus, [0, 1, 2, 3]);
    assert_eq!(allowed_cores(4, Some(0.2)), 1);
    assert_eq!(allowed_cores(4, Some(64.0)), 4);
    assert_eq!(allowed_cores(4, None), 4);
}

#[test]
fn missing_files_are_null_and_something_can_still_run() {
    let (_keep, tree) = tree_of(&[]);
    let machine = Machine::read(&tree, &[]);
    assert!(!machine.allowed_cpus.is_empty() && machine.allowed_cores >= 1);
    let json = serde_json::to_value(&machine).expect("JSON");
    for field in
        ["cpu_model", "sockets", "cores", "smt", "numa_nodes", "memory_bytes", "thp", "turbo", "hypervisor"]
    {
        assert!(json[field].is_null(), "{field}: {}", json[field]);
    }
    assert!(machine.topology.is_empty() && machine.caches.is_empty());
}

#[test]
fn malformed_files_are_null() {
    let (_keep, tree) = tree_of(&[
        ("proc/meminfo", "MemTotal: lots kB\n"),
        ("proc/self/status", "Cpus_allowed_list:\t7-3\n"),
        ("sys/devices/system/cpu/online", "zero\n"),
        ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "-1\n"),
        ("sys/devices/system/cpu/cpu0/cache/index0/level", "first\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always\n"),
    ]);
    let machine = Machine::read(&tree, &[]);
    assert_eq!(machine.topology, [Cpu { id: 0, core: 0, socket: 0, node: 0 }]);
    assert_eq!((machine.memory_bytes, machine.thp), (None, None));
    assert_eq!((machine.allowed_cpus, machine.caches), (vec![0], vec![]));
}

#[test]
fn survives_the_trip_through_json_and_reads_older_documents() {
    let (_keep, tree) = two_sockets_smt();
    let machine = Machine::read(&tree, &[]);
    let text = serde_json::to_string(&machine).expect("JSON");
    assert_eq!(serde_json::from_str::<Machine>(&text).expect("the same machine"), machine);
    let older: Machine =
        serde_json::from_str(r#"{"logical_cpus": 3, "unknown": 1}"#).expect("an older document");
    assert_eq!((older.logical_cpus, older.cpu_model), (3, None));
}

#[test]
fn detects_this_machine() {
    let machine = Machine::detect();
    assert!(machine.allowed_cores >= 1 && machine.allowed_cores <= machine.allowed_cpus.len());
    assert!(machine.logical_cpus >= machine.allowed_cpus.len());
    assert_eq!(machine.arch, std::env::consts::ARCH);
    if cfg!(target_os = "linux") {
        assert!(machine.memory_bytes.is_some_and(|bytes| bytes > 64 << 20));
    }
}
