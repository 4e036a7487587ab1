//! What the operations of a window are, as a file in TOML: a name for what is compared.
//!
//! The form has a version of its own; what a key means never changes within one. [`BUILT_IN`] are files too, in
//! `harness/workloads`, and are the best description of the form. A document of results holds the whole workload.

pub mod cmd;
mod supply;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::builtin;
pub(super) use supply::Supply;

/// The version of the form of [`Workload`].
pub const WORKLOAD_VERSION: u32 = 1;

/// Regions that skew and clustered order are about: the rows nearest to each of as many rows, drawn at random.
pub const REGIONS: usize = 64;

/// The most operations in one call.
const MOST_IN_A_CALL: usize = 10_000;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// Names and texts of the workloads that come with the program.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../workloads/", $name, ".toml")))),+];
    };
}

built_in!(
    "churn",
    "search",
    "build",
    "insert",
    "mixed-95-5",
    "mixed-50-50",
    "hot-hub",
    "entry-point-storm",
    "long-reader",
    "stalled-reader",
    "batches",
    "skewed",
);

/// The operations of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// [`WORKLOAD_VERSION`].
    pub version: u32,
    /// One line for people.
    pub about: String,
    /// What the index holds when the window opens.
    pub start: Start,
    /// The kinds of operations.
    pub mix: Mix,
    /// How searches are.
    #[serde(default)]
    pub search: Searches,
    /// How inserts are.
    #[serde(default)]
    pub insert: Inserts,
    /// How removals are.
    #[serde(default)]
    pub remove: Removals,
    /// A reader that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<Reader>,
    /// When the window is over.
    #[serde(default)]
    pub until: Until,
}

/// What the index holds when the window opens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Points.
    pub points: Points,
    /// The order in which rows become points, before and in the window.
    #[serde(default)]
    pub order: Order,
    /// M, where the workload is about a certain one; else that of the flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<usize>,
}

/// A number of points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Points {
    /// A share of the rows.
    Share(f64),
    /// So many.
    Count(usize),
}

/// An order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As in the file.
    #[default]
    File,
    /// At random.
    Shuffled,
    /// One region after another, so that all writers are in the same one.
    Clustered,
}

/// Shares of the calls; they add up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Searches.
    pub search: f64,
    /// Inserts.
    pub insert: f64,
    /// Removals.
    pub remove: f64,
    /// An insert and a removal, so that the number of points stays.
    pub replace: f64,
}

/// How searches are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Searches {
    /// The share of them that is for a point which was just inserted, not for a query of the data set.
    pub fresh: f64,
    /// Exponent of Zipf's law over the regions of the queries; 0: all queries are as likely.
    pub zipf: f64,
    /// Queries in a call.
    pub batch: usize,
}

/// How inserts are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inserts {
    /// Exponent of Zipf's law over the regions of the rows; 0: rows come in their order.
    pub zipf: f64,
    /// Rows in a call.
    pub batch: usize,
}

/// How removals are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Removals {
    /// Which of the points of its thread goes.
    pub pick: Pick,
}

/// A point to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// That which is there longest.
    #[default]
    Oldest,
    /// That which came last.
    Newest,
    /// Any.
    Random,
}

/// A thread more that keeps one read session open for a part of the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// What it does with it.
    pub kind: ReaderKind,
    /// When it opens it and closes it, as shares of the window.
    pub between: [f64; 2],
}

/// What a reader does with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReaderKind {
    /// It sleeps.
    Stalled,
    /// It reads all lists of level 0, over and over.
    Long,
}

/// When a window is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// When its time is up, or nothing is left to insert.
    #[default]
    Time,
    /// When nothing is left to insert.
    Rows,
}

impl Default for Searches {
    fn default() -> Self {
        Searches { fresh: 0.0, zipf: 0.0, batch: 1 }
    }
}

impl Default for Inserts {
    fn default() -> Self {
        Inserts { zipf: 0.0, batch: 1 }
    }
}

/// Why there is no workload.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// It is not of the form.
    #[error("{name}, line {line}: {problem}; `hnsw-lab workload churn` shows the form")]
    Form {
        /// Of the workload.
        name: String,
        /// From 1.
        line: usize,
        /// In one line.
        problem: String,
    },
    /// A value is out of its range.
    #[error("{name}: {problem}")]
    Value {
        /// Of the workload.
        name: String,
        /// Names the key and what it may be.
        problem: String,
    },
}

impl Workload {
    /// The built-in workload of this name, or that in this file; with its name for people.
    ///
    /// # Errors
    /// One line that says what is wrong with it, and where.
    pub fn named(name: &str) -> Result<(String, Workload)> {
        let text = builtin::text(name, BUILT_IN, ("a TOML file", "workload"))?;
        let stem = Path::new(name).file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy());
        Ok((stem.into_owned(), Workload::parse(name, &text)?))
    }

    /// The workload that a text describes.
    ///
    /// # Errors
    /// As [`Workload::named`].
    pub fn parse(name: &str, text: &str) -> core::result::Result<Workload, WorkloadError> {
        let workload: Workload = toml::from_str(text).map_err(|error| WorkloadError::Form {
            name: name.to_owned(),
            line: 1 + error.span().map_or(0, |span| text[..span.start].matches('\n').count()),
            problem: error.message().lines().collect::<Vec<_>>().join(" "),
        })?;
        workload.check(name)?;
        Ok(workload)
    }

    /// Whether all values can be.
    ///
    /// # Errors
    /// Names the first that cannot.
    pub fn check(&self, name: &str) -> core::result::Result<(), WorkloadError> {
        match self.problem() {
            None => Ok(()),
            Some(problem) => Err(WorkloadError::Value { name: name.to_owned(), problem }),
        }
    }

    /// The first value that cannot be.
    fn problem(&self) -> Option<String> {
        let Workload { start, mix, search, insert, .. } = self;
        if self.version != WORKLOAD_VERSION {
            return Some(format!("version is {}; this program reads {WORKLOAD_VERSION}", self.version));
        }
        let share = match start.points {
            Points::Share(share) => share,
            Points::Count(_) => 0.0,
        };
        let shares = [
            ("start.points.share", share),
            ("mix.search", mix.search),
            ("mix.insert", mix.insert),
            ("mix.remove", mix.remove),
            ("mix.replace", mix.replace),
            ("search.fresh", search.fresh),
        ];
        if let Some((key, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Some(format!("{key} is {share}; a share is from 0 to 1"));
        }
        let all = mix.search + mix.insert + mix.remove + mix.replace;
        if (all - 1.0).abs() > 1e-9 {
            return Some(format!("the shares of mix add up to {all}; they must add up to 1"));
        }
        let exponents = [("search.zipf", search.zipf), ("insert.zipf", insert.zipf)];
        if let Some((key, zipf)) = exponents.iter().find(|(_, zipf)| !(0.0..=10.0).contains(zipf)) {
            return Some(format!("{key} is {zipf}; an exponent is from 0 to 10"));
        }
        let batches = [("search.batch", search.batch), ("insert.batch", insert.batch)];
        if let Some((key, batch)) = batches.iter().find(|(_, batch)| !(1..=MOST_IN_A_CALL).contains(batch)) {
            return Some(format!("{key} is {batch}; a call has from 1 to {MOST_IN_A_CALL}"));
        }
        if mix.remove > mix.insert {
            return Some("mix.remove is more than mix.insert, so that the index would run empty".into());
        }
        if self.until == Until::Rows && !self.grows() {
            return Some("until is \"rows\", and mix leaves the number of points as it is".into());
        }
        match self.reader {
            Some(Reader { between: [from, to], .. }) if !(0.0 <= from && from < to && to <= 1.0) => Some(
                format!("reader.between is [{from}, {to}]; it is two shares of the window, the first less"),
            ),
            _ => None,
        }
    }

    /// Whether points become more, so that rows run out; else rows come again when all have been.
    pub fn grows(&self) -> bool {
        self.mix.insert > self.mix.remove
    }

    /// Points of so many rows that are there when the window opens.
    pub fn points(&self, rows: usize) -> usize {
        match self.start.points {
            Points::Share(share) => (share * rows as f64).round() as usize,
            Points::Count(count) => count,
        }
    }
}
