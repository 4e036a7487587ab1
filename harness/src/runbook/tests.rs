use super::*;
use crate::blocks::Turn;
use crate::churn::trial::Store;
use crate::data::CodedBase;
use crate::flags::{OutArgs, assert_survive};
use crate::record::Conditions;
use clap::Parser;
use hnsw_core::hnsw::{Index, IndexConfig};
use hnsw_strategies::{Fine, LockFree};

use super::args::BUILT_IN;
use super::bench::{Exact, Of, all_steps, ended};
use super::replay::{Replay, Shape};
use super::steps::Step;
use super::tags::{Point, Tags, check};
use crate::churn::tests::Planted;
use crate::data::generate::{self, uniform};
use crate::data::{self, Dataset};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    runbook: RunbookArgs,
}

fn args(args: &[&str]) -> RunbookArgs {
    Cli::try_parse_from([&["runbook"], args].concat()).map(|cli| cli.runbook).unwrap()
}

const ALL: &str = "
few:
  gt_url: \"https://example.org/few\"   # not fetched
  max_pts: 40
  2: {operation: \"search\"}
  1:
    end: 40
    operation: insert
    start: 0
  3:
    operation: delete
    start: 5
    end: 10
  4:
    operation: replace
    tags_start: 0
    tags_end: 3
    ids_start: 50
    ids_end: 53
  5:
    operation: search
";

fn parse(text: &str) -> Runbook {
    Runbook::parse(text, None).unwrap()
}

fn refused(text: &str) -> String {
    let told = Runbook::parse(text, None).and_then(|runbook| check(&runbook, 100)).unwrap_err().to_string();
    assert!(!told.contains('\n'), "{told:?}");
    told
}

/// A runbook of one data set, with max_pts 20.
fn steps(steps: &[&str]) -> String {
    let numbered = (1..).zip(steps).map(|(number, step)| format!("  {number}: {{{step}}}\n"));
    format!("few:\n  max_pts: 20\n{}", numbered.collect::<String>())
}

#[test]
fn steps_are_read_in_the_order_of_their_numbers() {
    let runbook = parse(ALL);
    assert_eq!((runbook.set.as_str(), runbook.max_points), ("few", 40));
    assert_eq!(
        runbook.steps,
        [
            Step::Insert(0..40),
            Step::Search,
            Step::Delete(5..10),
            Step::Replace { tags: 0..3, rows: 50..53 },
            Step::Search
        ]
    );
    check(&runbook, 53).unwrap();
}

#[test]
fn the_data_set_is_chosen_where_there_are_several() {
    let several = format!("{ALL}\nmany:\n  max_pts: 1\n  1: {{operation: search}}\n");
    assert_eq!(refused(&several), "it has runbooks for few, many; choose one with --set NAME");
    assert_eq!(Runbook::parse(&several, Some("many")).unwrap().steps, [Step::Search]);
    assert_eq!(
        Runbook::parse(&several, Some("some")).unwrap_err().to_string(),
        "it has no runbook for some; give --set one of few, many"
    );
}

#[test]
fn what_is_no_runbook_is_refused() {
    for text in ["", "milk, bread", "[1, 2]", "{}"] {
        assert!(refused(text).starts_with("it is no runbook: the top level must map"), "{text}");
    }
    assert!(refused("few: 3").starts_with("few: it is no runbook"));
    assert_eq!(refused("\"f\\new\": 3").lines().count(), 1);
    assert!(refused("few: [").starts_with("it is no YAML: "));
    assert!(refused("few: {max_pts: 1, max_pts: 2}").starts_with("it is no YAML: "));
    assert!(refused("few: {1: {operation: search}}").starts_with("few: max_pts is missing; give"));
    assert!(refused("few: {max_pts: many}").contains("max_pts is \"many\"; it must be a whole number"));
    assert_eq!(refused("few: {max_pts: 1}"), "few: it has no steps; number them 1, 2, 3, …");
    assert_eq!(
        refused("few: {max_pts: 1, 1: {operation: search}, 3: {operation: search}}"),
        "few: step 3 stands where step 2 should be; number the steps 1, 2, 3, … without a gap"
    );
    assert!(refused("few: {max_pts: 1, 0: {operation: search}}").contains("step 0 stands where step 1"));
}

#[test]
fn a_step_that_makes_no_sense_is_refused_by_its_number() {
    let told = |step: &str| refused(&steps(&["operation: insert, start: 0, end: 5", step]));
    assert_eq!(
        told("operation: upsert"),
        "step 2: the operation \"upsert\" is not known; it must be insert, delete, replace or search"
    );
    assert_eq!(told("start: 3"), "step 2: `operation` is missing; give it insert, delete, replace or search");
    assert_eq!(
        told("operation: insert, start: 5"),
        "step 2 (insert): `end` is missing; give the row after the last"
    );
    assert!(told("operation: delete, end: 5").starts_with("step 2 (delete): `start` is missing"));
    assert!(
        told("operation: replace, tags_start: 0, tags_end: 2, ids_start: 9").contains("`ids_end` is missing")
    );
    assert!(
        told("operation: insert, start: -1, end: 5").contains("`start` is -1; it must be a whole number")
    );
    assert!(told("operation: insert, start: 1.5, end: 5").contains("`start` is 1.5; it must be"));
    assert!(told("operation: insert, start: 7, end: 7").contains("which is no row; `end` must be"));
    assert!(told("operation: delete, start: 4, end: 2").contains("`start` is 4 and `end` is 2"));
    assert_eq!(
        told("operation: replace, tags_start: 0, tags_end: 2, ids_start: 7, ids_end: 10"),
        "step 2 (replace): there are 2 tags and 3 rows; each tag needs one row"
    );
}

#[test]
fn a_step_that_cannot_be_done_is_refused_by_its_number() {
    let told = |step: &str| refused(&steps(&["operation: insert, start: 0, end: 15", step]));
    let told_of_replace =
        |range: &str| told(&format!("operation: replace, tags_start: 0, tags_end: 5, {range}"));
    assert_eq!(
        told("operation: insert, start: 99, end: 101"),
        "step 2 (insert): its rows end before 101, and the data set has 100 rows; give a larger one with --dataset"
    );
    assert!(told_of_replace("ids_start: 96, ids_end: 101").contains("the data set has 100 rows"));
    assert!(told("operation: delete, start: 14, end: 101").contains("its tags end before 101"));
    assert_eq!(
        told("operation: insert, start: 14, end: 16"),
        "step 2 (insert): tag 14 is live already; delete it first, or replace it"
    );
    assert_eq!(
        told("operation: delete, start: 14, end: 16"),
        "step 2 (delete): tag 15 is not live; insert it first"
    );
    let dead = "operation: replace, tags_start: 15, tags_end: 16, ids_start: 0, ids_end: 1";
    assert_eq!(told(dead), "step 2 (replace): tag 15 is not live; insert it first");
    assert_eq!(
        told("operation: insert, start: 20, end: 26"),
        "step 2 (insert): 21 points would be live, and max_pts is 20; delete some first or raise max_pts"
    );
    let twice = "operation: delete, start: 0, end: 3";
    assert!(refused(&steps(&["operation: insert, start: 0, end: 15", twice, twice])).starts_with("step 3"));
}

#[test]
fn a_replaced_tag_keeps_its_name_and_has_the_new_row() {
    let mut tags = Tags::none(60);
    parse(ALL).steps.iter().for_each(|step| tags.apply(step));
    assert_eq!(tags.live(), 35);
    assert_eq!([0, 2, 3, 5, 50].map(|tag| tags.row(tag)), [Some(50), Some(52), Some(3), None, None]);
    // Its old row may come again under another tag, and even the row of the tag itself.
    tags.apply(&Step::Replace { tags: 3..4, rows: 0..1 });
    tags.apply(&Step::Replace { tags: 0..1, rows: 0..1 });
    assert_eq!(
        tags.points().filter(|point| point.row == 0).map(|point| point.tag).collect::<Vec<_>>(),
        [0, 3]
    );
    tags.apply(&Step::Delete(0..1));
    tags.apply(&Step::Insert(0..1));
    assert_eq!((tags.live(), tags.row(0)), (35, Some(0)));
}

#[test]
fn built_in_runbooks_fit_the_embedded_data() {
    for (name, text) in BUILT_IN {
        let (runbook, rows) = (parse(text), data::embedded().len());
        check(&runbook, rows).unwrap();
        let mut tags = Tags::none(rows);
        let live = runbook.steps.iter().map(|step| {
            tags.apply(step);
            tags.live()
        });
        assert_eq!(live.max(), Some(runbook.max_points), "{name}");
        let has = |kind: Kind| runbook.steps.iter().any(|step| step.kind() == kind);
        assert!(has(Kind::Insert) && has(Kind::Delete) && has(Kind::Search), "{name}");
        assert_eq!(has(Kind::Replace), name == "expiry");
        assert_eq!(runbook.steps.last(), Some(&Step::Search), "{name}");
    }
}

const DIM: usize = 4;

fn dataset() -> Dataset {
    uniform(&generate::Shape { rows: 120, dim: DIM, queries: 20, seed: 1 }).unwrap()
}

fn config(dataset: &Dataset) -> IndexConfig {
    IndexConfig { m: 8, ef_construction: 64, ..IndexConfig::new(DIM, dataset.metric()) }
}

fn shape<'a>(dataset: &'a Dataset, runbook: &'a Runbook, overlap: bool) -> Shape<'a> {
    check(runbook, dataset.len()).unwrap();
    Shape { dataset, runbook, cpus: vec![None; 3], k: 10, ef: dataset.len(), overlap, seed: 7 }
}

fn replayed(store: Box<dyn Store>, dataset: &Dataset, runbook: &Runbook, overlap: bool) -> Trial {
    let stop = AtomicBool::new(false);
    let truths = score::truths(runbook, dataset, 10, &stop).unwrap();
    let exact = Exact { truths: &truths, base: &CodedBase::of(dataset) };
    let shape = shape(dataset, runbook, overlap);
    let replayed = all_steps(store.as_ref(), &shape, &exact, &mut |_| true, &stop).unwrap().unwrap();
    let turn = Turn { number: 0, block: 0, attempt: 0 };
    let script = Arc::new(Script { runbook: runbook.clone(), truths: Vec::new() });
    let task = Task { strategy: "it".into(), threads: 3, turn, script };
    let (conditions, tainted) = (Conditions::default(), Vec::new());
    ended(Of { task: &task, oversubscribed: false, conditions, tainted }, store, replayed)
}

/// Inserts, deletes and replaces, with a search after each and one before any.
fn lively() -> Runbook {
    parse(
        "lively: {max_pts: 90, 1: {operation: search}, 2: {operation: insert, start: 0, end: 80}, 3: {operation: search},
        4: {operation: delete, start: 10, end: 50}, 5: {operation: search}, 6: {operation: insert, start: 10, end: 20},
        7: {operation: replace, tags_start: 60, tags_end: 80, ids_start: 90, ids_end: 110}, 8: {operation: search},
        9: {operation: replace, tags_start: 60, tags_end: 70, ids_start: 60, ids_end: 70}, 10: {operation: search}}",
    )
}

fn has_no_flaw(store: Box<dyn Store>) {
    let trial = replayed(store, &dataset(), &lively(), true);
    assert_eq!(trial.faults(), [""; 0]);
    // The beam is as wide as the data set.
    let recalls: Vec<Option<f64>> = trial.steps.iter().map(|step| step.recall).collect();
    let (none, all) = (None, Some(1.0));
    assert_eq!(recalls, [none, none, all, none, all, none, none, all, none, all], "{trial:?}");
    assert_eq!((trial.recall, trial.live, trial.expected_live), (all, 50, 50));
    assert_eq!(
        trial.steps.iter().map(|step| step.live).collect::<Vec<_>>(),
        [0, 80, 80, 40, 40, 50, 50, 50, 50, 50]
    );
    assert!(trial.steps.iter().all(|step| step.short_answers == 0 && step.seconds > 0.0));
    let count = |op: &Option<crate::record::Op>| op.as_ref().map_or(0, |op| op.count);
    let Ops { insert, delete, replace, search, beside } = &trial.ops;
    assert_eq!([insert, delete, replace, search].map(count), [90, 40, 30, 100]);
    assert!(count(beside) >= 5, "one search at least beside each step that changes points: {beside:?}");
    assert!(trial.memory.total_bytes > 0 && trial.garbage_end_bytes <= trial.memory.total_bytes as usize);
}

#[test]
fn a_beam_as_wide_as_the_data_finds_everything_with_locks() {
    has_no_flaw(Box::new(Index::<Fine>::new(config(&dataset())).unwrap()));
}

#[test]
fn a_beam_as_wide_as_the_data_finds_everything_without_locks() {
    has_no_flaw(Box::new(Index::<LockFree>::new(config(&dataset())).unwrap()));
}

#[test]
fn answers_are_tags_with_the_rows_that_they_have_now() {
    let (dataset, index) = (dataset(), Index::<Fine>::new(config(&dataset())).unwrap());
    let runbook = parse(&steps(&[
        "operation: insert, start: 0, end: 6",
        "operation: replace, tags_start: 1, tags_end: 3, ids_start: 30, ids_end: 32",
        "operation: search",
    ]));
    let shape = shape(&dataset, &runbook, false);
    let mut replay = Replay::new(&index, &shape);
    let mut last = Vec::new();
    for step in &runbook.steps {
        last = replay.step(step, &AtomicBool::new(false)).unwrap().unwrap().answers;
    }
    let mut queries: Vec<u32> = last.iter().map(|answer| answer.query).collect();
    queries.sort_unstable();
    assert_eq!(queries, (0..20).collect::<Vec<u32>>());
    for answer in &last {
        let mut points: Vec<(u32, u32)> =
            answer.points.iter().map(|Point { tag, row }| (*tag, *row)).collect();
        points.sort_unstable();
        assert_eq!(points, [(0, 0), (1, 30), (2, 31), (3, 3), (4, 4), (5, 5)]);
        assert_eq!(answer.ghosts, 0);
    }
}

fn forgetful(dataset: &Dataset) -> Box<dyn Store> {
    let index = Index::new(config(dataset)).unwrap();
    Box::new(Planted { index, forgets: Some(3), lags: 0 })
}

#[test]
fn a_strategy_that_returns_removed_points_is_caught_in_a_search_step() {
    let dataset = dataset();
    let trial = replayed(forgetful(&dataset), &dataset, &lively(), false);
    // The first deletes are of step 4.
    let ghosts: Vec<usize> =
        trial.steps.iter().filter(|step| step.ghosts > 0).map(|step| step.number).collect();
    assert_eq!(ghosts, [5, 8, 10], "{trial:?}");
    assert!(trial.live > trial.expected_live);
    let faults = trial.faults();
    assert_eq!(faults.len(), 2);
    assert!(faults[0].ends_with("were not there, the first in step 5"), "{faults:?}");
}

#[test]
fn a_strategy_that_returns_removed_points_is_caught_beside_a_step() {
    let dataset = dataset();
    let runbook = parse(
        "few: {max_pts: 90, 1: {operation: insert, start: 0, end: 80}, 2: {operation: delete, start: 2, end: 78},
        3: {operation: insert, start: 80, end: 90}}",
    );
    let trial = replayed(forgetful(&dataset), &dataset, &runbook, true);
    let ghosts: Vec<bool> = trial.steps.iter().map(|step| step.ghosts > 0).collect();
    // What goes during a step may be returned beside it.
    assert_eq!((ghosts, trial.recall), (vec![false, false, true], None), "{trial:?}");
    assert!(
        replayed(forgetful(&dataset), &dataset, &runbook, false).steps.iter().all(|step| step.ghosts == 0)
    );
}

/// What is scored in the process of a trial is what the command computed: not one distance may differ.
#[test]
fn exact_neighbours_survive_the_way_to_a_process() {
    let (dataset, runbook) = (dataset(), lively());
    let given = score::truths(&runbook, &dataset, 10, &AtomicBool::new(false)).unwrap();
    assert!(given[0].is_none() && given[1].is_some());
    let got: Vec<Option<data::Truth>> =
        serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap();
    assert_eq!(got, given);
}

#[test]
fn flags_survive_the_way_to_a_process() {
    for flags in [
        "expiry --overlap-search --strategies fine,mvcc --threads 1,2 --blocks 2",
        "a.yaml --set b --dataset c --ef 20 --seed 7",
    ] {
        assert_survive(&args(&flags.split(' ').collect::<Vec<_>>()));
    }
}

#[test]
fn a_replay_ends_when_the_user_wants() {
    let (dataset, runbook) = (dataset(), lively());
    let index = Index::<Fine>::new(config(&dataset)).unwrap();
    let shape = shape(&dataset, &runbook, true);
    let mut replay = Replay::new(&index, &shape);
    assert!(replay.step(&runbook.steps[1], &AtomicBool::new(true)).unwrap().is_none());
}

#[test]
fn the_command_prints_tables_and_writes_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let [file, path] = ["few.yaml", "few.json"].map(|name| folder.path().join(name));
    std::fs::write(&file, ALL).unwrap();
    let args = RunbookArgs {
        runbook: file.display().to_string(),
        output: OutArgs { out: Some(path.clone()), quiet: true },
        ..args(&[
            "--strategies",
            "fine,mvcc",
            "--threads",
            "1,2",
            "--ef-construction",
            "20",
            "--overlap-search",
            "--blocks",
            "2",
            "--retries",
            "0",
            // The program of a test is not the one whose processes measure; `tests/cli` has that.
            "--in-process",
        ])
    };
    let mut out = Vec::new();
    run(&args, &AtomicBool::new(false), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("for few: 5 steps with at most 40 points of sift10k live"), "{text}");
    assert!(text.contains("recall@k at each search step") && text.contains("mvcc x2"), "{text}");
    let document: Document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((document.runbook.set.as_str(), document.runbook.steps), ("few", 5));
    assert_eq!(document.runbook.digest, blake3::hash(ALL.as_bytes()).to_hex().to_string());
    let turns: Vec<(usize, usize)> =
        document.trials.iter().map(|trial| (trial.block, trial.attempt)).collect();
    assert_eq!(turns, [(0, 0), (1, 0)].repeat(4));
    let points = document.points();
    let names: Vec<(&str, usize)> =
        points.iter().map(|point| (point.all[0].strategy.as_str(), point.all[0].threads)).collect();
    assert_eq!(names, [("fine", 1), ("fine", 2), ("mvcc", 1), ("mvcc", 2)]);
    assert!(text.contains("Medians of 2 of the 6 blocks"), "{text}");
    for trial in &document.trials {
        assert_eq!((trial.faults(), trial.steps.len(), trial.live), (vec![], 5, 35));
        assert!(trial.recall.is_some_and(|recall| recall > 0.99), "{trial:?}");
    }
}

#[test]
fn a_refusal_names_the_file_and_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("far.yaml");
    std::fs::write(&file, steps(&["operation: insert, start: 9995, end: 10001"])).unwrap();
    let told = |runbook: &str| {
        let args = args(&["--quiet", runbook]);
        format!("{:#}", run(&args, &AtomicBool::new(false), &mut Vec::new()).unwrap_err())
    };
    let name = file.display().to_string();
    assert!(told(&name).starts_with(&format!("{name}: step 1 (insert): its rows end before 10001")));
    assert!(told("tumbling").starts_with(
        "tumbling: cannot be read; give a YAML file, or a built-in runbook (sliding-window, expiry)"
    ));
}
