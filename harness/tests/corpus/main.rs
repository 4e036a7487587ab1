//! Replays the inputs that `harness/fuzz/corpus` keeps: good ones of each kind, and those that once found something.

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// The inputs of a target, by name.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn replay(name: &str) {
    let (_, body) = targets::TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let inputs = inputs(name);
    assert!(inputs.len() >= 3, "{} inputs", inputs.len());
    for (path, input) in inputs {
        println!("{}", path.display());
        body(&input);
        // What is cut off is as good an input.
        (0..input.len().min(200)).for_each(|length| body(&input[..length]));
    }
}

macro_rules! replayed {
    ($($target:ident),+) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })+

        #[test]
        fn every_target_is_replayed() {
            let names = targets::TARGETS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($target)),+]);
        }
    };
}

replayed!(vectors, folder, hdf5, truth_cache, sums, documents, workload, runbook, command_line);
