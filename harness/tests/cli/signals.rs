//! Sweeps that are stopped, killed, or started twice.
#![cfg(unix)]

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hnsw_lab::record::Row;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Lab, SMALL, Said};

/// So many blocks that a sweep is still under way when a signal comes.
const LONG: &str = "--seconds 0.03 --blocks 12 --workloads build,search";
const ROWS: usize = 3 * 2 * 12;

fn begin(lab: &Lab, more: &str) -> Child {
    let mut command = lab.command(&format!("{} {more}", small()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The small sweep without the flags that [`LONG`] gives.
fn small() -> String {
    SMALL.replace("--seconds 0.02 --blocks 1", LONG)
}

fn rows(lab: &Lab) -> usize {
    if lab.path("small.json").exists() { lab.document("small.json").rows.len() } else { 0 }
}

fn wait_for_rows(lab: &Lab, child: &mut Child, wanted: usize) {
    let begin = Instant::now();
    while rows(lab) < wanted {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "the sweep ended early: {ended:?}");
        assert!(begin.elapsed() < Duration::from_secs(120), "no rows come");
        sleep(Duration::from_millis(3));
    }
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("sent");
}

fn stops_and_goes_on(signal: Signal) {
    let lab = Lab::new();
    let mut child = begin(&lab, "");
    wait_for_rows(&lab, &mut child, 3);
    send(&child, signal);
    let said = Said::of(child.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(130), "{said:?}");
    let kept = lab.document("small.json").rows;
    let last = said.err.lines().last().unwrap_or_default();
    let expected = format!(
        "stopped; {} of {ROWS} rows are in small.json; the same command goes on from there",
        kept.len()
    );
    assert_eq!(last, expected);
    assert!((3..ROWS).contains(&kept.len()), "{}", kept.len());
    assert_eq!(lab.run("report small.json").code, Some(0));
    let incomplete = lab.run("verify small.json");
    assert!(incomplete.code == Some(1) && incomplete.out.contains("missing: "), "{incomplete:?}");

    let resumed = lab.run(&small());
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.err.contains(&format!("{} of them there already", kept.len())), "{resumed:?}");
    let all = lab.document("small.json").rows;
    assert_eq!(all.len(), ROWS);
    assert_eq!(all[..kept.len()], kept[..], "what was finished is not measured again");
    assert_eq!(lab.run("verify small.json").code, Some(0));
}

#[test]
fn ctrl_c_keeps_the_rows_and_the_same_command_goes_on() {
    stops_and_goes_on(Signal::SIGINT);
}

#[test]
fn a_request_to_terminate_does_as_ctrl_c() {
    stops_and_goes_on(Signal::SIGTERM);
}

#[test]
fn a_stop_before_the_first_row_writes_nothing() {
    let lab = Lab::new();
    let slow = "--n 60000 --query-count 1 --strategies sequential --workloads build --threads 1";
    let mut child = {
        let args = format!("sweep --generate uniform --dim 32 --out small.json {slow}");
        let mut command = lab.command(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    // The claim comes after the handler of signals and before the first row.
    let begin = Instant::now();
    while !lab.path("small.json.lock").exists() {
        assert!(child.try_wait().expect("a child").is_none() && begin.elapsed() < Duration::from_secs(120));
        sleep(Duration::from_millis(3));
    }
    send(&child, Signal::SIGINT);
    let said = Said::of(child.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.err.lines().last().is_some_and(|line| line.contains("nothing was written")), "{said:?}");
    assert!(lab.files().iter().all(|file| file.starts_with("cache/")), "{:?}", lab.files());
}

/// Kills at moments that differ, some of them in the middle of writing.
#[test]
fn kill_leaves_a_whole_document_that_a_sweep_goes_on_from() {
    let lab = Lab::new();
    let mut kept: Vec<Row> = Vec::new();
    for round in 0..6 {
        let mut child = begin(&lab, "");
        wait_for_rows(&lab, &mut child, kept.len() + 2);
        sleep(Duration::from_micros(1_700 * round));
        send(&child, Signal::SIGKILL);
        assert_eq!(child.wait().expect("a child").code(), None);
        let now = lab.document("small.json").rows;
        assert!(now.len() > kept.len() && now[..kept.len()] == kept[..]);
        kept = now;
    }
    let last = lab.run(&small());
    assert_eq!(last.code, Some(0), "{last:?}");
    assert_eq!(lab.document("small.json").rows.len(), ROWS);
    let litter = lab.files().into_iter().filter(|file| file.ends_with(".tmp") || file.ends_with(".lock"));
    assert_eq!(litter.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn two_sweeps_do_not_write_one_file() {
    let lab = Lab::new();
    let mut child = begin(&lab, "");
    wait_for_rows(&lab, &mut child, 1);
    let second = lab.run(&small());
    let errors: Vec<&str> = second.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(
        (second.code, errors),
        (
            Some(1),
            vec![
                "error: another sweep is writing small.json; wait until it has ended, or write elsewhere with `--out`"
            ]
        )
    );
    assert_eq!(lab.run(&format!("{} --fresh", small())).code, Some(1), "--fresh does not push in");
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("a child").code(), Some(130));
}
