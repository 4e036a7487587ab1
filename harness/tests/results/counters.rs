//! The table of counters, of a made-up document.

use std::collections::BTreeMap;

use hnsw_lab::counters::{Counted, Counts, Event, Group, per_operation};
use hnsw_lab::record::{Counters, Document, parse};
use hnsw_lab::report::counted;
use hnsw_lab::summary::Summary;

use crate::support::sample;

/// What a thread would have counted in 100 operations where `refused` says why an event was not.
pub fn made_up(factor: u64, refused: impl Fn(Event) -> Option<&'static str>) -> Counters {
    let value = |event: Event| match event {
        Event::Cycles => 2_000_000,
        Event::Instructions => 5_000_000,
        Event::BranchMisses => 1_250,
        Event::L1dReadMisses => 40_000,
        Event::LlcReadMisses => 900,
        Event::DtlbReadMisses => 75,
        Event::TaskClock => 700_000,
        Event::ContextSwitches => 2,
        Event::PageFaults => 0,
        Event::CpuMigrations => 1,
    };
    let count = |event: Event| match refused(event) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(Counted { value: factor * value(event), enabled: 1_000, running: 800 }),
    };
    let thread: BTreeMap<_, _> = Event::ALL.into_iter().map(|event| (event, count(event))).collect();
    per_operation(&[Counts(thread)], 125)
}

/// Builds of `fine` on one thread, in three blocks.
fn builds() -> Document {
    let mut document = sample();
    document.rows.retain(|row| row.workload == "build" && row.strategy == "fine" && row.threads == 1);
    assert_eq!(document.rows.len(), 3);
    document
}

fn text_of(document: &Document) -> String {
    let summary = Summary::of(document);
    counted(document, &summary, &summary.workloads(), false)
}

fn line_of<'t>(text: &'t str, workload: &str) -> Vec<&'t str> {
    let line = text.lines().find(|line| line.trim_start().starts_with(workload)).expect("a line");
    line.split_whitespace().collect()
}

#[test]
fn a_line_tells_what_one_operation_takes() {
    let mut document = builds();
    for (row, factor) in document.rows.iter_mut().zip([1, 2, 30]) {
        row.counters = Some(made_up(factor, |_| None));
    }
    let text = text_of(&document);
    let cells = [
        "build", "f32", "fine", "1", "100,000", "40,000", "2.50", "25", "800", "18", "1.50", "14,000", "40",
        "0", "20", "1.25",
    ];
    assert_eq!(line_of(&text, "build"), cells, "{text}");
    assert!(!text.contains("– "), "nothing is missing: {text}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(160), "{widest:?}\n{text}");
}

#[test]
fn what_was_not_counted_is_a_dash_with_the_reason_below() {
    let mut document = builds();
    let none = "the machine, or its hypervisor, has no such counter";
    for row in &mut document.rows {
        row.counters = Some(made_up(1, |event| (event.group() != Group::Software).then_some(none)));
    }
    let text = text_of(&document);
    let dashes = ["–"; 7];
    assert_eq!(line_of(&text, "build")[4..11], dashes, "{text}");
    assert_eq!(line_of(&text, "build")[11..], ["7,000", "20", "0", "10", "1.25"], "{text}");
    for group in ["core", "cache"] {
        let line = format!("– {group}: {none}.");
        assert_eq!(text.lines().filter(|other| **other == line).count(), 1, "{text}");
    }
    assert!(!text.contains("– software"), "{text}");
}

#[test]
fn a_document_without_counters_says_how_to_get_them() {
    let text = text_of(&builds());
    assert!(text.contains("No row has counters: `hnsw-lab sweep --counters`"), "{text}");
}

#[test]
fn rows_keep_their_counters_and_those_of_before_have_none() {
    let mut document = builds();
    document.rows[0].counters = Some(made_up(1, |event| (event == Event::LlcReadMisses).then_some("why")));
    let bytes = serde_json::to_vec(&document).expect("serialisable");
    let again = parse(&bytes, "some.json".as_ref()).expect("readable");
    let counters = |document: &Document| -> Vec<Option<Counters>> {
        document.rows.iter().map(|row| row.counters.clone()).collect()
    };
    assert_eq!(counters(&again), counters(&document));
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains("\"counters\":null"), "null where it was not asked");
    let earlier = text.replace("\"counters\":null,", "");
    assert!(earlier.len() < text.len());
    let earlier = parse(earlier.as_bytes(), "some.json".as_ref()).expect("readable");
    assert_eq!(counters(&earlier), counters(&document));
}
