use super::*;
use crate::apart::Apart;
use crate::data::Dataset;
use crate::flags::{OutArgs, assert_survive};
use clap::Parser;
use document::Timed;

use crate::data::generate::{self, uniform};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    latency: LatencyArgs,
}

fn parsed(args: &[&str]) -> Result<LatencyArgs, clap::Error> {
    Cli::try_parse_from([&["latency"], args].concat()).map(|cli| cli.latency)
}

fn parse(args: &[&str]) -> LatencyArgs {
    parsed(args).unwrap()
}

fn refused(args: &[&str]) -> String {
    let (args, machine) = (parse(args), Machine { allowed_cores: 2, ..Machine::default() });
    let plan = args.check().and_then(|()| args.plan(&machine, &crate::data::embedded()));
    plan.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert!(refused(&["--rate", "1000,0"]).contains("--rate has 0"));
    assert!(refused(&["--rate", "1e9"]).contains("at most 10000000"));
    assert!(refused(&["--rate", "NaN"]).contains("--rate has NaN"));
    assert!(refused(&["--rate-search", "--p99", "-1"]).contains("--p99 is -1"));
    assert!(refused(&["--rate", "1", "--writes", "1.5"]).contains("from 0 to 1"));
    assert!(refused(&["--rate", "1", "--ef", "5"]).contains("from k (10)"));
    assert!(refused(&["--rate", "1", "--strategies", "finest"]).contains("`finest`; there are sequential"));
    assert!(refused(&["--rate", "1", "--seconds", "0"]).contains("--seconds is 0"));
    let many = ["--rate", "1", "--k", "6000", "--ef", "8000"];
    assert!(refused(&[many.as_slice(), &["--writes", "0.1"]].concat()).contains("begins with 5000 of 10000"));
    assert!(parse(&many).check().is_ok());
}

#[test]
fn a_rate_or_a_search_for_one_is_asked_for() {
    assert!(parsed(&[]).unwrap_err().to_string().contains("--rate <R,R>"));
    assert!(parsed(&["--rate-search"]).unwrap_err().to_string().contains("--p99 <MICROS>"));
    assert!(parsed(&["--rate", "5", "--rate-search", "--p99", "9"]).is_err());
    assert!(parsed(&["--rate", "5", "--p99", "9"]).is_err());
    assert_eq!(parse(&["--rate", "5,7.5"]).rate, [5.0, 7.5]);
}

fn dataset() -> Dataset {
    uniform(&generate::Shape { rows: 600, dim: 4, queries: 20, seed: 1 }).unwrap()
}

/// Measures on a small set that the command would not choose.
pub(crate) fn measured(args: &[&str]) -> Document {
    let common =
        ["--m", "8", "--ef-construction", "20", "--ef", "32", "--quiet", "--pin", "none", "--retries", "0"];
    let args = parse(&[args, &common].concat());
    args.check().unwrap();
    let (mut dataset, machine) = (dataset(), Machine { allowed_cores: 2, ..Machine::default() });
    dataset
        .ensure_truth(
            args.graph.k,
            None,
            crate::data::Watch { progress: &|_, _| {}, cancel: &AtomicBool::new(false) },
        )
        .unwrap();
    let (plan, stop) = (args.plan(&machine, &dataset).unwrap(), AtomicBool::new(false));
    let nothing_asked = MemoryInForce { asked: None, policy: None, nodes: Vec::new(), effective: None };
    let config = config(&args, &plan, &machine, nothing_asked);
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        started: record::now_rfc3339(),
        command: Vec::new(),
        machine: machine.clone(),
        build: build_info(),
        dataset: described(&dataset),
        config,
        points: Vec::new(),
        searches: Vec::new(),
    };
    let memory = document.config.memory_policy.clone();
    let mut measure =
        args.bench(Ground { machine, memory, dataset, canary: Canary::new(None) }, &stop).unwrap();
    assert_eq!(all(&args, &plan, &mut document, &mut measure).unwrap(), Outcome::Complete);
    document
}

/// What holds of a point however fast or slow the machine is.
fn sound(point: &Point) {
    assert_eq!(point.faults(), [""; 0]);
    let kinds = [&point.search, &point.insert];
    let done: u64 = kinds.into_iter().flatten().map(|timed| timed.count).sum();
    assert!(done > 0 && done <= point.offered && point.backlog <= point.offered, "{point:?}");
    if !point.saturated {
        assert_eq!(done, point.offered);
        assert!(point.backlog as f64 <= (0.01 * point.offered as f64).max(point.threads as f64) + 1.0);
    }
    let begun = point.achieved_per_second * point.seconds;
    assert!((begun - (point.offered - point.backlog) as f64).abs() < 1e-6);
    for Timed { count, service, response } in kinds.into_iter().flatten() {
        assert!(service.us.p50 > 0.0);
        for (service, response) in [
            (service.us.p50, response.us.p50),
            (service.us.p90, response.us.p90),
            (service.us.p99, response.us.p99),
            (service.us.p999, response.us.p999),
            (service.us.max, response.us.max),
        ] {
            assert!(service <= response, "{point:?}");
        }
        let counts = [service, response].map(|spread| timing::histogram(&spread.histogram).unwrap().len());
        assert_eq!(counts, [*count; 2]);
    }
}

#[test]
fn each_worker_does_what_was_meant_for_it() {
    let document = measured(&[
        "--rate",
        "500,2000",
        "--threads",
        "1,6",
        "--seconds",
        "0.1",
        "--strategies",
        "fine,lockfree",
        "--arrivals",
        "constant",
        "--closed",
        "--blocks",
        "2",
    ]);
    let which: Vec<(&str, usize, f64)> =
        document.points.iter().map(|point| (&*point.strategy, point.threads, point.rate)).collect();
    let points = |name| {
        [(name, 1, 500.0), (name, 1, 2000.0), (name, 6, 500.0), (name, 6, 2000.0)].map(|it| [it; 2]).concat()
    };
    assert_eq!(which, [points("fine"), points("lockfree")].concat());
    for point in &document.points {
        sound(point);
        assert_eq!(point.offered as f64, point.rate / 10.0);
        assert_eq!((point.oversubscribed, point.seconds), (point.threads > 2, 0.1));
        assert!(point.recall_at_k > 0.9 && point.insert.is_none(), "{point:?}");
        let closed = point.closed.as_ref().unwrap();
        let spread = closed.search.as_ref().unwrap();
        let count = timing::histogram(&spread.histogram).unwrap().len();
        assert!(closed.per_second > 0.0 && (1..=point.offered).contains(&count));
        assert!(spread.us.p50 <= spread.us.p99 && spread.us.p99 <= spread.us.max);
    }
}

#[test]
fn windows_with_inserts_end_before_the_rows_do() {
    let document = measured(&[
        "--rate",
        "4000",
        "--threads",
        "2",
        "--seconds",
        "1",
        "--strategies",
        "slots,mvcc",
        "--writes",
        "0.5",
        "--closed",
        "--blocks",
        "1",
    ]);
    assert_eq!((document.config.filled, document.points.len()), (300, 2));
    for point in &document.points {
        sound(point);
        // The 300 rows that are left are half of the operations of 0.15 seconds.
        assert!((0.1..0.2).contains(&point.seconds), "{point:?}");
        let inserts = point.insert.as_ref().map_or(0, |timed| timed.count);
        assert!(inserts <= 300 && (point.saturated || inserts == 300), "{point:?}");
        assert!(point.recall_at_k > 0.9, "{point:?}");
        assert!(point.closed.as_ref().unwrap().per_second > 0.0);
    }
}

#[test]
fn a_rate_is_searched_for() {
    // No window lasts as long as the bound: only operations that are left end the climb.
    let document = measured(&[
        "--rate-search",
        "--p99",
        "1e7",
        "--threads",
        "2",
        "--seconds",
        "0.02",
        "--strategies",
        "lockfree",
        "--blocks",
        "1",
    ]);
    let [search] = &document.searches[..] else { panic!("{document:?}") };
    assert!(search.closed_per_second > 0.0 && search.windows >= 2);
    assert_eq!(search.windows, search.steps.iter().map(|step| step.p99_us.len()).sum::<usize>());
    for step in &search.steps {
        assert!(step.met == (step.p99_us.iter().flatten().count() >= 2), "{step:?}");
    }
    assert_eq!(search.rate.is_some(), search.p99_us.is_some());
    assert_eq!(document.points.len(), usize::from(search.rate.is_some()));
    document.points.iter().for_each(|point| assert_eq!(Some(point.rate), search.rate));
    let mut text = Vec::new();
    table::print(&document, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("within 10,000,000 us") && text.contains("windows in all"), "{text}");
}

/// A document as it would be of a machine that is too slow.
#[test]
fn response_times_of_a_saturated_point_are_not_told_as_latencies() {
    let mut document = measured(&[
        "--rate",
        "500",
        "--threads",
        "1",
        "--seconds",
        "0.1",
        "--strategies",
        "fine",
        "--blocks",
        "1",
    ]);
    let point = &mut document.points[0];
    (point.saturated, point.backlog, point.offered) = (true, 40, 50);
    point.search.as_mut().unwrap().response.us.max = 12_345_678.0;
    let mut text = Vec::new();
    table::print(&document, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("12,345,678"), "{text}");
    assert!(text.contains("saturated: fine x1 at 500, block 0: 40 of 50 operations had not begun"), "{text}");
}

#[test]
fn the_command_prints_a_table_and_writes_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latency.json");
    let args = LatencyArgs {
        output: OutArgs { out: Some(path.clone()), quiet: true },
        ..parse(&[
            "--rate",
            "200",
            "--strategies",
            "slots",
            "--threads",
            "2",
            "--seconds",
            "0.1",
            "--ef-construction",
            "20",
            "--blocks",
            "1",
            "--retries",
            "0",
            "--in-process",
        ])
    };
    let mut out = Vec::new();
    assert_eq!(run(&args, &AtomicBool::new(false), &mut out).unwrap(), Outcome::Complete);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("poisson arrivals") && text.contains("slots") && text.contains("wrote"), "{text}");
    let document: Document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((document.schema_version, document.points.len()), (SCHEMA_VERSION, 1));
    sound(&document.points[0]);
}

#[test]
fn who_is_stopped_before_the_first_window_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latency.json");
    let args = LatencyArgs {
        output: OutArgs { out: Some(path.clone()), quiet: true },
        ..parse(&["--rate", "200", "--threads", "1", "--in-process"])
    };
    let mut out = Vec::new();
    assert_eq!(run(&args, &AtomicBool::new(true), &mut out).unwrap(), Outcome::Interrupted);
    assert!(out.is_empty() && !path.exists());
}

/// What the process of a point gets is what the command was told.
#[test]
fn flags_survive_their_way_to_another_process() {
    for flags in [
        "--rate 0.3,1e6 --closed --writes 0.1 --arrivals constant --codec sq8+f32 --dataset a/b --metric ip --threads 1,3",
        "--rate-search --p99 333.3 --strategies fine,mvcc --m 9 --blocks 7 --retries 2 --memory bind:1 --out x --quiet",
    ] {
        assert_survive(&parse(&flags.split(' ').collect::<Vec<_>>()));
    }
}
