//! Seeds and schedules for tests under `shuttle`.
//!
//! A seed decides what is done and in which order, so a failure is repeated by its seed: `HNSW_SHUTTLE=SEED`. The environment
//! variable `HNSW_SHUTTLE_SEEDS` asks for more seeds than usual.

use hnsw_core::sync::explore;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Schedules of one seed that switch at random, and that switch at a few places only.
const RANDOM: usize = 4;
const FEW_SWITCHES: usize = 4;
/// The most switches of the latter.
const SWITCHES: usize = 4;

/// Runs `body` with both kinds of schedules of each seed; `usual` is how many seeds. A failure names the `test` to repeat.
pub fn schedules(test: &str, usual: u64, body: fn(u64)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("HNSW_SHUTTLE") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HNSW_SHUTTLE_SEEDS").unwrap_or(usual),
    };
    for seed in seeds {
        let ran = catch_unwind(AssertUnwindSafe(|| {
            explore(RandomScheduler::new_from_seed(seed, RANDOM), move || body(seed));
            explore(PctScheduler::new_from_seed(seed, SWITCHES, FEW_SWITCHES), move || body(seed));
        }));
        if let Err(panic) = ran {
            eprintln!("\nagain: HNSW_SHUTTLE={seed} scripts/shuttle {test}\n");
            resume_unwind(panic);
        }
    }
}
