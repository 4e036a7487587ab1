//! What was run, where, on what; and what no one had in hand.

use maud::{Markup, html};

use crate::machine::MemoryInForce;
use crate::record::{Document, Isolation};
use crate::report::grouped;

/// All of it in one line.
pub(super) fn line(document: &Document) -> Markup {
    let run = &document.run;
    let (data, config) = (&run.dataset, &run.config);
    html! { p.faint {
        (grouped(data.query_count as f64)) " queries, k = " (config.k) ", M = " (config.m) ", ef_construction = " (config.ef_construction)
        "; " (config.codec) "; " (run.cpu_model().unwrap_or("unknown CPU")) ", " (run.allowed_cpus.len()) " allowed CPUs; "
        "hnsw-lab " (run.build.version) " (" (run.build.profile) ", " (run.build.isa) "); " (run.started)
    } }
}

/// Every fact of the run.
pub(super) fn all(document: &Document) -> Markup {
    let run = &document.run;
    let (build, data, config) = (&run.build, &run.dataset, &run.config);
    let commit = build.git_commit.as_deref().unwrap_or("unknown");
    let dirty = if build.git_dirty == Some(true) { ", with changes" } else { "" };
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let facts: Vec<(&str, String)> = vec![
        ("command", run.command.join(" ")),
        ("started", run.started.clone()),
        ("program", format!("hnsw-lab {}, commit {commit}{dirty}", build.version)),
        ("compiled", format!("{}, profile {}, {}", build.rustc, build.profile, build.target)),
        ("kernels", build.isa.clone()),
        ("allocator", build.allocator.clone()),
        ("data", format!("{}, BLAKE3 {}", data.name, data.digest)),
        ("blocks", format!("{} of {} s, seed {}", config.blocks, config.seconds, config.seed)),
        (
            "processes",
            match config.isolation {
                Isolation::Process => "a fresh one for each strategy, codec, thread count and block".into(),
                Isolation::None => "one for everything".into(),
            },
        ),
        (
            "threads",
            format!("{}, placed {}, on CPUs {}", list(&config.threads), config.pin, list(&run.allowed_cpus)),
        ),
        ("memory nodes", config.memory_policy.as_ref().map_or("not recorded".into(), memory_nodes)),
    ];
    html! {
        div.scroll tabindex="0" { table { tbody {
            @for (name, value) in facts { tr { td { (name) } td.wrap { code { (value) } } } }
            @if let Some(machine) = run.machine.as_object() {
                @for (name, value) in machine.iter().filter(|(_, value)| !value.is_object() && !is_long(value)) {
                    tr { td { (name) } td.wrap { code { (told(value)) } } }
                }
            }
        } } }
    }
}

/// Documents of before policies were recorded come from programs without any.
fn is_local(held: Option<&MemoryInForce>) -> bool {
    held.and_then(|held| held.policy.as_deref()).is_none_or(|policy| policy == "local")
}

fn memory_nodes(held: &MemoryInForce) -> String {
    let policy = held.policy.as_deref().unwrap_or("not shown by the system");
    let nodes: Vec<String> = held.nodes.iter().map(usize::to_string).collect();
    let of = if nodes.is_empty() { String::new() } else { format!(" of {}", nodes.join(", ")) };
    let one = if held.effective == Some(false) { "; there is one node, so it has no effect" } else { "" };
    format!("{policy}{of}{one}")
}

/// The list of all CPUs would fill the page on a large machine; the document has it.
fn is_long(value: &serde_json::Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(|item| item.is_object()))
}

fn told(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "not shown by the system".into(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(told).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What a reader must allow for.
pub(super) fn limits(document: &Document) -> Markup {
    let run = &document.run;
    let unknown = |name: &str| run.machine.get(name).is_none_or(serde_json::Value::is_null);
    let virtual_machine = run.machine.get("hypervisor").and_then(serde_json::Value::as_str);
    let counts = run.config.threads.iter().filter(|threads| **threads <= run.allowed_cpus.len()).count();
    html! { ul {
        @if let Some(name) = virtual_machine {
            li { "The machine is virtual (" (name) "): what else runs on the host is not known; withheld time taints a trial, shared caches and memory do not show." }
        }
        @if unknown("governor") || unknown("turbo") {
            li { "Frequency: the system does not show its governor or turbo. One busy core often runs faster than all of them, which makes scaling look worse than the strategy is." }
        } @else {
            li { "Frequency: recorded, not set. One busy core often runs faster than all of them, which makes scaling look worse than the strategy is." }
        }
        @if is_local(run.config.memory_policy.as_ref()) {
            li { "Memory comes from the NUMA node of the thread that touches it first; nothing is interleaved." }
        }
        li { "Huge pages are asked for; whether they are granted is the system's choice." }
        li { "Each query is asked many times in a window, and a small index fits the last-level cache." }
        li { "Workers take rows in the order of the file, so graphs differ a little between thread counts and blocks." }
        @match run.config.isolation {
            Isolation::Process => li { "Each strategy at each thread count has a fresh process in each block. Its build, searches and mixed workloads share that: what one of them did to the heap is there for the next." }
            Isolation::None => li { "One process measures everything one after another: what a trial did to heap, address space and huge pages is there for the next one, of whatever strategy." }
        }
        @if counts < 4 {
            li { "Only " (counts) " thread counts are not oversubscribed: no scaling law can be fitted to them, and nothing is said about more cores than were used." }
        }
        @if run.build.profile != "release" {
            li.bad { "The program was built with the profile " (run.build.profile) ": its timings mean nothing." }
        }
    } }
}
