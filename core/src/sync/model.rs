//! Running models: small concurrent programs of which `loom` runs every execution.
//!
//! ```ignore
//! #[test]
//! fn a_row_is_whole() {
//!     model(3, "a row is whole", protocol);
//! }
//!
//! #[test]
//! fn a_row_is_whole_needs_its_release() {
//!     expect_weak("segment-install", Relaxed, || { model(3, "a row is whole", protocol); });
//! }
//! ```

use super::site;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lines that a process of [`expect_failure`] writes for its parent to read.
const EXPLORES: &str = "model explores ";
const EXPLORED: &str = "model explored ";
pub(super) const WEAKENS: &str = "model weakens ";
pub(super) const REACHED: &str = "model reached weakened ";

/// The least bound on preemptions, for a longer search than usual; `scripts/loom --long` sets it.
const AT_LEAST: &str = "HNSW_LOOM_AT_LEAST";

/// Set in a process that is expected to fail.
const CHILD: &str = "HNSW_EXPECT_FAILURE";

/// A model that needs more than this on a failing path is stuck.
const DEADLINE: Duration = Duration::from_secs(240);

/// Runs all executions of `f` that switch away from a running thread at most `preemptions` times (`None`: any number),
/// and prints how many those were and the bound that held. Returns that number. `HNSW_LOOM_AT_LEAST` raises a bound,
/// `LOOM_MAX_PREEMPTIONS` overrules all. After `LOOM_MAX_DURATION` seconds, if that is set, it runs no more of them and prints
/// that it was cut short.
///
/// # Panics
/// When an execution panics, races, deadlocks or leaks, and when there was only one: then nothing was explored.
pub fn model(
    preemptions: impl Into<Option<usize>>,
    name: &str,
    f: impl Fn() + Send + Sync + 'static,
) -> usize {
    let mut builder = loom::model::Builder::new();
    let at_least =
        std::env::var(AT_LEAST).ok().map(|least| least.parse().expect("HNSW_LOOM_AT_LEAST is a number"));
    let bound = preemptions.into().map(|bound: usize| bound.max(at_least.unwrap_or(0)));
    builder.preemption_bound = builder.preemption_bound.or(bound);
    let switches =
        builder.preemption_bound.map_or("unbounded".into(), |bound| format!("at most {bound} switches"));
    builder.max_branches = builder.max_branches.max(20_000);
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    if expected_to_fail() {
        eprintln!("{EXPLORES}{name}");
    }
    let limit = builder.max_duration;
    let begin = Instant::now();
    builder.check(move || {
        // Relaxed: a number for the end; all executions run on one system thread.
        counter.fetch_add(1, Ordering::Relaxed);
        f();
    });
    // Relaxed: see above.
    let executions = executions.load(Ordering::Relaxed);
    if expected_to_fail() {
        eprintln!("{EXPLORED}{name}");
    }
    let cut = if limit.is_some_and(|limit| begin.elapsed() >= limit) { ", cut short" } else { "" };
    assert!(executions > 1, "{name}: only one execution, so no interleaving was explored");
    // A line that `scripts/loom` reads.
    println!("{name}: {executions} executions, {switches}{cut}");
    executions
}

fn expected_to_fail() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test body in which a [`model`] must fail, and returns what it printed. The body must be a closure written in the
/// test function itself: its type tells which test to start again.
///
/// The body runs in a process of its own: a failure inside a destructor, or a deadlock, ends the process and could not be
/// caught. Only the failure of a model counts. It does not count when the body fails elsewhere, or when an ordering was
/// [weakened](site::weaken) but never used.
///
/// # Panics
/// When no model fails.
pub fn expect_failure<F: FnOnce()>(body: F) -> String {
    fails(test_of::<F>(), body)
}

/// A table of tests: each weakens the ordering of a site to the one behind it, and demands that a model fails, with the bound that
/// stands first. `scripts/orderings` reads its lines.
#[macro_export]
macro_rules! needs {
    ($bound:expr; $($test:ident: $site:literal $to:ident, $model:expr;)*) => {$(
        #[test]
        fn $test() {
            $crate::sync::model::expect_weak($site, $crate::sync::Ordering::$to, || {
                $crate::sync::model::model($bound, $site, $model);
            });
        }
    )*};
}

/// [`expect_failure`] with the ordering of one site [weakened](site::weaken).
///
/// # Panics
/// When the model does not fail.
pub fn expect_weak<F: FnOnce()>(site: &str, to: Ordering, body: F) -> String {
    fails(test_of::<F>(), || {
        let _weakened = site::weaken(site, to);
        body();
    })
}

/// The name of the test in which the closure type `F` is written.
fn test_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let (test, _) = path.split_once("::{{closure}}").expect("the body is a closure");
    test.split_once("::").expect("a crate, then the test").1
}

fn fails(test: &str, body: impl FnOnce()) -> String {
    if expected_to_fail() {
        std::thread::spawn(|| {
            std::thread::sleep(DEADLINE);
            eprintln!("not finished after {DEADLINE:?}");
            std::process::exit(0);
        });
        body();
        std::process::exit(0);
    }
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env_remove(AT_LEAST)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this program can start itself");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    if let Err(why) = judge(output.status.success(), &text) {
        panic!("{test}: {why}; it printed\n    | {}", text.replace('\n', "\n    | "));
    }
    text
}

/// Whether a process that ended like this and printed this found a model to fail, and for the reason intended.
fn judge(success: bool, output: &str) -> Result<(), String> {
    let told = |what| output.lines().filter_map(move |line| line.strip_prefix(what));
    if success {
        return Err("no model failed".into());
    }
    if told(EXPLORES).count() == told(EXPLORED).count() {
        return Err("failed outside of its models".into());
    }
    match told(WEAKENS).find(|site| !told(REACHED).any(|reached| reached == *site)) {
        Some(site) => Err(format!("failed, but never reached the weakened [{site}]")),
        None => Ok(()),
    }
}
