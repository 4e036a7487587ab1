use super::*;
use crate::{write_fvecs, write_ivecs};
use tempfile::TempDir;

fn bytes(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

fn fvecs(dim: usize, values: &[f32]) -> Vec<u8> {
    bytes(|to| write_fvecs(to, dim, values))
}

fn ivecs(k: usize, ids: &[u32]) -> Vec<u8> {
    bytes(|to| write_ivecs(to, k, ids))
}

/// Four points on a line, two queries.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "base.fvecs", fvecs(2, &[1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 4.0, 1.0]));
    put(&folder, "query.fvecs", fvecs(2, &[1.1, 1.0, 3.9, 1.0]));
    put(&folder, "gt.ivecs", ivecs(2, &[0, 1, 3, 2]));
    folder
}

fn put(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), bytes).unwrap();
}

fn failure(folder: &TempDir) -> String {
    load(folder.path(), &LoadOptions::default()).unwrap_err().to_string()
}

#[test]
fn a_folder_is_a_data_set() {
    let folder = folder();
    put(&folder, "base.txt", "not in a format that is read, so passed over");
    put(&folder, "database.fvecs", "another name");
    let set = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!((set.len(), set.query_count(), set.dim(), set.metric()), (4, 2, 2, Metric::L2));
    assert_eq!(set.truth().unwrap().ids, [0, 1, 3, 2]);
    let named = r#"{"name": "line", "metric": "angular", "how": "by hand", "licences": {"a": "MIT"}}"#;
    put(&folder, "meta.json", named);
    fs::remove_file(folder.path().join("gt.ivecs")).unwrap();
    let set = load(folder.path(), &LoadOptions::default()).unwrap();
    assert_eq!((set.name(), set.metric()), ("line", Metric::Cosine));
    assert_eq!(set.provenance(), r#"by hand; licences: {"a":"MIT"}"#);
    assert!(set.truth().is_none());
}

#[test]
fn a_truth_of_other_data_is_not_used() {
    let folder = folder();
    let truth_of = |options| load(folder.path(), &options).unwrap().truth().map(|t| t.ids.clone());
    assert_eq!(truth_of(LoadOptions { query_limit: Some(1), ..Default::default() }), Some(vec![0, 1]));
    assert_eq!(truth_of(LoadOptions { limit: Some(4), ..Default::default() }), Some(vec![0, 1, 3, 2]));
    assert_eq!(truth_of(LoadOptions { limit: Some(3), ..Default::default() }), None);
    let queries = Some(folder.path().join("query.fvecs"));
    assert_eq!(truth_of(LoadOptions { queries, ..Default::default() }), None);
    put(&folder, "meta.json", r#"{"metric": "l2"}"#);
    assert_eq!(truth_of(LoadOptions { metric: Some(Metric::InnerProduct), ..Default::default() }), None);
}

#[test]
fn files_can_be_named_one_by_one() {
    let folder = folder();
    let path = |name| folder.path().join(name);
    let (queries, truth) = (Some(path("query.fvecs")), Some(path("gt.ivecs")));
    let set = load(&path("base.fvecs"), &LoadOptions { queries, truth, ..Default::default() }).unwrap();
    assert_eq!((set.name(), set.truth().unwrap().k), ("base", 2));
    let alone = load(&path("base.fvecs"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(alone.contains("add --queries FILE"), "{alone}");
    let none = load(&path("nowhere"), &LoadOptions::default()).unwrap_err().to_string();
    assert!(none.contains("nowhere: cannot be read"), "{none}");
}

#[test]
fn what_does_not_fit_together_is_said_in_one_line() {
    let mut lines = Vec::new();
    let mut check = |name: &str, content: Vec<u8>, expected: &str| {
        let folder = folder();
        put(&folder, name, content);
        let line = failure(&folder);
        assert!(line.contains(expected), "{line}");
        lines.push(line);
    };
    check("base.fvecs", fvecs(3, &[0.0; 6]), "query.fvecs: dimension 2, but");
    check("gt.ivecs", ivecs(1, &[0, 1, 2]), "gt.ivecs: 3 rows, but");
    check(
        "gt.ivecs",
        ivecs(2, &[0, 1, 3, 9]),
        "gt.ivecs: row 1 of the truth names base row 9, but the base has 4 rows",
    );
    check("gt.ivecs", ivecs(2, &[0, 1, 0, 3]), "gt.ivecs: row 1 of the truth is not ordered by l2");
    check("gt.ivecs", vec![1, 0], "gt.ivecs: ends at byte 2");
    check("base.npy", vec![], "both base.fvecs and base.npy are there");
    check("meta.json", b"{".to_vec(), "meta.json: is no JSON");
    check("meta.json", b"[]".to_vec(), "meta.json: is no JSON object");
    check("meta.json", br#"{"metric": "taxi"}"#.to_vec(), "names the metric \"taxi\"");
    check("meta.json", vec![b' '; 2 << 20], "meta.json: is longer than 1048576 bytes");
    check("query.fvecs", fvecs(2, &[f32::MAX, 1.0, f32::INFINITY, 1.0]), "query.fvecs: component 0 of row 1");
    assert!(lines.iter().all(|line| !line.contains('\n')));
    for stem in ["base", "query"] {
        let folder = folder();
        fs::remove_file(folder.path().join(format!("{stem}.fvecs"))).unwrap();
        assert!(failure(&folder).contains(&format!("no {stem}.* in a format that is read")));
    }
    let zero = folder();
    put(&zero, "base.fvecs", fvecs(2, &[1.0, 1.0, 0.0, 0.0]));
    put(&zero, "meta.json", r#"{"metric": "angular"}"#);
    assert!(failure(&zero).contains("row 1 of the base vectors"), "{}", failure(&zero));
}
