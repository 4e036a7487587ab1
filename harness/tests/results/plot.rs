//! The figures of the made-up document, read back as SVG.

use std::fs;

use hnsw_lab::plot::{Figure, PlotArgs, figures, run, strategy_colour};
use hnsw_lab::record::Document;
use roxmltree::Node;

use crate::support::{sample, sample_file, write_file};

fn figure(document: &Document, name: &str) -> Figure {
    let all = figures(document).expect("drawn");
    let names: Vec<String> = all.iter().map(|figure| figure.name.clone()).collect();
    all.into_iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

fn parsed(figure: &Figure) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(&figure.svg).expect("well-formed SVG")
}

fn texts(document: &roxmltree::Document<'_>) -> Vec<String> {
    let nodes = document.descendants().filter(|node| node.has_tag_name("text"));
    nodes.map(|node| node.text().unwrap_or_default().trim().to_owned()).collect()
}

fn colour(strategy: &str) -> String {
    let colour = strategy_colour(strategy);
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// Elements with that tag whose attribute holds the strategy's colour.
fn of_colour<'d>(
    document: &'d roxmltree::Document<'d>,
    tag: &'d str,
    attribute: &'d str,
    strategy: &str,
) -> Vec<Node<'d, 'd>> {
    let colour = colour(strategy);
    let nodes = document.descendants().filter(|node| node.has_tag_name(tag));
    nodes.filter(|node| node.attribute(attribute) == Some(&colour)).collect()
}

/// Lines of measured points: thick and undashed. Leaders of names are thinner.
fn curves<'d>(document: &'d roxmltree::Document<'d>, strategy: &str) -> Vec<Node<'d, 'd>> {
    let mut lines = of_colour(document, "polyline", "stroke", strategy);
    lines.retain(|line| line.attribute("stroke-width") == Some("4"));
    lines
}

fn vertices(line: Node<'_, '_>) -> Vec<(f64, f64)> {
    let points = line.attribute("points").expect("points").split_whitespace();
    let number = |text: &str| text.parse::<f64>().expect("a number");
    points.filter_map(|pair| pair.split_once(',')).map(|(x, y)| (number(x), number(y))).collect()
}

#[test]
fn a_document_gives_these_figures() {
    let names: Vec<String> =
        figures(&sample()).expect("drawn").into_iter().map(|figure| figure.name).collect();
    let expected = [
        "scaling-build",
        "scaling-search",
        "scaling-mixed",
        "scaling-write-heavy",
        "recall-qps-search",
        "latency-build",
        "latency-search",
        "latency-mixed",
        "latency-write-heavy",
        "memory",
    ];
    assert_eq!(names, expected);
}

#[test]
fn scaling_has_a_curve_per_strategy_in_each_of_three_panels() {
    let figure = figure(&sample(), "scaling-search");
    let svg = parsed(&figure);
    for strategy in ["coarse", "fine", "lockfree", "mvcc"] {
        let curves = curves(&svg, strategy);
        assert_eq!(curves.len(), 3, "{strategy}");
        for curve in curves {
            let vertices = vertices(curve);
            assert_eq!(vertices.len(), 3, "{strategy}: a vertex per thread count");
            let (first, second) = (vertices[1].0 - vertices[0].0, vertices[2].0 - vertices[1].0);
            assert!((first - second).abs() <= 1.0, "1, 2, 4 are equally far apart: {vertices:?}");
        }
        assert_eq!(
            texts(&svg).iter().filter(|text| *text == strategy).count(),
            3,
            "{strategy} is named thrice"
        );
        // One hollow mark per panel: 4 threads on 2 CPUs.
        assert_eq!(of_colour(&svg, "circle", "fill", strategy).len(), 3 * 2, "{strategy}");
        assert_eq!(of_colour(&svg, "circle", "stroke", strategy).len(), 3 * 3, "{strategy}");
        assert_eq!(
            of_colour(&svg, "polygon", "fill", strategy).len(),
            3,
            "{strategy} has a band in each panel"
        );
    }
    assert_eq!(curves(&svg, "sequential").len(), 0, "one thread is a level, not a curve");
    let texts = texts(&svg);
    for (text, count) in [("sequential", 0), ("sequential 1T", 1), ("ideal", 3), ("threads", 3)] {
        assert_eq!(texts.iter().filter(|other| *other == text).count(), count, "{text}");
    }
    assert!(texts.iter().any(|text| text.starts_with("search · ef 32 · golden-sample")), "{texts:?}");
}

#[test]
fn no_intervals_no_bands() {
    let mut document = sample();
    document.rows.retain(|row| row.block < 2);
    let figure = figure(&document, "scaling-build");
    let svg = parsed(&figure);
    assert_eq!(svg.descendants().filter(|node| node.has_tag_name("polygon")).count(), 0);
    assert_eq!(curves(&svg, "fine").len(), 3);
}

#[test]
fn many_threads_are_drawn_on_log_axes() {
    let mut document = sample();
    for row in &mut document.rows {
        row.threads = [1, 16, 256][row.threads / 2];
        row.oversubscribed = false;
    }
    let figure = figure(&document, "scaling-build");
    let svg = parsed(&figure);
    let texts = texts(&svg);
    for tick in ["1", "16", "256"] {
        assert!(texts.iter().any(|text| text == tick), "{tick}: {texts:?}");
    }
    let ideal = svg.descendants().filter(|node| node.attribute("stroke-width") == Some("3"));
    assert!(ideal.count() > 10, "the ideal line is dashed");
}

#[test]
fn recall_has_a_panel_per_thread_count_with_a_curve_per_strategy() {
    let figure = figure(&sample(), "recall-qps-search");
    let svg = parsed(&figure);
    for strategy in ["coarse", "fine", "lockfree", "mvcc"] {
        let curves = curves(&svg, strategy);
        assert_eq!(curves.len(), 3, "{strategy}: 1, 2 and 4 threads");
        assert!(curves.into_iter().all(|curve| vertices(curve).len() == 3), "{strategy}: a vertex per ef");
    }
    assert_eq!(curves(&svg, "sequential").len(), 1, "measured at one thread");
    let texts = texts(&svg);
    let count = |wanted: &str| texts.iter().filter(|text| *text == wanted).count();
    assert_eq!(count("sequential 1T"), 2, "and a reference elsewhere");
    assert_eq!((count("ef 16"), count("ef 32"), count("ef 64")), (3, 3, 3));
    assert_eq!(count("recall@10"), 3);
    assert_eq!(count("Operations per second, 4 threads, more than allowed CPUs"), 1);
}

#[test]
fn memory_has_a_bar_per_strategy_with_a_part_per_category() {
    let figure = figure(&sample(), "memory");
    let svg = parsed(&figure);
    let texts = texts(&svg);
    for strategy in ["sequential", "coarse", "fine", "lockfree", "mvcc"] {
        assert_eq!(texts.iter().filter(|text| *text == strategy).count(), 1, "{strategy}");
    }
    assert!(texts.iter().any(|text| text == "links") && texts.iter().any(|text| text == "snapshots"));
    assert!(!texts.iter().any(|text| text == "ids"), "no bytes, no legend");
    // A part of each bar and its square in the legend.
    let links = svg
        .descendants()
        .filter(|node| node.has_tag_name("rect") && node.attribute("fill") == Some("#88CCEE"));
    assert_eq!(links.count(), 5 + 1);
    assert_eq!(texts.iter().filter(|text| *text == "build, 2T").count(), 4);
}

#[test]
fn names_from_the_file_are_escaped_and_kept_out_of_paths() {
    let mut document = sample();
    document.run.dataset.name = "<a> & \"b\"".into();
    document.run.config.workloads[0] = "../../etc".into();
    for row in document.rows.iter_mut().filter(|row| row.workload == "build") {
        row.workload = "../../etc".into();
    }
    let figure = figure(&document, "scaling-------etc");
    let svg = parsed(&figure);
    assert!(texts(&svg).iter().any(|text| text.contains("<a> & \"b\"")));
}

#[test]
fn odd_but_valid_documents_are_drawn() {
    let mut one = sample();
    one.rows.truncate(1);
    let mut idle = sample();
    for row in &mut idle.rows {
        for op in [&mut row.ops.search, &mut row.ops.insert, &mut row.ops.remove].into_iter().flatten() {
            op.per_second = 0.0;
        }
    }
    let mut huge = sample();
    for row in &mut huge.rows {
        row.recall_at_k = row.recall_at_k.map(|_| 1e300);
        for op in [&mut row.ops.search, &mut row.ops.insert].into_iter().flatten() {
            op.per_second = 1e308;
        }
    }
    for document in [one, idle, huge] {
        for figure in figures(&document).expect("drawn") {
            assert!(parsed(&figure).root_element().has_tag_name("svg"), "{}", figure.name);
        }
    }
}

#[test]
fn the_command_writes_svg_and_png_beside_the_file_or_where_told() {
    let (folder, file) = sample_file();
    run(&PlotArgs { file: file.clone(), out: None }).expect("drawn");
    let out = folder.path().join("new/figures");
    run(&PlotArgs { file, out: Some(out.clone()) }).expect("drawn");
    for folder in [folder.path(), &out] {
        let svg = fs::read_to_string(folder.join("sweep-memory.svg")).expect("written");
        assert!(svg.starts_with("<svg"), "{svg:.40}");
        let png = fs::read(folder.join("sweep-recall-qps-search.png")).expect("written");
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    }
    assert_eq!(fs::read_dir(out).expect("readable").count(), 2 * 10);
}

#[test]
fn errors_are_one_line_with_a_cure() {
    let mut empty = sample();
    empty.rows.clear();
    let (_folder, file) = write_file(&empty);
    let error = run(&PlotArgs { file, out: None }).expect_err("no rows");
    assert!(error.to_string().contains("no rows yet; `hnsw-lab sweep`"), "{error}");
    let (_folder, file) = sample_file();
    let out = Some(file.join("below-a-file"));
    let error = run(&PlotArgs { file, out }).expect_err("not a folder");
    assert!(error.to_string().contains("choose another with `--out`"), "{error}");
}

#[test]
fn each_codec_has_figures_of_its_own() {
    let mut document = sample();
    let mut other = document.rows.clone();
    other.iter_mut().for_each(|row| row.codec = "sq8+f32".into());
    document.run.config.codec = "f32,sq8+f32".into();
    document.rows.extend(other);
    let names: Vec<String> =
        figures(&document).expect("drawn").into_iter().map(|figure| figure.name).collect();
    assert_eq!(names.len(), 2 * 10);
    let figure = figure(&document, "scaling-search-sq8-f32");
    let svg = parsed(&figure);
    assert_eq!(curves(&svg, "fine").len(), 3, "a curve in each panel, of one codec");
    assert!(texts(&svg).iter().any(|text| text.contains("128 sq8+f32, l2")), "{:?}", texts(&svg));
}

#[test]
fn a_law_is_drawn_beyond_what_was_measured_where_there_is_one() {
    let law = "Universal Scalability Law, dashed beyond what was measured";
    let drawn = figures(&crate::report::scaling(&[1, 2, 4, 8, 16], 3)).expect("in memory");
    let build = drawn.iter().find(|figure| figure.name == "scaling-build").expect("a figure");
    assert!(build.svg.contains(law));
    assert!(build.svg.lines().any(|line| line == "32"), "the axis goes on to twice as many threads");
    let few = figures(&crate::report::scaling(&[1, 2], 3)).expect("in memory");
    assert!(few.iter().all(|figure| !figure.svg.contains(law)));
}
