use super::supply::{Supply, Zipf};
use super::*;
use crate::data::generate::{Shape, clustered};

#[test]
fn every_built_in_workload_is_of_the_form_and_comes_back_from_its_text() {
    for (name, text) in BUILT_IN {
        let workload = Workload::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert!(!workload.about.contains('\n') && workload.about.len() > 10, "{name}");
        let again = toml::to_string(&workload).expect("it can be written");
        assert_eq!(Workload::parse(name, &again).expect("it was written by us"), workload, "{again}");
        assert_eq!(Workload::named(name).expect("it is built in"), ((*name).to_owned(), workload));
    }
}

#[test]
fn every_built_in_file_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    files.sort();
    let mut names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

const CHURN: &str = BUILT_IN[0].1;

fn refused(text: &str) -> String {
    let said = Workload::parse("my.toml", text).expect_err("it cannot be").to_string();
    assert!(!said.contains('\n') && said.starts_with("my.toml"), "{said}");
    said
}

#[test]
fn what_cannot_be_is_refused_with_its_key_or_line() {
    let with = |from: &str, to: &str| {
        assert!(CHURN.contains(from), "{from}");
        refused(&CHURN.replace(from, to))
    };
    assert!(with("version = 1", "version = 2").contains("this program reads 1"));
    assert!(with("share = 0.5", "share = 1.5").contains("start.points.share is 1.5"));
    assert!(with("search = 0.5", "search = 0.4").contains("add up to 0.9; they must add up to 1"));
    assert!(with("fresh = 0.5", "fresh = -1.0").contains("search.fresh is -1"));
    assert!(with("fresh = 0.5", "zipf = 11.0").contains("search.zipf is 11"));
    assert!(with("fresh = 0.5", "batch = 0").contains("search.batch is 0"));
    assert!(with("fresh = 0.5", "fresh = nan").contains("search.fresh is NaN"));
    assert!(with("replace", "remove").contains("would run empty"));
    let line = with("fresh", "speed");
    assert!(line.contains("line 5") && line.contains("unknown field `speed`"), "{line}");
    let more = |line: &str| refused(&format!("{CHURN}{line}\n"));
    assert!(more("until = \"rows\"").contains("leaves the number of points as it is"));
    assert!(more("reader = { kind = \"long\", between = [0.5, 0.5] }").contains("reader.between"));
    assert!(more("reader = { kind = \"fast\", between = [0.1, 0.5] }").contains("line 6"));
    assert!(refused("version = 1").contains("missing field"));
    let unknown = Workload::named("no-such").expect_err("there is none").to_string();
    assert!(unknown.starts_with("no-such: cannot be read") && unknown.contains("hot-hub"), "{unknown}");
}

#[test]
fn a_file_is_read_and_named_after_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, CHURN).expect("written");
    let (name, workload) = Workload::named(&path.to_string_lossy()).expect("it is of the form");
    assert_eq!((name.as_str(), workload.points(1_000)), ("mine", 500));
}

#[test]
fn zipf_draws_ranks_as_often_as_the_law_says() {
    let mut random = fastrand::Rng::with_seed(1);
    for exponent in [0.0, 1.0, 2.0] {
        let (ranks, draws) = (8, 40_000);
        let law = Zipf::new(ranks, exponent);
        let mut counts = vec![0_usize; ranks];
        (0..draws).for_each(|_| counts[law.draw(&mut random)] += 1);
        let weights: Vec<f64> = (1..=ranks).map(|rank| (rank as f64).powf(-exponent)).collect();
        for (count, weight) in counts.iter().zip(&weights) {
            let expected = weight / weights.iter().sum::<f64>();
            let spread = (expected * (1.0 - expected) / draws as f64).sqrt();
            assert!((*count as f64 / draws as f64 - expected).abs() < 5.0 * spread, "{exponent}: {counts:?}");
        }
    }
}

fn workload(rest: &str) -> Workload {
    let text = format!("version = 1\nabout = \"a test\"\n{rest}");
    Workload::parse("test", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn data() -> crate::data::Dataset {
    clustered(&Shape { rows: 600, dim: 8, queries: 40, seed: 3 }, 4).expect("a set")
}

/// All rows that are handed out until none is left, at most two rounds.
fn handed_out(supply: &Supply, most: usize) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(2);
    (0..most).map_while(|_| supply.row(&mut random)).collect()
}

#[test]
fn where_points_become_more_each_row_is_handed_out_once() {
    let data = data();
    for rest in [
        "start = { points = { count = 100 } }\nmix = { insert = 1.0 }",
        "start = { points = { count = 100 }, order = \"clustered\" }\nmix = { insert = 1.0 }",
        "start = { points = { count = 100 }, order = \"shuffled\" }\nmix = { insert = 1.0 }\ninsert = { zipf = 1.5 }",
    ] {
        let supply = Supply::new(&workload(rest), &data, 100, 7);
        let mut rows = handed_out(&supply, 10_000);
        assert_eq!((supply.first.len(), rows.len()), (100, 500), "{rest}");
        rows.extend(&supply.first);
        rows.sort_unstable();
        assert_eq!(rows, (0..600).collect::<Vec<u32>>(), "{rest}");
    }
}

#[test]
fn where_points_are_replaced_rows_come_again_when_all_have_been() {
    let supply = Supply::new(
        &workload("start = { points = { count = 100 } }\nmix = { replace = 1.0 }"),
        &data(),
        100,
        7,
    );
    let rows = handed_out(&supply, 1_200);
    assert_eq!(rows[..600], (100..600).chain(0..100).collect::<Vec<u32>>());
    assert_eq!(rows[..600], rows[600..]);
}

#[test]
fn clustered_rows_are_nearer_to_their_predecessors_than_others() {
    let data = data();
    let jumps = |order: &str| {
        let text =
            format!("start = {{ points = {{ count = 0 }}, order = \"{order}\" }}\nmix = {{ insert = 1.0 }}");
        let rows = handed_out(&Supply::new(&workload(&text), &data, 0, 7), 600);
        let squares = |pair: &[u32]| {
            let (one, other) = (data.row(pair[0] as usize), data.row(pair[1] as usize));
            one.iter().zip(other).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>()
        };
        rows.windows(2).map(squares).sum::<f64>()
    };
    assert!(jumps("clustered") < 0.8 * jumps("shuffled"), "{} {}", jumps("clustered"), jumps("shuffled"));
}

#[test]
fn skewed_queries_come_from_few_regions() {
    let data = data();
    let distinct = |zipf: f64| {
        let text = format!(
            "start = {{ points = {{ share = 1.0 }} }}\nmix = {{ search = 1.0 }}\nsearch = {{ zipf = {zipf} }}"
        );
        let supply = Supply::new(&workload(&text), &data, 600, 7);
        let mut random = fastrand::Rng::with_seed(5);
        let mut counts = vec![0_usize; 40];
        (0..4_000).for_each(|_| counts[supply.query(&mut random) as usize] += 1);
        counts.sort_unstable();
        counts[20..].iter().sum::<usize>()
    };
    assert!(distinct(3.0) > distinct(0.0) + 800, "{} {}", distinct(3.0), distinct(0.0));
}
