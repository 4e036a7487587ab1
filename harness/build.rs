//! Tells the program which commit, compiler and profile it was built with. Needs neither network nor git: what cannot
//! be found out is `unknown`.
//!
//! Runs again when the commit or any source of the workspace changes, which rebuilds the program anyway, and not else.

use std::env;
use std::path::Path;
use std::process::Command;

/// What the program is built from, relative to this package.
const SOURCES: [&str; 9] = [
    "../core",
    "../strategies",
    "data",
    "erased",
    "src",
    "build.rs",
    "Cargo.toml",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    for source in SOURCES.into_iter().filter(|source| Path::new(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    let (commit, dirty) = commit().unwrap_or(("unknown".to_owned(), "unknown"));
    tell("GIT_COMMIT", &commit);
    tell("GIT_DIRTY", dirty);
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell("RUSTC", &run(&rustc, &["--version"]).unwrap_or_else(|| "unknown".to_owned()));
    tell("TARGET", &variable("TARGET"));
    tell("PROFILE", &profile().unwrap_or_else(|| variable("PROFILE")));
    tell("RUSTFLAGS", &variable("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " "));
}

fn tell(name: &str, value: &str) {
    println!("cargo::rustc-env=HNSW_LAB_{name}={}", value.replace('\n', " "));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The commit and whether the sources differ from it, if this file belongs to a git repository. A copy of the sources
/// inside some other repository does not.
fn commit() -> Option<(String, &'static str)> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    // The log of HEAD grows with each commit, checkout and reset.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some((commit, if changes.is_empty() { "false" } else { "true" }))
}

/// The output folder is `<target>/<profile>/build/<package>/out`; the variable `PROFILE` knows only debug and release.
fn profile() -> Option<String> {
    let out = env::var_os("OUT_DIR")?;
    let build = Path::new(&out).ancestors().nth(2)?;
    let is_build = build.file_name()? == "build";
    is_build.then(|| build.parent()?.file_name()?.to_str().map(str::to_owned)).flatten()
}

fn git(arguments: &[&str]) -> Option<String> {
    // Without the lock a build never disturbs another git command.
    run("git", &[&["--no-optional-locks"], arguments].concat())
}

/// What a command that succeeds prints.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
