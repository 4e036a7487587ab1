//! Each check finds what was broken, and nothing else.

use std::process::ExitCode;

use hnsw_lab::record::{Document, Row};
use hnsw_lab::verify::{VerifyArgs, problems, run};

use crate::support::{Case, in_tree, sample, write_file};

#[test]
fn the_sample_is_sound() {
    assert_eq!(problems(&sample()), Vec::<String>::new());
    let file = in_tree("tests/golden/sample.json");
    let code = run(&VerifyArgs { file }).expect("readable");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn problems_make_exit_code_1() {
    let mut document = sample();
    document.rows[0].graph.unreachable = 1;
    let (_folder, file) = write_file(&document);
    let code = run(&VerifyArgs { file }).expect("readable");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
}

#[test]
fn threads_that_share_a_cpu_are_oversubscribed_however_many_cpus_there_are() {
    let mut document = sample();
    document.run.config.placement.as_mut().expect("seats")[1].cpu = 0;
    let found = problems(&document);
    let at_two = document.rows.iter().filter(|row| row.threads == 2).count();
    assert!(at_two > 0 && found.len() == at_two, "{found:?}");
    let said = "oversubscribed is false, with 2 threads on 2 allowed CPUs, two of them on one";
    assert!(found.iter().all(|line| line.ends_with(said)), "{found:?}");
    document.rows.iter_mut().filter(|row| row.threads == 2).for_each(|row| row.oversubscribed = true);
    assert_eq!(problems(&document), Vec::<String>::new());
}

#[test]
fn each_broken_row_is_found() {
    let broken: [Case<Row>; 22] = [
        ("total_bytes is", |row| row.memory.total_bytes += 1),
        ("overhead_percent is", |row| row.memory.overhead_percent += 0.5),
        ("are not", |row| insert(row).per_second *= 1.01),
        ("quantiles do not ascend", |row| insert(row).latency_us.p90 = 0.0),
        ("quantiles do not ascend", |row| insert(row).latency_us.p50 = -1.0),
        ("tail_us does not ascend", |row| insert(row).tail_us.swap(1, 2)),
        ("tail_us does not ascend", |row| insert(row).tail_us[0] = -1.0),
        ("tail_us does not ascend", |row| insert(row).tail_us.push(1e9)),
        ("tail_us does not ascend", |row| insert(row).tail_us = vec![1.0; 99]),
        ("recall_at_k is 1.5", |row| row.recall_at_k = Some(1.5)),
        ("recall_at_k is -0.5", |row| row.recall_at_k = Some(-0.5)),
        ("promise broken: 3 of 100000", |row| row.graph.unreachable = 3),
        ("oversubscribed is true, with 1 threads on 2", |row| row.oversubscribed = true),
        ("seconds is 0, not above 0", |row| {
            row.seconds = 0.0;
            insert(row).count = 0;
        }),
        ("no operations", |row| row.ops.insert = None),
        ("ef must be given", |row| {
            let insert = row.ops.insert.clone();
            row.ops.search = insert;
        }),
        ("its block is not in run.config", |row| row.block = 99),
        ("its attempt is not in run.config", |row| row.attempt = 2),
        ("its codec is not in run.config", |row| row.codec = "f8".into()),
        ("2 answers have fewer than 10 neighbours", |row| row.short_answers = Some(2)),
        ("its strategy is not in run.config", |row| row.strategy = "other".into()),
        ("k, m or ef_construction differ", |row| row.m = 8),
    ];
    for (expected, breaks) in broken {
        let mut document = sample();
        breaks(&mut document.rows[0]);
        let found = problems(&document);
        let named: Vec<_> = found.iter().filter(|line| !line.starts_with("missing")).collect();
        assert_eq!(named.len(), 1, "{expected}: {found:?}");
        assert!(named[0].starts_with("row 0 (") && named[0].contains(expected), "{expected}: {found:?}");
    }
}

fn insert(row: &mut Row) -> &mut hnsw_lab::record::Op {
    row.ops.insert.as_mut().expect("the first row is a build")
}

#[test]
fn a_key_that_comes_twice_is_found() {
    let mut document = sample();
    document.rows.push(document.rows[5].clone());
    assert!(one_problem(&document).contains("an earlier row has the same key"));
}

#[test]
fn a_second_attempt_is_no_second_row_of_the_same_key() {
    let mut document = sample();
    let again = Row { attempt: 1, ..document.rows[5].clone() };
    document.rows.push(again);
    assert_eq!(problems(&document), Vec::<String>::new());
}

#[test]
fn a_sweep_that_ended_early_owes_whole_blocks_only() {
    let mut document = sample();
    document.run.config.blocks = 9;
    assert!(problems(&document).len() > 10);
    document.run.config.until_ratio = Some(1.05);
    assert_eq!(problems(&document), Vec::<String>::new());
    document.rows.pop();
    assert!(one_problem(&document).contains("block 2;"));
}

#[test]
fn a_missing_row_is_listed() {
    let mut document = sample();
    document
        .rows
        .retain(|row| !(row.strategy == "mvcc" && row.threads == 2 && row.ef == Some(64) && row.block != 1));
    assert!(one_problem(&document).starts_with("missing: mvcc f32 search threads=2 ef=64, block 0, 2;"));
}

#[test]
fn what_is_wrong_with_the_run_is_found() {
    let broken: [Case<Document>; 3] = [
        ("run.started `now`", |document| document.run.started = "now".into()),
        ("run.id is empty", |document| document.run.id.clear()),
        ("run.config.blocks is", |document| document.run.config.blocks = usize::MAX),
    ];
    for (expected, breaks) in broken {
        let mut document = sample();
        breaks(&mut document);
        assert!(one_problem(&document).contains(expected), "{expected}");
    }
}

fn one_problem(document: &Document) -> String {
    let found = problems(document);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}
