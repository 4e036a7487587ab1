//! Why a trial cannot be trusted: what else the machine did meanwhile.
//!
//! Take a [`Noise`] before and one after; [`Noise::since`] gives the reasons to mark the trial as tainted. A source that
//! the system does not show gives no reason: `hnsw-lab doctor` tells which ones are visible. All of it concerns the whole
//! machine, because neighbours on other cores use the same memory and power.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::cgroup;
use super::tree::Tree;

/// Other processes may use this many cores on average, …
pub const OTHER_CORES: f64 = 0.10;
/// … or this part of the logical CPUs if that is more: on many cores the background of the system itself is more.
pub const OTHER_SHARE: f64 = 0.01;
/// The part of the wanted CPU time that the hypervisor may give to others.
pub const STEAL_SHARE: f64 = 0.01;
/// Involuntary context switches of this process per second of its CPU time.
pub const PREEMPTIONS_PER_CPU_SECOND: f64 = 100.0;
/// The part of the time in which some runnable thread of the machine may wait for a CPU.
pub const PRESSURE: f64 = 0.05;
/// Counters of CPU time may be off by this many clock ticks at either end.
const TICK_ERROR: f64 = 2.0;

/// The counters of one instant.
#[derive(Clone, Debug)]
pub struct Noise {
    at: Instant,
    machine: Option<Ticks>,
    own_ticks: Option<u64>,
    involuntary: Option<u64>,
    pressure_us: Option<u64>,
    throttled_us: Option<u64>,
}

/// CPU time of the whole machine in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    steal: u64,
    cpus: usize,
}

/// What happened between two instants. `None` is "not visible".
#[derive(Clone, Debug, PartialEq)]
pub struct Disturbance {
    /// The time between them.
    pub seconds: f64,
    /// Cores that this process kept busy on average.
    pub own_cores: Option<f64>,
    /// Cores that everything else kept busy on average.
    pub other_cores: Option<f64>,
    /// The part of the CPU time that someone wanted and the hypervisor gave to another machine.
    pub steal_share: Option<f64>,
    /// Involuntary context switches per second of own CPU time.
    pub preemptions_per_cpu_second: Option<f64>,
    /// The part of the time in which some runnable thread of the machine waited for a CPU.
    pub pressure: Option<f64>,
    /// Seconds for which the CPU quota stopped this process.
    pub throttled_seconds: Option<f64>,
    /// Other cores that are tolerable on this machine over this time.
    pub(super) other_limit: f64,
    /// Stolen time that is too little to be told from none, as a share.
    pub(super) steal_limit: f64,
}

impl Noise {
    /// The counters now.
    pub fn now() -> Noise {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let switches = usage.and_then(|usage| u64::try_from(usage.involuntary_context_switches()).ok());
        Noise::read(&Tree::system(), Instant::now(), switches)
    }

    fn read(tree: &Tree, at: Instant, involuntary: Option<u64>) -> Noise {
        Noise {
            at,
            machine: tree.text("proc/stat").and_then(|stat| machine_ticks(&stat)),
            own_ticks: tree.text("proc/self/stat").and_then(|stat| own_ticks(&stat)),
            involuntary,
            pressure_us: tree.text("proc/pressure/cpu").and_then(|pressure| some_total(&pressure)),
            throttled_us: cgroup::throttled_us(tree),
        }
    }

    /// The reasons not to trust what was measured between `earlier` and this; none when all was quiet. `oversubscribed`
    /// says that the process itself ran more threads than it may use cores.
    pub fn since(&self, earlier: &Noise, oversubscribed: bool) -> Vec<String> {
        self.disturbance(earlier).reasons_of(oversubscribed)
    }

    /// What happened between `earlier` and this.
    pub fn disturbance(&self, earlier: &Noise) -> Disturbance {
        self.disturbance_in_ticks(earlier, ticks_per_second())
    }

    fn disturbance_in_ticks(&self, earlier: &Noise, per_second: f64) -> Disturbance {
        let seconds =
            self.at.saturating_duration_since(earlier.at).max(Duration::from_millis(1)).as_secs_f64();
        let passed = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?) as f64);
        let busy = passed(self.machine.map(|t| t.busy), earlier.machine.map(|t| t.busy));
        let steal = passed(self.machine.map(|t| t.steal), earlier.machine.map(|t| t.steal));
        let own = passed(self.own_ticks, earlier.own_ticks);
        let wanted = busy.zip(steal).map(|(busy, steal)| (busy + steal).max(1.0));
        let cpus = self.machine.map_or(1, |ticks| ticks.cpus);
        let tick_cores = 1.0 / (per_second * seconds);
        let switches = passed(self.involuntary, earlier.involuntary);
        Disturbance {
            seconds,
            own_cores: own.map(|own| own * tick_cores),
            other_cores: busy.zip(own).map(|(busy, own)| (busy - own).max(0.0) * tick_cores),
            steal_share: steal.zip(wanted).map(|(steal, wanted)| steal / wanted),
            // A tenth of a second at least, or a sleeping process that is woken once would seem to be hunted.
            preemptions_per_cpu_second: switches.zip(own).map(|(n, own)| n / (own / per_second).max(0.1)),
            pressure: passed(self.pressure_us, earlier.pressure_us).map(|us| us / 1e6 / seconds),
            throttled_seconds: passed(self.throttled_us, earlier.throttled_us).map(|us| us / 1e6),
            other_limit: OTHER_CORES.max(OTHER_SHARE * cpus as f64) + TICK_ERROR * tick_cores,
            steal_limit: STEAL_SHARE.max(wanted.map_or(0.0, |wanted| TICK_ERROR / wanted)),
        }
    }
}

impl Disturbance {
    /// The load of other processes, when it is beyond what is tolerable.
    pub fn excess_load(&self) -> Option<f64> {
        over(self.other_cores, self.other_limit)
    }

    /// The share of stolen time, when it is beyond what is tolerable.
    pub fn excess_steal(&self) -> Option<f64> {
        over(self.steal_share, self.steal_limit)
    }

    /// One line for each limit that was passed and that only others can pass: threads of one process that share CPUs
    /// preempt each other, wait for a CPU and exhaust the quota by themselves.
    pub fn foreign_reasons(&self) -> Vec<String> {
        let others = self.excess_load().map(|v| format!("other processes used {v:.2} cores"));
        let steal = self
            .excess_steal()
            .map(|v| format!("the hypervisor withheld {:.1} % of the CPU time", 100.0 * v));
        others.into_iter().chain(steal).collect()
    }

    /// Those of [`Disturbance::reasons`] that count where the process itself ran more threads than cores, or not.
    pub fn reasons_of(&self, oversubscribed: bool) -> Vec<String> {
        if oversubscribed { self.foreign_reasons() } else { self.reasons() }
    }

    /// One line for each limit that was passed.
    pub fn reasons(&self) -> Vec<String> {
        let preempted = over(self.preemptions_per_cpu_second, PREEMPTIONS_PER_CPU_SECOND)
            .map(|v| format!("threads were preempted {v:.0} times per second of CPU time"));
        let pressure = over(self.pressure, PRESSURE)
            .map(|v| format!("runnable threads waited for a CPU in {:.0} % of the time", 100.0 * v));
        let throttled = over(self.throttled_seconds, 0.0)
            .map(|v| format!("the CPU quota stopped the process for {v:.3} seconds"));
        self.foreign_reasons().into_iter().chain(preempted).chain(pressure).chain(throttled).collect()
    }
}

fn over(value: Option<f64>, limit: f64) -> Option<f64> {
    value.filter(|&value| value > limit)
}

fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|&ticks| ticks > 0).map_or(100.0, |ticks| ticks as f64)
}

/// `cpu user nice system idle iowait irq softirq steal …`; guest time is part of user time.
fn machine_ticks(stat: &str) -> Option<Ticks> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else { return None };
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cpus = stat.lines().filter(is_cpu).count().max(1);
    Some(Ticks { busy: user + nice + system + irq + softirq, steal, cpus })
}

/// User and system time of the process. The name before them may hold spaces and brackets.
fn own_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The `total` of the line `some`, in microseconds.
fn some_total(pressure: &str) -> Option<u64> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::tree_of;
    use super::*;

    /// Counters `second` seconds after `start`, of a machine with two CPUs and 100 ticks per second.
    fn counters(
        start: Instant,
        second: u64,
        busy: u64,
        own: u64,
        steal: u64,
        switches: u64,
        waited_us: u64,
    ) -> Noise {
        let (_keep, tree) = tree_of(&[
            ("proc/stat", &format!("cpu  {busy} 0 0 99 7 0 0 {steal} 5 0\ncpu0 1 2\ncpu1 1 2\nintr 5\n")),
            ("proc/self/stat", &format!("7 (a) b (c) R 1 1 1 0 -1 0 0 0 0 0 {own} 0 0 0 20 0 1 0\n")),
            ("proc/pressure/cpu", &format!("some avg10=0.00 total={waited_us}\nfull avg10=0 total=9\n")),
        ]);
        Noise::read(&tree, start + Duration::from_secs(second), Some(switches))
    }

    fn reasons(before: &Noise, after: &Noise) -> Vec<String> {
        after.disturbance_in_ticks(before, 100.0).reasons()
    }

    #[test]
    fn a_quiet_machine_gives_no_reason() {
        let start = Instant::now();
        let before = counters(start, 0, 5000, 100, 10, 7, 1000);
        // Ten seconds: 20 CPU seconds of our own, 0.5 of others, 0.1 stolen.
        let after = counters(start, 10, 7050, 2100, 20, 107, 100_000);
        assert_eq!(reasons(&before, &after), Vec::<String>::new());
        let seen = after.disturbance_in_ticks(&before, 100.0);
        assert_eq!((seen.own_cores, seen.other_cores), (Some(2.0), Some(0.05)));
    }

    #[test]
    fn each_limit_has_its_line() {
        let start = Instant::now();
        let before = counters(start, 0, 0, 0, 0, 0, 0);
        let loaded = counters(start, 10, 1420, 1000, 0, 0, 0);
        assert_eq!(reasons(&before, &loaded), ["other processes used 0.42 cores"]);
        let stolen = counters(start, 10, 950, 950, 50, 0, 0);
        assert_eq!(reasons(&before, &stolen), ["the hypervisor withheld 5.0 % of the CPU time"]);
        let preempted = counters(start, 10, 1000, 1000, 0, 2500, 0);
        assert_eq!(reasons(&before, &preempted), ["threads were preempted 250 times per second of CPU time"]);
        let waited = counters(start, 10, 1000, 1000, 0, 0, 3_000_000);
        assert_eq!(reasons(&before, &waited), ["runnable threads waited for a CPU in 30 % of the time"]);
    }

    #[test]
    fn threads_that_share_cpus_disturb_each_other_and_only_others_taint_them() {
        let start = Instant::now();
        let before = counters(start, 0, 0, 0, 0, 0, 0);
        let foreign = |after: Noise| after.disturbance_in_ticks(&before, 100.0).foreign_reasons();
        assert_eq!(foreign(counters(start, 10, 2000, 2000, 0, 9000, 9_000_000)), Vec::<String>::new());
        assert_eq!(foreign(counters(start, 10, 2000, 1000, 50, 9000, 9_000_000)).len(), 2);
    }

    #[test]
    fn throttling_is_a_reason_however_short() {
        let start = Instant::now();
        let at = |second: u64, us: u64| {
            let (_keep, tree) = tree_of(&[
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/cpu.stat", &format!("throttled_usec {us}\n")),
            ]);
            Noise::read(&tree, start + Duration::from_secs(second), None)
        };
        let expected = ["the CPU quota stopped the process for 0.120 seconds"];
        assert_eq!(reasons(&at(0, 5), &at(1, 120_005)), expected);
    }

    #[test]
    fn the_grain_of_the_counters_is_no_noise() {
        let start = Instant::now();
        let before = counters(start, 0, 0, 0, 0, 0, 0);
        let mut after = counters(start, 0, 12, 10, 1, 0, 0);
        after.at = start + Duration::from_millis(100);
        assert_eq!(reasons(&before, &after), Vec::<String>::new());
    }

    #[test]
    fn counters_that_are_missing_or_run_backwards_give_no_reason() {
        let start = Instant::now();
        let (_keep, empty) = tree_of(&[("proc/stat", "cpu 1 2\n"), ("proc/self/stat", "7 (x\n")]);
        let nothing = Noise::read(&empty, start, None);
        let seen = nothing.disturbance_in_ticks(&nothing, 100.0);
        assert_eq!((seen.other_cores, seen.steal_share, seen.pressure), (None, None, None));
        assert!(seen.reasons().is_empty());
        let late = counters(start, 5, 900, 900, 90, 90, 90);
        assert!(reasons(&late, &counters(start, 0, 0, 0, 0, 0, 0)).is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn sees_its_own_work() {
        let before = Noise::now();
        let until = Instant::now() + Duration::from_millis(200);
        let mut spins = 0_u64;
        while Instant::now() < until {
            spins += 1;
        }
        let seen = Noise::now().disturbance(&before);
        assert!(spins > 0 && seen.seconds >= 0.2);
        assert!(seen.own_cores.is_some_and(|cores| cores > 0.0), "{seen:?}");
    }
}
