//! What the fuzz targets of `harness/fuzz` do with an input: everything that reads what comes from outside. Shared with the test
//! that replays the inputs which are kept.
//!
//! A body passes if it returns: what is read may be refused, but nothing may panic, take long, or take memory that the input
//! does not have (the fuzzer's limits see to these two).

#[path = "hdf5_input.rs"]
mod hdf5_input;

use hnsw_lab::churn::workload::Workload;
use hnsw_lab::compare::{Rules, compare};
use hnsw_lab::data::cmd::{DataCommand, InspectArgs};
use hnsw_lab::data::generate::{Shape, uniform};
use hnsw_lab::data::inspect::Profile;
use hnsw_lab::data::{Dataset, Format, LoadOptions, Matrix, TruthCache, Watch};
use hnsw_lab::data::{load, read_ids_from, read_vectors_from, write_fvecs};
use hnsw_lab::summary::Summary;
use hnsw_lab::{capacity, churn, cli, data, latency, limit, noise, plot, record, report, runbook, verify};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A target's name, which is that of its folder of inputs, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets that are here.
pub const TARGETS: [Target; 9] = [
    ("vectors", vectors),
    ("folder", folder),
    ("hdf5", hdf5),
    ("truth_cache", truth_cache),
    ("sums", sums),
    ("documents", documents),
    ("workload", workload),
    ("runbook", runbook),
    ("command_line", command_line),
];

/// The first byte, or 0, and the rest.
fn selected(input: &[u8]) -> (u8, &[u8]) {
    input.split_first().map_or((0, input), |(first, rest)| (*first, rest))
}

fn limit_of(byte: u8) -> Option<usize> {
    (byte > 0).then(|| usize::from(byte) - 1)
}

/// A file of vectors or row numbers: format, limit of rows, how much longer or shorter the system said it was, content.
pub fn vectors(input: &[u8]) {
    let (format, input) = selected(input);
    let (limit, input) = selected(input);
    let (difference, content) = selected(input);
    let (_, format) = Format::ALL[usize::from(format) % Format::ALL.len()];
    let limit = limit_of(limit);
    let announced = (content.len() as u64).saturating_add_signed(i64::from(difference as i8));
    match read_vectors_from(content, announced, format, limit) {
        Ok(matrix) => {
            assert!(matrix.values.iter().all(|value| value.is_finite()));
            sound(&matrix, limit);
        }
        Err(problem) => one_line(&problem.to_string()),
    }
    match read_ids_from(content, announced, format, limit) {
        Ok(matrix) => sound(&matrix, limit),
        Err(problem) => one_line(&problem.to_string()),
    }
}

fn sound<T>(matrix: &Matrix<T>, limit: Option<usize>) {
    let rows = matrix.rows();
    assert!(rows > 0 && rows <= matrix.rows_in_file && limit.is_none_or(|limit| rows <= limit));
    assert!(matrix.dim > 0 && matrix.values.len() == rows * matrix.dim);
}

fn one_line(message: &str) {
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}

/// The names that files of a folder can have.
const NAMES: [&str; 14] = [
    "base.fvecs",
    "base.bvecs",
    "base.npy",
    "base.fbin",
    "base.i8bin",
    "query.fvecs",
    "query.u8bin",
    "query.npy",
    "gt.ivecs",
    "gt.ibin",
    "gt.npy",
    "meta.json",
    "base.ivecs",
    "other.fvecs",
];

/// A folder of files: flags, limits of rows and queries, then for each file its name by number, its length and its content.
pub fn folder(input: &[u8]) {
    let (flags, input) = selected(input);
    let (limit, input) = selected(input);
    let (query_limit, mut input) = selected(input);
    let place = tempfile::tempdir().expect("there is a folder for temporary files");
    while let Some((&[name, low, high], rest)) = input.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let name = NAMES[usize::from(name) % NAMES.len()];
        fs::write(place.path().join(name), &rest[..length]).expect("the folder can be written");
        input = &rest[length..];
    }
    let file = |bit: u8, name: &str| (flags & bit != 0).then(|| place.path().join(name));
    let metric = match flags >> 6 {
        0 => None,
        1 => Some(hnsw_core::distance::Metric::L2),
        2 => Some(hnsw_core::distance::Metric::InnerProduct),
        _ => Some(hnsw_core::distance::Metric::Cosine),
    };
    let options = LoadOptions {
        queries: file(1, "other.fvecs"),
        truth: file(2, "gt.npy"),
        metric,
        limit: limit_of(limit),
        query_limit: limit_of(query_limit),
    };
    let path = file(4, "base.fvecs").unwrap_or_else(|| place.path().to_owned());
    match load(&path, &options) {
        Ok(set) => used(set),
        Err(error) => one_line(&error.to_string()),
    }
}

/// What a sweep and `data inspect` do with a set first.
fn used(mut set: Dataset) {
    let rows = set.len();
    assert!(rows > 0 && set.query_count() > 0 && set.base().len() == rows * set.dim());
    let matrix = Matrix {
        values: set.base().to_vec(),
        dim: set.dim(),
        rows_in_file: rows,
        element: hnsw_lab::data::Element::F32,
    };
    assert_eq!(Profile::of(&matrix, Watch::none()).rows, rows);
    set.ensure_truth(3, None, Watch::none()).expect("k is not 0, and nobody cancels");
    let truth = set.truth().expect("it was made sure of");
    for query in 0..set.query_count() {
        assert!(truth.ids(query).iter().all(|&id| (id as usize) < rows));
        let all = truth.distances[query * truth.k..][..truth.k].iter().copied();
        let recall = truth.recall(query, truth.k, all);
        // Components near the limit of f32 have infinite distances, or none.
        assert!((0.0..=1.0).contains(&recall), "{recall}");
    }
}

/// A file of HDF5: what the file is (see `hdf5_input`), limit of rows, the rest of what it is. A build without the reader refuses
/// all of them.
pub fn hdf5(input: &[u8]) {
    let (which, input) = selected(input);
    let (limit, input) = selected(input);
    let content = hdf5_input::content(which, input);
    let place = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = place.path().join("set.hdf5");
    fs::write(&path, content).expect("the folder can be written");
    let limit = limit_of(limit);
    let options = LoadOptions { limit, query_limit: limit, ..LoadOptions::default() };
    match load(&path, &options) {
        // What is packed may be a thousand times as long as the file: too much to compare all with all.
        Ok(set) if limit.is_none() => assert!(set.base().iter().all(|value| value.is_finite())),
        Ok(set) => used(set),
        Err(error) => one_line(&error.to_string()),
    }
}

/// A file of the cache of ground truths: raw, or a good one with some bytes replaced and its digest made right again.
pub fn truth_cache(input: &[u8]) {
    const K: usize = 3;
    struct Cache {
        set: Dataset,
        folder: tempfile::TempDir,
        file: PathBuf,
        good: Vec<u8>,
    }
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let Cache { set, folder, file, good } = CACHE.get_or_init(|| {
        let shape = Shape { rows: 20, dim: 3, queries: 4, seed: 1 };
        let mut set = uniform(&shape).expect("the shape is sound");
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let cache = TruthCache::in_folder(folder.path());
        set.ensure_truth(K, Some(&cache), Watch::none()).expect("k is not 0, and nobody cancels");
        let mut files = fs::read_dir(folder.path()).expect("it was written to");
        let file = files.next().expect("it holds one file").expect("it can be read").path();
        let good = fs::read(&file).expect("it can be read");
        Cache { set, folder, file, good }
    });
    let (raw, input) = selected(input);
    let content = if raw % 2 == 1 {
        input.to_vec()
    } else {
        let mut content = good[..good.len() - blake3::OUT_LEN].to_vec();
        for change in input.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % content.len();
            content[at] = change[2];
        }
        let digest = blake3::hash(&content);
        [content.as_slice(), digest.as_bytes()].concat()
    };
    fs::write(file, content).expect("the folder can be written");
    if let Some(truth) = TruthCache::in_folder(folder.path()).get(set, K) {
        assert_eq!((truth.k, truth.ids.len(), truth.distances.len()), (K, 4 * K, 4 * K));
        assert!(truth.ids.iter().all(|&id| (id as usize) < set.len()));
        for query in 0..4 {
            let recall = truth.recall(query, K, [0.0; K].into_iter());
            assert!((0.0..=1.0).contains(&recall), "{recall}");
        }
    }
}

/// What is said of a set with these sums beside it: those of two files that are in its folder and of one that is not.
pub fn sums(input: &[u8]) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        fs::create_dir(folder.path().join("set")).expect("the folder can be written");
        for name in ["set/base.fvecs", "set/query.fvecs", "other.fvecs"] {
            let mut file = Vec::new();
            write_fvecs(&mut file, 2, &[1.0, 2.0]).expect("it is written to memory");
            fs::write(folder.path().join(name), file).expect("the folder can be written");
        }
        folder
    });
    fs::write(folder.path().join("set.sha256"), input).expect("the folder can be written");
    let path = folder.path().join("set");
    let mut out = Vec::new();
    match data::cmd::run(&DataCommand::Inspect(InspectArgs { path, limit: None }), &mut out, Watch::none()) {
        Ok(()) => assert!(!out.is_empty()),
        Err(error) => {
            let message = format!("{error:#}");
            one_line(&message);
            // Only what is in the folder is compared.
            assert!(!message.contains("other.fvecs"), "{message}");
        }
    }
}

/// A document: which kind, then the JSON.
pub fn documents(input: &[u8]) {
    let (kind, text) = selected(input);
    match kind {
        b'c' => repeats::<capacity::Document>(text),
        b'h' => under_writes(text),
        b'l' => repeats::<limit::Document>(text),
        b'n' => differences(text),
        b't' => at_a_rate(text),
        _ => results(text),
    }
}

/// What was read can be written, and read again.
fn repeats<D: serde::Serialize + serde::de::DeserializeOwned>(text: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<D>(text) {
        let again = serde_json::to_vec(&document).expect("it was read from JSON");
        assert!(serde_json::from_slice::<D>(&again).is_ok());
    }
}

/// A kept input without the letter of its kind.
fn kept(input: &'static [u8]) -> &'static [u8] {
    &input[1..]
}

/// A small result document, for what is shown beside one.
fn small() -> &'static record::Document {
    static SMALL: OnceLock<record::Document> = OnceLock::new();
    SMALL.get_or_init(|| {
        let text = kept(include_bytes!("../../fuzz/corpus/documents/sweep-search"));
        record::parse(text, Path::new("sweep.json")).expect("it is a result document")
    })
}

/// A small document of noise, for what says how small a difference can be.
fn noisy() -> &'static noise::Document {
    static NOISY: OnceLock<noise::Document> = OnceLock::new();
    NOISY.get_or_init(|| {
        let text = kept(include_bytes!("../../fuzz/corpus/documents/noise"));
        noise::parse(text, Path::new("noise.json")).expect("it is a document of noise")
    })
}

/// A document of `churn`, and its section of a page.
fn under_writes(text: &[u8]) {
    let document = match churn::parse(text, Path::new("churn.json")) {
        Ok(document) => document,
        Err(error) => return one_line(&format!("{error:#}")),
    };
    repeats::<churn::Document>(text);
    let bare = record::Document { rows: Vec::new(), ..small().clone() };
    let page = report::html(&bare, &report::Beside { churned: Some(&document), ..Default::default() })
        .expect("it is made in memory");
    assert!(page.ends_with("</html>"));
}

/// A document of `latency`, and its section of a page.
fn at_a_rate(text: &[u8]) {
    let document = match latency::parse(text, Path::new("latency.json")) {
        Ok(document) => document,
        Err(error) => return one_line(&format!("{error:#}")),
    };
    repeats::<latency::Document>(text);
    let bare = record::Document { rows: Vec::new(), ..small().clone() };
    let page = report::html(&bare, &report::Beside { offered: Some(&document), ..Default::default() })
        .expect("parse has read every histogram");
    assert!(page.ends_with("</html>"));
}

/// A document of `noise`, and what it says of a page and a comparison.
fn differences(text: &[u8]) {
    let document = match noise::parse(text, Path::new("noise.json")) {
        Ok(document) => document,
        Err(error) => return one_line(&format!("{error:#}")),
    };
    repeats::<noise::Document>(text);
    let page = report::html(small(), &report::Beside { noise: Some(&document), ..Default::default() })
        .expect("it is made in memory");
    assert!(page.ends_with("</html>"));
    compared(small(), Some(&document));
}

/// A document beside itself.
fn compared(document: &record::Document, noise: Option<&noise::Document>) {
    for paired in [false, true] {
        let rules = Rules { recall_loss: 0.005, paired, ..Rules::default() };
        match compare(document, document, &rules, noise) {
            Ok(found) => assert!(!found.points.is_empty() && found.unmatched == [0, 0]),
            Err(refusal) => one_line(&refusal.to_string()),
        }
    }
}

/// A result document, and all that is made of one.
fn results(text: &[u8]) {
    let document = match record::parse(text, Path::new("sweep.json")) {
        Ok(document) => document,
        Err(error) => return one_line(&error.to_string()),
    };
    let again = serde_json::to_vec(&document).expect("it was read from JSON");
    let again = record::parse(&again, Path::new("again.json")).expect("it was written as it was read");
    assert_eq!(again.rows.len(), document.rows.len());
    let problems = verify::problems(&document);
    assert!(problems.iter().all(|problem| !problem.is_empty()));
    let summary = Summary::of(&document);
    let workloads = summary.workloads();
    assert!(!report::tables(&document, &summary, &workloads, Some(noisy()), false).is_empty());
    assert!(!report::tax(&document, &summary, None, true).is_empty());
    assert!(!report::counted(&document, &summary, &workloads, false).is_empty());
    assert!(!report::csv(&summary, &workloads).expect("it is written to memory").is_empty());
    for figure in plot::figures(&document).expect("they are drawn in memory") {
        assert!(figure.svg.contains("</svg>"), "{}", figure.name);
    }
    assert!(
        report::html(&document, &report::Beside { noise: Some(noisy()), ..Default::default() })
            .expect("it is made in memory")
            .ends_with("</html>")
    );
    compared(&document, Some(noisy()));
}

/// A workload in TOML.
pub fn workload(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Workload::parse("mine.toml", text) {
        Ok(workload) => {
            // As a document of results holds it.
            let again = serde_json::to_vec(&workload).expect("it was read from text");
            let again: Workload = serde_json::from_slice(&again).expect("it was written as it was read");
            assert!(again.check("again").is_ok(), "{again:?}");
            let (points, rows) = (workload.points(1_000), 1_000);
            assert!(points <= rows || matches!(workload.start.points, churn::workload::Points::Count(_)));
        }
        Err(error) => one_line(&error.to_string()),
    }
}

/// A runbook in YAML: how many rows the data set has, then the text.
pub fn runbook(input: &[u8]) {
    let (rows, input) = selected(input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    for set in [None, Some("sift10k")] {
        match runbook::check(text, set, usize::from(rows) * 100) {
            Ok(steps) => assert!(steps > 0),
            Err(error) => one_line(&format!("{error:#}")),
        }
    }
}

/// A command line: arguments, apart by line ends.
pub fn command_line(input: &[u8]) {
    let program = OsString::from("hnsw-lab");
    let arguments = input.split(|&byte| byte == b'\n').map(argument);
    if let Err(message) = cli::check(std::iter::once(program).chain(arguments)) {
        assert!(!message.is_empty());
    }
}

#[cfg(unix)]
fn argument(bytes: &[u8]) -> OsString {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).to_owned()
}

#[cfg(not(unix))]
fn argument(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}
