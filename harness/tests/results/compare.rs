//! Verdicts on made-up documents.

use hnsw_lab::compare::{Compared, Refusal, Rules, Verdict, compare};
use hnsw_lab::noise;
use hnsw_lab::record::{Document, Isolation, Row};

use crate::support::sample;

/// Builds and searches of the sample in so many blocks, each rate with a noise of its own of up to `noise` to either side.
fn blocks(count: usize, noise: f64, seed: u64) -> Document {
    let mut document = sample();
    let mut random = fastrand::Rng::with_seed(seed);
    let kept = |row: &&Row| {
        row.block == 0 && row.tainted.is_empty() && matches!(row.workload.as_str(), "build" | "search")
    };
    let first: Vec<Row> = document.rows.iter().filter(kept).cloned().collect();
    document.run.config.blocks = count;
    document.rows.clear();
    for block in 0..count {
        for row in &first {
            let mut row = Row { block, ..row.clone() };
            scale(&mut row, 1.0 + noise * (2.0 * random.f64() - 1.0));
            document.rows.push(row);
        }
    }
    document
}

fn scale(row: &mut Row, by: f64) {
    for op in [&mut row.ops.search, &mut row.ops.insert].into_iter().flatten() {
        op.per_second *= by;
    }
}

fn rules() -> Rules {
    Rules { recall_loss: 0.005, ..Rules::default() }
}

fn compared(before: &Document, after: &Document) -> Compared {
    compare(before, after, &rules(), None).expect("comparable")
}

#[test]
fn a_document_is_no_worse_than_itself() {
    let document = blocks(8, 0.004, 1);
    let same = compared(&document, &document);
    assert_eq!((same.count(Verdict::Same), same.worse()), (same.points.len(), 0));
    assert_eq!(same.points.len(), 13 * 4, "5 strategies, builds and searches at 3 efs");
    assert!(same.points.iter().all(|pair| pair.ratio == 1.0 && pair.p_holm == 1.0));
    assert!((same.ratio_of_all - 1.0).abs() < 1e-12 && same.unmatched == [0, 0]);
    let noisy = blocks(8, 0.2, 1);
    let unclear = compared(&noisy, &noisy);
    assert!(unclear.count(Verdict::TooNoisy) > 40 && unclear.worse() == 0, "{:?}", unclear.points[0]);
}

#[test]
fn what_became_slower_and_what_faster_is_found_and_nothing_else() {
    let before = blocks(8, 0.01, 1);
    let mut after = blocks(8, 0.01, 2);
    for row in &mut after.rows {
        match (row.strategy.as_str(), row.workload.as_str()) {
            ("fine", "search") => scale(row, 0.9),
            ("mvcc", "build") => scale(row, 1.1),
            _ => {}
        }
    }
    let found = compared(&before, &after);
    for pair in &found.points {
        let expected = match (pair.strategy.as_str(), pair.workload.as_str()) {
            ("fine", "search") => Verdict::Slower,
            ("mvcc", "build") => Verdict::Faster,
            _ => Verdict::Same,
        };
        assert_eq!(pair.verdict, expected, "{pair:?}");
        let [low, high] = pair.interval.expect("8 blocks");
        assert!(low <= pair.ratio && pair.ratio <= high && pair.p_holm >= pair.p, "{pair:?}");
    }
    assert_eq!(found.worse(), 9);
    // The other way round, slower is faster and ratios are inverse.
    let back = compared(&after, &before);
    assert_eq!((back.count(Verdict::Slower), back.count(Verdict::Faster)), (3, 9));
    let product = |at: usize| found.points[at].ratio * back.points[at].ratio;
    assert!((0..found.points.len()).all(|at| (product(at) - 1.0).abs() < 1e-9));
}

#[test]
fn a_difference_that_is_certain_and_small_is_not_called_slower() {
    let before = blocks(8, 0.002, 1);
    let mut after = blocks(8, 0.002, 2);
    after.rows.iter_mut().for_each(|row| scale(row, 0.98));
    let found = compared(&before, &after);
    assert_eq!(found.count(Verdict::Same), found.points.len(), "{:?}", found.points[0]);
    assert!(found.points.iter().all(|pair| pair.p_holm < 0.05), "though no test doubts it");
    let strict = Rules { min_effect: Some(0.01), ..rules() };
    let found = compare(&before, &after, &strict, None).expect("comparable");
    assert_eq!(found.count(Verdict::Slower), found.points.len());
    assert_eq!(found.min_effect_from, "flag");
}

/// Rates that go up and down with the block in both: pairs see through it, and sets that are compared as wholes do not.
#[test]
fn pairs_see_through_what_slows_down_a_whole_block() {
    let drift = |document: &mut Document| {
        for row in &mut document.rows {
            scale(row, [1.0, 0.7, 1.3, 0.8, 1.2, 0.9, 1.1, 0.75, 1.25, 0.85][row.block]);
        }
    };
    let (mut before, mut after) = (blocks(10, 0.002, 1), blocks(10, 0.002, 2));
    for document in [&mut before, &mut after] {
        document.rows.retain(|row| row.workload == "build");
        drift(document);
    }
    after.rows.iter_mut().for_each(|row| scale(row, 0.93));
    let apart = compared(&before, &after);
    assert_eq!(apart.count(Verdict::TooNoisy), apart.points.len());
    let paired = compare(&before, &after, &Rules { paired: true, ..rules() }, None).expect("comparable");
    assert_eq!(paired.count(Verdict::Slower), paired.points.len(), "{:?}", paired.points[0]);
}

#[test]
fn faster_searches_that_find_less_are_worse() {
    let before = blocks(8, 0.002, 1);
    let mut after = blocks(8, 0.002, 2);
    for row in after.rows.iter_mut().filter(|row| row.strategy == "lockfree") {
        row.recall_at_k = row.recall_at_k.map(|recall| recall - 0.02);
    }
    let found = compared(&before, &after);
    let worse: Vec<_> = found.points.iter().filter(|pair| pair.recall_worse).collect();
    assert_eq!(worse.len(), 9);
    assert!(worse.iter().all(|pair| pair.strategy == "lockfree" && pair.workload == "search"));
    assert!(worse.iter().all(|pair| pair.recall_difference.is_some_and(|lost| (lost + 0.02).abs() < 1e-9)));
    assert_eq!(found.worse(), 9);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let document = blocks(8, 0.01, 1);
    let refused = |change: &dyn Fn(&mut Document)| {
        let mut other = document.clone();
        change(&mut other);
        compare(&document, &other, &rules(), None).expect_err("not comparable").to_string()
    };
    assert!(
        refused(&|other| other.run.dataset.digest = "f00".into()).starts_with("other data (golden-sample")
    );
    assert_eq!(
        refused(&|other| other.run.config.m = 8),
        "M is 16 in A and 8 in B; measure both with the same"
    );
    let elsewhere = refused(&|other| other.run.build.profile = "dev".into());
    assert_eq!(elsewhere, "build profile is release in A and dev in B; --force compares all the same");
    let together = refused(&|other| other.run.config.isolation = Isolation::None);
    assert_eq!(together, "isolation is process in A and none in B; --force compares all the same");
    assert!(
        refused(&|other| other.rows.iter_mut().for_each(|row| row.codec = "f16".into()))
            .starts_with("no strategy")
    );
    let mut other = document.clone();
    other.run.build.profile = "dev".into();
    assert!(compare(&document, &other, &Rules { force: true, ..rules() }, None).is_ok());
}

/// 3 blocks against 3 have a p of 0.1 at least, and 5 against 5 one of 0.008, which is too much for 52 points.
#[test]
fn too_few_blocks_for_any_finding_are_refused_and_enough_are_named() {
    let refusal = |blocks_: usize, rules: &Rules| {
        let document = blocks(blocks_, 0.01, 1);
        compare(&document, &document, rules, None).err()
    };
    assert_eq!(refusal(3, &rules()), Some(Refusal::TooFewBlocks { blocks: 3, points: 52, needed: 7 }));
    assert_eq!(refusal(5, &rules()), Some(Refusal::TooFewBlocks { blocks: 5, points: 52, needed: 7 }));
    let few = Rules { workload: Some("build".into()), strategy: Some("fine".into()), ..rules() };
    assert_eq!(refusal(5, &few), None, "three points are few enough");
    assert_eq!(refusal(7, &rules()), None);
    let paired = Rules { paired: true, ..few };
    assert_eq!(refusal(5, &paired), Some(Refusal::TooFewBlocks { blocks: 5, points: 3, needed: 7 }));
}

/// Alarms over all points of many comparisons of equals: as rare as Holm's correction promises.
#[test]
fn equals_are_hardly_ever_called_different() {
    let alarms = (0..40)
        .filter(|seed| {
            let builds = Rules { workload: Some("build".into()), ..rules() };
            let [one, other] = [2 * seed, 2 * seed + 1].map(|seed| {
                let mut document = blocks(7, 0.05, seed);
                document.rows.retain(|row| row.workload == "build");
                document
            });
            let found = compare(&one, &other, &builds, None).expect("comparable");
            found.count(Verdict::Faster) + found.count(Verdict::Slower) > 0
        })
        .count();
    assert!(alarms <= 5, "{alarms} of 40");
}

/// A sweep of pairs as `noise` makes it, told as what `compare` asks of it.
#[test]
fn the_smallest_effect_comes_from_the_noise_of_the_point_that_is_most_like() {
    let mut rows = blocks(40, 0.02, 9);
    for row in rows.rows.iter_mut().filter(|row| row.workload == "build") {
        let by = if row.block % 3 == 0 { 0.8 } else { 1.0 };
        scale(row, by);
    }
    let machine = hnsw_lab::machine::Machine::default();
    let noise = noise::Document::of(&rows, &[5, 20], machine, hnsw_lab::machine::build_info());
    assert_eq!((noise.pairs, noise.points.len()), (20, 52));
    for point in &noise.points {
        assert_eq!(point.per_second.len(), 20);
        let [few, many] = [&point.smallest[0], &point.smallest[1]];
        assert!(many.paired_percent < few.paired_percent, "{point:?}");
        let loud = point.workload == "build";
        assert_eq!(few.unpaired_percent > 10.0, loud, "{point:?}");
    }
    let document = blocks(8, 0.01, 1);
    let found = compare(&document, &document, &rules(), Some(&noise)).expect("comparable");
    assert_eq!(found.min_effect_from, "noise");
    for pair in &found.points {
        assert_eq!(pair.min_effect > 0.05, pair.workload == "build", "{pair:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("noise.json");
    std::fs::write(&path, serde_json::to_vec(&noise).expect("serialisable")).expect("writable");
    let again = noise::read(&path).expect("readable");
    assert_eq!((again.pairs, &again.dataset, &again.build), (noise.pairs, &noise.dataset, &noise.build));
    for (again, point) in again.points.iter().zip(&noise.points) {
        let one = again.smallest[0].paired_percent / point.smallest[0].paired_percent;
        assert!((one - 1.0).abs() < 1e-9 && again.workload == point.workload, "{again:?}");
    }
    let mut stuck = noise.clone();
    stuck.points[3].per_second[1][0] = 0.0;
    std::fs::write(&path, serde_json::to_vec(&stuck).expect("serialisable")).expect("writable");
    let told = noise::read(&path).expect_err("a rate of 0").to_string();
    assert!(told.contains("noise.json: point 3 has a rate that is not above 0"), "{told}");
    let other = noise::Document { schema_version: 9, ..noise };
    std::fs::write(&path, serde_json::to_vec(&other).expect("serialisable")).expect("writable");
    assert!(noise::read(&path).expect_err("newer").to_string().contains("schema version 9"));
}
