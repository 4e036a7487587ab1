use super::bench::{Of, judge, per_thousand, told};
use super::trial::{Shape, Store};
use super::*;
use crate::blocks::Turn;
use crate::data::CodedBase;
use crate::flags::{OutArgs, assert_survive};
use crate::footprint::Footprint;
use crate::record::Conditions;
use clap::Parser;
use hnsw_core::graph::check::Health;
use hnsw_core::graph::{Graph, MemoryReport, NodeId, NodeState, View};
use hnsw_core::hnsw::{Index, IndexConfig, Scratch};
use hnsw_core::sync::SiteCount;
use hnsw_core::vectors::F32;
use hnsw_strategies::{Fine, LockFree, Mvcc, Slots};
use std::time::Duration;

use super::workload::{BUILT_IN, Workload};
use crate::data::generate::{self, uniform};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    churn: ChurnArgs,
}

fn parse(args: &[&str]) -> ChurnArgs {
    Cli::try_parse_from([&["churn"], args].concat()).map(|cli| cli.churn).unwrap()
}

fn refused(args: &[&str]) -> String {
    let (args, machine) = (parse(args), Machine { allowed_cores: 2, ..Machine::default() });
    let plan = args.check().and_then(|()| args.plan(&machine, &data::embedded()));
    plan.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert!(refused(&["--writes", "1.5"]).contains("from 0 to 1"));
    assert!(refused(&["--ef", "5"]).contains("from k (10)"));
    assert!(refused(&["--strategies", "finest"]).contains("`finest`; there are sequential"));
    assert!(refused(&["--occupancy", "10000"]).contains("from 10 to 9999"));
    assert!(
        refused(&["--workload", "hop-hub"])
            .contains("hop-hub: cannot be read; give a TOML file, or a built-in workload (churn, search")
    );
    assert!(
        refused(&["--workload", "churn,build", "--writes", "0.5"]).contains("leaves the number of points")
    );
    assert!(refused(&["--seconds", "0"]).contains("--seconds is 0"));
}

const DIM: usize = 4;

fn dataset() -> data::Dataset {
    uniform(&generate::Shape { rows: 400, dim: DIM, queries: 20, seed: 1 }).unwrap()
}

fn config(dataset: &data::Dataset) -> IndexConfig {
    IndexConfig { m: 8, ef_construction: 32, ..IndexConfig::new(DIM, dataset.metric()) }
}

fn churned(store: Box<dyn Store>, dataset: &data::Dataset) -> Trial {
    worked(store, dataset, &Workload::named("churn").unwrap().1)
}

fn worked(store: Box<dyn Store>, dataset: &data::Dataset, workload: &Workload) -> Trial {
    let points = workload.points(dataset.len());
    let shape = Shape {
        dataset,
        cpus: vec![None; 2],
        workload,
        points,
        k: 10,
        ef: 64,
        window: Duration::from_millis(150),
        seed: 7,
    };
    let happened = trial::run(store.as_ref(), &shape, &AtomicBool::new(false)).unwrap();
    let judged = judge(&happened, &shape, &CodedBase::of(dataset), 300);
    let before = Footprint::default();
    let task = Task {
        name: "its".into(),
        workload: workload.clone(),
        points,
        strategy: "it".into(),
        threads: 2,
        turn: Turn { number: 0, block: 0, attempt: 0 },
    };
    let of = Of { task: &task, oversubscribed: false, before, conditions: Conditions::default() };
    told(&of, store, happened, judged, Vec::new())
}

/// The share of the points found that were younger than a millisecond, or older.
fn found(trial: &Trial) -> [f64; 2] {
    let share = |classes: &[Freshness]| {
        let due: u64 = classes.iter().map(|class| class.due).sum();
        assert!(due > 0, "{trial:?}");
        classes.iter().map(|class| class.found).sum::<u64>() as f64 / due as f64
    };
    [share(&trial.freshness[..3]), share(&trial.freshness[3..])]
}

#[test]
fn a_sound_strategy_has_no_ghosts_and_finds_what_is_fresh() {
    let dataset = dataset();
    let trial = churned(Box::new(Index::<LockFree>::new(config(&dataset)).unwrap()), &dataset);
    assert_eq!(trial.faults(), [""; 0]);
    assert_eq!(trial.short_answers, 0);
    let [least, most] = trial.recall.unwrap();
    assert!(0.9 < least && least <= most && most <= 1.0, "{trial:?}");
    assert!(found(&trial).iter().all(|share| *share > 0.9), "{trial:?}");
    assert!(
        trial.insert.unwrap().count > 0 && trial.remove.unwrap().count > 0 && trial.search.unwrap().count > 0
    );
    assert!(!trial.garbage.series.is_empty() && trial.garbage.end_bytes <= trial.garbage.peak_bytes);
}

#[test]
fn every_built_in_workload_runs_and_finds_nothing_wrong() {
    let dataset = dataset();
    for (name, text) in BUILT_IN {
        let workload = Workload::parse(name, text).unwrap();
        let trial = worked(Box::new(Index::<Mvcc>::new(config(&dataset)).unwrap()), &dataset, &workload);
        assert_eq!(trial.faults(), [""; 0], "{name}");
        let mix = workload.mix;
        let done = |op: &Option<crate::record::Op>| op.as_ref().map_or(0, |op| op.count) > 0;
        assert_eq!(done(&trial.search), mix.search > 0.0, "{name}");
        assert_eq!(done(&trial.insert), mix.insert + mix.replace > 0.0, "{name}");
        assert_eq!(done(&trial.remove), mix.remove + mix.replace > 0.0, "{name}");
        let least = trial.recall.map_or(1.0, |[least, _]| least);
        assert!(least > 0.8, "{name}: {least}");
        if workload.until == workload::Until::Rows {
            assert_eq!(trial.live, dataset.len(), "{name}");
        } else if !workload.grows() {
            assert_eq!(trial.live, trial.points, "{name}");
        }
    }
}

#[test]
fn a_long_reader_passes_over_ids_that_are_only_reserved() {
    let index = Index::<Fine>::new(config(&dataset())).unwrap();
    index.insert(&[0.0; DIM]).unwrap();
    let (count, read) = (100_000, std::cell::Cell::new(0));
    // Levels are asked for when the ids are given out, and before there are rows for their lists.
    let level = |node: NodeId| {
        if node.index() == count {
            assert_eq!(index.graph().read().state(node), NodeState::Free);
            index.with_reader(&mut |next| (0..=count).for_each(|at| (next(), read.set(at)).1));
        }
        0
    };
    index.graph().reserve(count, level).unwrap();
    assert_eq!(read.get(), count);
}

/// An index with a planted bug.
pub(crate) struct Planted {
    pub(crate) index: Index<Slots>,
    /// Every so-many-th removal is said to be done and is not.
    pub(crate) forgets: Option<u32>,
    /// Searches do not see the newest so many nodes.
    pub(crate) lags: u32,
}

impl Store for Planted {
    fn prefill(&self, rows: &[f32]) -> Result<NodeId> {
        self.index.prefill(rows)
    }

    fn insert(&self, vector: &[f32], scratch: &mut Scratch<F32>) -> Result<NodeId> {
        Store::insert(&self.index, vector, scratch)
    }

    fn remove(&self, node: NodeId) -> Result<()> {
        match self.forgets.is_some_and(|every| node.get().is_multiple_of(every)) {
            true => Ok(()),
            false => Store::remove(&self.index, node),
        }
    }

    fn search(
        &self,
        query: &[f32],
        beam: (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()> {
        self.search_each(query, beam, scratch, found)
    }

    fn search_each(
        &self,
        queries: &[f32],
        beam: (usize, usize),
        scratch: &mut Scratch<F32>,
        found: &mut dyn FnMut(usize, NodeId),
    ) -> Result<()> {
        let newest = self.index.node_count() as u32 - self.lags;
        let seen = &mut |query, node: NodeId| {
            if node.get() < newest {
                found(query, node);
            }
        };
        Store::search_each(&self.index, queries, beam, scratch, seen)
    }

    fn with_reader(&self, meanwhile: &mut dyn FnMut(&mut dyn FnMut())) {
        self.index.with_reader(meanwhile);
    }

    fn memory(&self) -> MemoryReport {
        Store::memory(&self.index)
    }

    fn quiesce(&self) {
        Store::quiesce(&self.index);
    }

    fn health(&self) -> Health {
        Store::health(&self.index)
    }
}

#[test]
fn a_strategy_that_returns_removed_points_is_caught() {
    let dataset = dataset();
    let index = Index::new(config(&dataset)).unwrap();
    let trial = churned(Box::new(Planted { index, forgets: Some(3), lags: 0 }), &dataset);
    assert!(trial.ghosts > 0 && trial.live > trial.expected_live, "{trial:?}");
    assert_eq!(trial.faults().len(), 2);
}

#[test]
fn a_strategy_that_loses_fresh_points_is_caught() {
    let dataset = dataset();
    let index = Index::new(config(&dataset)).unwrap();
    let trial = churned(Box::new(Planted { index, forgets: None, lags: 10 }), &dataset);
    assert_eq!(trial.ghosts, 0);
    let [young, old] = found(&trial);
    assert!(young < 0.7 && old > 0.8, "{trial:?}");
}

#[test]
fn counts_are_for_a_thousand_operations_the_most_frequent_first() {
    let count = |site: &str, count, lost| SiteCount {
        site: site.into(),
        file: "a.rs".into(),
        access: "exchange",
        count,
        lost,
        waited_ns: 4_000,
        held_ns: 0,
        amount: 2 * count,
    };
    let told = per_thousand(&[count("seldom", 5, 1), count("often", 50, 0)], 500);
    assert_eq!(
        told.iter().map(|site| (site.site.as_str(), site.count, site.lost)).collect::<Vec<_>>(),
        [("often", 100.0, 0.0), ("seldom", 10.0, 2.0)]
    );
    assert_eq!((told[0].waited_us, told[0].held_us, told[0].amount), (8.0, 0.0, 200.0));
}

#[test]
fn the_command_prints_a_table_and_writes_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("churn.json");
    let args = ChurnArgs {
        output: OutArgs { out: Some(path.clone()), quiet: true },
        ..parse(&[
            "--strategies",
            "fine,mvcc",
            "--threads",
            "2",
            "--seconds",
            "0.05",
            "--occupancy",
            "300",
            "--sample",
            "50",
            "--ef-construction",
            "20",
            "--stalled-reader",
            "--blocks",
            "2",
            "--retries",
            "0",
            "--in-process",
        ])
    };
    let mut out = Vec::new();
    run(&args, &AtomicBool::new(false), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("churn: half searches") && text.contains("fine") && text.contains("mvcc"),
        "{text}"
    );
    let document: Document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let blocks: Vec<_> = document.trials.iter().map(|trial| (trial.strategy.as_str(), trial.block)).collect();
    assert_eq!(blocks, [("fine", 0), ("fine", 1), ("mvcc", 0), ("mvcc", 1)]);
    let mut numbers: Vec<usize> = document.trials.iter().map(|trial| trial.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert!(document.trials.iter().all(|trial| trial.conditions.canary_after.is_some()));
    assert!(text.contains("Medians of 2 of the 6 blocks"), "{text}");
    assert!(document.trials.iter().all(|trial| trial.faults().is_empty() && trial.logged > 0));
    for trial in document.trials.iter().filter(|_| cfg!(target_os = "linux")) {
        assert_eq!(trial.rss_series.len(), trial.garbage.series.len());
        assert!(trial.rss_series.iter().all(|(_, bytes)| *bytes > trial.memory.vectors_bytes));
        let process = trial.memory.process.unwrap();
        assert!(process.rss_bytes <= process.peak_rss_bytes && trial.process_before.rss_bytes > Some(0));
        assert!(process.anonymous_bytes <= process.rss_bytes && process.pss_bytes <= process.rss_bytes);
    }
    assert!(document.config.workloads["churn"].reader.is_some() && document.trials[0].points == 300);
}

/// What the process of a trial gets is what the command was told.
#[test]
fn flags_survive_their_way_to_another_process() {
    for flags in [
        "--dataset a/b --metric cosine --strategies fine,mvcc --threads 1,3 --workload churn,my.toml --occupancy 30 --writes 0.3",
        "--fresh 0.1 --stalled-reader --ef 70 --k 7 --seconds 0.07 --sample 9 --seed 18446744073709551615 --pin list:0,2 --in-process",
    ] {
        assert_survive(&parse(&flags.split(' ').collect::<Vec<_>>()));
    }
}
