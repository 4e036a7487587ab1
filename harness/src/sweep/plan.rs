//! Flags, data and machine turned into the exact list of what will be measured.

use super::sample::sample;
use super::{SweepArgs, Workload};
use crate::blocks;
use crate::data::Dataset;
use crate::machine::{Machine, MemoryInForce, Placement, Seat};
use crate::record::{self, Isolation, Key, RecordError};
use anyhow::{Context, Result, bail, ensure};
use hnsw_core::error::MAX_EF;
use hnsw_core::graph::MAX_M;
use hnsw_core::hnsw::IndexConfig;
use hnsw_erased::{ALL, CODECS, CodecInfo, Strategy, by_name};
use std::path::PathBuf;
use std::time::Duration;

/// One strategy with one codec at one thread count in one block.
#[derive(Clone, Copy)]
pub struct Session {
    /// The strategy.
    pub strategy: &'static dyn Strategy,
    /// The name of the codec.
    pub codec: &'static str,
    /// Worker threads.
    pub threads: usize,
    /// Which repetition.
    pub block: usize,
}

/// A checked sweep.
pub struct Plan {
    /// What is swept.
    pub strategies: Vec<&'static dyn Strategy>,
    /// How vectors are stored, in the order of tables.
    pub codecs: Vec<&'static CodecInfo>,
    /// Rows that codecs learn from.
    pub sample_rows: usize,
    /// Thread counts, ascending.
    pub threads: Vec<usize>,
    /// Workloads, in the order of tables.
    pub workloads: Vec<Workload>,
    /// Beam widths of the search workload, ascending.
    pub efs: Vec<usize>,
    /// Beam width of searches in mixed workloads.
    pub mixed_ef: usize,
    /// Neighbours asked for.
    pub k: usize,
    /// Shape of every index.
    pub index: IndexConfig,
    /// Length of a timed window.
    pub window: Duration,
    /// List updates per second of the writer beside `search-writer`.
    pub update_rate: f64,
    /// Repetitions.
    pub blocks: usize,
    /// How often a tainted trial is tried again.
    pub retries: usize,
    /// How tight intervals must be for the sweep to end early.
    pub until_ratio: Option<f64>,
    /// Whether what is built in the first block is searched in all of them.
    pub keep: bool,
    /// What measures the sessions.
    pub isolation: Isolation,
    /// Whether CPU and kernel count in the windows.
    pub counters: bool,
    /// Seed of levels, orders and operation mixes.
    pub seed: u64,
    /// Where workers run.
    pub placement: Placement,
    /// The CPUs of as many workers as any trial has, where workers are pinned.
    pub seats: Option<Vec<Seat>>,
    /// Where memory comes from.
    pub memory: MemoryInForce,
    /// Where the document goes.
    pub out: PathBuf,
}

impl Plan {
    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// Names the flag that does not fit, and what would.
    pub fn check(args: &SweepArgs) -> Result<()> {
        ensure!(
            args.generate.is_some()
                || args.dataset.is_some()
                || (args.n.is_none() && args.query_count.is_none()),
            "--n and --query-count go with --dataset or --generate; the embedded set is used whole"
        );
        strategies(&args.strategies)?;
        args.threads.iter().flatten().try_for_each(|&threads| check_threads(threads))?;
        check_k(args.k)?;
        for &ef in args.ef.iter().flatten() {
            ensure!(
                (args.k..=MAX_EF).contains(&ef),
                "--ef has {ef}; each must be from k ({}) to {MAX_EF}",
                args.k
            );
        }
        ensure!(
            (1..=MAX_BLOCKS).contains(&args.blocks),
            "--blocks is {}; it must be from 1 to {MAX_BLOCKS}",
            args.blocks
        );
        ensure!(
            args.retries <= MAX_RETRIES,
            "--retries is {}; it must be from 0 to {MAX_RETRIES}",
            args.retries
        );
        let ratio = args.until_ratio.unwrap_or(2.0);
        ensure!(
            ratio > 1.0 && ratio.is_finite(),
            "--until-ratio is {ratio}; it must be above 1 (1.02 asks for ends that are 2 % apart)"
        );
        check_seconds(args.seconds)?;
        check_graph(args.m, args.ef_construction)?;
        ensure!(
            (1.0..=1e9).contains(&args.update_rate),
            "--update-rate is {}; it must be from 1 to 1000000000 lists per second",
            args.update_rate
        );
        ensure!(
            (1.0..=2.0).contains(&args.alpha),
            "--alpha is {}; it must be from 1 to 2 (1 is the rule of the HNSW paper)",
            args.alpha
        );
        Ok(())
    }

    /// Makes a plan of flags that passed [`Plan::check`].
    ///
    /// # Errors
    /// Names the flag that does not fit the data.
    pub fn new(
        args: &SweepArgs,
        machine: &Machine,
        memory: MemoryInForce,
        dataset: &Dataset,
    ) -> Result<Plan> {
        let (rows, name) = (dataset.len(), dataset.name());
        let efs = distinct(args.ef.clone().unwrap_or_else(|| default_efs(args.k)));
        let pin = &args.place.pin;
        let threads =
            distinct(args.threads.clone().unwrap_or_else(|| powers_of_two(pin.cpus(machine).len())));
        let workloads = with_halves(distinct(args.workloads.clone()));
        let sample = sample(dataset);
        let codecs: Vec<&CodecInfo> =
            CODECS.iter().filter(|codec| args.codec.iter().any(|name| name == codec.name)).collect();
        for codec in &codecs {
            codec
                .fits(dataset.dim(), dataset.metric(), &sample)
                .with_context(|| format!("--codec {} does not suit {name}", codec.name))?;
        }
        ensure!(
            args.k <= rows,
            "--k is {}, but {name} has only {rows} vectors; ask for fewer neighbours",
            args.k
        );
        let mixed_ef =
            efs.iter().copied().find(|&ef| ef >= 64).or(efs.last().copied()).unwrap_or(args.k.max(64));
        let mixed = workloads.iter().any(|w| w.is_mixed());
        ensure!(
            !mixed || rows >= MIN_MIXED,
            "mixed workloads need at least {MIN_MIXED} vectors, and {name} has {rows}; leave them out with --workloads build,search"
        );
        let most = threads.last().copied().unwrap_or(1);
        let beside = usize::from(workloads.contains(&Workload::SearchWriter));
        ensure!(
            workloads.iter().any(|w| w.least_threads() <= most),
            "reader-writer needs a thread for each role, and --threads has no more than {most}"
        );
        if let Some(idle) = workloads.iter().find(|w| !codecs.iter().any(|codec| w.suits(codec.name))) {
            bail!(
                "{} is measured with the codec f32 only; add it to --codec, or leave {0} out of --workloads",
                idle.name()
            );
        }
        Ok(Plan {
            strategies: strategies(&args.strategies)?,
            codecs,
            sample_rows: sample.len() / dataset.dim(),
            threads,
            workloads,
            efs,
            mixed_ef,
            k: args.k,
            index: IndexConfig {
                dim: dataset.dim(),
                metric: dataset.metric(),
                m: args.m,
                ef_construction: args.ef_construction,
                alpha: args.alpha,
                capacity: dataset.len(),
                seed: args.seed,
            },
            window: Duration::from_secs_f64(args.seconds),
            update_rate: args.update_rate,
            blocks: args.blocks,
            retries: args.retries,
            until_ratio: args.until_ratio,
            keep: args.keep_indexes,
            isolation: args.isolation(),
            counters: args.counters,
            seed: args.seed,
            placement: pin.clone(),
            seats: pin.seats(machine, most + beside),
            memory,
            out: args.out.clone().unwrap_or_else(|| {
                PathBuf::from(format!("results/{}{}.json", file_name(dataset.name()), args.kind.suffix()))
            }),
        })
    }

    /// Makes the folder of the default place.
    ///
    /// # Errors
    /// When the present folder cannot be written to.
    pub fn make_default_folder(&self) -> Result<(), RecordError> {
        let made = self.out.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.map_err(|error| RecordError::Unwritable { path: self.out.clone(), error })
    }

    /// What a block runs.
    pub fn sessions(&self, block: usize) -> impl Iterator<Item = Session> {
        self.codecs.iter().flat_map(move |codec| {
            self.strategies.iter().flat_map(move |&strategy| {
                let serial_only = !strategy.is_parallel();
                let threads = if serial_only { &[1][..] } else { &self.threads };
                threads.iter().map(move |&threads| Session { strategy, codec: codec.name, threads, block })
            })
        })
    }

    /// Brings things into the order that they have in this block. It is the same for as many things, so all sessions of a block
    /// measure in one order, and ratios between them are of trials that had the same before them.
    pub fn shuffle<T>(&self, block: usize, things: &mut [T]) {
        blocks::shuffle(self.seed, block, things);
    }

    /// The CPU of the first worker, where workers are pinned.
    pub fn first_cpu(&self, machine: &Machine) -> Option<usize> {
        self.placement.first_cpu(machine)
    }

    /// The rows of one session.
    pub fn session_keys(&self, session: &Session) -> impl Iterator<Item = Key> {
        let Session { strategy, codec, threads, block } = *session;
        let key = move |workload: Workload, ef| Key {
            strategy: strategy.name().into(),
            codec: codec.into(),
            workload: workload.name().into(),
            threads,
            ef,
            block,
        };
        let able = self
            .workloads
            .iter()
            .filter(move |workload| workload.least_threads() <= threads && workload.suits(codec))
            .filter(move |workload| block == 0 || !self.keep || !workload.builds());
        able.flat_map(move |&workload| {
            let efs: Vec<Option<usize>> = match workload {
                _ if workload.is_per_ef() => self.efs.iter().copied().map(Some).collect(),
                _ => vec![workload.searches().then_some(self.mixed_ef)],
            };
            efs.into_iter().map(move |ef| key(workload, ef))
        })
    }

    /// All rows.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        (0..self.blocks).flat_map(move |block| {
            self.sessions(block).flat_map(move |session| self.session_keys(&session).collect::<Vec<_>>())
        })
    }

    /// The codecs as the document keeps them.
    pub fn codec_names(&self) -> String {
        let names: Vec<&str> = self.codecs.iter().map(|codec| codec.name).collect();
        names.join(",")
    }

    /// The configuration as the document keeps it.
    pub fn config(&self) -> record::Config {
        record::Config {
            strategies: self.strategies.iter().map(|s| s.name().to_owned()).collect(),
            threads: self.threads.clone(),
            workloads: self.workloads.iter().map(|w| w.name().to_owned()).collect(),
            m: self.index.m,
            ef_construction: self.index.ef_construction,
            efs: self.efs.clone(),
            k: self.k,
            codec: self.codec_names(),
            // Through its shortest text, so that 1.2 is not recorded as 1.2000000476837158.
            alpha: self.index.alpha.to_string().parse().unwrap_or(f64::from(self.index.alpha)),
            sample_rows: self.sample_rows,
            seconds: self.window.as_secs_f64(),
            update_rate: self.workloads.contains(&Workload::SearchWriter).then_some(self.update_rate),
            blocks: self.blocks,
            keep_indexes: self.keep,
            retries: self.retries,
            until_ratio: self.until_ratio,
            isolation: self.isolation,
            seed: self.seed,
            pin: self.placement.to_string(),
            placement: self.seats.clone(),
            memory_policy: Some(self.memory.clone()),
        }
    }
}

/// Below this a mixed workload has nothing to insert.
const MIN_MIXED: usize = 10;

/// The most repetitions of a point.
pub const MAX_BLOCKS: usize = 10_000;

/// The most that a trial is tried again: what is tainted that often will stay so.
const MAX_RETRIES: usize = 10;

/// The most threads of a trial.
const MAX_THREADS: usize = 4096;

/// Beam widths where none are given.
const DEFAULT_EFS: [usize; 4] = [16, 32, 64, 128];

/// Those of the default beam widths that are wide enough for `k`; multiples of it if none is.
fn default_efs(k: usize) -> Vec<usize> {
    let enough: Vec<usize> = DEFAULT_EFS.into_iter().filter(|&ef| ef >= k).collect();
    if enough.is_empty() { [k, 2 * k, 4 * k].map(|ef| ef.min(MAX_EF)).to_vec() } else { enough }
}

/// The same with what comes along: the halves of `reader-writer` alone.
fn with_halves(mut workloads: Vec<Workload>) -> Vec<Workload> {
    if workloads.contains(&Workload::ReaderWriter) {
        workloads.extend([Workload::ReaderAlone, Workload::WriterAlone]);
    }
    distinct(workloads)
}

/// Refuses a number of neighbours that no search gives.
pub(crate) fn check_k(k: usize) -> Result<()> {
    ensure!((1..=MAX_EF).contains(&k), "--k is {k}; it must be from 1 to {MAX_EF}");
    Ok(())
}

/// The same, and a beam that does not hold so many.
pub(crate) fn check_beam(k: usize, ef: usize) -> Result<()> {
    check_k(k)?;
    ensure!((k..=MAX_EF).contains(&ef), "--ef is {ef}; it must be from k ({k}) to {MAX_EF}");
    Ok(())
}

/// Refuses parameters of no graph.
pub(crate) fn check_graph(m: usize, ef_construction: usize) -> Result<()> {
    ensure!(
        (1..=MAX_EF).contains(&ef_construction),
        "--ef-construction is {ef_construction}; it must be from 1 to {MAX_EF} (200 suits most data)"
    );
    ensure!((2..=MAX_M).contains(&m), "--m is {m}; it must be from 2 to {MAX_M} (16 suits most data)");
    Ok(())
}

/// Refuses a window that is too short to hold anything, or longer than anyone waits.
pub(crate) fn check_seconds(seconds: f64) -> Result<()> {
    ensure!(
        (0.01..=3600.0).contains(&seconds),
        "--seconds is {seconds}; a window lasts from 0.01 to 3600 seconds"
    );
    Ok(())
}

/// Refuses what is no number of threads.
pub(crate) fn check_threads(threads: usize) -> Result<()> {
    ensure!(
        (1..=MAX_THREADS).contains(&threads),
        "--threads has {threads}; each count must be from 1 to {MAX_THREADS}"
    );
    Ok(())
}

/// Ascending, each once.
pub(crate) fn distinct<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

/// 1, 2, 4, … and the number of cores itself.
pub(crate) fn powers_of_two(cores: usize) -> Vec<usize> {
    let mut threads: Vec<usize> =
        std::iter::successors(Some(1), |t| Some(t * 2)).take_while(|t| *t < cores).collect();
    threads.push(cores);
    threads
}

/// The strategies of these names, in the order of tables.
pub(crate) fn strategies(names: &[String]) -> Result<Vec<&'static dyn Strategy>> {
    if names.iter().any(|name| name == "all") {
        return Ok(ALL.to_vec());
    }
    let mut found = Vec::new();
    for strategy in ALL {
        if names.iter().any(|name| name == strategy.name()) {
            found.push(*strategy);
        }
    }
    if let Some(unknown) = names.iter().find(|name| by_name(name).is_none()) {
        let known: Vec<_> = ALL.iter().map(|s| s.name()).collect();
        bail!("--strategies has `{unknown}`; there are {} and all", known.join(", "));
    }
    Ok(found)
}

/// A data set's name as part of a file's name.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn default_thread_counts_end_at_the_cores() {
        assert_eq!(powers_of_two(1), [1]);
        assert_eq!(powers_of_two(2), [1, 2]);
        assert_eq!(powers_of_two(6), [1, 2, 4, 6]);
        assert_eq!(powers_of_two(64), [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn names_of_codecs_are_distinct_and_can_stand_in_a_list() {
        let names: BTreeSet<&str> = CODECS.iter().map(|codec| codec.name).collect();
        assert_eq!(names.len(), CODECS.len());
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains([',', ' '])), "{names:?}");
        assert!(names.contains("f32"));
    }

    #[test]
    fn an_unknown_strategy_is_named_with_those_that_exist() {
        let Err(error) = strategies(&["fine".into(), "finest".into()]) else { panic!("accepted") };
        assert!(error.to_string().contains("`finest`") && error.to_string().contains("lockfree"), "{error}");
    }

    #[test]
    fn default_beams_are_wide_enough() {
        assert_eq!(default_efs(10), DEFAULT_EFS);
        assert_eq!(default_efs(50), [64, 128]);
        assert_eq!(default_efs(200), [200, 400, 800]);
        assert_eq!(default_efs(MAX_EF), [MAX_EF; 3]);
    }

    #[test]
    fn file_names_hold_no_separators() {
        assert_eq!(file_name("a b/c:d.e"), "a-b-c-d.e");
    }
}
