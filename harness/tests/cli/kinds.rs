//! Documents that other commands wrote, given to those that read what a sweep wrote.

use std::fs;

use crate::lab::Lab;

const RUNBOOK: &str = "small:
  max_pts: 90
  1: {operation: insert, start: 0, end: 90}
  2: {operation: search}
";

/// Commands that write a document, as quick as can be.
const WRITERS: [(&str, &str); 5] = [
    ("limit", "limit --rows 300 --bytes 64 --seconds 0.02 --threads 1"),
    ("churn", "churn --dataset set --strategies slots --seconds 0.02 --threads 1"),
    ("runbook", "runbook small.yaml --dataset set --strategies slots --threads 1"),
    ("latency", "latency --dataset set --strategies slots --threads 1 --rate 100 --seconds 0.05"),
    ("noise", "noise --dataset set --strategies fine --threads 1 --blocks 5 --seconds 0.01"),
];

/// Documents in the tree that take longer to make.
const PUBLISHED: [(&str, &str); 3] = [
    ("capacity", include_str!("../../../results/published/capacity-1024.json")),
    ("ladder", include_str!("../../../results/published/ladder-sift10k.json")),
    ("bench-peers", include_str!("../../../results/published/peers-bulk.json")),
];

#[test]
fn documents_of_other_commands_are_told_by_who_wrote_them_and_who_reads_them() {
    let lab = Lab::new();
    let made = lab.run("data make clustered --n 100 --dim 8 --query-count 10 --out set");
    assert_eq!(made.code, Some(0), "{made:?}");
    fs::write(lab.path("small.yaml"), RUNBOOK).expect("writable");
    let mut names = Vec::new();
    for (name, command) in WRITERS {
        let said = lab.run(&format!("{command} --out {name}.json --quiet"));
        assert_eq!(said.code, Some(0), "{said:?}");
        names.push(name);
    }
    for (name, text) in PUBLISHED {
        fs::write(lab.path(&format!("{name}.json")), text).expect("writable");
        names.push(name);
    }
    for name in names {
        let writer = if name == "bench-peers" { "scripts/" } else { "hnsw-lab " };
        let reader = match name {
            "latency" => "`hnsw-lab report SWEEP --html PAGE --latency FILE` reads it",
            "churn" => "`hnsw-lab report SWEEP --html PAGE --churn FILE` reads it",
            "noise" => "`hnsw-lab report` and `hnsw-lab compare` read it with --noise",
            "bench-peers" => "`scripts/bench-peers report` reads it",
            _ => "no command reads it again, it printed its tables when it measured",
        };
        let expected = format!(
            "error: {name}.json was written by `{writer}{name}`: {reader}; give a file that `hnsw-lab sweep` wrote\n"
        );
        for command in ["verify FILE", "report FILE", "plot FILE", "compare FILE FILE"] {
            let said = lab.run(&command.replace("FILE", &format!("{name}.json")));
            assert_eq!(said.err, expected, "{command}");
            assert_eq!(said.code, Some(if command.starts_with("compare") { 2 } else { 1 }), "{command}");
            assert_eq!(said.out, "");
        }
    }
}
