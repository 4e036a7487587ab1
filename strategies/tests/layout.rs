//! The shape of the workspace: what is at its top, who depends on whom, and where primitives of concurrency come from.
#![cfg(not(hnsw_loom))]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the top level of the project may hold, besides names that begin with a dot and build folders.
const TOP: [&str; 16] = [
    "Cargo.toml",
    "Cargo.lock",
    "core",
    "strategies",
    "harness",
    "results",
    "scripts",
    "docs",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "CHANGELOG.md",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
];

/// Ways around `hnsw_core::sync`.
const BYPASSES: [&str; 15] = [
    "std::sync::atomic",
    "core::sync::atomic",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Barrier",
    "std::sync::Once",
    "std::sync::{",
    "std::cell::UnsafeCell",
    "core::cell::UnsafeCell",
    "std::thread::spawn",
    "parking_lot::",
    "crossbeam_epoch::",
    "arc_swap::",
    "loom::",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is inside the workspace")
}

/// Package name, and the names of what it depends on: at all, and among those the packages of the workspace.
fn packages() -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let names = |package: &Value, wanted: &dyn Fn(&Value) -> bool| {
        list(&package["dependencies"]).iter().filter(|d| wanted(d)).map(|d| text(&d["name"])).collect()
    };
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let used = names(package, &|dependency| dependency["kind"].is_null());
            let own = names(package, &|dependency| dependency["path"].is_string());
            (text(&package["name"]), [used, own])
        })
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn dependencies_run_one_way() {
    let own: BTreeMap<_, _> = packages().into_iter().map(|(name, [_, own])| (name, own)).collect();
    let expected = [
        ("hnsw-core", set(&[])),
        ("hnsw-strategies", set(&["hnsw-core"])),
        ("hnsw-data", set(&["hnsw-core"])),
        ("hnsw-erased", set(&["hnsw-core", "hnsw-strategies"])),
        ("hnsw-lab", set(&["hnsw-core", "hnsw-data", "hnsw-erased", "hnsw-strategies"])),
    ];
    assert_eq!(own, BTreeMap::from(expected.map(|(name, own)| (name.to_owned(), own))));
}

#[test]
fn strategies_have_no_primitives_of_their_own() {
    let [used, _] = &packages()["hnsw-strategies"];
    let primitives =
        set(&["arc-swap", "crossbeam", "crossbeam-epoch", "loom", "parking_lot", "seize", "shuttle"]);
    assert_eq!(used.intersection(&primitives).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_top_level_holds_what_it_should() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let built = |name: &str| name.starts_with('.') || name.starts_with("target") || name.ends_with(".tmp");
    let strangers: Vec<String> = names.filter(|name| !built(name) && !TOP.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "does this belong at the top? {strangers:?}");
}

/// Clippy cannot tell: on the ordinary backend the types of `sync` are those of `std`.
#[test]
fn core_and_strategies_take_their_primitives_from_sync() {
    let facade = root().join("core/src/sync");
    let mut files = Vec::new();
    for package in ["core", "strategies"] {
        rust_files(&root().join(package).join("src"), &mut files);
    }
    files
        .retain(|file| !file.starts_with(&facade) && file.file_name().is_some_and(|name| name != "tests.rs"));
    assert!(files.iter().any(|file| file.ends_with("lockfree/session.rs")), "the search sees the strategies");
    let found: Vec<String> = files.iter().flat_map(|file| bypasses(file)).collect();
    assert!(found.is_empty(), "use hnsw_core::sync instead:\n{}", found.join("\n"));
}

/// The lines of a file that go around the facade, up to its unit tests.
fn bypasses(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.lines().enumerate().take_while(|(_, line)| *line != "mod tests {");
    code.filter(|(_, line)| {
        !line.trim_start().starts_with("//") && BYPASSES.iter().any(|way| line.contains(way))
    })
    .map(|(at, line)| format!("{}:{}: {}", file.strip_prefix(root()).unwrap().display(), at + 1, line.trim()))
    .collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names of tests in documents: words in code marks that have two underscores at least, and `module::{one, another}`.
fn named_tests(text: &str) -> BTreeSet<String> {
    let spans = text.split('`').skip(1).step_by(2).filter(|span| !span.contains(['/', '(', '=']));
    let words = spans.flat_map(|span| span.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let is_name =
        |word: &&str| word.matches('_').count() >= 2 && word.chars().all(|c| !c.is_ascii_uppercase());
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn tests_that_documents_name_are_there() {
    let mut files = Vec::new();
    ["core", "strategies", "harness"]
        .iter()
        .for_each(|package| rust_files(&root().join(package), &mut files));
    let sources: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let words: BTreeSet<&str> = sources
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.matches('_').count() >= 2)
        .collect();
    for document in ["docs/contract.md", "docs/verification.md"] {
        let names = named_tests(&fs::read_to_string(root().join(document)).unwrap());
        assert!(names.len() > 20, "{document}: {names:?}");
        let missing: Vec<_> = names.iter().filter(|name| !words.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{document} names tests that are not there: {missing:?}");
    }
}
