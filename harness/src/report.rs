//! `hnsw-lab report`: a result document as tables for a terminal, as CSV, or as a page of HTML.

mod counters;
mod details;
mod page;
pub(crate) mod scaling;
mod tax;

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};

use crate::churn;
use crate::latency;
use crate::noise;
use crate::output;
use crate::record::{Document, read};
use crate::stats::{CONFIDENCE, Estimate, LEAST_FOR_INTERVAL, reach};
use crate::summary::{BASELINE, Point, Summary};
use crate::sweep::Workload;

/// A rule under the header and none elsewhere: figures need no grid.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// Print the tables of a result file
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hnsw-lab report results/sweep.json --workload search\n  hnsw-lab report results/sweep.json --html sweep.html\n  hnsw-lab report results/sweep.json --html sweep.html --churn churn.json --latency latency.json"
)]
pub struct ReportArgs {
    /// Result file that `hnsw-lab sweep` wrote
    pub file: PathBuf,
    /// Only this workload
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// All points as comma-separated values, every ef included
    #[arg(long)]
    pub csv: bool,
    /// Instead, what each strategy costs beside `sequential`, per thread
    #[arg(long, conflicts_with_all = ["csv", "workload"])]
    pub tax: bool,
    /// Instead, what CPU and kernel counted for one operation; of a sweep with --counters
    #[arg(long, conflicts_with_all = ["csv", "tax"])]
    pub counters: bool,
    /// Instead, write a page with all tables and figures to this file; it needs no network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "workload", "tax", "counters"])]
    pub html: Option<PathBuf>,
    /// With --html: a file that `hnsw-lab churn` wrote, for a section on what happens under writes
    #[arg(long, value_name = "FILE", requires = "html")]
    pub churn: Option<PathBuf>,
    /// With --html: a file that `hnsw-lab latency` wrote, for a section on operations that come at a given rate
    #[arg(long, value_name = "FILE", requires = "html")]
    pub latency: Option<PathBuf>,
    /// What `hnsw-lab noise` wrote on this machine: says how small a difference tables and page can show
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "counters"])]
    pub noise: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read, a workload that it has not, a standard output that cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let document = read(&args.file)?;
    let noise = args.noise.as_deref().map(noise::read).transpose()?;
    let noise = noise.as_ref();
    if let Some(path) = &args.html {
        let unwritable = || format!("{}: cannot be written; choose another file", path.display());
        let churned = args.churn.as_deref().map(churn::read).transpose()?;
        let offered = args.latency.as_deref().map(latency::read).transpose()?;
        let beside = Beside { churned: churned.as_ref(), offered: offered.as_ref(), noise };
        output::check_place(path).with_context(unwritable)?;
        fs::write(path, html(&document, &beside)?).with_context(unwritable)?;
        return output::print(&format!("wrote {}\n", path.display()))
            .context("cannot write to standard output");
    }
    let summary = Summary::of(&document);
    let workloads = match &args.workload {
        None => summary.workloads(),
        Some(name) if summary.workloads().contains(&name.as_str()) => vec![name.as_str()],
        Some(name) => bail!(
            "{} has no rows of the workload `{name}`; it has {}",
            args.file.display(),
            listed(&summary.workloads())
        ),
    };
    let text = if args.csv {
        csv(&summary, &workloads)?
    } else if args.counters {
        counted(&document, &summary, &workloads, std::io::stdout().is_terminal())
    } else if args.tax {
        tax(&document, &summary, noise, std::io::stdout().is_terminal())
    } else {
        tables(&document, &summary, &workloads, noise, std::io::stdout().is_terminal())
    };
    output::print(&text).context("cannot write to standard output")
}

/// What a page shows beside a sweep, where it was measured too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// What happened under writes.
    pub churned: Option<&'a churn::Document>,
    /// Operations that came at a given rate.
    pub offered: Option<&'a latency::Document>,
    /// How small a difference can be shown.
    pub noise: Option<&'a noise::Document>,
}

/// The report as a page of HTML.
///
/// # Errors
/// A histogram of `beside.offered` that cannot be read. Everything is made in memory.
pub fn html(document: &Document, beside: &Beside<'_>) -> anyhow::Result<String> {
    page::page(document, beside)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none yet".into() } else { names.join(", ") }
}

/// The report as text. `noise` says how small a difference it can show, where that is known. With `terminal`, tables may be
/// coloured; without, they are plain.
pub fn tables(
    document: &Document,
    summary: &Summary,
    workloads: &[&str],
    noise: Option<&noise::Document>,
    terminal: bool,
) -> String {
    let mut text = heading(document);
    if workloads.is_empty() {
        text.push_str("\nNo rows yet: `hnsw-lab sweep` with the same `--out` continues this sweep.\n");
    }
    let codecs = summary.by_codec();
    for workload in workloads {
        for (codec, summary) in &codecs {
            let named = if codecs.len() > 1 { Some(codec.as_str()) } else { None };
            section(&mut text, document, summary, workload, named, terminal);
        }
    }
    text.extend(scaling::section(summary, workloads, terminal));
    text.push_str(&legend(summary, workloads));
    if !workloads.is_empty() {
        text.push_str(&confidence(summary, noise));
    }
    text
}

/// Blocks that there are of the points with the most of them. A document may announce more than it has.
fn blocks(summary: &Summary) -> usize {
    summary.points().iter().map(|point| point.measured).max().unwrap_or(0)
}

/// How far to believe differences in the tables.
fn confidence(summary: &Summary, noise: Option<&noise::Document>) -> String {
    let blocks = blocks(summary);
    let mut text = String::from("\n");
    if let Some(reach) =
        Some(reach(blocks)).filter(|reach| blocks >= LEAST_FOR_INTERVAL && *reach < CONFIDENCE)
    {
        let _ = writeln!(
            text,
            "± is half of the range of {blocks} blocks, which holds the median in {:.0} of 100 cases only; 6 blocks are the least for 95.",
            100.0 * reach
        );
    }
    text.push_str(&smallest(blocks, noise));
    text.push('\n');
    text
}

/// How small a difference of so many blocks can be shown, in one sentence.
fn smallest(blocks: usize, noise: Option<&noise::Document>) -> String {
    match noise.and_then(|noise| noise.range_percent(blocks)) {
        Some([low, high]) => format!(
            "Differences below {low:.1} % (quietest point) to {high:.1} % (noisiest) are noise on this machine, at {blocks} blocks."
        ),
        None => {
            "How small a difference is still noise here is unknown: `hnsw-lab noise --out FILE` measures it, --noise FILE says it."
                .into()
        }
    }
}

/// One workload of one codec, which is named if there are others.
fn section(
    text: &mut String,
    document: &Document,
    summary: &Summary,
    workload: &str,
    codec: Option<&str>,
    terminal: bool,
) {
    let chosen = summary.chosen_ef(workload);
    let points = summary.at(workload, chosen.ef);
    let Some(first) = points.first() else { return };
    let _ = write!(text, "\n{workload}");
    if let Some(codec) = codec {
        let _ = write!(text, " · {codec}");
    }
    if let Some(ef) = chosen.ef {
        let _ = write!(text, " · ef {ef}");
    }
    if !chosen.why.is_empty() {
        let _ = write!(text, " ({})", chosen.why);
    }
    let in_calls = Workload::by_name(workload).is_some_and(Workload::is_in_calls);
    let timed = if in_calls { "call" } else { first.timed };
    let _ = write!(text, " · latency of one {timed}");
    let _ = writeln!(text, "\n{}", table(document, summary, &points, terminal).trim_fmt());
    for detail in [details::phases(&points, terminal), details::roles(summary, &points, terminal)] {
        let _ = detail.map(|detail| writeln!(text, "{}", detail.trim_fmt()));
    }
    if let Some(sentence) = cost(summary, &points) {
        let _ = writeln!(text, "{sentence}");
    }
}

/// What each strategy costs beside [`BASELINE`], as text: a table for each workload that one can say it of.
pub fn tax(
    document: &Document,
    summary: &Summary,
    noise: Option<&noise::Document>,
    terminal: bool,
) -> String {
    let mut text = heading(document);
    let codecs = summary.by_codec();
    for (codec, summary) in &codecs {
        for workload in tax::WORKLOADS {
            let Some(table) = tax::table(summary, workload.name(), terminal) else { continue };
            let _ = write!(text, "\n{}", workload.name());
            if codecs.len() > 1 {
                let _ = write!(text, " · {codec}");
            }
            let _ = writeln!(text, "{}\n{}", tax::explanation(document, summary, workload), table.trim_fmt());
        }
    }
    text.push_str(&legend(summary, &tax::WORKLOADS.map(Workload::name)));
    text.push_str(&confidence(summary, noise));
    text
}

/// What CPU and kernel counted, as text: a line for each point that the tables show.
pub fn counted(document: &Document, summary: &Summary, workloads: &[&str], terminal: bool) -> String {
    let mut text = heading(document);
    text.push_str(&counters::section(summary, workloads, terminal));
    text.push_str(&legend(summary, workloads));
    text
}

fn heading(document: &Document) -> String {
    let run = &document.run;
    let (data, config) = (&run.dataset, &run.config);
    format!(
        "{}: {} x {} {} {}, {} queries, k={}, M={}, ef_construction={}\n\
         {} blocks of {} s, seed {}; {} rows; {}, {} allowed CPUs; hnsw-lab {} ({}, {})\n",
        data.name,
        grouped(data.base_count as f64),
        data.dim,
        config.codec,
        data.metric,
        grouped(data.query_count as f64),
        config.k,
        config.m,
        config.ef_construction,
        config.blocks,
        config.seconds,
        config.seed,
        document.rows.len(),
        run.cpu_model().unwrap_or("unknown CPU"),
        run.allowed_cpus.len(),
        run.build.version,
        run.build.profile,
        run.build.isa,
    )
}

fn table(document: &Document, summary: &Summary, points: &[&Point], terminal: bool) -> Table {
    let recall = format!("recall@{}", document.run.config.k);
    let mut table = plain(
        &[
            "strategy",
            "threads",
            "ops/s",
            "± 95 %",
            "x itself",
            "x sequential",
            "efficiency",
            "p50 µs",
            "p99 µs",
            "dist/op",
            &recall,
            "memory +%",
            "unreachable",
            "flags",
        ],
        terminal,
    );
    let mut before: Option<&str> = None;
    for point in points {
        table.add_row(cells(summary, point, before == Some(&point.strategy)));
        before = Some(&point.strategy);
    }
    table
}

/// A table without rows: strategies at the left, figures at the right.
pub(crate) fn plain(header: &[&str], terminal: bool) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        // Never squeezed into a narrow terminal: figures that are broken into several lines cannot be read.
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    if !terminal {
        table.force_no_tty();
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(summary: &Summary, point: &Point, repeated: bool) -> Vec<Cell> {
    let itself = summary.over_itself(point);
    let ratio = |estimate: Option<Estimate>| cell(estimate.map(|ratio| format!("{:.2}", ratio.median)));
    let efficiency = itself.map(|ratio| format!("{:.0} %", 100.0 * ratio.median / point.threads as f64));
    let interval = point.throughput.interval.map(|interval| grouped(interval.half_width()));
    let unreachable = Cell::new(point.unreachable);
    let flags = Cell::new(flags(point));
    vec![
        Cell::new(if repeated { "" } else { &point.strategy }).add_attribute(Attribute::Bold),
        Cell::new(point.threads),
        Cell::new(grouped(point.throughput.median)),
        cell(interval),
        ratio(itself),
        ratio(summary.over_baseline(point)),
        cell(efficiency),
        cell(point.p50.map(micros)),
        cell(point.p99.map(micros)),
        cell(point.evaluations.map(grouped)),
        cell(point.recall.map(|recall| format!("{recall:.4}"))),
        Cell::new(format!("{:.2}", point.overhead_percent)),
        if point.unreachable > 0 { unreachable.fg(Color::Red) } else { unreachable },
        if point.tainted || point.blocks.len() < point.measured { flags.fg(Color::Yellow) } else { flags },
    ]
}

fn cell(text: Option<String>) -> Cell {
    Cell::new(text.unwrap_or_else(|| "–".into()))
}

fn flags(point: &Point) -> String {
    let (clean, measured) = (point.blocks.len(), point.measured);
    let flags = [
        (point.oversubscribed, "*".to_owned()),
        (point.tainted, "!".to_owned()),
        (clean < measured, format!("{clean}/{measured}")),
        (point.repeated > 0, format!("+{}", point.repeated)),
    ];
    let shown: Vec<String> = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
    shown.join(" ")
}

/// What the zero line says: how many threads each strategy needs before it beats the plain one.
fn cost(summary: &Summary, points: &[&Point]) -> Option<String> {
    if !points.iter().any(|point| point.strategy == BASELINE && point.threads == 1) {
        return None;
    }
    let needed =
        summary.threads_to_beat_baseline(points).into_iter().map(|(strategy, threads)| match threads {
            Some(threads) => format!("{strategy} {threads}"),
            None => format!("{strategy} not in the measured range"),
        });
    let needed: Vec<String> = needed.collect();
    (!needed.is_empty())
        .then(|| format!("Threads needed to beat `{BASELINE}` on one thread: {}.", needed.join(", ")))
}

fn legend(summary: &Summary, workloads: &[&str]) -> String {
    let any = |is: fn(&Point) -> bool| workloads.iter().any(|name| summary.of_workload(name).any(is));
    let mut text = String::new();
    if any(|point| point.oversubscribed) {
        text.push_str("* more threads than allowed CPUs: not evidence of scaling\n");
    }
    if any(|point| point.tainted) {
        text.push_str("! all of its blocks are tainted: the file says why, in `tainted`\n");
    }
    if any(|point| point.blocks.len() < point.measured) {
        text.push_str("n/m: n of m blocks are clean; the others are tainted and left out\n");
    }
    if any(|point| point.repeated > 0) {
        text.push_str("+n: n trials were repeated because they were tainted\n");
    }
    if any(|point| point.short_answers.is_some_and(|short| short > 0)) {
        text.push_str("answers with too few neighbours: a promise of the contract is broken\n");
    }
    if any(|point| point.unreachable > 0) {
        text.push_str("unreachable > 0: a promise of the contract is broken\n");
    }
    if !text.is_empty() {
        text.insert(0, '\n');
    }
    text
}

/// All points of `workloads`, one line each, every ef included.
///
/// # Errors
/// None is expected: the text is made in memory.
pub fn csv(summary: &Summary, workloads: &[&str]) -> anyhow::Result<String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record([
        "workload",
        "codec",
        "strategy",
        "threads",
        "ef",
        "blocks",
        "oversubscribed",
        "tainted",
        "ops_per_second",
        "ops_per_second_low",
        "ops_per_second_high",
        "speedup_over_itself",
        "speedup_over_sequential",
        "efficiency",
        "p50_us",
        "p99_us",
        "evaluations_per_op",
        "hops_per_op",
        "recall",
        "memory_overhead_percent",
        "unreachable",
        "short_answers",
    ])?;
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for point in workloads.iter().flat_map(|workload| summary.of_workload(workload)) {
        let itself = summary.over_itself(point).map(|ratio| ratio.median);
        out.write_record([
            point.workload.clone(),
            point.codec.clone(),
            point.strategy.clone(),
            point.threads.to_string(),
            point.ef.map(|ef| ef.to_string()).unwrap_or_default(),
            point.blocks.len().to_string(),
            point.oversubscribed.to_string(),
            point.tainted.to_string(),
            point.throughput.median.to_string(),
            number(point.throughput.interval.map(|interval| interval.low)),
            number(point.throughput.interval.map(|interval| interval.high)),
            number(itself),
            number(summary.over_baseline(point).map(|ratio| ratio.median)),
            number(itself.map(|ratio| ratio / point.threads as f64)),
            number(point.p50),
            number(point.p99),
            number(point.evaluations),
            number(point.hops),
            number(point.recall),
            point.overhead_percent.to_string(),
            point.unreachable.to_string(),
            point.short_answers.map(|short| short.to_string()).unwrap_or_default(),
        ])?;
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

/// A rate or count with its thousands apart; small ones keep a decimal.
pub(crate) fn grouped(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds; short ones keep a decimal.
pub(crate) fn micros(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { grouped(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0.0), "0");
        assert_eq!(grouped(7.25), "7.2");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(123_456.0), "123,456");
        assert_eq!(micros(12.34), "12.3");
        assert_eq!(micros(1234.0), "1,234");
    }
}
