//! Sessions and trials that have processes of their own: that they have, that it changes nothing but that, and what becomes of a
//! measurement when one of them is killed or asked to stop.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hnsw_lab::record::{Isolation, Key, Row};
use hnsw_lab::{churn, ladder, latency, runbook};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::lab::{Lab, SMALL, Said};

const LONGEST: Duration = Duration::from_secs(120);

fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The processes whose parent is `parent` and which are not over.
fn children(parent: u32) -> BTreeSet<u32> {
    let numbers = fs::read_dir("/proc").expect("readable").flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after_name.split_whitespace();
        let state = fields.next();
        fields.next() == Some(&parent.to_string()) && state != Some("Z")
    };
    pids.filter(is_child).collect()
}

/// Waits for something that a sweep which has not ended must come to.
fn wait_for<T>(child: &mut Child, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none() && begin.elapsed() < LONGEST, "no {what}: {ended:?}");
        sleep(Duration::from_millis(4));
    }
}

/// Three sessions of which each lasts long enough to be seen.
fn seen() -> String {
    SMALL.replace("--seconds 0.02", "--seconds 0.15 --workloads build,search,mixed")
}

/// All processes that the sweep had, one after another.
fn processes(lab: &Lab, args: &str) -> BTreeSet<u32> {
    let mut sweep = begin(lab.command(args));
    let (mut found, begin) = (BTreeSet::new(), Instant::now());
    while sweep.try_wait().expect("a child").is_none() {
        let now = children(sweep.id());
        assert!(now.len() <= 1, "one after another: {now:?}");
        found.extend(now);
        assert!(begin.elapsed() < LONGEST, "it does not end");
        sleep(Duration::from_millis(4));
    }
    let said = Said::of(sweep.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(0), "{said:?}");
    found
}

#[test]
fn each_session_has_a_process_of_its_own_unless_one_is_asked_for() {
    let lab = Lab::new();
    assert_eq!(processes(&lab, &seen()).len(), 3, "sequential x1, lockfree x1 and x2");
    let apart = lab.document("small.json");
    assert_eq!(apart.run.config.isolation, Isolation::Process);

    assert_eq!(processes(&lab, &format!("{} --in-process --fresh", seen())).len(), 0);
    assert_eq!(lab.document("small.json").run.config.isolation, Isolation::None);
    let kept = seen().replace("build,search,mixed", "build,search");
    assert_eq!(processes(&lab, &format!("{kept} --keep-indexes --fresh")).len(), 0);
    assert_eq!(lab.document("small.json").run.config.isolation, Isolation::None);
    assert_eq!(lab.run("verify small.json").code, Some(0));
}

/// A document does not mix both ways.
#[test]
fn a_sweep_does_not_go_on_in_another_way() {
    let lab = Lab::new();
    let args = SMALL.replace("sequential,lockfree", "sequential --workloads build");
    assert_eq!(lab.run(&args).code, Some(0));
    let said = lab.run(&format!("{args} --in-process"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let why = "small.json holds another sweep (config.isolation is \"process\" there and \"none\" now)";
    assert!(said.err.contains(why), "{said:?}");
}

/// On one thread a graph and what is found in it follow from the data alone, whatever process they are in.
#[test]
fn both_ways_measure_the_same() {
    let rows = |more: &str| -> BTreeMap<Key, Row> {
        let lab = Lab::new();
        // Inner products, so that the metric has its way to the process, and neighbours that the data do not bring.
        let made = lab.run(
            "data make clustered --n 500 --dim 12 --intrinsic 6 --query-count 40 --k 5 --out set --seed 3",
        );
        assert_eq!(made.code, Some(0), "{made:?}");
        let said = lab.run(&format!(
            "sweep --dataset set --metric ip --n 450 --seconds 0.02 --blocks 1 --retries 0 --k 7 --seed 9 --threads 1 \
             --strategies sequential,slots --codec f32,sq8+f32 --workloads build,search,search-batch,bulk,bulk-search,mixed,phases \
             --ef 16,24 --counters --quiet --out small.json {more}"
        ));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(lab.run("verify small.json").code, Some(0));
        lab.document("small.json").rows.into_iter().map(|row| (row.key(), row)).collect()
    };
    let (apart, together) = (rows(""), rows("--in-process"));
    assert_eq!(apart.keys().collect::<Vec<_>>(), together.keys().collect::<Vec<_>>());
    for (key, apart) in &apart {
        let together = &together[key];
        assert_eq!((apart.k, apart.m, apart.short_answers), (together.k, together.m, together.short_answers));
        assert_eq!(apart.counters.is_some(), together.counters.is_some(), "{key}");
        // What a mixed window inserts depends on how far it comes.
        if key.workload == "mixed" {
            continue;
        }
        assert_eq!(apart.memory.vectors_bytes, together.memory.vectors_bytes, "{key}");
        assert_eq!(apart.graph, together.graph, "{key}");
        assert_eq!(apart.recall_at_k, together.recall_at_k, "{key}");
        let work = |row: &Row| {
            let op = row.ops.named().next().expect("operations").1;
            (op.evaluations_per_op, op.hops_per_op)
        };
        assert_eq!(work(apart), work(together), "{key}");
    }
    assert!(apart.values().any(|row| row.recall_at_k.is_some_and(|recall| recall > 0.5)));
}

/// Neighbours that were computed go to the processes, which cannot keep any: a folder for them cannot be made where a file is.
#[test]
fn exact_neighbours_are_computed_once() {
    let lab = Lab::new();
    fs::write(lab.path("none"), "").expect("writable");
    let said = lab.run(&format!("HNSW_LAB_CACHE=none/here {SMALL}"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let remark = "note: the exact neighbours will be computed again the next time";
    assert_eq!(said.err.matches(remark).count(), 1, "{said:?}");
    let searched = lab.document("small.json").rows.into_iter().filter(|row| row.workload == "search");
    assert!(searched.filter_map(|row| row.recall_at_k).all(|recall| recall > 0.5));
}

/// Workloads, and the beam width of each that searches.
type Order<'a> = Vec<(&'a str, Option<usize>)>;

/// In a fresh order in each block, which is that of all sessions of the block.
#[test]
fn searches_and_workloads_come_in_the_order_of_the_block() {
    let lab = Lab::new();
    let args = SMALL
        .replace("--threads 1,2 --ef 16", "--threads 1 --ef 16,17,18,19")
        .replace("--blocks 1", "--blocks 4");
    let said =
        lab.run(&format!("{args} --workloads build,search,search-writer,bulk,mixed,write-heavy,phases"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let rows = lab.document("small.json").rows;
    let mut orders: BTreeMap<usize, BTreeSet<Order<'_>>> = BTreeMap::new();
    for session in rows.chunk_by(|a, b| (a.block, &a.strategy) == (b.block, &b.strategy)) {
        let order: Vec<_> = session.iter().map(|row| (&*row.workload, row.ef)).collect();
        assert_eq!((order.len(), order[0].0), (1 + 4 + 4 + 4, "build"), "{order:?}");
        assert!(order[1..5].iter().all(|(workload, _)| *workload == "search"), "{order:?}");
        assert!(order[5..9].iter().all(|(workload, _)| *workload == "search-writer"), "{order:?}");
        orders.entry(session[0].block).or_default().insert(order);
    }
    assert!(orders.values().all(|of_block| of_block.len() == 1), "one order in a block: {orders:?}");
    for part in [1..5, 5..9, 9..13] {
        let different: BTreeSet<_> = orders.values().flatten().map(|order| &order[part.clone()]).collect();
        assert!(different.len() > 1, "{different:?}");
    }
}

/// So long that a signal comes before its end.
fn long() -> String {
    SMALL.replace("--seconds 0.02 --blocks 1", "--seconds 0.05 --blocks 9 --workloads build,search")
}

const ROWS: usize = 3 * 2 * 9;

fn rows(lab: &Lab) -> Vec<Row> {
    if lab.path("small.json").exists() { lab.document("small.json").rows } else { Vec::new() }
}

#[test]
fn a_process_that_is_killed_is_named_and_costs_no_row() {
    let lab = Lab::new();
    let mut sweep = begin(lab.command(&long()));
    // In the second session at the earliest, so that rows are there.
    wait_for(&mut sweep, "row", || (rows(&lab).len() >= 3).then_some(()));
    let id = sweep.id();
    // One that has just begun, and so does not end by itself meanwhile.
    let before = wait_for(&mut sweep, "process", || children(id).first().copied());
    let next = || children(id).into_iter().find(|child| *child != before);
    let victim = wait_for(&mut sweep, "next process", next);
    kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("sent");
    let said = Said::of(sweep.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let kept = rows(&lab);
    assert!((3..ROWS).contains(&kept.len()), "{}", kept.len());
    let errors: Vec<&str> = said.err.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("one line: {said:?}") };
    let last = kept.last().expect("rows");
    let (begin, end) = error.split_once(" did not come to its end ").expect("how it ended");
    let named = begin.strip_prefix("error: the process that measured ").expect("the session");
    let expected = ["sequential f32 x1 in block ", "lockfree f32 x1 in block ", "lockfree f32 x2 in block "];
    assert!(expected.iter().any(|name| named.starts_with(name)), "{named}");
    let block: usize = named.rsplit(' ').next().and_then(|block| block.parse().ok()).expect("a block");
    assert!((last.block + 1..=last.block + 2).contains(&block), "{named} after {}", last.key());
    assert_eq!(
        end,
        format!(
            "(signal: 9 (SIGKILL): someone killed it, or the system ran out of memory); {} of {ROWS} rows are in \
             small.json, and the same command goes on from there",
            kept.len()
        )
    );
    let resumed = lab.run(&long());
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let all = rows(&lab);
    assert_eq!((all.len(), &all[..kept.len()]), (ROWS, &kept[..]), "nothing was lost or measured again");
}

/// As a terminal does it: every process of the group gets the signal.
#[test]
fn ctrl_c_at_a_terminal_reaches_both_and_keeps_the_rows() {
    let lab = Lab::new();
    let mut command = lab.command(&long());
    command.process_group(0);
    let mut sweep = begin(command);
    wait_for(&mut sweep, "row", || (rows(&lab).len() >= 3).then_some(()));
    killpg(Pid::from_raw(sweep.id() as i32), Signal::SIGINT).expect("sent");
    let said = Said::of(sweep.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(130), "{said:?}");
    let kept = rows(&lab);
    let told: Vec<&str> =
        said.err.lines().filter(|line| line.contains("stopped") || line.contains("error")).collect();
    let expected = format!(
        "stopped; {} of {ROWS} rows are in small.json; the same command goes on from there",
        kept.len()
    );
    assert_eq!(told, [expected], "once, by the sweep");
    let resumed = lab.run(&long());
    assert_eq!((resumed.code, rows(&lab).len()), (Some(0), ROWS), "{resumed:?}");
    assert_eq!(rows(&lab)[..kept.len()], kept[..]);
}

/// A sweep that is killed leaves no process behind that goes on: here one would measure for ten minutes.
#[test]
fn the_process_of_a_session_ends_with_its_sweep() {
    let lab = Lab::new();
    let args = SMALL.replace("--seconds 0.02", "--seconds 600 --workloads search");
    let mut sweep = begin(lab.command(&args));
    let id = sweep.id();
    let orphan = wait_for(&mut sweep, "process", || children(id).first().copied());
    kill(Pid::from_raw(id as i32), Signal::SIGKILL).expect("sent");
    sweep.wait().expect("a child");
    let begin = Instant::now();
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    while lives() && begin.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(5));
    }
    if lives() {
        kill(Pid::from_raw(orphan as i32), Signal::SIGKILL).expect("sent");
        panic!("it went on");
    }
}

#[test]
fn data_that_change_meanwhile_are_noticed() {
    let lab = Lab::new();
    let make = |seed: usize| {
        let made = lab.run(&format!(
            "data make uniform --n 300 --dim 8 --query-count 20 --k 10 --out set --force --seed {seed}"
        ));
        assert_eq!(made.code, Some(0), "{made:?}");
    };
    make(1);
    let args = "sweep --dataset set --seconds 0.05 --retries 0 --strategies sequential --threads 1 --ef 16 --blocks 40 \
                --workloads build,search --out small.json";
    let mut sweep = begin(lab.command(args));
    wait_for(&mut sweep, "row", || (!rows(&lab).is_empty()).then_some(()));
    make(2);
    let said = Said::of(sweep.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let error = said.err.lines().last().unwrap_or_default();
    // Either it is other data, or it was caught when one file was new and the other one old.
    assert!(error.starts_with("error: sequential f32 x1 in block "), "{said:?}");
    assert!(error.ends_with("and the same command goes on from there"), "{said:?}");
    assert!(!rows(&lab).is_empty());
}

const CHURN: &str = "churn --quiet --strategies slots,lockfree --threads 1 --seconds 0.15 --occupancy 300 --ef-construction 20 \
                     --blocks 2 --retries 0 --out churn.json";
/// The graph is the same whoever fills the index, and constant arrivals are those of the clock.
const LATENCY: &str = "latency --quiet --rate 400 --arrivals constant --strategies batch --threads 1,2 --seconds 0.15 --ef-construction 20 \
                       --blocks 1 --retries 0 --out latency.json";

fn churned(lab: &Lab) -> churn::Document {
    let path = lab.path("churn.json");
    churn::parse(&fs::read(&path).expect("a document"), &path).expect("a whole document")
}

fn late(lab: &Lab) -> latency::Document {
    let path = lab.path("latency.json");
    latency::parse(&fs::read(&path).expect("a document"), &path).expect("a whole document")
}

#[test]
fn each_trial_of_churn_has_a_process_of_its_own_unless_one_is_asked_for() {
    let lab = Lab::new();
    assert_eq!(processes(&lab, CHURN).len(), 4);
    let apart = churned(&lab);
    assert_eq!((apart.config.isolation, apart.trials.len()), (Isolation::Process, 4));
    assert_eq!(processes(&lab, &format!("{CHURN} --in-process")).len(), 0);
    let together = churned(&lab);
    assert_eq!((together.config.isolation, together.trials.len()), (Isolation::None, 4));
    for (apart, together) in apart.trials.iter().zip(&together.trials) {
        let point = |trial: &churn::Trial| (trial.strategy.clone(), trial.block, trial.number, trial.points);
        assert_eq!(point(apart), point(together));
        assert!(apart.faults().is_empty() && apart.search.as_ref().is_some_and(|op| op.count > 0));
    }
}

#[test]
fn each_point_of_latency_has_a_process_of_its_own_and_says_the_same_without() {
    let lab = Lab::new();
    assert_eq!(processes(&lab, LATENCY).len(), 2);
    let apart = late(&lab);
    assert_eq!(processes(&lab, &format!("{LATENCY} --in-process")).len(), 0);
    let together = late(&lab);
    assert_eq!((apart.config.isolation, together.config.isolation), (Isolation::Process, Isolation::None));
    let said = |document: &latency::Document| -> Vec<(usize, usize, u64, f64)> {
        let told = |point: &latency::Point| (point.threads, point.number, point.offered, point.recall_at_k);
        document.points.iter().map(told).collect()
    };
    assert_eq!((said(&apart).len(), said(&apart)), (2, said(&together)));
    // Both what was searched for and the point at that rate come from the process.
    let search = LATENCY.replace("--rate 400 --arrivals constant", "--rate-search --p99 1e7");
    let asked = search.replace("--threads 1,2 --seconds 0.15", "--threads 1 --seconds 0.02");
    assert_eq!(processes(&lab, &asked).len(), 1);
    let found = late(&lab);
    assert_eq!(
        (found.searches.len(), found.points.len()),
        (1, usize::from(found.searches[0].rate.is_some()))
    );
}

const STEPS: &str = "few: {max_pts: 900, 1: {operation: insert, start: 0, end: 900}, 2: {operation: search}, 3: {operation: delete, start: 0, end: 300}, 4: {operation: search}}";
const RUNBOOK: &str = "runbook few.yaml --quiet --strategies batch,mvcc --threads 1 --ef-construction 20 --retries 0 --out runbook.json";

fn replayed(lab: &Lab) -> runbook::Document {
    serde_json::from_slice(&fs::read(lab.path("runbook.json")).expect("a document"))
        .expect("a whole document")
}

#[test]
fn each_trial_of_a_runbook_has_a_process_of_its_own_and_says_the_same_without() {
    let lab = Lab::new();
    fs::write(lab.path("few.yaml"), STEPS).expect("written");
    let asked = format!("{RUNBOOK} --blocks 2");
    assert_eq!(processes(&lab, &asked).len(), 4);
    let apart = replayed(&lab);
    assert_eq!(processes(&lab, &format!("{asked} --in-process")).len(), 0);
    let together = replayed(&lab);
    assert_eq!((apart.config.isolation, together.config.isolation), (Isolation::Process, Isolation::None));
    // One thread builds the same graph each time; what answers are worth is reckoned against what the command computed.
    let said = |document: &runbook::Document| -> Vec<(String, usize, usize, Vec<Option<f64>>)> {
        let recalls = |trial: &runbook::Trial| trial.steps.iter().map(|step| step.recall).collect();
        let told =
            |trial: &runbook::Trial| (trial.strategy.clone(), trial.block, trial.number, recalls(trial));
        document.trials.iter().map(told).collect()
    };
    assert_eq!((said(&apart).len(), said(&apart)), (4, said(&together)));
    for trial in &apart.trials {
        assert_eq!((trial.faults(), trial.live), (vec![], 600));
        assert!(trial.recall.is_some_and(|recall| recall > 0.8), "{trial:?}");
    }
}

/// It is read once, so that all trials do the same steps.
#[test]
fn a_runbook_that_changes_meanwhile_changes_nothing() {
    let lab = Lab::new();
    fs::write(lab.path("few.yaml"), STEPS).expect("written");
    let mut command = begin(lab.command(&format!("{RUNBOOK} --blocks 3")));
    let id = command.id();
    wait_for(&mut command, "process", || children(id).first().copied());
    fs::write(lab.path("few.yaml"), "nothing").expect("written");
    let said = Said::of(command.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(0), "{said:?}");
    let document = replayed(&lab);
    assert_eq!(document.runbook.digest, blake3::hash(STEPS.as_bytes()).to_hex().to_string());
    let steps = |trial: &runbook::Trial| (trial.steps.len(), trial.live);
    assert_eq!(document.trials.iter().map(steps).collect::<Vec<_>>(), [(4, 600); 6]);
}

#[test]
fn each_trial_of_the_ladder_has_a_process_of_its_own_unless_one_is_asked_for() {
    let lab = Lab::new();
    let asked = "ladder --quiet --n 300 --query-count 20 --rungs layout,quantised --threads 1 --ef-construction 20 --seconds 0.15 --blocks 2 \
                 --retries 0 --out ladder.json";
    let climbed = || -> ladder::Document {
        serde_json::from_slice(&fs::read(lab.path("ladder.json")).expect("a document"))
            .expect("a whole document")
    };
    // Two sets, two rungs, two blocks.
    assert_eq!(processes(&lab, asked).len(), 8);
    let apart = climbed();
    assert_eq!(processes(&lab, &format!("{asked} --in-process")).len(), 0);
    let together = climbed();
    assert_eq!((apart.config.isolation, together.config.isolation), (Isolation::Process, Isolation::None));
    // One thread builds the same graph each time, of the same generated vectors.
    let said = |document: &ladder::Document| -> Vec<(String, String, Vec<f64>)> {
        let of = |set: &ladder::Climb| -> Vec<(String, String, Vec<f64>)> {
            let recalls = |point: &ladder::Point| point.blocks.iter().map(|block| block.recall).collect();
            let told =
                |point: &ladder::Point| (set.dataset.digest.clone(), point.rung.clone(), recalls(point));
            set.points.iter().map(told).collect()
        };
        document.sets.iter().flat_map(of).collect()
    };
    assert_eq!((said(&apart).len(), said(&apart)), (4, said(&together)));
    assert!(apart.sets[0].dataset.name.starts_with("uniform-300x128"), "{:?}", apart.sets[0].dataset);
}

/// All ways to answer queries share a graph, so all of them are in the process of their block.
#[test]
fn each_block_of_the_queue_has_a_process_of_its_own() {
    let lab = Lab::new();
    let asked = "ladder --queue --quiet --sets real --n 300 --query-count 20 --threads 1 --pops 4 --ef-construction 20 --seconds 0.05 --blocks 3 \
                 --retries 0 --out queue.json";
    assert_eq!(processes(&lab, asked).len(), 3);
    let found: ladder::Document =
        serde_json::from_slice(&fs::read(lab.path("queue.json")).expect("a document"))
            .expect("a whole document");
    let blocks: Vec<(Option<usize>, usize)> =
        found.sets[0].queue.iter().map(|way| (way.pops, way.blocks.len())).collect();
    assert_eq!(blocks, [(None, 3), (Some(1), 3), (Some(4), 3)]);
}

#[test]
fn a_trial_that_is_killed_costs_no_other() {
    let lab = Lab::new();
    let mut command = begin(lab.command(&CHURN.replace("--blocks 2", "--blocks 20")));
    let id = command.id();
    let before = wait_for(&mut command, "process", || children(id).first().copied());
    // In the third process two trials have ended.
    let second =
        wait_for(&mut command, "second process", || children(id).into_iter().find(|child| *child != before));
    let third = || children(id).into_iter().find(|child| ![before, second].contains(child));
    let victim = wait_for(&mut command, "third process", third);
    kill(Pid::from_raw(victim as i32), Signal::SIGKILL).expect("sent");
    let said = Said::of(command.wait_with_output().expect("a child"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let kept = churned(&lab).trials.len();
    assert!((2..40).contains(&kept), "{kept}");
    let error = said.err.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: the process that measured churn: "), "{said:?}");
    assert!(error.ends_with("out of memory); what was measured before it is in churn.json"), "{said:?}");
    assert!(said.out.contains("wrote churn.json"), "{said:?}");
}

#[test]
fn the_command_of_a_session_is_not_for_users() {
    let lab = Lab::new();
    let said = lab.run("session");
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.starts_with("error: `hnsw-lab session` is what sweep, tax"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(!lab.run("--help").out.contains("session"), "hidden");
}
