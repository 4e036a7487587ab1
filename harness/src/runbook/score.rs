//! The exact neighbours among the points that are live at each search step, and what answers are worth against them.
//!
//! They depend on the runbook alone, so they are computed once for all strategies.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use rayon::prelude::*;

use super::replay::Answer;
use super::steps::{Kind, Runbook};
use super::tags::Tags;
use crate::data::{CodedBase, Dataset, Truth, Watch};

/// The neighbours at each search step, in turn; none where no point is live.
pub(super) fn truths(
    runbook: &Runbook,
    dataset: &Dataset,
    k: usize,
    cancel: &AtomicBool,
) -> Result<Vec<Option<Truth>>> {
    let mut tags = Tags::none(dataset.len());
    let mut truths = Vec::new();
    for step in &runbook.steps {
        tags.apply(step);
        if step.kind() == Kind::Search {
            truths.push(match tags.live() {
                0 => None,
                _ => Some(Truth::exact(&live(&tags, dataset)?, k, Watch { cancel, ..Watch::none() })?),
            });
        }
    }
    Ok(truths)
}

/// The data set of the points that are live.
fn live(tags: &Tags, dataset: &Dataset) -> Result<Dataset> {
    let rows = tags.points().flat_map(|point| dataset.row(point.row as usize)).copied().collect();
    let [name, from] = [dataset.name(), dataset.provenance()].map(str::to_owned);
    Ok(Dataset::new(name, dataset.metric(), dataset.dim(), rows, dataset.queries().to_vec(), from)?)
}

/// Mean recall@k.
pub(super) fn recall(
    answers: &[Answer],
    truth: &Truth,
    base: &CodedBase,
    dataset: &Dataset,
    k: usize,
) -> f64 {
    let of = |answer: &Answer| {
        let query = answer.query as usize;
        let rows = answer.points.iter().map(|point| point.row as usize);
        truth.recall(query, k, base.distances_to(dataset.query(query), rows).into_iter())
    };
    answers.par_iter().map(of).sum::<f64>() / answers.len() as f64
}
