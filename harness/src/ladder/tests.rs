use std::time::Duration;

use super::contest::Kind;
use super::document::points;
use super::*;
use crate::data;
use crate::flags::{OutArgs, assert_survive};
use crate::record::Conditions;
use crate::sweep::sample;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    ladder: LadderArgs,
}

fn parse(args: &[&str]) -> LadderArgs {
    Cli::try_parse_from([&["ladder"], args].concat()).map(|cli| cli.ladder).unwrap()
}

/// Small enough for a test; what it measures means nothing.
fn tiny(args: &[&str]) -> LadderArgs {
    const TINY: [&str; 16] = [
        "--m",
        "8",
        "--ef-construction",
        "40",
        "--query-count",
        "40",
        "--seconds",
        "0.01",
        "--threads",
        "1,2",
        "--pin",
        "none",
        "--quiet",
        "--retries",
        "0",
        // The program of a test is not the one whose processes measure; `tests/cli` has that.
        "--in-process",
    ];
    parse(&[&TINY[..], args].concat())
}

fn measured(args: &LadderArgs) -> (Document, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ladder.json");
    let args = LadderArgs { output: OutArgs { out: Some(path.clone()), quiet: true }, ..args.clone() };
    let mut out = Vec::new();
    assert_eq!(run_with(&args, None, &AtomicBool::new(false), &mut out).unwrap(), Outcome::Complete);
    let document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (document, String::from_utf8(out).unwrap())
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |args: &[&str]| parse(args).check().unwrap_err().to_string();
    assert!(refused(&["--rungs", "naive,highest"]).contains("`highest`; there are naive, simd, layout"));
    assert!(refused(&["--ef", "5"]).contains("from k (10)"));
    assert!(refused(&["--n", "0"]).contains("--n is 0"));
    assert!(refused(&["--blocks", "0"]).contains("--blocks is 0"));
    assert!(refused(&["--seconds", "0"]).contains("--seconds is 0"));
    assert!(refused(&["--threads", "0"]).contains("--threads has 0"));
    assert!(refused(&["--queue", "--pops", "0"]).contains("--pops has 0"));
}

#[test]
fn the_command_climbs_both_sets_and_writes_a_document() {
    let (document, text) = measured(&tiny(&["--n", "500", "--blocks", "2"]));
    assert_eq!(document.sets.len(), 2);
    for climb in &document.sets {
        assert_eq!((climb.dataset.rows, climb.dataset.queries), (500, 40));
        let names: Vec<(&str, usize)> =
            climb.points.iter().map(|point| (point.rung.as_str(), point.threads)).collect();
        let expected: Vec<_> =
            rungs::RUNGS.iter().flat_map(|rung| [(rung.name, 1), (rung.name, 2)]).collect();
        assert_eq!(names, expected);
        for (at, point) in climb.points.iter().enumerate() {
            let Point { inserts, queries, recall, blocks, .. } = point;
            assert_eq!(blocks.iter().map(|block| block.block).collect::<Vec<_>>(), [0, 1]);
            assert!(inserts.per_second.least > 0.0 && queries.per_second.least > 0.0, "{point:?}");
            // Uniform vectors of 128 components are hard for so narrow a beam.
            assert!(recall.least > 0.8, "{} x{}: {recall:?}", point.rung, point.threads);
            assert_eq!(inserts.x_before.is_none(), at < 2, "the first rung has none before it");
            assert_eq!(queries.x_first.is_none(), at < 2);
            assert_eq!(queries.x_one_thread.is_none(), point.threads == 1);
        }
    }
    let [seed, sift] = &document.sets[..] else { panic!("two sets") };
    assert!(seed.dataset.name.starts_with("uniform-500x128") && sift.dataset.name.starts_with("sift10k"));
    assert_eq!(document.asked, ASKED);
    assert!(
        text.contains("asked: start") && text.contains("8,392") && text.contains("80,000-200,000"),
        "{text}"
    );
}

#[test]
fn figures_that_were_asked_for_are_never_among_the_measured() {
    let (document, text) =
        measured(&tiny(&["--n", "300", "--blocks", "1", "--rungs", "naive", "--sets", "seed"]));
    let points = serde_json::to_string(&document.sets).unwrap();
    assert!(!points.contains("8392") && !points.contains("asked"), "{points}");
    for line in text.lines().filter(|line| line.trim_start().starts_with("asked: ") && !line.contains("told"))
    {
        assert!(line.trim_end().ends_with("asked"), "{line}");
    }
}

/// Fewer rows than one thread inserts alone, fewer than there are threads, and parts that are not equal.
#[test]
fn small_sets_are_built_whole_by_every_rung() {
    for rows in ["1", "3", "257", "259"] {
        let args = tiny(&["--n", rows, "--blocks", "1", "--sets", "real", "--k", "1", "--ef", "300"]);
        let (document, _) = measured(&LadderArgs { threads: Some(vec![3]), ..args });
        for point in &document.sets[0].points {
            // A beam as wide as the set: a row that is not in the index is missed by someone.
            assert!(point.recall.least > 0.97, "{rows} rows, {}: {:?}", point.rung, point.recall);
        }
    }
}

#[test]
fn a_stop_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ladder.json");
    let args =
        LadderArgs { output: OutArgs { out: Some(path.clone()), quiet: true }, ..tiny(&["--sets", "real"]) };
    let mut out = Vec::new();
    // The embedded set has its exact neighbours, so it is the first rung that is stopped.
    let args = LadderArgs { query_count: 1000, ..args };
    assert_eq!(run_with(&args, None, &AtomicBool::new(true), &mut out).unwrap(), Outcome::Interrupted);
    assert!(out.is_empty() && !path.exists());
}

#[test]
fn a_stop_reaches_every_kind_of_rung() {
    let args = LadderArgs { query_count: 1000, ..tiny(&["--sets", "real"]) };
    let (dataset, _) = args.data(Set::Real, None, &AtomicBool::new(false)).unwrap();
    let stop = AtomicBool::new(true);
    for rung in &rungs::RUNGS {
        let shape = trial::Shape {
            dataset: &dataset,
            config: args.config(&dataset),
            sample: &sample(&dataset),
            cpus: vec![None; 2],
            k: 10,
            ef: 10,
            window: Duration::from_secs(600),
            stop: &stop,
        };
        assert_eq!(trial::run(rung.make, &shape).unwrap(), None, "{}", rung.name);
    }
}

fn told(rung: usize, threads: usize, block: usize, rates: [f64; 2], tainted: &[&str]) -> Sample {
    Sample {
        rung,
        name: rungs::RUNGS[rung].name,
        adds: rungs::RUNGS[rung].adds,
        threads,
        oversubscribed: false,
        block: Block {
            block,
            attempt: 0,
            inserts_per_second: rates[0],
            queries_per_second: rates[1],
            recall: 0.5,
            conditions: Conditions::default(),
            tainted: tainted.iter().map(|reason| (*reason).to_owned()).collect(),
        },
    }
}

#[test]
fn gains_are_ratios_within_a_block() {
    let samples = [
        told(0, 1, 1, [10.0, 1.0], &[]),
        told(0, 1, 0, [20.0, 1.0], &["noise"]),
        told(1, 1, 0, [60.0, 2.0], &[]),
        told(1, 1, 1, [20.0, 2.0], &["noise", "steal"]),
        told(1, 2, 1, [50.0, 3.0], &["noise"]),
        told(2, 1, 0, [90.0, 8.0], &[]),
    ];
    let points = points(&samples);
    let names: Vec<_> = points.iter().map(|point| (point.rung.as_str(), point.threads)).collect();
    assert_eq!(names, [("naive", 1), ("simd", 1), ("simd", 2), ("layout", 1)]);
    let spread = |values: &[f64]| Some(crate::limit::Spread::of(values.iter().copied()));
    assert_eq!(points[0].inserts.per_second.median, 15.0);
    assert_eq!((points[0].inserts.x_before, points[0].inserts.x_first), (None, None));
    // 60 / 20 and 20 / 10, where medians of rates would give 40 / 15.
    assert_eq!(points[1].inserts.x_before, spread(&[3.0, 2.0]));
    let reasons =
        |point: &Point| -> Vec<usize> { point.blocks.iter().map(|block| block.tainted.len()).collect() };
    assert_eq!((reasons(&points[0]), reasons(&points[1])), (vec![1, 0], vec![0, 2]));
    assert_eq!(points[2].inserts.x_before, None, "the rung before was not measured on two threads");
    assert_eq!(points[2].inserts.x_one_thread, spread(&[2.5]));
    assert_eq!((points[3].queries.x_before, points[3].queries.x_first), (spread(&[4.0]), spread(&[8.0])));
}

/// What was disturbed is kept, and what was measured after it in the same block is what the figures are of.
#[test]
fn of_a_block_that_was_tried_again_the_last_trial_counts() {
    let again = |attempt: usize, mut sample: Sample| {
        sample.block.attempt = attempt;
        sample.block.recall = attempt as f64;
        sample
    };
    let samples = [
        told(0, 1, 0, [10.0, 1.0], &[]),
        again(0, told(1, 1, 0, [1.0, 1.0], &["noise"])),
        again(1, told(1, 1, 0, [30.0, 4.0], &[])),
    ];
    let points = points(&samples);
    let spread = |value: f64| crate::limit::Spread::of([value].into_iter());
    assert_eq!(points[1].inserts.x_before, Some(spread(3.0)));
    assert_eq!((points[1].queries.per_second, points[1].recall), (spread(4.0), spread(1.0)));
    assert_eq!(points[1].blocks.iter().map(|block| block.attempt).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn flags_survive_the_way_to_a_process() {
    for flags in [
        "--sets seed --n 20000 --rungs layout,fine --threads 1,2 --blocks 2 --retries 0",
        "--queue --pops 1,8 --sets real --dataset a/b --metric cosine --ef 200 --seed 7",
    ] {
        assert_survive(&parse(&flags.split(' ').collect::<Vec<_>>()));
    }
}

/// A graph of the embedded vectors, or of few that are all near each other.
fn ground(rows: &str, queries: usize) -> (contest::Ground, data::Dataset) {
    let args = LadderArgs { query_count: queries, ..tiny(&["--n", rows, "--sets", "real"]) };
    let never = AtomicBool::new(false);
    let (dataset, _) = args.data(Set::Real, None, &never).unwrap();
    (contest::Ground::new(&dataset, args.config(&dataset), &never).unwrap().unwrap(), dataset)
}

fn answered(
    (ground, dataset): &(contest::Ground, data::Dataset),
    kind: Kind,
    threads: usize,
    (k, ef): (usize, usize),
) -> contest::Measured {
    let stop = AtomicBool::new(false);
    let cpus = vec![None; threads];
    let shape = contest::Shape { dataset, cpus, k, ef, window: Duration::from_millis(1), stop: &stop };
    contest::run(ground, kind, &shape).unwrap().unwrap()
}

const TEAMS: [(usize, usize); 5] = [(1, 1), (2, 1), (2, 4), (4, 1), (3, 16)];

/// With a beam as wide as the graph everything that can be reached must be found, however threads interleave: a candidate that was
/// lost, or a team that ended too early, would show.
#[test]
fn a_team_finds_all_that_can_be_reached() {
    let bed = ground("300", 40);
    for (threads, pops) in TEAMS {
        let answers = answered(&bed, Kind::Shared { pops }, threads, (300, 300)).answers;
        assert_eq!(answers.len(), 40);
        for (query, answer) in answers.iter().enumerate() {
            let mut exact = data::CodedBase::of(&bed.1).distances(bed.1.query(query));
            exact.sort_unstable_by(f32::total_cmp);
            let found: Vec<f32> = answer.iter().map(|near| near.distance).collect();
            assert_eq!(found, exact, "team of {threads}, {pops} at a time, query {query}");
        }
        assert_eq!(contest::faults(&answers), 0);
    }
}

#[test]
fn a_team_is_as_good_as_a_thread_alone() {
    let bed = ground("3000", 200);
    let recall = |kind, threads| {
        let measured = answered(&bed, kind, threads, (10, 40));
        assert_eq!(contest::faults(&measured.answers), 0);
        let recall = trial::mean_recall(&bed.1, 10, |query, recall| {
            let found: Vec<f32> = measured.answers[query].iter().map(|near| near.distance).collect();
            Ok(recall(&found))
        });
        (recall.unwrap(), measured.distances_per_query)
    };
    let (alone, _) = recall(Kind::Alone, 1);
    let (_, least) = recall(Kind::Shared { pops: 1 }, 1);
    assert!(alone > 0.9, "{alone}");
    for (threads, pops) in TEAMS {
        let (team, distances) = recall(Kind::Shared { pops }, threads);
        assert!(team > alone - 0.01, "team of {threads}, {pops} at a time: {team}, alone {alone}");
        // Candidates that are taken out of turn can spare distances of others, but not many.
        assert!(
            distances > 0.9 * least,
            "team of {threads}, {pops} at a time: {distances}, in order {least}"
        );
    }
}

#[test]
fn a_team_stops_when_the_user_wants() {
    let (ground, dataset) = ground("300", 40);
    let stop = AtomicBool::new(true);
    for kind in [Kind::Alone, Kind::Shared { pops: 1 }] {
        let (cpus, window) = (vec![None; 3], Duration::from_secs(600));
        let shape = contest::Shape { dataset: &dataset, cpus, k: 10, ef: 10, window, stop: &stop };
        assert!(contest::run(&ground, kind, &shape).unwrap().is_none());
    }
}

#[test]
fn faulty_answers_are_counted() {
    let near = |distance, node| naive::Near { distance, node };
    let good = vec![near(1.0, 3), near(2.0, 1)];
    let twice = vec![near(1.0, 3), near(1.0, 3)];
    let disorder = vec![near(2.0, 1), near(1.0, 3)];
    assert_eq!(contest::faults(&[good, Vec::new(), twice, disorder]), 2);
}

#[test]
fn the_queue_is_measured_beside_a_query_for_each_thread() {
    let (document, text) =
        measured(&tiny(&["--queue", "--n", "500", "--sets", "real", "--blocks", "2", "--threads", "4"]));
    let ways = &document.sets[0].queue;
    let names: Vec<_> = ways.iter().map(|way| (way.pops, way.threads)).collect();
    let [one, four] = [Some(1), Some(4)];
    assert_eq!(
        names,
        [(None, 1), (None, 2), (None, 4), (one, 1), (one, 2), (one, 4), (four, 1), (four, 2), (four, 4)]
    );
    assert!(document.sets[0].points.is_empty() && document.config.rungs.is_empty());
    for way in ways {
        assert!(way.recall.least > 0.9 && way.blocks.len() == 2 && way.faulty_answers == 0, "{way:?}");
        assert!(way.p50_us.least > 0.0 && way.p50_us.median <= way.p99_us.median, "{way:?}");
        assert_eq!(way.x_queries.is_none(), way.pops.is_none());
        assert_eq!(way.x_p50.is_none(), (way.pops, way.threads) == (None, 1));
        assert_eq!(way.x_distances.is_none(), (way.pops, way.threads) == (one, 1));
    }
    assert!(text.contains("all on one, 4 at a time") && !text.contains("asked"), "{text}");
}
