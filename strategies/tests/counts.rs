//! How much work the algorithm does, counted: distances and hops per insert and per search, and the recall that they buy.
//!
//! One thread builds an index of the embedded data set, so every number repeats exactly. What is compared:
//! - every strategy with `sequential`, to the last unit: the algorithm is written once, and a strategy must not change what it
//!   does;
//! - the codecs on `sequential` with `counts.json`, within [`TOLERANCE`].
//!
//! A change that is meant to do another amount of work renews the file: `HNSW_BLESS=1 cargo test -p hnsw-strategies --test counts`.
#![cfg(not(hnsw_loom))]

use hnsw_core::distance::Metric;
use hnsw_core::graph::Graph;
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::vectors::{Codec, F32, Lvq4, RaBitQ, Reranked, Split, Sq8};
use hnsw_strategies::Sequential;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::OnceLock;

/// The largest relative difference from `counts.json`. With one instruction set the numbers are exact; instruction sets
/// round the estimates of the lossy codecs differently, and a graph that differs in a few links costs a little more or less.
const TOLERANCE: f64 = 0.01;

const DIM: usize = 128;
const K: usize = 10;
const EFS: [usize; 3] = [16, 32, 64];
const CONFIG: IndexConfig =
    IndexConfig { ef_construction: 64, capacity: 10_000, ..IndexConfig::new(DIM, Metric::L2) };

/// The embedded data set, one row after the other.
struct Sift {
    base: Vec<f32>,
    queries: Vec<f32>,
    /// Per query the exact nearest rows of the base, nearest first.
    truth: Vec<[u32; K]>,
}

fn sift() -> &'static Sift {
    static SIFT: OnceLock<Sift> = OnceLock::new();
    // Each row of a `vecs` file begins with the number of its elements.
    let bytes =
        |file: &[u8]| file.chunks_exact(4 + DIM).flat_map(|row| &row[4..]).map(|b| f32::from(*b)).collect();
    let nearest = |row: &[u8]| {
        let (ids, _) = row[4..].as_chunks();
        std::array::from_fn(|i| u32::from_le_bytes(ids[i]))
    };
    SIFT.get_or_init(|| Sift {
        base: bytes(include_bytes!("../../harness/data/sift10k/base.bvecs")),
        queries: bytes(include_bytes!("../../harness/data/sift10k/query.bvecs")),
        truth: include_bytes!("../../harness/data/sift10k/gt.ivecs")
            .chunks_exact(4 + 4 * 100)
            .map(nearest)
            .collect(),
    })
}

/// Totals over a run of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    operations: usize,
    evaluations: u64,
    hops: u64,
}

impl Work {
    /// What `operations` calls of `one` do.
    fn of<C: Codec>(
        operations: usize,
        scratch: &mut Scratch<C>,
        mut one: impl FnMut(usize, &mut Scratch<C>),
    ) -> Work {
        let (evaluations, hops) = (scratch.evaluations(), scratch.hops());
        (0..operations).for_each(|i| one(i, scratch));
        Work { operations, evaluations: scratch.evaluations() - evaluations, hops: scratch.hops() - hops }
    }

    fn each(self, total: u64) -> f64 {
        (100.0 * total as f64 / self.operations as f64).round() / 100.0
    }
}

/// What one index cost to build and to search.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    insert: Work,
    /// For each beam width: its work, and how many of the true neighbours were found.
    search: [(Work, usize); EFS.len()],
}

impl Counts {
    fn measure<G: Graph, C: Codec>() -> Counts {
        let Sift { base, queries, truth } = sift();
        let index = Index::<G, C>::trained(CONFIG, base).unwrap();
        let mut scratch = Scratch::new();
        let insert = Work::of(base.len() / DIM, &mut scratch, |i, scratch| {
            index.insert_with(&base[i * DIM..][..DIM], scratch).unwrap();
        });
        let search = EFS.map(|ef| {
            let mut found = 0;
            let work = Work::of(truth.len(), &mut scratch, |i, scratch| {
                let answers = index.search_with(&queries[i * DIM..][..DIM], K, ef, scratch).unwrap();
                found += answers.iter().filter(|answer| truth[i].contains(&answer.node.get())).count();
            });
            (work, found)
        });
        Counts { insert, search }
    }

    /// The numbers per operation, under the names that they have in `counts.json`.
    fn per_operation(&self) -> Map<String, Value> {
        let mut numbers = Map::new();
        let mut put = |name: String, number: f64| numbers.insert(name, json!(number));
        put("insert: evaluations".into(), self.insert.each(self.insert.evaluations));
        put("insert: hops".into(), self.insert.each(self.insert.hops));
        for (ef, (work, found)) in EFS.iter().zip(&self.search) {
            put(format!("search, ef {ef}: evaluations"), work.each(work.evaluations));
            put(format!("search, ef {ef}: hops"), work.each(work.hops));
            put(format!("search, ef {ef}: recall@{K}"), *found as f64 / (work.operations * K) as f64);
        }
        numbers
    }
}

fn sequential() -> &'static Counts {
    static COUNTS: OnceLock<Counts> = OnceLock::new();
    COUNTS.get_or_init(Counts::measure::<Sequential, F32>)
}

macro_rules! each_strategy {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        mod the_work_is_that_of_sequential {
            $(#[test]
            fn $name() {
                assert_eq!(super::Counts::measure::<$graph, super::F32>(), *super::sequential());
            })+
        }
    };
}
hnsw_strategies::for_each_strategy!(each_strategy);

/// Every number of `counted` that is farther than [`TOLERANCE`] from `expected`, or is there only once.
fn differences(expected: &Map<String, Value>, counted: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<&String> = expected.keys().chain(counted.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let number = |numbers: &Map<String, Value>| numbers.get(name).and_then(Value::as_f64);
            let (was, is) = (number(expected), number(counted));
            let near = matches!((was, is), (Some(was), Some(is)) if (is - was).abs() <= TOLERANCE * was);
            (!near).then(|| format!("{name}: expected {was:?}, counted {is:?}"))
        })
        .collect()
}

#[test]
fn the_work_is_what_was_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counts.json");
    let counted = |name: &str, counts: &Counts| {
        let numbers = counts.per_operation();
        numbers.into_iter().map(|(what, number)| (format!("{name}: {what}"), number)).collect::<Vec<_>>()
    };
    fn codec<C: Codec>() -> (&'static str, Counts) {
        (C::NAME, Counts::measure::<Sequential, C>())
    }
    let codecs = [
        codec::<Split>(),
        codec::<Reranked<Sq8>>(),
        codec::<Reranked<Lvq4>>(),
        codec::<Reranked<RaBitQ<2>>>(),
    ];
    let mut numbers = Map::from_iter(counted(F32::NAME, sequential()));
    codecs.iter().for_each(|(name, counts)| numbers.extend(counted(name, counts)));
    if std::env::var_os("HNSW_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&numbers).unwrap() + "\n";
        return std::fs::write(&file, text).unwrap();
    }
    let expected = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let differences = differences(&expected, &numbers);
    assert!(
        differences.is_empty(),
        "if this is meant, renew {}:\n{}",
        file.display(),
        differences.join("\n")
    );
}

#[test]
fn a_difference_beyond_the_tolerance_is_named_either_way() {
    let map =
        |numbers: &[(&str, f64)]| numbers.iter().map(|(name, n)| (name.to_string(), json!(n))).collect();
    let expected: Map<String, Value> =
        map(&[("near", 100.0), ("more", 100.0), ("less", 100.0), ("gone", 1.0)]);
    let counted = map(&[("near", 100.9), ("more", 101.1), ("less", 98.9), ("new", 1.0)]);
    let named: Vec<String> = differences(&expected, &counted);
    let names: Vec<&str> = named.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, ["gone", "less", "more", "new"]);
}
