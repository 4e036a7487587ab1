//! `hnsw-lab plot`: a result document as figures, each as SVG and PNG.
//!
//! plotters draws the SVG, resvg turns it into the PNG with a font from the binary, so both show the same and neither
//! needs fonts or a network on the machine.
//!
//! - `scaling`: throughput, speed-up and efficiency against threads, a figure per workload.
//! - `recall`: recall against throughput, a panel per thread count.
//! - `latency`: how many operations take longer than so long, a panel per thread count.
//! - `memory`: bytes above the raw vectors by category, a bar per strategy.
//! - `response`: of a document of `latency`, for pages: the same of operations that come at a given rate.
//! - `over_time`: of a document of `churn`, for pages: garbage and resident memory over time, a panel per thread count.

mod axis;
mod latency;
mod memory;
mod over_time;
mod panel;
mod raster;
mod recall;
mod response;
mod scaling;
mod style;
#[cfg(test)]
pub(crate) mod vision;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::output;
use crate::record::{Document, read};
use crate::report::grouped;
use crate::summary::Summary;

pub(crate) use over_time::figures as over_time;
pub(crate) use response::figures as response;
pub use style::strategy_colour;

/// Draw the figures of a result file, as SVG and PNG
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  hnsw-lab plot results/sweep.json --out figures")]
pub struct PlotArgs {
    /// Result file that `hnsw-lab sweep` wrote
    pub file: PathBuf,
    /// Folder for the figures, made if absent [default: beside FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// A drawing and its name.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Fit for a file name: `scaling-search`, `recall-qps-search`, `latency-search`, `memory`.
    pub name: String,
    /// The drawing.
    pub svg: String,
}

/// Runs the command: writes `<file>-<figure>.svg` and `.png` for each figure and prints their names.
///
/// # Errors
/// A file that cannot be read or has no rows, a folder that cannot be written.
pub fn run(args: &PlotArgs) -> anyhow::Result<()> {
    let document = read(&args.file)?;
    let figures = figures(&document)?;
    if figures.is_empty() {
        bail!("{} has no rows yet; `hnsw-lab sweep` with the same `--out` continues it", args.file.display());
    }
    let beside = args.file.parent().unwrap_or(Path::new(""));
    let folder = args.out.as_deref().unwrap_or(beside);
    if !folder.as_os_str().is_empty() {
        fs::create_dir_all(folder).with_context(|| {
            format!("cannot make the folder {}; choose another with `--out`", folder.display())
        })?;
    }
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let mut written = String::new();
    for figure in &figures {
        let png = raster::png(&figure.svg)?;
        for (extension, bytes) in [("svg", figure.svg.as_bytes()), ("png", png.as_slice())] {
            let path = folder.join(format!("{stem}-{}.{extension}", figure.name));
            fs::write(&path, bytes).with_context(|| {
                format!("cannot write {}; choose another folder with `--out`", path.display())
            })?;
            written.push_str(&format!("{}\n", path.display()));
        }
    }
    output::print(&written).context("cannot write to standard output")
}

/// All figures that the rows of `document` allow, in a fixed order.
///
/// # Errors
/// None is expected: the drawings are made in memory.
pub fn figures(document: &Document) -> anyhow::Result<Vec<Figure>> {
    let summaries = Summary::of(document).by_codec();
    let several = summaries.len() > 1;
    let mut figures = Vec::new();
    for (codec, summary) in &summaries {
        let mut own = Vec::new();
        for workload in summary.workloads() {
            own.push(scaling::figure(document, summary, workload)?);
        }
        for workload in summary.workloads() {
            own.extend(recall::figure(document, summary, workload)?);
        }
        for workload in summary.workloads() {
            own.extend(latency::figure(document, summary, workload)?);
        }
        own.extend(memory::figure(document, summary)?);
        // Each codec has a set of figures; what is drawn into one is comparable.
        figures.extend(own.into_iter().map(|figure| match several {
            true => Figure { name: format!("{}-{}", figure.name, file_name(codec)), ..figure },
            false => figure,
        }));
    }
    Ok(figures)
}

/// The data set in titles, with the codec of the points.
fn data_set(document: &Document, summary: &Summary) -> String {
    let data = &document.run.dataset;
    let codecs = summary.codecs().join(", ");
    format!("{}, {} x {} {codecs}, {}", data.name, grouped(data.base_count as f64), data.dim, data.metric)
}

/// `name` with everything that has no place in a file name replaced.
pub(crate) fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
