use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: DataCommand,
}

/// Runs `data ARGS`; what it printed, or its one line of error.
fn data(args: &[&str]) -> Result<String, String> {
    let cli = Cli::try_parse_from([&["data"], args].concat()).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    run(&cli.command, &mut out, Watch::none()).map_err(|e| format!("{e:#}"))?;
    Ok(String::from_utf8(out).unwrap())
}

fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

const SMALL: [&str; 6] = ["--n", "300", "--dim", "8", "--query-count", "20"];

fn make(kind: &str, more: &[&str]) -> Result<String, String> {
    data(&[&["make", kind], &SMALL[..], more].concat())
}

#[test]
fn the_definition_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
    for name in ["make", "inspect", "truth", "fetch", "embedded"] {
        let help = data(&[name, "--help"]).unwrap_err();
        assert!(help.contains("Example:\n  hnsw-lab data"), "{help}");
    }
}

#[test]
fn what_is_made_can_be_loaded_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deep/set");
    let out_arg = out.to_str().unwrap();
    let said = make("clustered", &["--intrinsic", "3", "--k", "5", "--out", out_arg]).unwrap();
    assert!(said.starts_with("wrote clustered-300x8-i3-s42 (300 x 8, 20 queries, k = 5)"), "{said}");
    assert_eq!(entries(&out), ["base.fvecs", "gt.ivecs", "meta.json", "query.fvecs"]);
    let set = load(&out, &LoadOptions::default()).unwrap();
    let generated = generate::clustered(&Shape { rows: 300, dim: 8, queries: 20, seed: 42 }, 3).unwrap();
    assert_eq!((set.digest(), set.name()), (generated.digest(), generated.name()));
    assert_eq!(set.truth(), Some(&Truth::exact(&generated, 5, Watch::none()).unwrap()));
    let seen = data(&["inspect", out_arg]).unwrap();
    for expected in
        ["metric l2", "300 x 8 f32", "20 x 8 f32", "20 x 5 ids", "duplicates  0", "intrinsic", "digest"]
    {
        assert!(seen.contains(expected), "{expected} is missing in {seen}");
    }
    let one = data(&["inspect", out.join("base.fvecs").to_str().unwrap(), "--limit", "7"]).unwrap();
    assert!(one.contains("7 x 8 f32"), "{one}");
}

#[test]
fn nothing_is_replaced_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    make("uniform", &["--out", out]).unwrap();
    let before = fs::read(folder.path().join("base.fvecs")).unwrap();
    let refused = make("uniform", &["--seed", "1", "--out", out]).unwrap_err();
    assert!(
        refused.contains("base.fvecs: is there already; choose another folder or add --force"),
        "{refused}"
    );
    assert_eq!(fs::read(folder.path().join("base.fvecs")).unwrap(), before);
    make("uniform", &["--seed", "1", "--out", out, "--force"]).unwrap();
    assert_ne!(fs::read(folder.path().join("base.fvecs")).unwrap(), before);
    let mixed = data(&["embedded", "--out", out, "--force"]).unwrap_err();
    assert!(mixed.contains("base.fvecs: would stay beside the new data"), "{mixed}");
    assert_eq!(entries(folder.path()).len(), 4, "no temporary file is left");
    let notes = tempfile::tempdir().unwrap();
    fs::write(notes.path().join("README.md"), "mine").unwrap();
    let kept = data(&["embedded", "--out", notes.path().to_str().unwrap()]).unwrap_err();
    assert!(kept.contains("README.md: is there already"), "{kept}");
    assert_eq!(entries(notes.path()), ["README.md"], "all or nothing");
}

#[test]
fn truth_is_written_for_any_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    make("uniform", &["--k", "4", "--out", out]).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (base, queries, gt) = (path("base.fvecs"), path("query.fvecs"), path("new.ivecs"));
    let args = ["truth", "--base", &base, "--queries", &queries, "--k", "4", "--out", &gt];
    data(&args).unwrap();
    assert_eq!(fs::read(&gt).unwrap(), fs::read(path("gt.ivecs")).unwrap());
    assert!(data(&args).unwrap_err().contains("is there already"));
    data(&[&args[..], &["--force"]].concat()).unwrap();
    let named =
        data(&["truth", "--base", &base, "--queries", &queries, "--out", &path("x.csv")]).unwrap_err();
    assert!(named.contains("end the name with .ivecs"), "{named}");
    let metric = data(&["truth", "--base", &base, "--queries", &queries, "--metric", "taxi", "--out", &gt])
        .unwrap_err();
    assert!(metric.contains("known metrics are l2, ip and cosine"), "{metric}");
}

#[test]
fn the_embedded_set_is_written_with_its_notices() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sift");
    data(&["embedded", "--out", out.to_str().unwrap()]).unwrap();
    assert_eq!(entries(&out), ["README.md", "base.bvecs", "gt.ivecs", "meta.json", "query.bvecs"]);
    let (written, embedded) = (load(&out, &LoadOptions::default()).unwrap(), crate::embedded());
    assert_eq!((written.digest(), written.truth()), (embedded.digest(), embedded.truth()));
    assert!(fs::read_to_string(out.join("README.md")).unwrap().contains("Copyright (C)"));
}

#[test]
fn impossible_requests_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let (file, below) = (file.to_str().unwrap(), file.join("set"));
    let new = folder.path().join("new");
    let new = new.to_str().unwrap();
    for (result, expected) in [
        (make("uniform", &["--out", file]), "file: is a file; give a folder"),
        (
            make("uniform", &["--out", below.to_str().unwrap()]),
            "file/set: cannot be written: Not a directory",
        ),
        (make("uniform", &["--intrinsic", "3", "--out", new]), "--intrinsic is for clustered data"),
        (
            make("clustered", &["--intrinsic", "9", "--out", new]),
            "the intrinsic dimension is 9; it must be from 1",
        ),
        (make("uniform", &["--k", "0", "--out", new]), "k is 0"),
        (data(&["make", "uniform", "--n", "0", "--out", new]), "number of rows is 0"),
        (data(&["inspect", folder.path().to_str().unwrap()]), "no base.*, query.* or gt.*"),
        (data(&["inspect", file]), "has no known extension"),
    ] {
        let line = result.unwrap_err();
        assert!(line.contains(expected) && !line.contains('\n'), "{line}");
    }
    assert_eq!(entries(folder.path()), ["file"], "nothing was made");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    let target = Target::new(&new, false, &["base.fvecs"]).unwrap();
    let full = |to: &mut dyn Write| {
        to.write_all(b"begun")?;
        fs::OpenOptions::new().write(true).open("/dev/full")?.write_all(b"x")
    };
    let line = format!("{:#}", target.write([("base.fvecs", content(full))]).unwrap_err());
    assert!(line.contains("base.fvecs: cannot be written: No space left on device"), "{line}");
    assert!(!new.exists(), "the new folder is gone too");
}
