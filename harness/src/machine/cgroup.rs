//! What the control groups of this process allow it, under cgroup v2 and v1.
//!
//! A limit of any ancestor binds too, so the smallest one on the way to the root counts. In a container the path that
//! the kernel names may lie outside the part of the hierarchy that is mounted; then only the mounted root is found, and
//! that is the container's own group.

use super::tree::Tree;

const MOUNT: &str = "sys/fs/cgroup";

/// CPUs' worth of time that the quota gives per period: 1.5 means 150 ms in each 100 ms. `None` without a quota.
pub fn cpu_quota(tree: &Tree) -> Option<f64> {
    folders(tree, "cpu").iter().filter_map(|folder| quota_of(tree, folder)).min_by(f64::total_cmp)
}

/// Microseconds that the quota has stopped the process's groups for; `None` where that is not counted.
pub fn throttled_us(tree: &Tree) -> Option<u64> {
    let stopped = folders(tree, "cpu").into_iter().filter_map(|folder| {
        let stat = tree.text(&format!("{folder}/cpu.stat"))?;
        let value = |key: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
            line.trim().parse::<u64>().ok()
        };
        value("throttled_usec").or_else(|| Some(value("throttled_time")? / 1000))
    });
    stopped.reduce(u64::saturating_add)
}

/// The memory limit in bytes, and how much of it is used. `None` without a limit.
pub fn memory_limit(tree: &Tree) -> Option<(u64, u64)> {
    let limits = folders(tree, "memory").into_iter().filter_map(|folder| {
        let number = |name: &str| tree.number::<u64>(&format!("{folder}/{name}"));
        let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes")).unwrap_or(0);
        Some((limit, used))
    });
    // Version 1 spells "no limit" as the largest multiple of the page size.
    limits.filter(|&(limit, _)| limit < 1 << 60).min_by_key(|&(limit, used)| limit.saturating_sub(used))
}

fn quota_of(tree: &Tree, folder: &str) -> Option<f64> {
    let (quota, period) = match tree.text(&format!("{folder}/cpu.max")) {
        Some(both) => {
            let (quota, period) = both.split_once(' ')?;
            (quota.parse::<f64>().ok()?, period.trim().parse::<f64>().ok()?)
        }
        None => (
            tree.number(&format!("{folder}/cpu.cfs_quota_us"))?,
            tree.number(&format!("{folder}/cpu.cfs_period_us"))?,
        ),
    };
    // "max" in version 2 and -1 in version 1 mean that there is none.
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The folders of the groups that hold this process for one controller, innermost first.
fn folders(tree: &Tree, controller: &str) -> Vec<String> {
    let groups = tree.text("proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if controllers.is_empty() {
            folders.extend(ancestors(MOUNT, path));
        } else if controllers.split(',').any(|name| name == controller) {
            // Mounted under the name of the controller or of the whole list; usually one is a link to the other.
            folders.extend(ancestors(&format!("{MOUNT}/{controller}"), path));
        }
    }
    folders
}

fn ancestors(mount: &str, path: &str) -> Vec<String> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != "..").collect();
    (0..=names.len()).rev().map(|depth| [&[mount], &names[..depth]].concat().join("/")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::tree_of;
    use super::*;

    #[test]
    fn without_groups_nothing_is_limited() {
        let (_keep, tree) = tree_of(&[]);
        assert_eq!((cpu_quota(&tree), throttled_us(&tree), memory_limit(&tree)), (None, None, None));
    }

    #[test]
    fn version_2_takes_the_tightest_ancestor() {
        let (_keep, tree) = tree_of(&[
            ("proc/self/cgroup", "0::/slice/job\n"),
            ("sys/fs/cgroup/slice/job/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/slice/job/cpu.stat", "usage_usec 9\nnr_throttled 2\nthrottled_usec 1234\n"),
            ("sys/fs/cgroup/slice/job/memory.max", "max\n"),
            ("sys/fs/cgroup/slice/memory.max", "1000000\n"),
            ("sys/fs/cgroup/slice/memory.current", "400000\n"),
        ]);
        assert_eq!(cpu_quota(&tree), Some(1.5));
        assert_eq!(throttled_us(&tree), Some(1234));
        assert_eq!(memory_limit(&tree), Some((1_000_000, 400_000)));
    }

    #[test]
    fn version_1_in_a_container_falls_back_to_the_mounted_root() {
        let (_keep, tree) = tree_of(&[
            ("proc/self/cgroup", "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/cpu.stat", "nr_periods 1\nthrottled_time 5000000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(cpu_quota(&tree), Some(2.5));
        assert_eq!(throttled_us(&tree), Some(5000));
        assert_eq!(memory_limit(&tree), None);
    }

    #[test]
    fn a_quota_of_minus_one_or_garbage_is_none() {
        for quota in ["-1", "0", "many", ""] {
            let (_keep, tree) = tree_of(&[
                ("proc/self/cgroup", "3:cpu:/\nnot a line\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
            ]);
            assert_eq!(cpu_quota(&tree), None, "{quota:?}");
        }
    }

    #[test]
    fn a_path_cannot_climb_out_of_the_mount() {
        assert_eq!(ancestors("m", "/../a/.."), ["m/a", "m"]);
    }
}
