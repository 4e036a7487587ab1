//! Where threads and memory go: what is recorded, and what is refused.

use hnsw_lab::machine::{Machine, Seat};

use crate::lab::{Lab, SMALL, Said};

/// One row for each of 1 and 2 threads.
fn build(flags: &str) -> String {
    let small = SMALL.replace("sequential,lockfree", "lockfree --workloads build");
    format!("{small} {flags}")
}

/// The message of a command that was refused, which must be one line.
fn refusal(said: &Said) -> String {
    assert_eq!(said.code, Some(1), "{said:?}");
    let lines: Vec<&str> = said
        .err
        .lines()
        .filter(|line| !line.starts_with("warning: this build has debug assertions"))
        .collect();
    assert_eq!(lines.len(), 1, "{said:?}");
    lines[0].to_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn the_cpus_of_a_list_are_recorded_and_one_that_comes_twice_is_oversubscribed() {
    let lab = Lab::new();
    let machine = Machine::detect();
    let cpu = *machine.allowed_cpus.last().expect("an allowed CPU");
    let said = lab.run(&build(&format!("--pin list:{cpu},{cpu}")));
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = lab.document("small.json");
    let config = &document.run.config;
    assert_eq!(
        (config.pin.as_str(), &document.run.allowed_cpus),
        (&*format!("list:{cpu},{cpu}"), &vec![cpu])
    );
    let known = machine.topology.iter().find(|known| known.id == cpu);
    let seat = |thread| Seat {
        thread,
        cpu,
        core: known.map(|known| known.core),
        socket: known.map(|known| known.socket),
        node: known.map(|known| known.node),
    };
    assert_eq!(config.placement, Some(vec![seat(0), seat(1)]));
    let rows: Vec<_> = document.rows.iter().map(|row| (row.threads, row.oversubscribed)).collect();
    assert!(rows.contains(&(1, false)) && rows.contains(&(2, true)) && rows.len() == 2, "{rows:?}");
    assert!(document.rows.iter().flat_map(|row| &row.tainted).all(|why| !why.contains("pin a thread")));
    let verified = lab.run("verify small.json");
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn every_policy_is_recorded_and_none_has_no_map() {
    let lab = Lab::new();
    for policy in ["compact", "scatter", "smt", "none"] {
        let said = lab.run(&build(&format!("--pin {policy} --fresh")));
        assert_eq!(said.code, Some(0), "{said:?}");
        let config = lab.document("small.json").run.config;
        assert_eq!(config.pin, policy);
        assert_eq!(config.placement.map(|seats| seats.len()), (policy != "none").then_some(2), "{policy}");
        assert!(config.memory_policy.is_some_and(|held| held.asked.is_none()), "{policy}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn cpus_and_nodes_that_are_not_there_are_refused_before_anything_is_done() {
    let lab = Lab::new();
    for command in ["sweep", "tax", "churn", "runbook", "latency --rate 1", "ladder", "limit"] {
        let said = refusal(&lab.run(&format!("{command} --pin list:65536")));
        assert!(said.starts_with("error: --pin has CPU 65536; this process may run on "), "{said}");
        let said = refusal(&lab.run(&format!("{command} --memory bind:1000")));
        assert!(said.starts_with("error: --memory bind:1000 cannot be done: "), "{said}");
    }
    assert!(lab.files().is_empty(), "{:?}", lab.files());
}

#[test]
#[cfg(target_os = "linux")]
fn interleaving_is_recorded_with_whether_it_has_an_effect() {
    let lab = Lab::new();
    let nodes = Machine::detect().memory_nodes;
    let said = lab.run(&build("--memory interleave"));
    if said.code == Some(0) {
        let held = lab.document("small.json").run.config.memory_policy.expect("recorded");
        assert_eq!((held.asked.as_deref(), held.effective), (Some("interleave"), Some(nodes.len() > 1)));
        if nodes.len() > 1 {
            assert_eq!((held.policy.as_deref(), held.nodes), (Some("interleave"), nodes));
        }
    } else {
        // A kernel or a container that knows no nodes, or lets no one choose.
        assert_ne!(nodes.len(), 1, "{said:?}");
        assert!(refusal(&said).starts_with("error: --memory interleave cannot be done: "), "{said:?}");
    }
}

#[test]
#[cfg(not(target_os = "linux"))]
fn memory_policies_are_refused_where_there_are_none() {
    let lab = Lab::new();
    for command in ["sweep", "churn", "runbook", "limit"] {
        let said = refusal(&lab.run(&format!("{command} --memory interleave")));
        assert!(said.starts_with("error: --memory interleave cannot be done: this system "), "{said}");
    }
}

#[test]
fn limit_and_churn_record_both() {
    let lab = Lab::new();
    let placed = |name: &str, pointer: &str| {
        let text = std::fs::read(lab.path(name)).expect("written");
        let document: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let of = document.pointer(pointer).expect("the place").clone();
        let policy = of["memory_policy"].as_object().expect("recorded").contains_key("effective");
        (of["pin"].clone(), of["placement"].as_array().map(Vec::len), policy)
    };
    let seats = |threads| cfg!(target_os = "linux").then_some(threads);
    let said = lab.run(
        "limit --rows 300 --bytes 64 --seconds 0.02 --threads 1,3 --pin scatter --out limit.json --quiet",
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(placed("limit.json", ""), ("scatter".into(), seats(3), true));
    let said =
        lab.run("churn --strategies slots --seconds 0.02 --threads 2 --pin smt --out churn.json --quiet");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(placed("churn.json", "/config"), ("smt".into(), seats(2), true));
}
