//! The format does not change by accident: a sample in the tree, the schema, and the types agree.
//!
//! `HNSW_LAB_BLESS=1 cargo test -p hnsw-lab --test results golden_sample_is` writes the sample anew after a wanted change.

use std::path::Path;

use hnsw_lab::counters::Group;
use hnsw_lab::footprint::Footprint;
use hnsw_lab::record::{Document, Isolation, Phases, Writer, parse, read};
use hnsw_lab::verify::problems;

use crate::counters::made_up;
use crate::schema;
use crate::support::{in_tree, sample};

const GOLDEN: &str = "tests/golden/sample.json";
const SCHEMA: &str = "../results/schema/v1.json";

fn written_by_writer(document: &Document) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sample.json");
    let mut writer = Writer::create(&path, document.run.clone()).expect("writable");
    let (last, earlier) = document.rows.split_last().expect("rows");
    // One write would do; the last row apart shows that rewriting appends.
    for row in earlier.iter().take(3).chain([last]) {
        writer.push(row.clone()).expect("pushed");
    }
    std::fs::read(path).expect("readable")
}

fn violations(document: &serde_json::Value) -> Vec<String> {
    let schema = std::fs::read(in_tree(SCHEMA)).expect("the schema is in the tree");
    let schema = serde_json::from_slice(&schema).expect("the schema is JSON");
    schema::violations(&schema, document)
}

#[test]
fn golden_sample_is_what_the_generator_makes() {
    let path = in_tree(GOLDEN);
    let fresh = sample();
    if std::env::var_os("HNSW_LAB_BLESS").is_some() {
        let mut writer = Writer::create(&path, fresh.run.clone()).expect("writable");
        for row in fresh.rows.clone() {
            writer.push(row).expect("pushed");
        }
    }
    let golden = read(&path).expect("the sample is in the tree and readable");
    assert_eq!(golden.run, fresh.run);
    assert_eq!(golden.rows.len(), fresh.rows.len());
    for (golden, fresh) in golden.rows.iter().zip(&fresh.rows) {
        assert_eq!(golden.key(), fresh.key());
        assert_eq!(golden.memory.total_bytes, fresh.memory.total_bytes);
        let (golden, fresh) = (golden.ops.per_second(), fresh.ops.per_second());
        assert!((golden - fresh).abs() < 1e-6 * fresh, "{golden} against {fresh}");
    }
}

#[test]
fn golden_sample_and_fresh_document_satisfy_the_schema() {
    let golden = std::fs::read(in_tree(GOLDEN)).expect("the sample is in the tree");
    let mut counted = sample();
    counted.rows[0].memory.process = Some(Footprint::now());
    counted.rows[0].counters = Some(made_up(1, |event| event.is_in_kernel().then_some("forbidden")));
    for bytes in [golden, written_by_writer(&sample()), written_by_writer(&counted)] {
        let document = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(violations(&document), Vec::<String>::new());
    }
}

/// The sample as the first programs would have written it.
fn of_the_first_programs() -> serde_json::Value {
    fn strip(value: &mut serde_json::Value, inside: &str) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| {
                    (inside, name.as_str()) == ("config", "codec") || !LATER.contains(&name.as_str())
                });
                fields.iter_mut().for_each(|(name, value)| strip(value, name));
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| strip(item, inside)),
            _ => {}
        }
    }
    let mut document = serde_json::to_value(sample()).expect("serialisable");
    strip(&mut document, "");
    document
}

#[test]
fn documents_of_the_first_programs_are_read_and_mean_what_they_meant() {
    let earlier = of_the_first_programs();
    assert_eq!(violations(&earlier), Vec::<String>::new());
    let bytes = serde_json::to_vec(&earlier).expect("serialisable");
    let document = parse(&bytes, Path::new("earlier.json")).expect("readable");
    assert!(document.rows.iter().all(|row| row.codec == "f32" && row.short_answers.is_none()));
    assert!(document.rows.iter().all(|row| row.ops.named().all(|(_, op)| op.hops_per_op.is_none())));
    assert_eq!((document.run.config.alpha, document.run.config.sample_rows), (1.0, 0));
    assert_eq!(document.run.config.isolation, Isolation::None, "they measured all in one process");
    assert_eq!((&document.run.config.placement, &document.run.config.memory_policy), (&None, &None));
    assert_eq!(problems(&document), Vec::<String>::new());
}

#[test]
fn schema_refuses_what_the_types_refuse() {
    let sample = serde_json::to_value(sample()).expect("serialisable");
    let spoil: [(&str, serde_json::Value); 7] = [
        ("/schema_version", 2.into()),
        ("/run/started", "yesterday".into()),
        ("/run/config/threads", "4".into()),
        ("/run/config/isolation", "thread".into()),
        ("/rows/0/ops/insert/latency_us", serde_json::Value::Null),
        ("/rows/0/recall_at_k", 1.5.into()),
        ("/rows/0/memory/links_bytes", (-1).into()),
    ];
    for (at, value) in spoil {
        let mut document = sample.clone();
        *document.pointer_mut(at).expect("the field is there") = value;
        assert_eq!(violations(&document).len(), 1, "{at}");
    }
}

/// Fields that came after the first documents were written: the schema describes them and asks for none of them.
const LATER: [&str; 21] = [
    "attempt",
    "conditions",
    "counters",
    "retries",
    "until_ratio",
    "alpha",
    "sample_rows",
    "keep_indexes",
    "isolation",
    "codec",
    "short_answers",
    "phases",
    "update_rate",
    "updates_per_second",
    "evaluations_per_op",
    "hops_per_op",
    "tail_us",
    "codes_bytes",
    "process",
    "placement",
    "memory_policy",
];

/// Every field that the program writes is in the schema, and every field of the schema is written.
#[test]
fn schema_names_every_field() {
    let schema: serde_json::Value =
        serde_json::from_slice(&std::fs::read(in_tree(SCHEMA)).expect("readable")).expect("JSON");
    let mut document = sample();
    document.rows[0].memory.process = Some(Footprint::default());
    let document = serde_json::to_value(document).expect("serialisable");
    let row = document.pointer("/rows/0").expect("a row");
    let phases = Phases { search_us: 1.0, select_us: 1.0, link_us: 1.0, wait_us: 1.0 };
    let phases = serde_json::to_value(phases).expect("serialisable");
    let counters = serde_json::to_value(made_up(1, |_| None)).expect("serialisable");
    let pairs = [
        ("run", &document["run"]),
        ("build", &document["run"]["build"]),
        ("dataset", &document["run"]["dataset"]),
        ("config", &document["run"]["config"]),
        ("seat", &document["run"]["config"]["placement"][0]),
        ("memory_policy", &document["run"]["config"]["memory_policy"]),
        ("row", row),
        ("ops", &row["ops"]),
        ("op", &row["ops"]["insert"]),
        ("latency_us", &row["ops"]["insert"]["latency_us"]),
        ("phases", &phases),
        ("counters", &counters),
        ("counters_core", &counters["core"]),
        ("counters_cache", &counters["cache"]),
        ("counters_software", &counters["software"]),
        ("conditions", &row["conditions"]),
        ("canary", &row["conditions"]["canary_before"]),
        ("memory", &row["memory"]),
        ("footprint", &row["memory"]["process"]),
        ("graph", &row["graph"]),
        ("contention", &row["contention"]),
    ];
    let keys = |value: &serde_json::Value| {
        let mut names: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names
    };
    for (name, written) in pairs {
        let described = &schema["$defs"][name];
        assert_eq!(keys(&described["properties"]), keys(written), "{name}");
        let mut required: Vec<String> =
            serde_json::from_value(described["required"].clone()).expect("a list of names");
        required.sort();
        let mut first = keys(written);
        first.retain(|field| {
            (name, field.as_str()) == ("config", "codec") || !LATER.contains(&field.as_str())
        });
        assert_eq!(required, first, "{name}");
    }
    for group in Group::ALL {
        let described = &schema["$defs"][format!("counters_{}", group.name())]["properties"]["per_op"];
        let written = keys(&counters[group.name()]["per_op"]);
        assert_eq!(keys(&described["properties"]), written);
        assert_eq!(described["required"], serde_json::json!(written));
    }
}
