//! The tables of the made-up document.

use hnsw_lab::record::{Document, Op, Phases, Row};
use hnsw_lab::report::{ReportArgs, csv, run, tables, tax};
use hnsw_lab::summary::Summary;
use hnsw_lab::{machine, noise};

use crate::support::{sample, sample_file};

fn report() -> String {
    let document = sample();
    let summary = Summary::of(&document);
    tables(&document, &summary, &summary.workloads(), None, false)
}

/// The cells of the first line after `heading` that starts with `strategy`.
fn cells_of<'t>(text: &'t str, heading: &str, strategy: &str) -> Vec<&'t str> {
    let after = text.split_once(heading).expect("the heading is there").1;
    let line = after.lines().find(|line| line.trim_start().starts_with(strategy)).expect("a line");
    line.split_whitespace().collect()
}

#[test]
fn piped_text_is_plain_and_narrow() {
    let text = report();
    assert!(!text.contains('\u{1b}'), "no escape sequences");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(160), "{widest:?}\n{text}");
}

#[test]
fn one_table_per_workload_in_the_configured_order() {
    let text = report();
    let starts: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("· latency of one"))
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(starts, ["build", "search", "mixed", "write-heavy"]);
}

#[test]
fn search_is_compared_at_the_smallest_ef_with_enough_recall() {
    let mut document = sample();
    let text = report();
    assert!(text.contains("search · ef 32 (the smallest at which every strategy's median recall"), "{text}");
    for row in document.rows.iter_mut().filter(|row| row.strategy == "mvcc") {
        row.recall_at_k = row.recall_at_k.map(|_| 0.9);
    }
    let chosen = Summary::of(&document).chosen_ef("search");
    assert_eq!(chosen.ef, Some(64));
    assert!(chosen.why.starts_with("the largest"), "{}", chosen.why);
}

#[test]
fn speed_ups_are_medians_of_paired_ratios() {
    let mut document = sample();
    document.rows.retain(|row| row.workload == "build");
    for row in &mut document.rows {
        // Blocks slow down together, so that ratios stay exact while rates do not.
        let blocks = 1.0 / (row.block + 1) as f64;
        let rate = 1_000.0
            * blocks
            * match (row.strategy.as_str(), row.threads) {
                ("sequential", _) => 1.0,
                (_, 1) => 0.8,
                (_, threads) => 0.8 * 0.9 * threads as f64,
            };
        row.ops.insert.as_mut().expect("builds insert").per_second = rate;
    }
    let summary = Summary::of(&document);
    let points = summary.at("build", None);
    let point = points.iter().find(|point| point.strategy == "fine" && point.threads == 2).expect("a point");
    let itself = summary.over_itself(point).expect("a ratio");
    let baseline = summary.over_baseline(point).expect("a ratio");
    assert!((itself.median - 1.8).abs() < 1e-9, "{itself:?}");
    assert!((baseline.median - 1.44).abs() < 1e-9, "{baseline:?}");
    assert!((point.throughput.median - 720.0).abs() < 1e-9, "{:?}", point.throughput);
    let text = tables(&document, &summary, &["build"], None, false);
    assert!(text.contains("fine 2"), "{text}");
}

#[test]
fn cost_sentence_names_threads_or_says_that_none_was_enough() {
    let mut document = sample();
    for row in &mut document.rows {
        if row.strategy == "coarse" {
            for op in [&mut row.ops.search, &mut row.ops.insert].into_iter().flatten() {
                // Only the oversubscribed point beats the baseline, and that does not count.
                op.per_second *= if row.threads > 2 { 10.0 } else { 0.1 };
            }
        }
    }
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["search"], None, false);
    let sentence = text.lines().find(|line| line.starts_with("Threads needed")).expect("the sentence");
    assert_eq!(
        sentence,
        "Threads needed to beat `sequential` on one thread: coarse not in the measured range, fine 2, lockfree 2, mvcc 2."
    );
}

#[test]
fn flags_are_shown_and_explained() {
    let text = report();
    assert!(text.contains("* more threads than allowed CPUs"));
    assert!(text.contains("n/m: n of m blocks are clean"));
    assert!(!text.contains("promise of the contract"));
    let mixed = text.split_once("\nmixed").expect("mixed").1;
    let tainted = mixed.lines().find(|line| line.ends_with("2/3")).expect("the tainted point");
    assert_eq!(tainted.split_whitespace().next(), Some("2"), "{tainted}");
    let sequential = cells_of(&text, "\nbuild", "sequential");
    assert_eq!(sequential.len(), 14, "no flag: {sequential:?}");
    assert_eq!((sequential[1], sequential[4], sequential[5]), ("1", "1.00", "1.00"));
}

#[test]
fn two_blocks_give_no_interval() {
    let mut document = sample();
    document.rows.retain(|row| row.block < 2 && row.workload == "build");
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["build"], None, false);
    assert_eq!(cells_of(&text, "\nbuild", "sequential")[3], "–");
}

#[test]
fn a_sweep_without_rows_is_reported_as_such() {
    let mut document = sample();
    document.rows.clear();
    let text = tables(&document, &Summary::of(&document), &[], None, false);
    assert!(text.contains("No rows yet"), "{text}");
}

#[test]
fn csv_has_every_point_with_all_its_columns() {
    let summary = Summary::of(&sample());
    let text = csv(&summary, &summary.workloads()).expect("in memory");
    let lines: Vec<&str> = text.lines().collect();
    // 4 strategies at 3 thread counts and the baseline at 1; build, mixed and write-heavy once, search at 3 efs.
    assert_eq!(lines.len(), 1 + 13 * 6);
    assert!(lines.iter().all(|line| line.split(',').count() == 22), "{}", lines[1]);
    assert!(lines[1].starts_with("build,f32,sequential,1,,3,false,false,"), "{}", lines[1]);
}

#[test]
fn an_unknown_workload_is_one_line_with_the_known_ones() {
    let (_folder, file) = sample_file();
    let error = run(&ReportArgs {
        file,
        workload: Some("serach".into()),
        csv: false,
        tax: false,
        counters: false,
        html: None,
        churn: None,
        latency: None,
        noise: None,
    })
    .expect_err("unknown");
    let line = error.to_string();
    assert!(line.contains("`serach`; it has build, search, mixed, write-heavy"), "{line}");
}

#[test]
fn phases_are_shares_of_the_time_of_an_insert() {
    let mut document = sample();
    document.rows.retain(|row| row.workload == "build");
    for row in &mut document.rows {
        row.workload = "phases".into();
        row.phases = Some(Phases { search_us: 60.0, select_us: 20.0, link_us: 15.0, wait_us: 5.0 });
    }
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["phases"], None, false);
    let cells = cells_of(&text, "µs per insert", "fine");
    assert_eq!(cells, ["fine", "1", "100", "60.0", "20.0", "15.0", "5.0"]);
}

#[test]
fn roles_are_shares_of_what_each_reaches_alone_in_the_same_block() {
    let mut document = sample();
    document.rows.retain(|row| row.workload == "write-heavy" && row.threads == 2);
    let rows = std::mem::take(&mut document.rows);
    for row in rows {
        let slow = 1.0 / (row.block + 1) as f64;
        for (workload, searches, inserts) in
            [("reader-writer", 900.0, 80.0), ("reader-alone", 1_000.0, 0.0), ("writer-alone", 0.0, 100.0)]
        {
            let mut row = row.clone();
            row.workload = workload.into();
            let set = |op: &mut Option<Op>, rate: f64| {
                *op = op.take().filter(|_| rate > 0.0).map(|op| Op { per_second: rate * slow, ..op });
            };
            set(&mut row.ops.search, searches);
            set(&mut row.ops.insert, inserts);
            row.ef = row.ops.search.as_ref().and(row.ef);
            row.short_answers = row.ef.map(|_| 1);
            document.rows.push(row);
        }
    }
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["reader-writer"], None, false);
    let cells = cells_of(&text, "short answers", "lockfree");
    assert_eq!(cells, ["lockfree", "2", "450", "90.0", "%", "0.0", "%", "40", "80.0", "%", "0.0", "%", "3"]);
    assert!(text.contains("answers with too few neighbours: a promise"), "{text}");
}

#[test]
fn tables_of_several_codecs_stand_apart() {
    let mut document = sample();
    let mut other = document.rows.clone();
    for row in &mut other {
        row.codec = "sq8".into();
        row.ops.search.iter_mut().for_each(|op| op.per_second *= 3.0);
    }
    document.run.config.codec = "f32,sq8".into();
    document.rows.extend(other);
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["search"], None, false);
    let (exact, coded) = text.split_once("search · sq8 · ef 32").expect("both");
    assert!(exact.contains("search · f32 · ef 32"), "{text}");
    let ratio = |text: &str| cells_of(text, "strategy", "fine")[5].to_owned();
    assert_eq!(ratio(exact), ratio(coded), "ratios are taken within a codec");
    assert_eq!(summary.by_codec().len(), 2);
}

#[test]
fn tax_is_what_each_thread_loses_against_the_baseline_in_the_same_block() {
    let mut document = sample();
    document.rows.retain(|row| row.workload == "search" && row.ef == Some(32));
    for row in &mut document.rows {
        let each = if row.strategy == "sequential" { 1_000.0 } else { 950.0 };
        let rate = each * row.threads as f64 / (row.block + 1) as f64;
        row.ops.search.as_mut().expect("searches").per_second = rate;
    }
    let text = tax(&document, &Summary::of(&document), None, false);
    let fine = cells_of(&text, "\nsearch", "fine");
    assert_eq!(fine[..6], ["fine", "1", "475", "0.950", "0.000", "+5.0"]);
    assert!(text.contains("against sequential search on one thread"), "{text}");
    document.rows.retain(|row| row.strategy != "sequential");
    let without = tax(&document, &Summary::of(&document), None, false);
    assert!(!without.contains("against sequential"), "{without}");
}

/// Rates of `fine` and `lockfree` that follow known laws up to `most` threads, in so many blocks.
pub fn scaling(counts: &[usize], blocks: usize) -> Document {
    let mut document = sample();
    let first = |strategy: &str| {
        let is = |row: &&Row| row.strategy == strategy && row.workload == "build" && row.threads == 1;
        document.rows.iter().find(is).expect("a build").clone()
    };
    let mut rows = Vec::new();
    for (strategy, level, sigma, kappa) in [
        ("sequential", 1_000.0, 0.0, 0.0),
        ("fine", 900.0, 0.05, 0.0),
        ("lockfree", 800.0, 0.02, 0.002),
        ("mvcc", 90.0, 0.5, 0.0),
    ] {
        let row = first(strategy);
        for block in 0..blocks {
            for &threads in counts.iter().filter(|threads| strategy != "sequential" || **threads == 1) {
                let n = threads as f64;
                let mut row = Row { block, threads, ..row.clone() };
                let noise = 1.0 + 0.01 * ((block * 7 + threads * 3) % 5) as f64 / 5.0;
                row.ops.insert.as_mut().expect("builds insert").per_second =
                    noise * level * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0));
                rows.push(row);
            }
        }
    }
    document.run.config.threads = counts.to_vec();
    document.run.config.blocks = blocks;
    document.rows = rows;
    document
}

#[test]
fn laws_of_scaling_are_fitted_where_there_are_enough_thread_counts() {
    let document = scaling(&[1, 2, 4, 8, 16, 24, 32], 7);
    let summary = Summary::of(&document);
    let text = tables(&document, &summary, &["build"], None, false);
    let section = text.split_once("\nScaling: X(N)").expect("a section").1;
    let row = |strategy: &str| {
        let line = section.lines().find(|line| line.contains(&format!(" {strategy} "))).expect("a row");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // workload, codec, strategy, counts (3 words), lambda, sigma and its band, …
    let (fine, lockfree, mvcc) = (row("fine"), row("lockfree"), row("mvcc"));
    assert_eq!(fine[3..6], ["7,", "to", "32"]);
    let near = |text: &str, value: f64, by: f64| {
        let found: f64 = text.replace(',', "").parse().expect("a number");
        assert!((found - value).abs() <= by, "{found} is not {value}");
    };
    near(&fine[6], 904.0, 15.0);
    near(&fine[7], 0.05, 0.003);
    assert_eq!(fine.last().map(String::as_str), Some("2"), "COST of {fine:?}");
    near(&lockfree[7], 0.02, 0.005);
    let peak = (0.98_f64 / 0.002).sqrt();
    near(&lockfree[11], peak, 1.5);
    assert!(mvcc.join(" ").ends_with("never within 32"), "{mvcc:?}");
    assert!(!section.contains("weak"), "{section}");

    let weak = scaling(&[1, 2, 4, 8], 7);
    let text = tables(&weak, &Summary::of(&weak), &["build"], None, false);
    assert!(text.contains("4, to 8 (weak)") && text.contains("no peak from them"), "{text}");
}

#[test]
fn two_thread_counts_are_no_scaling_and_it_says_so_in_one_line() {
    let text = report();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Scaling")).collect();
    assert_eq!(
        lines,
        ["Scaling: no fit: 2 thread counts within the allowed CPUs, and a fit wants at least 4, better 6."]
    );
}

#[test]
fn tainted_rows_count_only_where_there_is_nothing_else() {
    let mut document = scaling(&[1, 2], 5);
    let spoil = |document: &mut Document, blocks: usize| {
        for row in document.rows.iter_mut().filter(|row| row.strategy == "fine" && row.block < blocks) {
            row.tainted = vec!["a neighbour".into()];
            row.ops.insert.as_mut().expect("builds insert").per_second = 1.0;
        }
    };
    spoil(&mut document, 3);
    // The third block was tried again, and came out clean.
    let mut again =
        document.rows.iter().find(|row| row.strategy == "fine" && row.block == 2).expect("a row").clone();
    (again.attempt, again.tainted) = (1, Vec::new());
    again.ops.insert.as_mut().expect("builds insert").per_second = 900.0;
    document.rows.push(again);
    let summary = Summary::of(&document);
    let of = |summary: &Summary| {
        let points = summary.at("build", None);
        let point =
            points.into_iter().find(|point| point.strategy == "fine" && point.threads == 1).expect("a point");
        (point.tainted, point.blocks.keys().copied().collect::<Vec<_>>(), point.throughput.median)
    };
    let (tainted, blocks, median) = of(&summary);
    assert_eq!((tainted, blocks), (false, vec![2, 3, 4]));
    assert!((850.0..950.0).contains(&median), "{median}");
    let text = tables(&document, &summary, &["build"], None, false);
    assert!(text.contains("3/5 +1") && text.contains("+n: n trials were repeated"), "{text}");
    spoil(&mut document, 5);
    document.rows.retain(|row| row.attempt == 0);
    assert_eq!(of(&Summary::of(&document)), (true, vec![0, 1, 2, 3, 4], 1.0));
    assert!(
        tables(&document, &Summary::of(&document), &["build"], None, false).contains("! all of its blocks")
    );
}

#[test]
fn how_far_to_believe_differences_is_said() {
    let text = report();
    assert!(
        text.contains("± is half of the range of 3 blocks, which holds the median in 75 of 100 cases only"),
        "{text}"
    );
    assert!(text.contains("How small a difference is still noise here is unknown"), "{text}");
    let document = scaling(&[1, 2], 20);
    let noise = noise::Document::of(&document, &[7], machine::Machine::default(), machine::build_info());
    let text = tables(&document, &Summary::of(&document), &["build"], Some(&noise), false);
    assert!(
        text.contains("are noise on this machine, at 20 blocks.") && !text.contains("± is half"),
        "{text}"
    );
}
