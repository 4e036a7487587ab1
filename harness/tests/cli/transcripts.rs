//! Golden transcripts: `tests/cli/transcripts/*.txt` hold commands and what they print.
//!
//! A line `$ hnsw-lab …` is a command; after it come its standard output, its standard error behind `! `, and its exit
//! code, if that is not 0, as `[exit N]`. Lines with `#` are comments. All commands of a file run in one folder, which
//! holds the files of `fixtures.rs`.
//!
//! `HNSW_LAB_BLESS=1 cargo test -p hnsw-lab --test cli transcripts` writes the answers anew after a wanted change.

use std::fs;
use std::path::PathBuf;

use crate::fixtures;
use crate::lab::{Lab, Said};

const PROMPT: &str = "$ ";
/// The program's name in transcripts, so that they read as a terminal does.
const PROGRAM: &str = "hnsw-lab";

fn answer(lab: &Lab, command: &str) -> String {
    let args = command.replacen(PROGRAM, " ", 1);
    let Said { out, err, code } = lab.run(&args);
    let mut text = lab.plain(&out);
    for line in lab.plain(&err).lines() {
        // Only in some builds.
        if !line.starts_with("warning: this build has debug assertions") {
            text.push_str(&format!("! {line}\n"));
        }
    }
    if code != Some(0) {
        text.push_str(&code.map_or("[killed]\n".into(), |code| format!("[exit {code}]\n")));
    }
    text
}

/// The transcript with the answers that the program gives now.
fn rerun(lab: &Lab, transcript: &str) -> String {
    let mut now = String::new();
    let mut before_first = true;
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix(PROMPT) {
            before_first = false;
            now.push_str(&format!("\n{line}\n{}", answer(lab, command)));
        } else if line.starts_with('#') {
            let gap = if before_first { "" } else { "\n" };
            now.push_str(&format!("{gap}{line}\n"));
        }
    }
    now
}

fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts").join(name);
    let golden = fs::read_to_string(&path).expect("the transcript is in the tree");
    let lab = Lab::new();
    fixtures::write(&lab);
    let files = lab.files();
    let now = rerun(&lab, &golden);
    if std::env::var_os("HNSW_LAB_BLESS").is_some() {
        return fs::write(&path, now).expect("writable");
    }
    for (golden, now) in golden.lines().zip(now.lines()) {
        assert_eq!(golden, now, "{name}; HNSW_LAB_BLESS=1 accepts what the program says now");
    }
    assert_eq!(golden.lines().count(), now.lines().count(), "{name}");
    if name != "success.txt" {
        assert_eq!(lab.files(), files, "commands that fail leave files neither behind nor out");
    }
}

#[test]
fn help() {
    check("help.txt");
}

#[test]
fn wrong_flags() {
    check("flags.txt");
}

#[test]
fn wrong_data() {
    check("data.txt");
}

#[test]
fn wrong_documents() {
    check("documents.txt");
}

#[test]
fn wrong_places() {
    check("places.txt");
}

#[test]
fn success() {
    check("success.txt");
}

/// Whatever fails says so in one line that begins with `error: `, and the transcripts hold nothing that crashed.
#[test]
fn errors_are_one_line() {
    for name in ["data.txt", "documents.txt", "places.txt", "flags.txt"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts").join(name);
        let text = fs::read_to_string(path).expect("the transcript is in the tree");
        let mut failures = 0;
        for answer in text.split(&format!("\n{PROMPT}")).skip(1) {
            let errors: Vec<&str> = answer.lines().filter(|line| line.starts_with("! ")).collect();
            assert!(!answer.contains("panicked") && !answer.contains("[killed]"), "{name}: {answer}");
            if answer.contains("[exit 1]") && !answer.contains("verify") {
                assert!(errors.len() == 1 && errors[0].starts_with("! error: "), "{name}: {answer}");
                failures += 1;
            }
        }
        assert!(failures > 2, "{name} shows failures");
    }
}
