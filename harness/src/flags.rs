//! Flags that several commands have, so that they mean the same everywhere.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use hnsw_core::distance::Metric;
use hnsw_core::hnsw::IndexConfig;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, LoadError, load_or_embedded};
use crate::sweep::{check_beam, check_graph};

/// Which vectors.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct DataArgs {
    /// Folder or file of vectors, as `hnsw-lab sweep` reads it [default: the embedded set]
    #[arg(long, value_name = "FILE|DIR")]
    #[serde(with = "any_path")]
    pub dataset: Option<PathBuf>,
    /// How vectors are compared: l2, ip or cosine [default: what the data set says, else l2]
    #[arg(long, value_name = "METRIC", value_parser = crate::data::cmd::metric, requires = "dataset")]
    #[serde(with = "metric_name")]
    pub metric: Option<Metric>,
}

impl DataArgs {
    /// Reads them.
    pub(crate) fn load(&self) -> Result<Dataset, LoadError> {
        load_or_embedded(self.dataset.as_deref(), self.metric)
    }
}

/// How a graph is built and searched.
#[derive(Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GraphArgs {
    /// Links per node and level; twice as many on level 0
    #[arg(long, value_name = "M", default_value_t = 16)]
    pub m: usize,
    /// Beam width while inserting
    #[arg(long, value_name = "EF", default_value_t = 200)]
    pub ef_construction: usize,
    /// Beam width of searches
    #[arg(long, value_name = "EF", default_value_t = 64)]
    pub ef: usize,
    /// Neighbours to ask for
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub k: usize,
}

impl GraphArgs {
    /// Refuses what no graph can have and no search can do.
    pub(crate) fn check(&self) -> Result<()> {
        check_beam(self.k, self.ef)?;
        check_graph(self.m, self.ef_construction)
    }

    /// Of an index of these vectors.
    pub(crate) fn index(&self, dataset: &Dataset, seed: u64) -> IndexConfig {
        IndexConfig {
            m: self.m,
            ef_construction: self.ef_construction,
            seed,
            ..IndexConfig::new(dataset.dim(), dataset.metric())
        }
    }
}

/// What becomes of what was measured.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct OutArgs {
    /// Also write what was measured to this file
    #[arg(long, value_name = "FILE")]
    #[serde(with = "any_path")]
    pub out: Option<PathBuf>,
    /// No sign of life
    #[arg(short, long)]
    pub quiet: bool,
}

impl OutArgs {
    /// Shows and writes nothing.
    pub(crate) const NONE: OutArgs = OutArgs { out: None, quiet: true };
}

/// Asserts that the process of a task gets these flags as the command was told them.
#[cfg(test)]
pub(crate) fn assert_survive<A: Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(given: &A) {
    let got: A = serde_json::from_str(&serde_json::to_string(given).unwrap()).unwrap();
    assert_eq!(format!("{given:?}"), format!("{got:?}"));
}

/// Paths in JSON, which need not be Unicode.
pub(crate) mod any_path {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ffi::{OsStr, OsString};
    use std::path::PathBuf;

    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(AsRef::<OsStr>::as_ref).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<OsString>::deserialize(from)?.map(PathBuf::from))
    }
}

/// Metrics in JSON, by name.
pub(crate) mod metric_name {
    use hnsw_core::distance::Metric;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(metric: &Option<Metric>, to: S) -> Result<S::Ok, S::Error> {
        metric.map(Metric::name).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Metric>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| crate::data::cmd::metric(&name)).transpose().map_err(D::Error::custom)
    }
}
