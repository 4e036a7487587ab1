use super::*;
use clap::Parser;
use std::fs;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    capacity: CapacityArgs,
}

fn parse(args: &[&str]) -> Result<CapacityArgs, String> {
    let parsed = Cli::try_parse_from([&["capacity"], args].concat());
    parsed.map(|cli| cli.capacity).map_err(|error| error.to_string())
}

/// Runs `capacity ARGS`; what it printed, or its one line of error.
fn capacity(args: &[&str]) -> Result<String, String> {
    let mut out = Vec::new();
    run(&parse(args)?, &AtomicBool::new(false), &mut out).map_err(|error| format!("{error:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

const SMALL: [&str; 6] = ["--dim", "256", "--ef-construction", "12", "--measure-up-to", "8MB"];

#[test]
fn the_definition_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
    let args = parse(&[]).unwrap();
    let shown: Vec<_> = args.budgets.iter().map(Size::to_string).collect();
    assert_eq!(shown, ["128 MB", "512 MB", "1 GB", "4 GB", "16 GB"]);
    assert_eq!((args.dim, args.m), (1024, 16));
    assert!(parse(&["--help"]).unwrap_err().contains("hnsw-lab capacity --dim 1024"));
}

#[test]
fn a_small_fill_gives_a_table_and_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/capacity.json");
    let json = ["--budgets", "1GB,8MB,1GB", "--json", file.to_str().unwrap()];
    let said = capacity(&[&SMALL[..], &json].concat()).unwrap();
    for expected in [
        "raw",
        "plain",
        "coarse",
        "fine",
        "lock-free",
        "MVCC",
        "7,812",
        "976,562",
        "98.6 %",
        "98.1 %",
        "97.7 %",
        "97.0 %",
        "~ computed from the bytes per vector of the fill of 8 MB",
        "1 MB = 10^6",
        "Scratch of threads is not counted",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
    let cells_of =
        |start: &str| said.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
    assert_eq!(cells_of("8 MB").matches('~').count(), 0, "{said}");
    assert_eq!(cells_of("1 GB").matches('~').count(), 8, "{said}");

    let text = fs::read_to_string(&file).unwrap();
    let read: Document = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string_pretty(&read).unwrap() + "\n", text);
    let names: Vec<_> = read.strategies.iter().map(|strategy| strategy.name.as_str()).collect();
    assert_eq!(names, ["sequential", "coarse", "fine", "lockfree", "mvcc", "slots", "seqlock", "batch"]);
    assert_eq!(read.raw.len(), 2, "each budget once");
    for strategy in &read.strategies {
        let [fill] = strategy.fills[..] else { panic!("one fill, not {:?}", strategy.fills) };
        assert!(fill.total_bytes.abs_diff(8_000_000) < 800_000, "{}: {fill:?}", strategy.name);
        let memory = fill.memory;
        assert_eq!(memory.vectors_bytes, fill.vectors * 1024);
        assert!(memory.links_bytes > fill.vectors * 16, "{}: {memory:?}", strategy.name);
        let [small, large] = strategy.cells[..] else { panic!("two cells") };
        assert!(small.measured && !large.measured);
        assert!(small.vectors.abs_diff(fill.vectors) * 10 < fill.vectors, "{small:?} {fill:?}");
        assert!((80.0..100.0).contains(&large.percent_of_raw), "{}: {large:?}", strategy.name);
        let expected = 1e9 / fill.bytes_per_vector;
        // The bytes per vector are rounded to one part in 100,000.
        assert!((large.vectors as f64 - expected).abs() < 1e-5 * expected, "{large:?}, not {expected}");
    }
}

#[test]
fn strategies_are_chosen_by_name_and_listed_in_order() {
    let args = parse(&[&SMALL[..], &["--strategies", "lockfree,sequential", "--budgets", "2MB"]].concat());
    let document = measure(&args.unwrap(), &AtomicBool::new(false)).unwrap();
    let names: Vec<_> = document.strategies.iter().map(|strategy| strategy.name.as_str()).collect();
    assert_eq!(names, ["sequential", "lockfree"]);
}

#[test]
fn without_a_budget_to_fill_the_limit_is_filled() {
    let one = ["--strategies", "fine", "--budgets", "16GB", "--measure-up-to", "1MB", "--dim", "64"];
    let document = measure(&parse(&one).unwrap(), &AtomicBool::new(false)).unwrap();
    let fine = &document.strategies[0];
    assert_eq!(fine.fills[0].budget.to_string(), "1 MB");
    assert!(fine.cells.len() == 1 && !fine.cells[0].measured);
}

#[test]
fn impossible_requests_are_one_line() {
    for (args, expected) in [
        (&["--dim", "0"][..], "the dimension is 0"),
        (&["--dim", "9999999", "--budgets", "1GB"], "the dimension is 9999999; it must be from 1 to"),
        (&["--strategies", "fine,best"], "there is no strategy 'best'; there are sequential, coarse"),
        (&["--budgets", "4095B,1GB"], "4095 B holds no vector: one of 1024 dimensions takes 4096 bytes"),
        (&["--measure-up-to", "1kB"], "1 kB holds no vector"),
        (&["--budgets", "8000TB", "--measure-up-to", "8000TB"], "lower --measure-up-to"),
        (&["--m", "1", "--budgets", "1MB"], "M"),
        (&["--ef-construction", "0", "--budgets", "1MB"], "ef_construction"),
        (&["--budgets", "1MB", "--dim", "64", "--json", "/dev/null/x"], "/dev/null/x: cannot be written"),
    ] {
        let line = capacity(args).unwrap_err();
        assert!(line.contains(expected) && !line.contains('\n'), "{args:?}: {line}");
    }
    assert!(parse(&["--budgets", "many"]).unwrap_err().contains("'many' is no size"));
}

#[test]
fn it_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.json");
    let args =
        parse(&[&SMALL[..], &["--budgets", "8MB", "--json", file.to_str().unwrap()]].concat()).unwrap();
    let mut out = Vec::new();
    let line = run(&args, &AtomicBool::new(true), &mut out).unwrap_err().to_string();
    assert_eq!(line, "stopped on request; nothing was written");
    assert!(out.is_empty() && !file.exists());
}
