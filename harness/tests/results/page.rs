//! The page of the made-up document.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use hnsw_lab::churn::{self, ChurnArgs};
use hnsw_lab::latency::{self, LatencyArgs};
use hnsw_lab::machine::{Machine, build_info};
use hnsw_lab::noise;
use hnsw_lab::record::{Document, Isolation, Row};
use hnsw_lab::report::{ReportArgs, run};

use crate::support::{sample, write_file};

fn page(document: &Document) -> String {
    page_with(document, Files::default()).unwrap()
}

/// What a page shows beside the sweep.
#[derive(Default)]
struct Files {
    churn: Option<PathBuf>,
    latency: Option<PathBuf>,
    noise: Option<PathBuf>,
}

fn page_with(document: &Document, Files { churn, latency, noise }: Files) -> anyhow::Result<String> {
    let (folder, file) = write_file(document);
    let html = folder.path().join("pages/page.html");
    let args = ReportArgs {
        file,
        workload: None,
        csv: false,
        tax: false,
        counters: false,
        html: Some(html.clone()),
        churn,
        latency,
        noise,
    };
    run(&args)?;
    Ok(std::fs::read_to_string(html)?)
}

#[test]
fn the_page_needs_nothing_else() {
    let text = page(&sample());
    assert!(text.starts_with("<!DOCTYPE html>"));
    for elsewhere in ["src=", "@import", "url(", "<script", "href=\"http"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn every_link_leads_to_a_section() {
    let text = page(&sample());
    let ids: Vec<&str> =
        text.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let links: Vec<&str> = text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids, links);
    assert_eq!(ids.first(), Some(&"summary"));
    assert!(
        ["scaling", "recall-qps", "latency", "memory", "contention", "limits"]
            .iter()
            .all(|id| ids.contains(id))
    );
}

#[derive(Parser)]
struct Churn {
    #[command(flatten)]
    args: ChurnArgs,
}

#[test]
fn what_happened_under_writes_has_a_section_with_garbage_over_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("churn.json");
    let flags = "churn --quiet --in-process --strategies slots,mvcc --threads 2 --workload stalled-reader --occupancy 300 --ef-construction 20 --seconds 0.1";
    let out = ["--out", file.to_str().unwrap()];
    let Churn { args } = Churn::parse_from(flags.split(' ').chain(out));
    churn::run(&args, &AtomicBool::new(false), &mut Vec::new()).unwrap();
    // How much garbage there is at a moment when someone looks is up to the machine.
    let mut document: churn::Document = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for trial in &mut document.trials {
        let peak = if trial.strategy == "mvcc" { 5_000 } else { 0 };
        (trial.garbage.peak_bytes, trial.garbage.series) = (peak, vec![(0.0, 0), (0.1, peak)]);
        (trial.process_before.rss_bytes, trial.memory.process) = (Some(7 << 20), None);
        trial.rss_series = vec![(0.0, 8 << 20), (0.1, 9 << 20)];
    }
    std::fs::write(&file, serde_json::to_vec(&document).unwrap()).unwrap();
    let text = page_with(&sample(), Files { churn: Some(file.clone()), ..Files::default() }).unwrap();
    let section = text.split_once("<section id=\"churn\">").expect("a section").1;
    let section = section.split_once("</section>").expect("its end").0;
    assert!(section.contains("stalled-reader") && section.contains("slots") && section.contains("mvcc"));
    assert!(
        section.contains("id=\"figure-garbage-stalled-reader\"") && section.contains("none at all: slots")
    );
    assert!(section.contains("id=\"figure-resident-stalled-reader\""));
    // By how much the process was larger at its largest than before: 2 MB of 1024 x 1024 bytes.
    assert_eq!(section.matches("+2.10</td>").count(), 2, "{section}");
    assert!(!page(&sample()).contains("<section id=\"churn\">"));
    // The document of a sweep is none of churn.
    let (_sweep, sweep) = write_file(&sample());
    let error = page_with(&sample(), Files { churn: Some(sweep), ..Files::default() })
        .expect_err("it is another document")
        .to_string();
    assert!(error.contains("is no document of `hnsw-lab churn`"), "{error}");
}

#[derive(Parser)]
struct Latency {
    #[command(flatten)]
    args: LatencyArgs,
}

#[test]
fn operations_at_a_given_rate_have_a_section_with_all_of_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latency.json");
    let flags = "latency --quiet --strategies slots,mvcc --threads 2 --rate 300 --writes 0.2 --seconds 0.2 --ef-construction 20 --blocks 1 --retries 0 --in-process";
    let Latency { args } = Latency::parse_from(flags.split(' ').chain(["--out", file.to_str().unwrap()]));
    latency::run(&args, &AtomicBool::new(false), &mut Vec::new()).unwrap();
    let files = |file: &std::path::Path| Files { latency: Some(file.to_owned()), ..Files::default() };
    let text = page_with(&sample(), files(&file)).unwrap();
    let section = text.split_once("<section id=\"offered\">").expect("a section").1;
    let section = section.split_once("</section>").expect("its end").0;
    for part in ["figure-response-search", "figure-response-insert", "poisson arrivals", "<h3>insert</h3>"] {
        assert!(section.contains(part), "{part}");
    }
    assert!(!page(&sample()).contains("<section id=\"offered\">"));
    let mut document: latency::Document = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    document.points[0].search.as_mut().unwrap().response.histogram.truncate(30);
    std::fs::write(&file, serde_json::to_vec(&document).unwrap()).unwrap();
    let error = format!("{:#}", page_with(&sample(), files(&file)).expect_err("a part of it is missing"));
    assert!(error.contains("measure again with `hnsw-lab latency`: a histogram in it"), "{error}");
}

#[test]
fn the_laws_of_scaling_are_told_or_why_there_are_none() {
    let text = page(&sample());
    let section = text.split_once("<section id=\"laws\">").expect("a section").1;
    let section = section.split_once("</section>").expect("its end").0;
    assert!(section.contains("no fit: "), "{section}");
}

#[test]
fn what_a_document_says_is_text_and_nothing_else() {
    let mut document = sample();
    document.run.dataset.name = "<b onclick='x'>&".into();
    document.run.command = vec!["hnsw-lab".into(), "</style><script>".into()];
    let text = page(&document);
    assert!(!text.contains("<b onclick") && !text.contains("<script"));
    assert!(text.contains("&lt;b onclick='x'&gt;&amp;"));
}

#[test]
fn ties_are_told_from_winners() {
    let text = page(&sample());
    let map = text.split_once("table class=\"heat\"").expect("a heat map").1;
    let map = map.split_once("</table>").expect("its end").0;
    assert!(map.contains("1.00 =") && map.contains("lockfree"), "{map}");
    // The plain strategy has one thread to offer and is far behind at two.
    let plain =
        map.split_once("sequential</td>").expect("its line").1.split_once("</tr>").expect("its end").0;
    assert!(!plain.contains(" ="), "{plain}");
}

/// What `noise` writes of a machine on which A and B of each pair differ by this factor.
fn noise_of(factor: f64) -> noise::Document {
    let mut rows = sample();
    rows.rows.retain(|row| row.block == 0);
    rows.run.config.blocks = 12;
    let more = rows.rows.iter().flat_map(|row| (1..12).map(|block| Row { block, ..row.clone() }));
    let more: Vec<Row> = more.collect();
    rows.rows.extend(more);
    for row in rows.rows.iter_mut().filter(|row| row.block % 2 == 1) {
        for op in [&mut row.ops.search, &mut row.ops.insert, &mut row.ops.remove].into_iter().flatten() {
            op.per_second *= factor;
        }
    }
    noise::Document::of(&rows, &[3], Machine::default(), build_info())
}

#[test]
fn the_page_says_what_is_noise_and_calls_it_a_tie() {
    let heat_map = |text: &str| {
        let map = text.split_once("table class=\"heat\"").expect("a heat map").1;
        map.split_once("</table>").expect("its end").0.to_owned()
    };
    let with = |factor: f64| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("noise.json");
        std::fs::write(&file, serde_json::to_vec(&noise_of(factor)).unwrap()).unwrap();
        page_with(&sample(), Files { noise: Some(file), ..Files::default() }).unwrap()
    };
    let (without, quiet, loud) = (page(&sample()), with(1.001), with(10.0));
    assert!(without.contains("How small a difference is still noise here is unknown"));
    assert!(!without.contains("noise below"));
    for (text, effect) in [(&quiet, "0.1 %"), (&loud, "900.0 %")] {
        let told = format!(
            "Differences below {effect} (quietest point) to {effect} (noisiest) are noise on this machine, at 3 blocks."
        );
        assert!(text.contains(&told), "{told}");
        let table = text.split_once("noise below").expect("a column").1.split_once("</table>").unwrap().0;
        assert_eq!(table.matches(&format!("<td>{effect}</td>")).count(), 4, "{table}");
    }
    let ties = |text: &str| heat_map(text).matches(" =</td>").count();
    let cells = heat_map(&without).matches("<td title=").count();
    assert_eq!(ties(&quiet), ties(&without));
    assert!(ties(&without) < cells);
    assert_eq!(ties(&loud), cells, "{}", heat_map(&loud));
    let absent = page_with(&sample(), Files { noise: Some("absent.json".into()), ..Files::default() })
        .expect_err("it is not there");
    assert!(absent.to_string().starts_with("cannot read absent.json; give"), "{absent}");
}

#[test]
fn what_shared_a_process_is_told() {
    let mut document = sample();
    assert!(page(&document).contains("has a fresh process in each block"));
    document.run.config.isolation = Isolation::None;
    let text = page(&document);
    assert!(text.contains("One process measures everything") && !text.contains("fresh process"), "{text}");
}

#[test]
fn counts_of_contention_are_for_a_thousand_operations() {
    let mut document = sample();
    document.rows.retain(|row| row.strategy == "fine" && row.workload == "build" && row.threads == 2);
    for row in &mut document.rows {
        row.contention.lock_waits = row.ops.insert.as_ref().unwrap().count / 100;
    }
    assert!(page(&document).contains("<td>10.00</td>"));
}
