//! Runbooks as they are written: YAML of the streaming track of big-ann-benchmarks.
//!
//! The top level maps the name of a data set to a map with `max_pts` and steps numbered 1, 2, 3, …. What else is there, such as
//! `gt_url`, is left alone: neighbours are computed here. A *row* is a vector of the data set, a *tag* the name that a point keeps
//! when its vector is replaced; an inserted point has its row for a tag.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::output::one_line;
use anyhow::{Context, Result, anyhow, bail, ensure};
use hnsw_core::graph::MAX_NODES;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Inserts rows; their tags are the rows.
    Insert,
    /// Removes tags.
    Delete,
    /// Gives tags other rows.
    Replace,
    /// Searches for every query of the data set.
    Search,
}

impl Kind {
    /// All of them, in the order of tables.
    pub(super) const ALL: [Kind; 4] = [Kind::Insert, Kind::Delete, Kind::Replace, Kind::Search];

    /// As runbooks have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Insert => "insert",
            Kind::Delete => "delete",
            Kind::Replace => "replace",
            Kind::Search => "search",
        }
    }
}

/// A step with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    Insert(Range<u32>),
    Delete(Range<u32>),
    /// The first tag gets the first row, and so on; both ranges are equally long.
    Replace {
        tags: Range<u32>,
        rows: Range<u32>,
    },
    Search,
}

impl Step {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Step::Insert(_) => Kind::Insert,
            Step::Delete(_) => Kind::Delete,
            Step::Replace { .. } => Kind::Replace,
            Step::Search => Kind::Search,
        }
    }

    /// The tags that it is about; none for a search.
    pub(super) fn tags(&self) -> Range<u32> {
        match self {
            Step::Insert(tags) | Step::Delete(tags) | Step::Replace { tags, .. } => tags.clone(),
            Step::Search => 0..0,
        }
    }
}

/// The steps for one data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runbook {
    /// The data set that it was written for.
    pub(super) set: String,
    /// The most points that are live at once.
    pub(super) max_points: usize,
    /// The first has the number 1.
    pub(super) steps: Vec<Step>,
}

/// The runbooks of a text by the name of their data set. Only the one that is chosen is checked.
type Sets = BTreeMap<String, Value>;

impl Runbook {
    /// Reads the runbook for `set`, or the only one.
    ///
    /// # Errors
    /// One line that names the step and the cure. It does not name the file.
    pub(super) fn parse(text: &str, set: Option<&str>) -> Result<Runbook> {
        // Names may have breaks of lines in them.
        Runbook::read(text, set).map_err(|error| anyhow!(one_line(&format!("{error:#}"))))
    }

    fn read(text: &str, set: Option<&str>) -> Result<Runbook> {
        let options = serde_saphyr::options! { with_snippet: false };
        let tree: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            anyhow!("it is no YAML: {}; correct it there", error.to_string().replace('\n', " "))
        })?;
        let form =
            "it is no runbook: the top level must map the name of a data set to max_pts and numbered steps";
        let mut sets: Sets = serde_json::from_value(tree).map_err(|_| anyhow!(form))?;
        let names = sets.keys().cloned().collect::<Vec<_>>().join(", ");
        let set = match (set, sets.len()) {
            (_, 0) => bail!(form),
            (Some(set), _) => set.to_owned(),
            (None, 1) => names.clone(),
            (None, _) => bail!("it has runbooks for {names}; choose one with --set NAME"),
        };
        let Some(entries) = sets.remove(&set) else {
            bail!("it has no runbook for {set}; give --set one of {names}")
        };
        let Value::Object(entries) = entries else { bail!("{set}: {form}") };
        let max_points = entries
            .get("max_pts")
            .with_context(|| format!("{set}: max_pts is missing; give the most points that are live at once"))
            .and_then(|value| whole(value).map_err(|problem| anyhow!("{set}: max_pts {problem}")))?;
        let numbered: BTreeMap<u64, &Value> =
            entries.iter().filter_map(|(key, value)| Some((key.parse().ok()?, value))).collect();
        ensure!(!numbered.is_empty(), "{set}: it has no steps; number them 1, 2, 3, …");
        let mut steps = Vec::with_capacity(numbered.len());
        for (due, (number, value)) in (1..).zip(numbered) {
            ensure!(
                number == due,
                "{set}: step {number} stands where step {due} should be; number the steps 1, 2, 3, … without a gap"
            );
            steps.push(step(number, value)?);
        }
        Ok(Runbook { set, max_points: max_points as usize, steps })
    }
}

/// A row, a tag or a number of points.
fn whole(value: &Value) -> Result<u32, String> {
    let number = value.as_u64().filter(|&number| number <= MAX_NODES as u64);
    number
        .map(|number| number as u32)
        .ok_or(format!("is {value}; it must be a whole number from 0 to {MAX_NODES}"))
}

fn step(number: u64, value: &Value) -> Result<Step> {
    const OPERATIONS: &str = "insert, delete, replace or search";
    let operation = value
        .get("operation")
        .with_context(|| format!("step {number}: `operation` is missing; give it {OPERATIONS}"))?;
    let kind = Kind::ALL.into_iter().find(|kind| operation.as_str() == Some(kind.name()));
    let Some(kind) = kind else {
        bail!("step {number}: the operation {operation} is not known; it must be {OPERATIONS}")
    };
    let at = |key: &str, meaning: &str| {
        let value = value.get(key).with_context(|| {
            format!("step {number} ({}): `{key}` is missing; give {meaning}", kind.name())
        })?;
        whole(value).map_err(|problem| anyhow!("step {number} ({}): `{key}` {problem}", kind.name()))
    };
    let range = |start: &str, end: &str, what: &str| {
        let range = at(start, &format!("the first {what}"))?..at(end, &format!("the {what} after the last"))?;
        ensure!(
            !range.is_empty(),
            "step {number} ({}): `{start}` is {} and `{end}` is {}, which is no {what}; `{end}` must be the {what} after the last",
            kind.name(),
            range.start,
            range.end
        );
        Ok(range)
    };
    Ok(match kind {
        Kind::Insert => Step::Insert(range("start", "end", "row")?),
        Kind::Delete => Step::Delete(range("start", "end", "tag")?),
        Kind::Search => Step::Search,
        Kind::Replace => {
            let tags = range("tags_start", "tags_end", "tag")?;
            let rows = range("ids_start", "ids_end", "row")?;
            ensure!(
                tags.len() == rows.len(),
                "step {number} (replace): there are {} tags and {} rows; each tag needs one row",
                tags.len(),
                rows.len()
            );
            Step::Replace { tags, rows }
        }
    })
}
