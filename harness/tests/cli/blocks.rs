//! Sweeps that keep their indexes, and sweeps that wait for a line before each block.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::lab::{Lab, SMALL, Said};

/// Three blocks of builds and searches.
fn kept() -> String {
    format!("{} --workloads build,search --keep-indexes --quiet", SMALL.replace("--blocks 1", "--blocks 3"))
}

#[test]
fn a_kept_index_is_built_in_the_first_block_and_searched_in_all() {
    let lab = Lab::new();
    let swept = lab.run(&kept());
    assert_eq!(swept.code, Some(0), "{swept:?}");
    let rows = lab.document("small.json").rows;
    // `sequential` on one thread, `lockfree` on one and two.
    let of = |workload: &str| rows.iter().filter(|row| row.workload == workload).collect::<Vec<_>>();
    assert_eq!((of("build").len(), of("search").len()), (3, 9));
    assert!(of("build").iter().all(|row| row.block == 0));
    // Two threads never build the same graph twice but by chance; here all blocks search the one of the first.
    let graphs: BTreeSet<_> =
        rows.iter().map(|row| (&row.strategy, row.threads, &row.graph.digest)).collect();
    assert_eq!(graphs.len(), 3, "{graphs:?}");
    assert!(of("search").iter().all(|row| row.recall_at_k.is_some() && row.ops.per_second() > 0.0));
    assert_eq!(lab.run("verify small.json").code, Some(0));

    let again = lab.run(&kept());
    assert_eq!((again.code, lab.document("small.json").rows.len()), (Some(0), 12), "all of it was there");
}

#[test]
fn a_block_begins_with_a_line_and_says_when_it_is_measured() {
    let lab = Lab::new();
    let mut command = lab.command(&format!("{} --step", kept()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = child.stdin.take().expect("a pipe");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
    for (block, rows) in [(1, 6), (2, 9)] {
        lines.write_all(b"go\n").expect("it listens");
        let mut line = String::new();
        said.read_line(&mut line).expect("it speaks");
        assert_eq!(line, format!("block {block} of 3 is measured\n"));
        assert_eq!(lab.document("small.json").rows.len(), rows, "the block and no more");
    }
    drop(lines);
    let ended = Said::of(child.wait_with_output().expect("a child"));
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.err.contains("stopped; 9 of 12 rows"), "{ended:?}");
}

#[test]
#[cfg(unix)]
fn a_stop_is_heard_while_no_line_comes() {
    use nix::sys::signal::{Signal, kill};
    let lab = Lab::new();
    let mut command = lab.command(&format!("{} --step", kept()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = child.stdin.take().expect("a pipe");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
    lines.write_all(b"\n").expect("it listens");
    said.read_line(&mut String::new()).expect("it speaks");
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("sent");
    let ended = Said::of(child.wait_with_output().expect("a child"));
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(lab.document("small.json").rows.len(), 6);
}
