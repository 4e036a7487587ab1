use super::super::fixtures::{models, one_socket, tree_of, two_sockets_smt};
use super::*;
use crate::counters::Event;

const TOPICS: [&str; 14] = [
    "cores",
    "quota",
    "smt",
    "numa",
    "pinning",
    "background load",
    "steal time",
    "frequency",
    "huge pages",
    "instruction set",
    "clock",
    "memory",
    "perf events",
    "scaling fit",
];

/// What can be counted where `refused` says why an event cannot.
fn counted(refused: impl Fn(Event) -> Option<&'static str>) -> Vec<(Group, Refusals)> {
    let of = |&event: &Event| (event, refused(event).map(str::to_owned));
    Group::ALL.into_iter().map(|group| (group, group.events().iter().map(of).collect())).collect()
}

/// Trials on a machine where all goes well.
fn good_trials() -> Trials {
    Trials {
        pinning: Ok(4),
        policies: Ok(()),
        disturbance: Disturbance {
            seconds: 0.5,
            own_cores: Some(0.0),
            other_cores: Some(0.01),
            steal_share: Some(0.0),
            preemptions_per_cpu_second: Some(0.0),
            pressure: Some(0.0),
            throttled_seconds: None,
            other_limit: 0.14,
            steal_limit: 0.01,
        },
        clock: Clock { step: Duration::from_nanos(20), cost_ns: 25.0 },
        counters: counted(|_| None),
        isa: "avx2".to_owned(),
        isa_asked: None,
    }
}

fn report(tree: &Tree, trials: &Trials) -> String {
    let machine = Machine::read(tree, &[]);
    let mut out = Vec::new();
    print(&machine, &examine(&machine, tree, trials), &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

fn finding(tree: &Tree, trials: &Trials, topic: &str) -> (Verdict, String) {
    let findings = examine(&Machine::read(tree, &[]), tree, trials);
    let finding = findings.into_iter().find(|finding| finding.topic == topic).expect("the topic");
    (finding.verdict, finding.text)
}

const DESKTOP_PLAN: &str = "\
--pin                  threads  cores  per node  CPUs
compact, scatter, smt        1      1  1         0
compact, scatter, smt        2      2  2         0-1
compact, scatter, smt        4      4  4         0-3

";

#[test]
fn a_quiet_desktop_as_printed() {
    let (_keep, tree) = one_socket();
    let expected = format!(
        "\
CPU     Fast CPU 4 ({})
system  Some Linux 12, kernel 6.1.0
host    no hypervisor seen

ok       cores            4 of 4 logical CPUs allowed; thread counts up to 4
ok       quota            no CPU quota
ok       smt              one hardware thread per core
ok       numa             one memory node; effects of remote memory cannot be seen here
ok       pinning          a thread was pinned to each of 4 CPUs in turn
ok       background load  other processes used 0.01 cores over 0.5 s
ok       steal time       none
ok       frequency        governor performance, turbo off
ok       huge pages       madvise: vectors and lists ask for them
ok       instruction set  avx2; the environment variable HNSW_ISA overrides it
ok       clock            a reading costs 25 ns and steps of 20 ns are seen, source tsc
ok       memory           8.0 GiB available: about 12 million vectors of 128 f32 or 1.8 million of 1024, with graph (M=16)
ok       perf events      counters of core, cache, software: all
limited  scaling fit      4 distinct thread counts: a fit is possible and weak below 6

{}14 checks: 13 ok, 1 limited, 0 cannot
",
        std::env::consts::ARCH,
        if pinning::NOTE.is_some() { "" } else { DESKTOP_PLAN },
    );
    assert_eq!(report(&tree, &good_trials()), expected);
}

#[test]
fn has_every_section_on_every_machine() {
    for (_keep, tree) in [one_socket(), two_sockets_smt(), tree_of(&[])] {
        let text = report(&tree, &good_trials());
        for topic in TOPICS {
            let is_its_line = |line: &str| line.get(9..).is_some_and(|rest| rest.starts_with(topic));
            assert_eq!(text.lines().filter(|line| is_its_line(line)).count(), 1, "{topic} in\n{text}");
        }
    }
}

#[test]
fn tells_what_is_missing_when_nothing_is_visible() {
    let (_keep, tree) = tree_of(&[]);
    let mut trials = good_trials();
    trials.disturbance.other_cores = None;
    trials.disturbance.steal_share = None;
    for topic in ["smt", "numa", "frequency", "huge pages", "memory"] {
        let (verdict, text) = finding(&tree, &trials, topic);
        assert_eq!(verdict, Verdict::Limited, "{topic}: {text}");
        assert!(text.contains("visible"), "{topic}: {text}");
    }
    for topic in ["background load", "steal time"] {
        assert_eq!(finding(&tree, &trials, topic).0, Verdict::Cannot);
    }
}

#[test]
fn a_quota_and_one_core_are_told() {
    let (_keep, tree) = tree_of(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ("sys/devices/system/cpu/online", "0-7\n"),
    ]);
    let trials = good_trials();
    assert_eq!(finding(&tree, &trials, "quota").0, Verdict::Limited);
    let (verdict, text) = finding(&tree, &trials, "cores");
    assert_eq!(verdict, Verdict::Limited);
    assert!(text.starts_with("4 of 8 logical CPUs allowed; thread counts up to 1;"), "{text}");
    assert_eq!(finding(&tree, &trials, "scaling fit").0, Verdict::Cannot);
}

#[test]
fn bad_values_of_the_override_are_named() {
    let (_keep, tree) = one_socket();
    let asked = |name: &str| {
        let trials = Trials { isa_asked: Some(name.to_owned()), ..good_trials() };
        finding(&tree, &trials, "instruction set")
    };
    assert_eq!(asked("avx2"), (Verdict::Ok, "avx2, as HNSW_ISA asks".to_owned()));
    assert_eq!(asked("").0, Verdict::Ok);
    let (verdict, text) = asked("neon");
    assert!(verdict == Verdict::Limited && text.contains("asks for neon"), "{text}");
    let (verdict, text) = asked("sse9");
    assert!(verdict == Verdict::Limited && text.contains("unknown value \"sse9\""), "{text}");
}

#[test]
fn load_theft_failed_pins_and_bad_clocks_are_told() {
    let (_keep, tree) = two_sockets_smt();
    let mut trials = good_trials();
    trials.disturbance = Disturbance { other_cores: Some(0.4), steal_share: Some(0.2), ..trials.disturbance };
    trials.pinning = Err("refused".to_owned());
    trials.clock = Clock { step: Duration::from_millis(15), cost_ns: 900.0 };
    trials.counters = counted(|_| Some("forbidden"));
    assert_eq!(finding(&tree, &trials, "background load").0, Verdict::Limited);
    assert_eq!(finding(&tree, &trials, "steal time").0, Verdict::Limited);
    assert_eq!(finding(&tree, &trials, "pinning").0, Verdict::Cannot);
    assert_eq!(finding(&tree, &trials, "clock").0, Verdict::Cannot);
    let none = (Verdict::Cannot, "counters of core, cache, software: none (forbidden)".to_owned());
    assert_eq!(finding(&tree, &trials, "perf events"), none);
    assert_eq!(finding(&tree, &trials, "frequency").0, Verdict::Limited);
    assert_eq!(finding(&tree, &trials, "memory").0, Verdict::Limited);
}

#[test]
fn groups_of_counters_are_told_apart() {
    let (_keep, tree) = one_socket();
    let hardware = |event: Event| event.group() != Group::Software;
    let virtual_machine = counted(|event| hardware(event).then_some("no such counter"));
    let trials = Trials { counters: virtual_machine, ..good_trials() };
    assert_eq!(
        finding(&tree, &trials, "perf events"),
        (Verdict::Limited, "counters of core, cache: none (no such counter); software: all".to_owned())
    );
    let no_llc = counted(|event| (event == Event::LlcReadMisses).then_some("no such counter"));
    let trials = Trials { counters: no_llc, ..good_trials() };
    assert_eq!(
        finding(&tree, &trials, "perf events"),
        (
            Verdict::Limited,
            "counters of core, software: all; cache: all but llc_read_misses: no such counter".to_owned()
        )
    );
}

#[test]
#[cfg(target_os = "linux")]
fn plans_are_told_for_every_policy() {
    let text = |(_keep, tree): (tempfile::TempDir, Tree)| {
        let mut out = Vec::new();
        plan::print(&Machine::read(&tree, &[]), &mut out).expect("written");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        text(models::container_with_cpuset_and_quota()),
        "\
--pin    threads  cores  per node  CPUs
compact        1      1  1+0       2
compact        2      2  2+0       2-3
compact        3      3  3+0       2-4
scatter        1      1  1+0       2
scatter        2      2  1+1       2,30
scatter        3      3  2+1       2-3,30
smt            1      1  1+0       2
smt            2      1  2+0       2,58
smt            3      2  3+0       2-3,58

"
    );
    let epyc = text(models::epyc_2x64x2_nps4());
    for line in [
        "compact      128    128  16+16+16+16+16+16+16+16  0-127",
        "scatter        4      4  1+1+0+0+1+1+0+0          0,16,64,80",
        "smt           64     32  32+32+0+0+0+0+0+0        0-31,128-159",
        "smt          256    128  32+32+32+32+32+32+32+32  0-255",
    ] {
        assert!(epyc.lines().any(|told| told == line), "{line} in\n{epyc}");
    }
}

#[test]
fn a_system_that_refuses_memory_policies_is_told_where_there_are_nodes() {
    let trials = Trials { policies: Err("not permitted".to_owned()), ..good_trials() };
    let (_keep, tree) = models::xeon_2x28x2();
    let (verdict, text) = finding(&tree, &trials, "numa");
    assert!(verdict == Verdict::Limited && text.ends_with("cannot change it: not permitted"), "{text}");
    let (_keep, tree) = one_socket();
    assert_eq!(finding(&tree, &trials, "numa").0, Verdict::Ok);
}

#[test]
fn runs_here_and_speaks_json() {
    let mut out = Vec::new();
    run(&DoctorArgs { json: false }, &mut out).expect("written");
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("14 checks"), "{text}");

    let mut out = Vec::new();
    run(&DoctorArgs { json: true }, &mut out).expect("written");
    let machine: Machine = serde_json::from_slice(&out).expect("a machine");
    assert_eq!(machine.allowed_cpus, Machine::detect().allowed_cpus);
}
