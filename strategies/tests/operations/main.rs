//! Replays the sequences of calls that `harness/fuzz/corpus/operations` keeps, on every strategy.
#![cfg(not(hnsw_loom))]

mod calls;
#[allow(dead_code, reason = "shared with tests that use more of it")]
#[path = "../conformance/support.rs"]
mod support;

use std::fs;
use std::path::Path;

#[test]
fn kept_sequences_of_calls_agree_with_brute_force() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/fuzz/corpus/operations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        println!("{}", file.display());
        calls::run(&fs::read(file).unwrap());
    }
}

#[test]
fn random_sequences_of_calls_agree_with_brute_force() {
    for seed in 0..40 {
        let mut random = support::Random(seed);
        let input: Vec<u8> = (0..50 * (seed as usize % 8 + 1)).map(|_| random.next() as u8).collect();
        calls::run(&input);
    }
}
