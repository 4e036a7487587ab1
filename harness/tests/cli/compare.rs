//! Comparisons of documents, the noise of the machine, trials that are repeated, sweeps that end early.

use std::collections::BTreeMap;
use std::fs;

use hnsw_lab::noise;
use hnsw_lab::record::{Document, Key};
use serde_json::Value;

use crate::lab::{Lab, SMALL};

/// Searches of one strategy by one thread, in so many blocks.
fn searches(blocks: usize) -> String {
    SMALL
        .replace("--blocks 1", &format!("--blocks {blocks}"))
        .replace("sequential,lockfree", "lockfree --workloads search --quiet")
        .replace("--threads 1,2", "--threads 1")
}

/// Writes what `change` makes of the document, with all rows trusted: what other programs do meanwhile is not what is tested.
fn write(lab: &Lab, name: &str, document: &Document, change: impl Fn(&mut Document)) {
    let mut document = document.clone();
    document.rows.iter_mut().for_each(|row| row.tainted.clear());
    change(&mut document);
    fs::write(lab.path(name), serde_json::to_vec(&document).expect("serialisable")).expect("writable");
}

fn scale(document: &mut Document, by: f64) {
    for row in &mut document.rows {
        row.ops.search.as_mut().expect("searches").per_second *= by;
    }
}

#[test]
fn comparisons_tell_worse_from_not_worse_and_from_incomparable() {
    let lab = Lab::new();
    assert_eq!(lab.run(&searches(6)).code, Some(0));
    let measured = lab.document("small.json");
    // Blocks of a window of 0.02 s scatter; around one level they would be the same machine on a quiet day.
    let level = measured.rows[0].ops.per_second();
    let calm = |document: &mut Document| {
        for row in &mut document.rows {
            let op = row.ops.search.as_mut().expect("searches");
            op.per_second = level * (1.0 + 0.002 * row.block as f64);
        }
    };
    write(&lab, "a.json", &measured, calm);
    let slowed = |by: f64| move |document: &mut Document| (calm(document), scale(document, by)).1;
    write(&lab, "slow.json", &measured, slowed(0.8));
    write(&lab, "fast.json", &measured, slowed(1.2));
    write(&lab, "other.json", &measured, |document| document.run.dataset.digest = "0".into());
    write(&lab, "few.json", &measured, |document| document.rows.truncate(2));

    let verdict = |args: &str| {
        let said = lab.run(&format!("compare {args}"));
        assert!(said.err.is_empty() == (said.code != Some(2)) && said.err.lines().count() <= 1, "{said:?}");
        (said.code, said.out + &said.err)
    };
    for (args, code, text) in [
        ("a.json a.json", 0, "1 points: 0 faster, 0 slower, 1 same, 0 too noisy to say"),
        ("a.json fast.json", 0, "1 faster"),
        ("a.json slow.json", 1, "1 slower"),
        ("a.json slow.json --min-effect 50", 0, "0 slower"),
        ("a.json slow.json --paired", 1, "0.800"),
        ("a.json other.json", 2, "other data"),
        ("a.json few.json", 2, "too few blocks: with 2 and 1 points no difference could be told"),
        (
            "a.json a.json --workload build",
            2,
            "no strategy, workload, thread count and ef of `build` is in both",
        ),
        ("a.json absent.json", 2, "cannot read absent.json"),
    ] {
        let (found, said) = verdict(args);
        assert_eq!(found, Some(code), "{args}: {said}");
        assert!(said.contains(text), "{args}: no {text} in {said}");
    }
    let (_, unknown) = verdict("a.json a.json");
    assert!(unknown.contains("3.0 % (by default: the noise of this machine is unknown"), "{unknown}");

    let (code, json) = verdict("a.json slow.json --json");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (code, &json["schema_version"], &json["b"]["file"]),
        (Some(1), &1.into(), &"slow.json".into())
    );
    let point = &json["points"][0];
    assert_eq!(point["verdict"], "slower", "{point}");
    assert!((point["ratio"].as_f64().expect("a number") - 0.8).abs() < 1e-9, "{point}");
}

/// The same measured under two names, and what that is good for.
#[test]
fn noise_is_measured_written_and_taken_into_account() {
    let lab = Lab::new();
    let args = searches(5)
        .replace("sweep", "noise")
        .replace("--out small.json", "--out noise.json --for-blocks 3,6");
    let said = lab.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("Smallest difference that is not noise, 5 pairs of 0.02 s"), "{said:?}");
    assert!(said.out.contains("6 blocks") && said.out.ends_with("wrote noise.json\n"), "{said:?}");
    let document = noise::read(&lab.path("noise.json")).expect("a whole document");
    assert_eq!((document.pairs, document.points.len()), (5, 1));
    let point = &document.points[0];
    assert_eq!((point.strategy.as_str(), point.threads, point.ef), ("lockfree", 1, Some(16)));
    assert!(point.per_second.iter().flatten().all(|rate| *rate > 0.0) && !point.per_second.is_empty());
    assert_eq!(point.smallest.iter().map(|smallest| smallest.blocks).collect::<Vec<_>>(), [3, 6]);
    assert!(point.smallest.iter().all(|smallest| smallest.paired_percent >= 0.0), "{point:?}");
    assert!(
        lab.files().iter().all(|file| file == "noise.json" || file.starts_with("cache/")),
        "{:?}",
        lab.files()
    );

    assert_eq!(lab.run(&searches(6)).code, Some(0));
    write(&lab, "a.json", &lab.document("small.json"), |_| ());
    let compared = lab.run("compare a.json a.json --noise noise.json");
    assert_eq!(compared.code, Some(0), "{compared:?}");
    assert!(compared.out.contains("(the noise of this machine at so many blocks)"), "{compared:?}");
    let told = lab.run("report a.json --noise noise.json");
    assert!(told.out.contains("are noise on this machine, at 6 blocks."), "{told:?}");
    let untold = lab.run("report a.json");
    assert!(untold.out.contains("How small a difference is still noise here is unknown"), "{untold:?}");
    let wrong = lab.run("report a.json --noise a.json");
    assert_eq!((wrong.code, wrong.err.lines().count()), (Some(1), 1), "{wrong:?}");
    assert!(wrong.err.contains("a.json is no document of `hnsw-lab noise`"), "{wrong:?}");
}

#[test]
fn builds_can_be_measured_under_two_names_too() {
    let lab = Lab::new();
    let args =
        searches(5).replace("sweep", "noise").replace("--workloads search", "--workloads build,write-heavy");
    let said = lab.run(&args.replace("--out small.json", "--out noise.json"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = noise::read(&lab.path("noise.json")).expect("a whole document");
    let workloads: Vec<&str> = document.points.iter().map(|point| point.workload.as_str()).collect();
    assert_eq!(workloads, ["build", "write-heavy"]);
    assert!(document.points.iter().all(|point| point.per_second.len() == 5), "{:?}", document.points);
}

/// Whatever the machine did: attempts of a block count up from 0, only what was tainted came again, no more often than it may,
/// and the canary sang each time.
#[test]
fn disturbed_trials_come_again_and_all_of_them_are_kept() {
    let lab = Lab::new();
    let args =
        SMALL.replace("--retries 0", "--retries 2 --quiet --workloads build,search,mixed,reader-writer");
    let said = lab.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(lab.run("verify small.json").code, Some(0));
    let rows = lab.document("small.json").rows;
    let mut attempts: BTreeMap<Key, Vec<bool>> = BTreeMap::new();
    for row in &rows {
        let own = attempts.entry(row.key()).or_default();
        assert_eq!(row.attempt, own.len(), "{}", row.key());
        own.push(!row.tainted.is_empty());
        let conditions = row.conditions.expect("what the machine did");
        for canary in [conditions.canary_before, conditions.canary_after] {
            let canary = canary.expect("it sang");
            assert!(canary.arithmetic > 0.0 && canary.memory > 0.0, "{canary:?}");
        }
    }
    assert_eq!(attempts.len(), 12 - 3 + 3, "one row each but for what came again");
    let mut tired = false;
    for (key, tainted) in &attempts {
        let (last, earlier) = tainted.split_last().expect("a row");
        assert!(earlier.iter().all(|tainted| *tainted) && tainted.len() <= 3, "{key}: {tainted:?}");
        tired |= *last && tainted.len() < 3;
    }
    // A trial is given up early only where one in six of all was a second one already.
    let second = rows.len() - attempts.len();
    assert!(second * 6 < rows.len() + 24 + 6, "{second} of {} trials", rows.len());
    assert!(!tired || (second + 1) * 6 >= attempts.len() + 24, "given up after {second} of {}", rows.len());
    let once = lab.run(&args);
    assert_eq!(
        (once.code, lab.document("small.json").rows),
        (Some(0), rows),
        "nothing comes again on the next day"
    );
}

/// A sweep whose six blocks say it all has nothing left to do, though it may have nine.
#[test]
fn a_sweep_ends_when_its_intervals_are_tight() {
    let lab = Lab::new();
    let args = searches(9).replace("--quiet", "--until-ratio 100000");
    assert_eq!(lab.run(&args).code, Some(0));
    let whole = lab.document("small.json");
    write(&lab, "small.json", &whole, |document| document.rows.retain(|row| row.block < 6));
    let said = lab.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("after 6 of 9 blocks every interval is within a ratio of 100000"), "{said:?}");
    assert_eq!(lab.document("small.json").rows.len(), 6);
    assert_eq!(lab.run("verify small.json").code, Some(0));
    // Five blocks are too few for any interval of 95 %.
    write(&lab, "small.json", &whole, |document| document.rows.retain(|row| row.block < 5));
    assert_eq!(lab.run(&args).code, Some(0));
    assert!(lab.document("small.json").rows.len() > 5);
}
