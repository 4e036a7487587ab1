//! `hnsw-lab doctor`: what this machine can and cannot measure, and what would help.

mod plan;

use std::fmt;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::clock::{self, Clock};
use super::tree::Tree;
use super::{Disturbance, Machine, Noise, available_memory, build, memory as nodes, noise, pinning};
use crate::counters::{self, Group, Refusals};

/// How long the background load is watched.
const WATCH: Duration = Duration::from_millis(500);
/// The names that `HNSW_ISA` may have.
const ISA_NAMES: [&str; 4] = ["scalar", "neon", "avx2", "avx512"];
/// A fit of the scaling law is refused below the first and comes with a warning below the second.
const FIT_POINTS: (usize, usize) = (4, 6);
/// The part of the available memory that a data set and its graph may take.
const USABLE_MEMORY: f64 = 0.9;

/// Say what this machine can and cannot measure
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: hnsw-lab doctor --json > machine.json")]
pub struct DoctorArgs {
    /// Print the facts about the machine as JSON, as result documents hold them
    #[arg(long)]
    pub json: bool,
}

/// Examines this machine for half a second and prints what it finds. Whatever it finds is a success.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> io::Result<()> {
    let machine = Machine::detect();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &machine)?;
        return writeln!(out);
    }
    let tree = Tree::system();
    let findings = examine(&machine, &tree, &Trials::run(&machine));
    print(&machine, &findings, out)
}

/// What can be expected of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Limited,
    Cannot,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Limited => "limited",
            Verdict::Cannot => "cannot",
        })
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    topic: &'static str,
    verdict: Verdict,
    text: String,
}

/// What only trying can tell.
struct Trials {
    /// How many of the allowed CPUs took a thread, or why one did not.
    pinning: Result<usize, String>,
    /// Whether memory nodes may be chosen, or why not.
    policies: Result<(), String>,
    disturbance: Disturbance,
    clock: Clock,
    /// What can be counted, and why the rest cannot.
    counters: Vec<(Group, Refusals)>,
    isa: String,
    isa_asked: Option<String>,
}

impl Trials {
    fn run(machine: &Machine) -> Trials {
        let before = Noise::now();
        thread::sleep(WATCH);
        let disturbance = Noise::now().disturbance(&before);
        Trials {
            pinning: try_pinning(machine),
            policies: nodes::try_policies(),
            disturbance,
            clock: clock::measure(),
            counters: counters::survey(),
            isa: build::isa_in_use(),
            isa_asked: std::env::var_os("HNSW_ISA").map(|name| name.to_string_lossy().into_owned()),
        }
    }
}

/// Pins a thread to each allowed CPU in turn.
fn try_pinning(machine: &Machine) -> Result<usize, String> {
    if let Some(note) = pinning::NOTE {
        return Err(note.to_owned());
    }
    let cpus = machine.allowed_cpus.clone();
    let pin_all =
        move || cpus.iter().try_for_each(|&cpu| pinning::pin_current_thread(cpu)).map(|()| cpus.len());
    let thread = thread::Builder::new().spawn(pin_all).map_err(|error| error.to_string())?;
    thread.join().map_err(|_| "the thread to be pinned failed".to_owned())?.map_err(|error| error.to_string())
}

fn print(machine: &Machine, findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let unknown = "unknown";
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| unknown.to_owned());
    writeln!(out, "CPU     {} ({})", or(&machine.cpu_model), machine.arch)?;
    writeln!(out, "system  {}, kernel {}", or(&machine.os), or(&machine.kernel))?;
    writeln!(
        out,
        "host    {}",
        machine.hypervisor.as_ref().map_or("no hypervisor seen".to_owned(), |name| {
            format!("virtual machine, hypervisor {name}")
        })
    )?;
    writeln!(out)?;
    for Finding { topic, verdict, text } in findings {
        writeln!(out, "{verdict:<8} {topic:<16} {text}")?;
    }
    writeln!(out)?;
    plan::print(machine, out)?;
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (ok, limited, cannot) = (count(Verdict::Ok), count(Verdict::Limited), count(Verdict::Cannot));
    writeln!(out, "{} checks: {ok} ok, {limited} limited, {cannot} cannot", findings.len())
}

/// Judges everything. Never fails: what is not visible is a finding too.
fn examine(machine: &Machine, tree: &Tree, trials: &Trials) -> Vec<Finding> {
    let seen = &trials.disturbance;
    [
        ("cores", cores(machine)),
        ("quota", quota(machine)),
        ("smt", smt(machine)),
        ("numa", numa(machine, trials)),
        ("pinning", pinning_works(trials)),
        ("background load", background(seen)),
        ("steal time", steal(machine, seen)),
        ("frequency", frequency(machine)),
        ("huge pages", huge_pages(machine)),
        ("instruction set", instruction_set(trials)),
        ("clock", clock_quality(tree, trials.clock)),
        ("memory", memory(tree)),
        ("perf events", perf_events(trials)),
        ("scaling fit", scaling_fit(machine)),
    ]
    .into_iter()
    .map(|(topic, (verdict, text))| Finding { topic, verdict, text })
    .collect()
}

type Judgement = (Verdict, String);

fn cores(machine: &Machine) -> Judgement {
    let (allowed, present) = (machine.allowed_cpus.len(), machine.logical_cpus);
    let text =
        format!("{allowed} of {present} logical CPUs allowed; thread counts up to {}", machine.allowed_cores);
    match allowed {
        1 => (Verdict::Cannot, format!("{text}; nothing can scale on one CPU")),
        _ if allowed < present => {
            (Verdict::Limited, format!("{text}; others may use the rest of the machine meanwhile"))
        }
        _ => (Verdict::Ok, text),
    }
}

fn quota(machine: &Machine) -> Judgement {
    match machine.cpu_quota {
        None => (Verdict::Ok, "no CPU quota".to_owned()),
        Some(quota) if quota >= machine.allowed_cpus.len() as f64 => {
            (Verdict::Ok, format!("a quota of {quota:.2} CPUs does not bind"))
        }
        Some(quota) => {
            let text = format!(
                "a quota of {quota:.2} CPUs stops threads in mid-run; give whole CPUs (a cpuset) instead"
            );
            (Verdict::Limited, text)
        }
    }
}

fn smt(machine: &Machine) -> Judgement {
    match (machine.smt, machine.cores) {
        (Some(1), _) => (Verdict::Ok, "one hardware thread per core".to_owned()),
        (Some(threads), Some(cores)) => {
            let text = format!(
                "{threads} hardware threads on each of {cores} cores; beyond {cores} threads the curve shows SMT too"
            );
            (Verdict::Ok, text)
        }
        _ => (Verdict::Limited, "cores are not visible: two threads may share one unseen".to_owned()),
    }
}

fn numa(machine: &Machine, trials: &Trials) -> Judgement {
    match machine.numa_nodes {
        Some(1) => (Verdict::Ok, "one memory node; effects of remote memory cannot be seen here".to_owned()),
        Some(nodes) => {
            let text = format!("{nodes} memory nodes; memory goes where it is first written");
            match &trials.policies {
                Ok(()) => (Verdict::Ok, format!("{text}, unless --memory says otherwise")),
                Err(why) => (Verdict::Limited, format!("{text}, and --memory cannot change it: {why}")),
            }
        }
        None => (Verdict::Limited, "memory nodes are not visible".to_owned()),
    }
}

fn pinning_works(trials: &Trials) -> Judgement {
    match &trials.pinning {
        Ok(cpus) => (Verdict::Ok, format!("a thread was pinned to each of {cpus} CPUs in turn")),
        Err(why) => (Verdict::Cannot, format!("{why}; repeat more blocks, since threads wander")),
    }
}

fn background(seen: &Disturbance) -> Judgement {
    let Some(others) = seen.other_cores else {
        return (
            Verdict::Cannot,
            "the load of other processes is not visible; trials cannot be marked".to_owned(),
        );
    };
    let text = format!("other processes used {others:.2} cores over {:.1} s", seen.seconds);
    if seen.excess_load().is_some() {
        (Verdict::Limited, format!("{text}; trials will be marked as tainted: stop them, or wait"))
    } else {
        (Verdict::Ok, text)
    }
}

fn steal(machine: &Machine, seen: &Disturbance) -> Judgement {
    match seen.steal_share {
        None => (Verdict::Cannot, "stolen time is not visible; trials cannot be marked".to_owned()),
        Some(share) if seen.excess_steal().is_some() => {
            let text = format!(
                "the hypervisor withheld {:.1} % just now; trust ratios of interleaved trials only",
                100.0 * share
            );
            (Verdict::Limited, text)
        }
        Some(_) if machine.hypervisor.is_some() => (
            Verdict::Ok,
            format!(
                "none to speak of now; trials with more than {:.0} % are marked",
                100.0 * noise::STEAL_SHARE
            ),
        ),
        Some(_) => (Verdict::Ok, "none".to_owned()),
    }
}

fn frequency(machine: &Machine) -> Judgement {
    let turbo = machine.turbo.map(|on| if on { "turbo on" } else { "turbo off" });
    let governor = machine.governor.as_ref().map(|name| format!("governor {name}"));
    let steady = machine.governor.as_deref() == Some("performance") && machine.turbo == Some(false);
    let known: Vec<String> = governor.into_iter().chain(turbo.map(str::to_owned)).collect();
    match (known.is_empty(), steady) {
        (true, _) => {
            let text = "neither governor nor turbo is visible, as in most virtual machines; compare ratios, not absolutes";
            (Verdict::Limited, text.to_owned())
        }
        (false, true) => (Verdict::Ok, known.join(", ")),
        (false, false) => {
            let advice = "one thread may run faster than many, which flatters it; set the governor performance and turbo off";
            (Verdict::Limited, format!("{}; {advice}", known.join(", ")))
        }
    }
}

fn huge_pages(machine: &Machine) -> Judgement {
    match machine.thp.as_deref() {
        Some("always") => (Verdict::Ok, "always".to_owned()),
        Some("madvise") => (Verdict::Ok, "madvise: vectors and lists ask for them".to_owned()),
        Some(other) => (
            Verdict::Limited,
            format!("{other}: large graphs pay for address translation; madvise would help"),
        ),
        None => (Verdict::Limited, "not visible".to_owned()),
    }
}

fn instruction_set(trials: &Trials) -> Judgement {
    let Trials { isa, isa_asked, .. } = trials;
    match isa_asked.as_deref().map(str::trim).filter(|asked| !asked.is_empty()) {
        None => (Verdict::Ok, format!("{isa}; the environment variable HNSW_ISA overrides it")),
        Some(asked) if asked == isa => (Verdict::Ok, format!("{isa}, as HNSW_ISA asks")),
        Some(asked) if ISA_NAMES.contains(&asked) => (
            Verdict::Limited,
            format!("{isa}: HNSW_ISA asks for {asked}, which this machine or build cannot run"),
        ),
        Some(asked) => {
            let names = ISA_NAMES.join(", ");
            (Verdict::Limited, format!("{isa}: HNSW_ISA has the unknown value {asked:?}; known are {names}"))
        }
    }
}

fn clock_quality(tree: &Tree, clock: Clock) -> Judgement {
    let source = tree
        .text("sys/devices/system/clocksource/clocksource0/current_clocksource")
        .map_or(String::new(), |name| format!(", source {name}"));
    let step = clock.step.as_nanos();
    let text = format!("a reading costs {:.0} ns and steps of {step} ns are seen{source}", clock.cost_ns);
    if clock.cost_ns > 10_000.0 || step > 100_000 {
        (Verdict::Cannot, format!("{text}; latencies of single operations mean nothing here"))
    } else if clock.cost_ns > 200.0 || step > 1_000 {
        (Verdict::Limited, format!("{text}; short operations look longer than they are"))
    } else {
        (Verdict::Ok, text)
    }
}

fn memory(tree: &Tree) -> Judgement {
    let Some(available) = available_memory(tree) else {
        return (
            Verdict::Limited,
            "available memory is not visible; capacity is not checked in advance".to_owned(),
        );
    };
    let usable = available as f64 * USABLE_MEMORY;
    let fits = |dim| count(usable / bytes_per_vector(dim));
    let gib = available as f64 / f64::from(1 << 30);
    let text = format!(
        "{gib:.1} GiB available: about {} vectors of 128 f32 or {} of 1024, with graph (M=16)",
        fits(128),
        fits(1024)
    );
    let verdict = if usable < 100_000.0 * bytes_per_vector(128) { Verdict::Limited } else { Verdict::Ok };
    (verdict, text)
}

/// An estimate for f32 at M=16: a padded row, 2 M links of 4 bytes at level 0 and M for each of the 1/(M-1) further
/// levels that a node has on average, and 16 bytes for its id, state and synchronisation.
fn bytes_per_vector(dim: usize) -> f64 {
    const M: f64 = 16.0;
    let row = 4 * dim.next_multiple_of(hnsw_core::distance::LANES);
    row as f64 + 4.0 * (2.0 * M + M / (M - 1.0)) + 16.0
}

/// Two significant digits: it is an estimate.
fn count(number: f64) -> String {
    match number {
        n if n >= 10e6 => format!("{:.0} million", n / 1e6),
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n if n >= 1e3 => format!("{:.0} thousand", n / 1e3),
        n => format!("{n:.0}"),
    }
}

fn perf_events(trials: &Trials) -> Judgement {
    let groups = &trials.counters;
    let events = || groups.iter().flat_map(|(_, events)| events);
    let counted = events().filter(|(_, reason)| reason.is_none()).count();
    // Groups of which the same is to be said are named together.
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for (group, events) in groups {
        let none = events.iter().all(|(_, reason)| reason.is_some());
        let text = match counters::reasons(events) {
            None => "all".to_owned(),
            Some(why) if none => format!("none ({why})"),
            Some(why) => format!("all but {why}"),
        };
        match told.iter_mut().find(|(other, _)| *other == text) {
            Some((_, names)) => names.push(group.name()),
            None => told.push((text, vec![group.name()])),
        }
    }
    let told: Vec<String> =
        told.iter().map(|(text, names)| format!("{}: {text}", names.join(", "))).collect();
    let text = format!("counters of {}", told.join("; "));
    let verdict = match counted {
        0 => Verdict::Cannot,
        _ if counted < events().count() => Verdict::Limited,
        _ => Verdict::Ok,
    };
    (verdict, text)
}

fn scaling_fit(machine: &Machine) -> Judgement {
    let (least, enough) = FIT_POINTS;
    let points = machine.allowed_cores;
    if points < least {
        let text = format!(
            "{points} distinct thread counts are too few to fit a scaling law, which takes {least}; take curves as they are"
        );
        (Verdict::Cannot, text)
    } else if points < enough {
        (
            Verdict::Limited,
            format!("{points} distinct thread counts: a fit is possible and weak below {enough}"),
        )
    } else {
        (
            Verdict::Ok,
            format!("{points} distinct thread counts are possible; measure {enough} or more of them"),
        )
    }
}

#[cfg(test)]
mod tests;
