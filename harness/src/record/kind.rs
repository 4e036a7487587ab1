//! Documents of other commands, which have versions of their own and which a reader of results may be given by mistake.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What tells the documents apart: the form of a comparison with other programs names itself, any other has keys that no other
/// document has. What belongs to a key is not looked at.
#[derive(Deserialize)]
struct Keys {
    format: Option<String>,
    run: Option<IgnoredAny>,
    trials: Option<IgnoredAny>,
    runbook: Option<IgnoredAny>,
    for_blocks: Option<IgnoredAny>,
    sets: Option<IgnoredAny>,
    searches: Option<IgnoredAny>,
    measure_up_to: Option<IgnoredAny>,
    points: Option<IgnoredAny>,
    min_effect_from: Option<IgnoredAny>,
}

/// Which program wrote `bytes`, if it was none that measures a sweep, and what to do with it.
pub(super) fn other(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const READ_BY_NONE: &str = "no command reads it again, it printed its tables when it measured";
    let keys: Keys = serde_json::from_slice(bytes).ok()?;
    if keys.format.is_some_and(|format| format.starts_with("bench-peers/")) {
        return Some(("scripts/bench-peers", "`scripts/bench-peers report` reads it"));
    }
    if keys.run.is_some() {
        return None;
    }
    let found = if keys.runbook.is_some() {
        ("hnsw-lab runbook", READ_BY_NONE)
    } else if keys.trials.is_some() {
        ("hnsw-lab churn", "`hnsw-lab report SWEEP --html PAGE --churn FILE` reads it")
    } else if keys.for_blocks.is_some() {
        ("hnsw-lab noise", "`hnsw-lab report` and `hnsw-lab compare` read it with --noise")
    } else if keys.sets.is_some() {
        ("hnsw-lab ladder", READ_BY_NONE)
    } else if keys.searches.is_some() {
        ("hnsw-lab latency", "`hnsw-lab report SWEEP --html PAGE --latency FILE` reads it")
    } else if keys.measure_up_to.is_some() {
        ("hnsw-lab capacity", READ_BY_NONE)
    } else if keys.min_effect_from.is_some() {
        ("hnsw-lab compare", READ_BY_NONE)
    } else if keys.points.is_some() {
        ("hnsw-lab limit", READ_BY_NONE)
    } else {
        return None;
    };
    Some(found)
}
