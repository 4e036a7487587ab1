//! Files that a user might give to the program, most of them broken.

use std::fs;

use crate::lab::Lab;

/// A runbook for two data sets; the steps of the first fit 20 vectors.
const SMALL_RUNBOOK: &str = "small:
  max_pts: 15
  1: {operation: insert, start: 0, end: 15}
  2: {operation: delete, start: 5, end: 8}
  3: {operation: replace, tags_start: 0, tags_end: 5, ids_start: 15, ids_end: 20}
  4: {operation: search}
other:
  max_pts: 15
  1: {operation: insert, start: 0, end: 25}
  2: {operation: upsert, start: 0, end: 5}
";

fn fvecs(dim: u32, rows: u32, value: impl Fn(u32, u32) -> f32) -> Vec<u8> {
    let row = |row: u32| {
        let components =
            (0..dim).flat_map(|component| value(row, component).to_le_bytes()).collect::<Vec<u8>>();
        [dim.to_le_bytes().to_vec(), components].concat()
    };
    (0..rows).flat_map(row).collect()
}

fn ivecs(k: u32, rows: u32, id: u32) -> Vec<u8> {
    let row = [k.to_le_bytes().to_vec(), id.to_le_bytes().repeat(k as usize)].concat();
    row.repeat(rows as usize)
}

/// Writes all of them to the folder of `lab`. `base.fvecs` holds 20 vectors of 4 components, `query.fvecs` 5.
pub fn write(lab: &Lab) {
    let plain = |row: u32, component: u32| (row * 7 % 20) as f32 + component as f32;
    let base = fvecs(4, 20, plain);
    let nan = fvecs(
        4,
        20,
        |row, component| if (row, component) == (3, 2) { f32::NAN } else { plain(row, component) },
    );
    let sample = include_str!("../golden/sample.json");
    let newer = sample.replacen("\"schema_version\": 1", "\"schema_version\": 9", 1);
    let lost = sample.replacen("\"unreachable\":0", "\"unreachable\":3", 1);
    assert!(newer != sample && lost != sample);
    let dead = SMALL_RUNBOOK.replace("end: 8", "end: 18");
    let huge = [u32::MAX / 2, 65_535].map(u32::to_le_bytes).concat();
    let files: [(&str, &[u8]); 18] = [
        ("base.fvecs", &base),
        ("query.fvecs", &fvecs(4, 5, plain)),
        ("empty.fvecs", b""),
        ("cut.fvecs", &base[..base.len() - 3]),
        ("huge.fbin", &huge),
        ("wide.fvecs", &fvecs(5, 5, plain)),
        ("nan.fvecs", &nan),
        ("far.ivecs", &ivecs(3, 5, 20)),
        ("few.ivecs", &ivecs(3, 2, 0)),
        ("notes.txt", b"milk, bread\n"),
        ("sound.json", sample.as_bytes()),
        ("lost.json", lost.as_bytes()),
        ("newer.json", newer.as_bytes()),
        ("cut.json", &sample.as_bytes()[..2000]),
        ("list.json", b"[1, 2]\n"),
        ("empty.json", b""),
        ("small.yaml", SMALL_RUNBOOK.as_bytes()),
        ("dead.yaml", dead.as_bytes()),
    ];
    for (name, bytes) in files {
        fs::write(lab.path(name), bytes).expect("writable");
    }
}
