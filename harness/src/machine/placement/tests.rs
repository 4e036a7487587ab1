//! Plans for machines that are not here.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::super::fixtures::{self, models, stored};
use super::super::tree::cpu_list;
use super::*;

/// A machine with what each order begins with.
struct Case {
    name: &'static str,
    machine: Machine,
    compact: [usize; 8],
    scatter: [usize; 8],
    smt: [usize; 8],
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let case = |name, (_keep, tree): (tempfile::TempDir, super::super::Tree), firsts: [[usize; 8]; 3]| {
        let [compact, scatter, smt] = firsts;
        Case { name, machine: Machine::read(&tree, &[]), compact, scatter, smt }
    };
    vec![
        case(
            "a Xeon of two sockets",
            models::xeon_2x28x2(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 28, 1, 29, 2, 30, 3, 31], [0, 56, 1, 57, 2, 58, 3, 59]],
        ),
        case(
            "an EPYC of two sockets with four nodes each",
            models::epyc_2x64x2_nps4(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 64, 16, 80, 32, 96, 48, 112], [0, 128, 1, 129, 2, 130, 3, 131]],
        ),
        case(
            "eight sockets that are counted in turn",
            models::eight_sockets_in_turn(),
            [[0, 8, 16, 24, 32, 40, 48, 56], [0, 1, 2, 3, 4, 5, 6, 7], [0, 80, 8, 88, 16, 96, 24, 104]],
        ),
        case(
            "an ARM server without SMT",
            models::arm_2x64(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 64, 32, 96, 1, 65, 33, 97], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a desktop of large and small cores",
            models::hybrid_desktop(),
            [[0, 2, 4, 6, 8, 10, 12, 14], [0, 2, 4, 6, 8, 10, 12, 14], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a container",
            models::container_with_cpuset_and_quota(),
            [[2, 3, 4, 5, 30, 31, 32, 33], [2, 30, 3, 31, 4, 32, 5, 33], [2, 58, 3, 59, 4, 5, 30, 86]],
        ),
        case(
            "CPUs off-line",
            models::holes(),
            [[1, 2, 3, 6, 7, 16, 20, 8], [1, 8, 2, 9, 3, 12, 6, 13], [1, 17, 2, 3, 19, 6, 22, 7]],
        ),
        case(
            "memory without CPUs",
            models::memory_without_cpus(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 32, 1, 33, 2, 34, 3, 35], [0, 64, 1, 65, 2, 66, 3, 67]],
        ),
        case(
            "a stored Xeon of two sockets",
            stored::xeon_2x8(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 8, 1, 9, 2, 10, 3, 11], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored Opteron of eight sockets",
            stored::opteron_8x2(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 4, 6, 8, 10, 12, 14], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored Opteron of four sockets with two nodes each",
            stored::opteron_4x8x2(),
            [[0, 2, 4, 6, 8, 10, 12, 14], [0, 16, 32, 48, 8, 24, 40, 56], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored Opteron whose nodes have gaps in their numbers",
            stored::opteron_4x12_sparse(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 12, 24, 36, 6, 18, 30, 42], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored POWER7 of eight nodes",
            stored::power7_64x4(),
            [[0, 4, 8, 12, 16, 20, 24, 28], [0, 32, 64, 96, 128, 160, 192, 224], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored ARM server of two sockets",
            stored::arm_2x2x32(),
            [[0, 1, 2, 3, 4, 5, 6, 7], [0, 64, 32, 96, 1, 65, 33, 97], [0, 1, 2, 3, 4, 5, 6, 7]],
        ),
        case(
            "a stored Xeon of four sockets that are counted in turn",
            stored::xeon_4x10_in_turn(),
            [[0, 4, 8, 12, 16, 20, 24, 28], [0, 1, 2, 3, 4, 5, 6, 7], [0, 4, 8, 12, 16, 20, 24, 28]],
        ),
    ]
});

/// How often each value of `what` comes among the first `threads` CPUs of an order, for those that the process may use.
fn counts(
    machine: &Machine,
    order: &[usize],
    what: impl Fn(&super::super::Cpu) -> usize,
) -> BTreeMap<usize, usize> {
    let of = |id: &usize| what(machine.topology.iter().find(|cpu| cpu.id == *id).expect("a known CPU"));
    let mut counts: BTreeMap<usize, usize> = machine.allowed_cpus.iter().map(|id| (of(id), 0)).collect();
    order.iter().for_each(|id| *counts.entry(of(id)).or_default() += 1);
    counts
}

/// The first CPUs of an order that comes round again, as plans do.
fn first(placement: &Placement, machine: &Machine, threads: usize) -> Vec<usize> {
    placement.order(machine).into_iter().cycle().take(threads).collect()
}

/// What every plan must be, whatever the machine allows.
fn check(machine: &Machine, threads: usize) {
    let allowed = &machine.allowed_cpus;
    for placement in Placement::ORDERS {
        let plan = first(&placement, machine, threads);
        assert_eq!(plan.len(), threads);
        assert!(
            plan.iter().all(|cpu| allowed.contains(cpu)),
            "{placement} leaves the allowed CPUs: {plan:?}"
        );
        let uses = counts(machine, &plan, |cpu| cpu.id);
        let (least, most) = (uses.values().min(), uses.values().max());
        assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{placement}: {plan:?}");
        let more = first(&placement, machine, threads + 1);
        assert_eq!(more[..threads], plan, "{placement} moves threads when there is one more");
    }
    for placement in [Placement::Compact, Placement::Scatter] {
        let plan = first(&placement, machine, threads.min(allowed.len()));
        let cores = counts(machine, &plan, |cpu| cpu.core);
        let whole = counts(machine, allowed, |cpu| cpu.core);
        let most = cores.values().copied().max().unwrap_or(0);
        for (core, used) in &cores {
            assert!(
                *used + 1 >= most.min(whole[core] + 1),
                "{placement} uses a sibling while core {core} has room: {plan:?}"
            );
        }
    }
    let smt = first(&Placement::Smt, machine, threads.min(allowed.len()));
    let whole = counts(machine, allowed, |cpu| cpu.core);
    let begun = counts(machine, &smt, |cpu| cpu.core);
    let parts = begun.iter().filter(|(core, used)| (1..whole[*core]).contains(*used)).count();
    assert!(parts <= 1, "smt begins a core before the last one is full: {smt:?}");
}

/// The nodes have as many threads as each other, but for one; a node whose cores have all got theirs may have fewer.
fn check_balance(machine: &Machine, threads: usize) {
    let by_turn = sites(machine);
    let plan = first(&Placement::Scatter, machine, threads.min(by_turn.len()));
    let last =
        plan.last().and_then(|id| by_turn.iter().find(|site| site.id == *id)).map_or(1, |site| site.turn);
    let of_last: Vec<&Site> = by_turn.iter().filter(|site| site.turn == last).collect();
    let used = |node: usize| of_last.iter().filter(|s| s.node == node && plan.contains(&s.id)).count();
    let room = |node: usize| of_last.iter().filter(|site| site.node == node).count();
    let nodes: BTreeSet<usize> = of_last.iter().map(|site| site.node).collect();
    let most = nodes.iter().map(|node| used(*node)).max().unwrap_or(0);
    for node in nodes {
        assert!(used(node) + 1 >= most || used(node) == room(node), "node {node} of {plan:?}");
    }
}

#[test]
fn the_first_eight_are_as_expected() {
    for case in &*CASES {
        let first = |placement: Placement| first(&placement, &case.machine, 8);
        assert_eq!(first(Placement::Compact), case.compact, "compact on {}", case.name);
        assert_eq!(first(Placement::Scatter), case.scatter, "scatter on {}", case.name);
        assert_eq!(first(Placement::Smt), case.smt, "smt on {}", case.name);
    }
}

#[test]
fn the_machines_are_what_their_names_say() {
    let facts = |case: &Case| {
        let Machine { sockets, cores, smt, allowed_cores, .. } = case.machine;
        let nodes = topology_nodes(&case.machine);
        (sockets.unwrap_or(0), nodes, cores.unwrap_or(0), smt.unwrap_or(0), allowed_cores)
    };
    let expected = [
        (2, 2, 56, 2, 112),
        (2, 8, 128, 2, 256),
        (8, 8, 80, 2, 160),
        (2, 4, 128, 1, 128),
        (1, 1, 16, 2, 24),
        (2, 2, 56, 2, 3),
        (2, 2, 14, 2, 21),
        (2, 2, 64, 2, 128),
        (2, 2, 16, 1, 16),
        (8, 8, 16, 1, 16),
        (4, 8, 32, 2, 64),
        (4, 8, 48, 1, 48),
        (1, 8, 64, 4, 256),
        (2, 4, 128, 1, 128),
        (4, 4, 40, 1, 40),
    ];
    assert_eq!(CASES.iter().map(facts).collect::<Vec<_>>(), expected);
    let memory: Vec<&[usize]> = CASES.iter().map(|case| &case.machine.memory_nodes[..]).collect();
    let (all, four): (Vec<usize>, _) = ((0..8).collect(), [0, 1, 2, 3]);
    let models = [&[0, 1][..], &all, &all, &four, &[0], &[1], &[0, 1], &[0, 1, 2]];
    let (sparse, even) = ([0, 1, 2, 33, 34, 45, 72, 73], [0, 1, 4, 5, 8, 9, 12, 13]);
    let stored = [&[0, 1][..], &all, &all, &sparse, &even, &four, &four];
    assert_eq!(memory, [&models[..], &stored].concat());
    let without_cpus = CASES.iter().find(|case| case.name == "memory without CPUs");
    assert_eq!(without_cpus.and_then(|case| case.machine.numa_nodes), Some(4), "two have no CPU");
}

fn topology_nodes(machine: &Machine) -> usize {
    counts(machine, &[], |cpu| cpu.node).len()
}

#[test]
fn scatter_gives_whole_machines_the_same_on_each_node_and_socket() {
    for case in CASES.iter().filter(|case| !["a container", "CPUs off-line"].contains(&case.name)) {
        for threads in 1..=case.machine.allowed_cpus.len() {
            let plan = first(&Placement::Scatter, &case.machine, threads);
            let even = |counts: BTreeMap<usize, usize>| {
                counts.values().max().unwrap_or(&0) - counts.values().min().unwrap_or(&0) <= 1
            };
            assert!(even(counts(&case.machine, &plan, |cpu| cpu.node)), "{}: {plan:?}", case.name);
            assert!(even(counts(&case.machine, &plan, |cpu| cpu.socket)), "{}: {plan:?}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn plans_keep_their_promises(case in 0..8_usize, share in 0.0..2.5_f64) {
        let machine = &CASES[case].machine;
        let threads = 1 + (share * machine.allowed_cpus.len() as f64) as usize;
        check(machine, threads);
        check_balance(machine, threads);
    }

    #[test]
    fn plans_keep_their_promises_within_any_affinity(
        (case, some) in (0..8_usize).prop_flat_map(|case| {
            let all = CASES[case].machine.allowed_cpus.clone();
            let some = 1..=all.len();
            (Just(case), subsequence(all, some))
        }),
        share in 0.0..1.5_f64,
    ) {
        let machine = Machine { allowed_cpus: some, ..CASES[case].machine.clone() };
        let threads = 1 + (share * machine.allowed_cpus.len() as f64) as usize;
        check(&machine, threads);
        check_balance(&machine, threads);
    }

    #[test]
    fn lists_are_read_as_they_are_written(cpus in prop::collection::vec(0..300_usize, 1..40)) {
        let list = Placement::List(cpus);
        prop_assert_eq!(list.to_string().parse(), Ok(list.clone()));
        let json = serde_json::to_string(&list).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Placement>(&json).expect("the same"), list);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_plan_is_the_order_come_round_and_names_places() {
    let (_keep, tree) = fixtures::two_sockets_smt();
    let machine = Machine::read(&tree, &[]);
    let cpus = |placement: Placement, threads| -> Vec<usize> {
        placement.plan(&machine, threads).into_iter().map(|cpu| cpu.expect("a pinned thread")).collect()
    };
    assert_eq!(cpus(Placement::Compact, 10), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    assert_eq!(cpus(Placement::Scatter, 8), [0, 2, 1, 3, 4, 6, 5, 7]);
    assert_eq!(cpus(Placement::Smt, 8), [0, 4, 1, 5, 2, 6, 3, 7]);
    assert_eq!(cpus(Placement::List(vec![7, 1]), 3), [7, 1, 7]);

    let seats = Placement::Smt.seats(&machine, 6).expect("seats");
    let seat = Seat { thread: 5, cpu: 6, core: Some(2), socket: Some(1), node: Some(1) };
    assert_eq!((seats.len(), seats[5]), (6, seat));
    assert_eq!(Placement::None.seats(&machine, 2), None);
    let unseen = Machine { topology: Vec::new(), allowed_cpus: vec![3], ..Machine::default() };
    let seat = Seat { thread: 0, cpu: 3, core: None, socket: None, node: None };
    assert_eq!(Placement::Compact.seats(&unseen, 1), Some(vec![seat]));
}

#[test]
#[cfg(target_os = "linux")]
fn a_list_must_name_allowed_cpus() {
    let (_keep, tree) = fixtures::two_sockets_smt();
    let machine = Machine::read(&tree, &[0, 1, 2, 6]);
    Placement::List(vec![6, 0, 0]).check(&machine).expect("all of them are allowed");
    let said =
        |cpus: &[usize]| Placement::List(cpus.to_vec()).check(&machine).expect_err("refused").to_string();
    assert_eq!(said(&[1, 7]), "--pin has CPU 7; this process may run on 0-2,6 only");
    assert_eq!(said(&[4096]), "--pin has CPU 4096; this process may run on 0-2,6 only");
    Placement::ORDERS.iter().for_each(|placement| placement.check(&machine).expect("no CPU is named"));
}

#[test]
fn threads_that_share_a_cpu_or_exceed_the_quota_are_oversubscribed() {
    let machine = Machine { allowed_cpus: (0..8).collect(), allowed_cores: 3, ..Machine::default() };
    let told = |placement: &Placement| -> Vec<bool> {
        (1..=4).map(|threads| placement.oversubscribes(&machine, threads)).collect()
    };
    assert_eq!(told(&Placement::Scatter), [false, false, false, true]);
    assert_eq!(told(&Placement::None), [false, false, false, true]);
    assert_eq!(told(&Placement::List(vec![5, 4, 3, 2])), [false, false, false, true]);
    assert_eq!(
        told(&Placement::List(vec![5, 4])),
        [false, false, true, true],
        "they share when it comes round"
    );
    assert_eq!(told(&Placement::List(vec![5, 5, 4])), [false, true, true, true]);
    assert_eq!(Placement::List(vec![5, 5, 4]).cpus(&machine), [4, 5]);
    assert_eq!(Placement::Compact.cpus(&machine), [0, 1, 2]);
}

#[test]
fn placement_none_and_an_unknown_machine_leave_threads_free() {
    let (_keep, tree) = fixtures::one_socket();
    let machine = Machine::read(&tree, &[]);
    assert_eq!(Placement::None.plan(&machine, 3), [None, None, None]);
    for placement in Placement::ORDERS {
        assert_eq!(placement.plan(&Machine::default(), 2), [None, None]);
        assert!(placement.plan(&machine, 0).is_empty());
    }
}

#[test]
fn what_is_no_policy_is_told_with_those_that_there_are() {
    for placement in [Placement::Compact, Placement::Scatter, Placement::Smt, Placement::None] {
        assert_eq!(placement.to_string().parse(), Ok(placement.clone()));
        assert_eq!(serde_json::to_value(&placement).expect("JSON"), placement.to_string());
    }
    let said = |text: &str| text.parse::<Placement>().expect_err("no policy");
    assert!(said("everywhere").starts_with("there are compact, scatter, smt, none,"));
    for bad in ["list:", "list:x", "list:3-1", "list:0,,1", "list:-1", "list:99999999"] {
        assert!(said(bad).ends_with("as in list:0,2,4-7"), "{bad}");
    }
    assert_eq!(Some(Placement::List(cpu_list("0,2,4-7").expect("a list"))), "list:0,2,4-7".parse().ok());
}
