//! Writing, resuming and reading result documents.

use std::fs;
use std::path::Path;

use hnsw_lab::record::{RecordError, Run, Writer, now_rfc3339, parse, read};

use crate::support::{Case, run, sample, sample_file, write_file};

/// Every message is one line and names what to do.
fn line_with(error: &RecordError, cure: &str) -> String {
    let line = error.to_string();
    assert!(!line.contains('\n'), "more than one line: {line}");
    assert!(line.contains(cure), "no `{cure}` in: {line}");
    line
}

#[test]
fn document_is_whole_after_every_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sweep.json");
    let sample = sample();
    let mut writer = Writer::create(&path, sample.run.clone()).expect("writable");
    assert!(!path.exists(), "nothing is replaced before there is a row");
    for (pushed, row) in sample.rows.iter().take(5).enumerate() {
        writer.push(row.clone()).expect("pushed");
        let there = read(&path).expect("whole");
        assert_eq!(there.rows.len(), pushed + 1);
        assert_eq!(there.rows[pushed].key(), row.key());
    }
    let left: Vec<_> = fs::read_dir(folder.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
fn resume_returns_what_is_done_and_goes_on() {
    let mut sample = sample();
    let later = sample.rows.split_off(7);
    let (_folder, path) = write_file(&sample);
    let mut again = run();
    again.id = "another".into();
    again.started = now_rfc3339();
    let mut writer = Writer::open(&path, again, false).expect("the same sweep");
    assert_eq!(writer.done().len(), 7);
    assert!(sample.rows.iter().all(|row| writer.done().contains(&row.key())));
    assert!(!writer.done().contains(&later[0].key()));
    writer.push(later[0].clone()).expect("pushed");
    let there = read(&path).expect("whole");
    assert_eq!(there.rows.len(), 8);
    assert_eq!(there.run.id, "golden-sample", "the run stays the one that began the file");
}

#[test]
fn resume_refuses_another_sweep_and_says_what_differs() {
    let (_folder, path) = sample_file();
    let changes: [Case<Run>; 8] = [
        ("config.threads is [1,2,4] there and [1,2] now", |run| run.config.threads = vec![1, 2]),
        ("config.seed is 42 there and 43 now", |run| run.config.seed = 43),
        ("config.placement differs", |run| {
            run.config.placement.as_mut().expect("seats")[0].cpu = 1;
        }),
        ("config.memory_policy is ", |run| run.config.memory_policy = None),
        ("dataset.digest", |run| run.dataset.digest = "other".into()),
        ("machine.cpu is \"Golden Sample CPU\" there and unknown now", |run| {
            run.machine = serde_json::json!({})
        }),
        ("machine.allowed_cpus is 2 there and 1 now", |run| run.allowed_cpus = vec![1]),
        ("build.version", |run| run.build.version = "9.9.9".into()),
    ];
    for (difference, change) in changes {
        let mut other = run();
        change(&mut other);
        let error = Writer::resume(&path, &other).expect_err("another sweep");
        let line = line_with(&error, "--fresh");
        assert!(line.contains("--out") && line.contains(difference), "{line}");
        assert!(Writer::open(&path, other, true).is_ok(), "--fresh does not ask");
    }
    assert_eq!(read(&path).expect("whole").rows.len(), sample().rows.len(), "and nothing was lost");
}

#[test]
fn a_key_is_taken_once() {
    let (_folder, path) = sample_file();
    let mut writer = Writer::resume(&path, &run()).expect("the same sweep");
    let error = writer.push(sample().rows[0].clone()).expect_err("there already");
    line_with(&error, "sequential f32 build threads=1 block=0");
}

#[test]
fn a_row_that_json_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sweep.json");
    let mut writer = Writer::create(&path, run()).expect("writable");
    let mut row = sample().rows[0].clone();
    row.seconds = f64::INFINITY;
    let error = writer.push(row.clone()).expect_err("infinite");
    line_with(&error, "cannot be recorded");
    assert!(writer.done().is_empty() && writer.document().rows.is_empty());
    row.seconds = 1.0;
    writer.push(row).expect("the key is still free");
}

#[test]
fn a_place_that_cannot_be_written_is_known_before_the_first_trial() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for path in [folder.path().join("absent/sweep.json"), Path::new("/dev/null/sweep.json").to_path_buf()] {
        let error = Writer::create(&path, run()).expect_err("no such folder");
        line_with(&error, "--out");
    }
}

/// `/dev/full` fails every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_leaves_the_earlier_file_and_loses_no_row() {
    let mut sample = sample();
    let later = sample.rows.split_off(4);
    let (folder, path) = write_file(&sample);
    let before = fs::read(&path).expect("readable");
    let mut writer = Writer::resume(&path, &sample.run).expect("the same sweep");
    let temporary = folder.path().join("sweep.json.tmp");
    std::os::unix::fs::symlink("/dev/full", &temporary).expect("a link");
    let error = writer.push(later[0].clone()).expect_err("full");
    let line = line_with(&error, "free space");
    assert!(line.contains("No space left"), "{line}");
    assert_eq!(fs::read(&path).expect("readable"), before);
    writer.push(later[1].clone()).expect("there is space again");
    assert_eq!(read(&path).expect("whole").rows.len(), 6);
}

#[test]
fn files_that_are_no_result_documents_get_one_line() {
    let whole = serde_json::to_string(&sample()).expect("serialisable");
    let here = Path::new("some.json");
    let corrupt = [
        String::new(),
        "not JSON".into(),
        "[]".into(),
        "{}".into(),
        "[".repeat(100_000),
        whole[..whole.len() / 2].to_owned(),
        whole.replacen("\"schema_version\":1", "\"schema_version\":0", 1),
        whole.replacen("\"threads\":1", "\"threads\":\"one\"", 1),
        whole.replacen("\"strategy\"", "\"stratagem\"", 1),
    ];
    for text in corrupt {
        let error = parse(text.as_bytes(), here).expect_err("corrupt");
        assert!(matches!(error, RecordError::Corrupt { .. }), "{error}");
        line_with(&error, "hnsw-lab sweep --fresh");
    }
    let error = parse(&[0xff, 0xfe, 0], here).expect_err("corrupt");
    line_with(&error, "not a result document");
    let newer = whole.replacen("\"schema_version\":1", "\"schema_version\":2", 1);
    line_with(&parse(newer.as_bytes(), here).expect_err("newer"), "use a newer hnsw-lab");
    line_with(&read(Path::new("absent.json")).expect_err("absent"), "hnsw-lab sweep");
}

#[test]
fn fields_from_a_later_program_are_ignored() {
    let mut document = serde_json::to_value(sample()).expect("serialisable");
    document["later"] = "field".into();
    document["run"]["config"]["later"] = serde_json::json!({ "nested": [1] });
    document["rows"][0]["ops"]["insert"]["later"] = 1.into();
    let bytes = serde_json::to_vec(&document).expect("serialisable");
    let read = parse(&bytes, Path::new("later.json")).expect("readable");
    assert_eq!(read.rows.len(), sample().rows.len());
}
