//! A small sweep from beginning to end, and everything that can be done with its document.

use std::collections::BTreeSet;
use std::process::Command;

use hnsw_lab::counters::Event;

use crate::fixtures;
use crate::lab::{Lab, SMALL, Said};

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("warning: this build has debug assertions")).collect()
}

/// The smallest sweep: one row.
fn serial() -> String {
    SMALL.replace("sequential,lockfree", "sequential --workloads build")
}

#[test]
fn a_sweep_measures_prints_and_can_be_read_by_every_command() {
    let lab = Lab::new();
    let swept = lab.run(SMALL);
    assert_eq!(swept.code, Some(0), "{swept:?}");
    assert!(
        !swept.err.contains(['\r', '\x1b']) && !swept.out.contains('\x1b'),
        "no bar, no colours: {swept:?}"
    );
    let said = lines(&swept.err);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("measuring clustered-400x16-i16-s42 (400 x 16 f32): 2 strategies"),
        "{said:?}"
    );
    assert!(said[0].contains("on 1, 2 threads") && said[0].contains("12 rows, to small.json"), "{said:?}");
    assert!(said[1].starts_with("about ") && said[1].ends_with(" to go"), "{said:?}");
    for text in ["build", "write-heavy", "lockfree", "recall@10", "hnsw-lab report small.json"] {
        assert!(swept.out.contains(text), "no {text} in {}", swept.out);
    }

    let document = lab.document("small.json");
    let keys: BTreeSet<_> = document.rows.iter().map(hnsw_lab::record::Row::key).collect();
    assert_eq!((document.rows.len(), keys.len()), (12, 12));
    for row in &document.rows {
        assert!(row.graph.unreachable == 0 && row.seconds > 0.0 && row.ops.per_second() > 0.0, "{row:?}");
        assert_eq!(
            row.graph.live,
            row.memory.vectors_bytes / (16 * 4),
            "memory and health at one moment: {row:?}"
        );
        let build = row.workload == "build";
        assert_eq!((row.recall_at_k.is_none(), row.ops.search.is_none()), (build, build));
        assert!(row.tainted.iter().all(|reason| !reason.contains("refused")), "{row:?}");
    }

    let verified = lab.run("verify small.json");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let reported = lab.run("report small.json");
    assert!(swept.out.starts_with(&reported.out), "the same tables: {}\n{}", swept.out, reported.out);
    let csv = lab.run("report small.json --csv");
    let mut reader = csv::Reader::from_reader(csv.out.as_bytes());
    let points: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
    assert_eq!(points.len(), 12);

    let plotted = lab.run("plot small.json --out plots");
    assert_eq!(plotted.code, Some(0), "{plotted:?}");
    let figures: Vec<String> = lab.files().into_iter().filter(|file| file.starts_with("plots/")).collect();
    let of = |end: &str| figures.iter().filter(|file| file.ends_with(end)).count();
    assert!(of(".svg") >= 3 && of(".svg") == of(".png"), "{figures:?}");
    assert!(!lab.files().iter().any(|file| file.ends_with(".tmp") || file.ends_with(".lock")));
}

#[test]
fn the_same_command_again_measures_nothing_and_other_flags_are_refused() {
    let lab = Lab::new();
    assert_eq!(lab.run(SMALL).code, Some(0));
    let document = lab.document("small.json");
    let again = lab.run(SMALL);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(lines(&again.err), ["all 12 rows are in small.json already; measure them again with --fresh"]);
    let other = lab.run(&format!("{SMALL} --m 8"));
    assert_eq!(
        (other.code, lines(&other.err)),
        (
            Some(1),
            vec![
                "error: small.json holds another sweep (config.m is 16 there and 8 now); write elsewhere with `--out`, \
                 or replace it with `--fresh`"
            ]
        )
    );
    assert_eq!(lab.document("small.json"), document, "nothing was lost");
    assert_eq!(lab.run(&format!("{SMALL} --m 8 --fresh")).code, Some(0));
    assert_eq!(lab.document("small.json").run.config.m, 8);
}

/// All that the default leaves out, with two codecs, and with far more threads than there are CPUs.
#[test]
fn every_workload_runs_with_any_codec_and_when_threads_share_cpus() {
    let lab = Lab::new();
    let workloads = "build,search,search-batch,search-writer,bulk,bulk-search,bulk-search-batch,mixed,write-heavy,reader-writer,phases";
    let args = SMALL.replace("--threads 1,2", &format!("--threads 2,16 --workloads {workloads}"));
    let said = lab.run(&format!("{args} --codec f32,sq8+f32 --alpha 1.1"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = lab.document("small.json");
    assert_eq!((document.run.config.codec.as_str(), document.run.config.alpha), ("f32,sq8+f32", 1.1));
    assert_eq!(document.run.config.sample_rows, 400);
    // For each codec: sequential on one thread does nothing that needs two roles. Phases are those of f32 alone.
    assert_eq!(document.rows.len(), (10 + 2 * 13) + (9 + 2 * 12));
    let verified = lab.run("verify small.json");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    for row in &document.rows {
        let about = format!("{} {row:?}", row.key());
        assert_eq!(row.short_answers.unwrap_or(0), 0, "{about}");
        assert_eq!(row.memory.codes_bytes > 0, row.codec == "sq8+f32", "{about}");
        assert_eq!(row.phases.is_some(), row.workload == "phases", "{about}");
        assert_eq!(
            row.updates_per_second.is_some_and(|rate| rate > 0.0),
            row.workload == "search-writer",
            "{about}"
        );
        for (name, op) in row.ops.named() {
            let counted = op.evaluations_per_op.zip(op.hops_per_op);
            assert_eq!(counted.is_none(), row.workload == "bulk", "{name} of {about}");
            assert!(
                counted.is_none_or(|(distances, hops)| distances > 10.0 && hops > 1.0),
                "{name} of {about}"
            );
        }
        if let Some(phases) = row.phases {
            let sum: f64 = phases.all().iter().sum();
            let busy = sum * row.ops.insert.as_ref().expect("inserts").count as f64 / 1e6;
            assert!(phases.search_us > 0.0 && busy <= row.seconds * row.threads as f64, "{about}");
        }
    }
    for text in ["µs per insert", "of alone", "search-batch · sq8+f32", "latency of one call"] {
        assert!(said.out.contains(text), "no {text} in {}", said.out);
    }
    let plotted = lab.run("plot small.json --out plots");
    assert_eq!(plotted.code, Some(0), "{plotted:?}");
    assert!(lab.path("plots/small-scaling-search-sq8-f32.svg").exists(), "{plotted:?}");
}

/// Counts of distances and hops are free of noise: the same inserts by one thread give the same, in any window.
#[test]
fn counts_of_work_repeat() {
    let counts = |seconds: &str| {
        let lab = Lab::new();
        let one = serial().replace("--workloads build", "--workloads build,search");
        assert_eq!(lab.run(&one.replace("--seconds 0.02", seconds)).code, Some(0));
        let rows = lab.document("small.json").rows;
        let of = |row: usize| {
            let (_, op) = rows[row].ops.named().next().expect("operations");
            (op.evaluations_per_op, op.hops_per_op)
        };
        (of(0), of(1), rows[0].graph.digest.clone())
    };
    assert_eq!(counts("--seconds 0.02"), counts("--seconds 0.05"));
}

#[test]
fn tax_measures_prints_and_is_told_again() {
    let lab = Lab::new();
    let args = SMALL.replace("sweep", "tax").replace("--threads 1,2", "--threads 1,2 --update-rate 20000");
    let said = lab.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = lab.document("small.json");
    assert_eq!(document.run.config.workloads, ["build", "search", "search-writer"]);
    assert_eq!(document.run.config.update_rate, Some(20_000.0));
    for text in
        ["x sequential / thread", "beside a writer of 20,000 lists/s", "hnsw-lab report small.json --tax"]
    {
        assert!(said.out.contains(text), "no {text} in {}", said.out);
    }
    let again = lab.run("report small.json --tax");
    assert!(said.out.starts_with(&again.out), "the same tables: {}\n{}", said.out, again.out);
}

#[test]
fn quiet_says_nothing_but_the_table() {
    let lab = Lab::new();
    let said = lab.run(&format!("{} --quiet", serial()));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("sequential"));
}

/// Whatever this machine can count: what it cannot has a reason.
#[test]
fn counters_come_with_each_row_that_was_asked_for_them() {
    let lab = Lab::new();
    let workloads = "build,search,search-batch,search-writer,bulk,mixed,reader-writer,phases";
    let said = lab.run(&format!("{SMALL} --workloads {workloads} --counters"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = lab.document("small.json");
    for row in &document.rows {
        let counters = row.counters.as_ref().expect("asked for");
        for event in Event::ALL {
            let group = counters.group(event.group());
            let counted = counters.per_op(event).is_some_and(|count| count.is_finite() && count >= 0.0);
            let why = group.unavailable.as_deref().is_some_and(|why| !why.is_empty());
            assert!(counted || why, "{event:?} in {row:?}");
        }
        if let Some(nanos) = counters.per_op(Event::TaskClock) {
            let operations: u64 = row.ops.named().map(|(_, op)| op.count).sum();
            let (whole, most) = (nanos * operations as f64, 1e9 * row.threads as f64 * row.seconds);
            assert!(nanos > 0.0 && whole < 1.5 * most + 10e6, "{whole} ns of {most} in {row:?}");
        }
    }
    let verified = lab.run("verify small.json");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let report = lab.run("report small.json --counters --workload search");
    assert!(report.code == Some(0) && report.out.contains("instr/op"), "{report:?}");
    assert!(report.out.contains("search ef 16") && !report.out.contains("search-batch"), "{report:?}");
}

#[test]
fn the_default_place_is_made() {
    let lab = Lab::new();
    let args = serial().replace("--out small.json", "");
    let said = lab.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(lab.files().contains(&"results/clustered-400x16-i16-s42.json".to_owned()), "{:?}", lab.files());
}

/// `sequential` runs on one thread whatever `--threads` says, and `verify` knows it.
#[test]
fn thread_counts_without_one_make_a_sound_document() {
    let lab = Lab::new();
    assert_eq!(lab.run(&SMALL.replace("--threads 1,2", "--threads 3")).code, Some(0));
    let verified = lab.run("verify small.json");
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn rows_that_run_out_end_a_mixed_window_early() {
    let lab = Lab::new();
    let said = lab.run(&SMALL.replace("--seconds 0.02", "--seconds 600 --workloads write-heavy"));
    assert_eq!(said.code, Some(0), "{said:?}");
    for row in lab.document("small.json").rows {
        assert!(row.seconds < 300.0 && row.graph.live == 400, "{row:?}");
        assert_eq!(row.ops.insert.expect("inserts").count, 200);
    }
}

/// A limit on the size of files fails writes as a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_the_rows_that_there_are() {
    let lab = Lab::new();
    fixtures::write(&lab);
    assert_eq!(lab.run(&serial()).code, Some(0));
    let before = lab.document("small.json");
    let args = serial().replace("--blocks 1", "--blocks 40 --fresh");
    let kept = {
        let script = "trap '' XFSZ; ulimit -f 12; exec \"$0\" \"$@\"";
        let mut limited = Command::new("sh");
        let whole = lab.command(&args);
        limited.arg("-c").arg(script).arg(whole.get_program()).args(whole.get_args());
        limited.current_dir(lab.path("")).env("HNSW_LAB_CACHE", lab.path("cache"));
        Said::of(limited.output().expect("a shell"))
    };
    assert_eq!(kept.code, Some(1), "{kept:?}");
    let last = lines(&kept.err).last().copied().unwrap_or_default().to_owned();
    assert!(last.starts_with("error: cannot write small.json") && last.contains("--out"), "{kept:?}");
    let after = lab.document("small.json");
    assert!(after == before || !after.rows.is_empty(), "the old rows or new ones");
    assert!(!lab.path("small.json.tmp").exists());
}
