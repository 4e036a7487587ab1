use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    limit: LimitArgs,
}

fn parse(args: &[&str]) -> LimitArgs {
    Cli::try_parse_from([&["limit"], args].concat()).map(|cli| cli.limit).unwrap()
}

fn plan(args: &[&str]) -> Result<Vec<(usize, usize)>, String> {
    let machine = Machine { allowed_cores: 1, allowed_cpus: vec![0], ..Machine::default() };
    let plan = Plan::of(&parse(args), &machine).map_err(|error| format!("{error:#}"))?;
    Ok(plan.shapes.iter().map(|shape| (shape.rows, shape.bytes)).collect())
}

const QUICK: [&str; 8] = ["--rows", "300", "--bytes", "100,64", "--seconds", "0.02", "--threads", "2,1"];

#[test]
fn rows_and_bytes_are_paired() {
    assert_eq!(plan(&["--rows", "9,8", "--bytes", "7,6"]), Ok(vec![(9, 7), (8, 6)]));
    assert_eq!(plan(&["--rows", "9", "--bytes", "7,6"]), Ok(vec![(9, 7), (9, 6)]));
    assert_eq!(plan(&["--rows", "9,8", "--bytes", "7"]), Ok(vec![(9, 7), (8, 7)]));
    assert_eq!(plan(&[]).map(|shapes| shapes.len()), Ok(4));
    assert!(plan(&["--rows", "9,8", "--bytes", "7,6,5"]).unwrap_err().contains("one of either"));
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(plan(&["--rows", "1073741824", "--bytes", "1048576"]).unwrap_err().contains("lower --rows"));
}

#[test]
fn the_rows_of_a_working_set_are_one_ring() {
    let set = WorkingSet::new(&Shape { rows: 1000, bytes: 65 });
    assert_eq!((set.lines(), set.row_bytes()), (2, 128));
    let mut seen = vec![false; 1000];
    let mut row = 0;
    for _ in 0..1000 {
        row = set.next(row);
        assert!(!std::mem::replace(&mut seen[row], true), "a row comes twice");
    }
    assert_eq!(row, 0);
}

#[test]
fn a_list_goes_round_by_a_mask_and_names_only_rows() {
    let set = WorkingSet::new(&Shape { rows: 5000, bytes: 1 });
    let list = set.list(0);
    assert_eq!(list.len(), 8192);
    assert!(list.iter().all(|&row| row < 5000));
    assert_ne!(list, set.list(1));
}

#[test]
fn a_spread_is_of_all_windows() {
    let spread = Spread::of([3.0, 1.0, 2.00049].into_iter());
    assert_eq!(spread, Spread { median: 2.0, least: 1.0, most: 3.0 });
}

#[test]
fn measures_and_writes_one_point_per_set_and_thread_count() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/limit.json");
    let args = parse(&[&QUICK[..], &["--out", file.to_str().unwrap()]].concat());
    let mut out = Vec::new();
    run(&args, &AtomicBool::new(false), &mut out).unwrap();
    let document: Document = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let keys: Vec<_> = document.points.iter().map(|p| (p.bytes, p.row_bytes, p.threads)).collect();
    assert_eq!(keys, [(100, 128, 1), (100, 128, 2), (64, 64, 1), (64, 64, 2)]);
    for point in &document.points {
        for spread in
            [point.gather_ns, point.chase_ns, point.gather_gb_per_second, point.sequential_gb_per_second]
        {
            assert!(0.0 < spread.median && spread.least <= spread.median && spread.median <= spread.most);
        }
        assert!(point.lines_ahead <= 256);
    }
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("gather ns/row") && said.contains("wrote "), "{said}");
}

#[test]
fn stops_when_the_user_wants() {
    let stopped = run(&parse(&QUICK), &AtomicBool::new(true), &mut Vec::new()).unwrap_err();
    assert_eq!(stopped.downcast_ref(), Some(&crate::data::TruthError::Cancelled));
}
