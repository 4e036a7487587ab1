//! Prints `docs/orderings.md`: every memory ordering of the workspace, what it is there for, and the model that fails when
//! it is weakened. All of it is read from the source text. `scripts/orderings` runs this.
//!
//! Ends with exit code 1 when the text contradicts itself: two sites of one name, a partner or a weakened site that is not
//! there.

#[path = "../src/sync/scan.rs"]
mod scan;

use scan::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

fn main() -> ExitCode {
    let sources: BTreeMap<String, String> = scan::sources().into_iter().collect();
    let mut sites = scan::workspace();
    // The text that the scanner is tested with is no code.
    sites.retain(|site| site.file != "core/src/sync/scan.rs");
    let proofs: Vec<Proof> = sources.iter().flat_map(|(file, text)| proofs(file, text)).collect();
    let faults = faults(&sites, &proofs);
    faults.iter().for_each(|fault| eprintln!("error: {fault}"));
    print!("{}", document(&sources, &sites, &proofs));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A test that fails unless a model fails with the ordering of this site weakened.
struct Proof {
    site: String,
    file: String,
    test: String,
}

/// The tests of a file that weaken a site: those that call `expect_weak("site", …)`, and the rows `test: "site" …;` of a
/// macro that does. A test that expects `expect_weak` itself to refuse is none.
fn proofs(file: &str, text: &str) -> Vec<Proof> {
    let by_macro = text.contains("expect_weak($");
    let mut proofs = Vec::new();
    let (mut test, mut refused) = (String::new(), false);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if line.starts_with("#[test]") {
            refused = false;
        } else if line.starts_with("#[should_panic") {
            refused = true;
        } else if let Some(name) = function(line) {
            test = name.to_owned();
        }
        let call = line.split_once("expect_weak(\"").map(|(_, site)| (test.as_str(), site));
        let row = line.split_once(": \"").filter(|(test, _)| by_macro && is_identifier(test));
        if let Some((test, site)) = call.filter(|_| !refused).or(row)
            && let Some((site, _)) = site.split_once('"')
        {
            proofs.push(Proof { site: site.into(), file: file.into(), test: test.into() });
        }
    }
    proofs
}

/// What makes the document wrong.
fn faults(sites: &[Site], proofs: &[Proof]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut faults: Vec<String> = sites
        .iter()
        .filter(|site| !names.insert(&site.name))
        .map(|site| format!("{site}: the name is taken"))
        .collect();
    for site in sites {
        for partner in partners(&site.why).0.iter().filter(|partner| !names.contains(partner)) {
            faults.push(format!("{site}: its partner [{partner}] does not exist"));
        }
    }
    for proof in proofs.iter().filter(|proof| !names.contains(&proof.site)) {
        faults.push(format!(
            "{} weakens [{}], which does not exist, in {}",
            proof.test, proof.site, proof.file
        ));
    }
    faults
}

/// The names of the sites that a site pairs with, and what the comment says behind the first ones.
fn partners(why: &str) -> (Vec<String>, &str) {
    const LINKS: [&str; 8] = ["pairs", "with", "and", "Acquire", "Release", "AcqRel", "SeqCst", ""];
    let mut names = Vec::new();
    let mut rest = why;
    while why.starts_with("pairs with ")
        && let Some((before, after)) = rest.split_once('[')
        && before.split([' ', ',']).all(|word| LINKS.contains(&word))
        && let Some((name, behind)) = after.split_once(']')
    {
        names.push(name.to_owned());
        rest = behind;
    }
    for (before, after) in rest.match_indices('[').map(|(at, _)| rest.split_at(at)) {
        let mut words = before.split_whitespace().rev();
        let is_partner = words.next().and_then(scan::ordering).is_some() && words.next() == Some("with");
        names.extend(after[1..].split_once(']').filter(|_| is_partner).map(|(name, _)| name.to_owned()));
    }
    (names, rest.trim_start_matches([',', ';', ':', '.', ' ']))
}

fn document(sources: &BTreeMap<String, String>, sites: &[Site], proofs: &[Proof]) -> String {
    let needed = |site: &&Site| site.ordering != Ordering::Relaxed;
    let shown = |site: &&Site| proofs.iter().any(|proof| proof.site == site.name);
    let (in_tests, in_libraries): (Vec<&Site>, Vec<&Site>) =
        sites.iter().partition(|site| is_test(sources, site));
    let strong = in_libraries.iter().copied().filter(needed).count();
    let missing: Vec<&Site> =
        in_libraries.iter().copied().filter(needed).filter(|site| !shown(site)).collect();

    let mut text = String::new();
    let out = &mut text;
    let _ = write!(
        out,
        "# Memory orderings\n\n\
         Generated from the source by `scripts/orderings`; do not edit. Search the source for `[site]` to get to the code.\n\n\
         Each atomic access has a comment that names its ordering, its site and its partner. *Shown by* is a test that \
         weakens this one site and passes only if a model then fails (`scripts/loom TEST` runs it). A Relaxed access cannot \
         be weakened; its comment says why nothing depends on its order.\n\n\
         | | sites |\n|---|---:|\n\
         | in the libraries and the program | {} |\n| of these Relaxed | {} |\n| of these stronger | {strong} |\n\
         | stronger, shown to be needed | {} |\n| stronger, not yet shown | {} |\n| in protocols that only tests have | {} |\n",
        in_libraries.len(),
        in_libraries.len() - strong,
        strong - missing.len(),
        missing.len(),
        in_tests.len(),
    );
    let _ = write!(out, "\n## Not yet shown to be needed: {}\n", missing.len());
    if missing.is_empty() {
        let _ = write!(out, "\nNone: each ordering that could be weaker has a model that needs it.\n");
    } else {
        let _ = write!(
            out,
            "\nThe comments give the reason for these orderings; no model has yet failed without them.\n\n\
             | site | ordering | where |\n|---|---|---|\n"
        );
        for site in missing {
            let _ = writeln!(out, "| `{}` | {} | {} |", site.name, ordering(site), place(sources, site));
        }
    }
    for (title, part) in [("Sites", in_libraries), ("Protocols that only tests have", in_tests)] {
        let _ = write!(
            out,
            "\n## {title}\n\n| site | where | ordering | partner | what it orders | shown by |\n|---|---|---|---|---|---|\n"
        );
        for site in part {
            let why = site.why.split(" SAFETY:").next().unwrap_or_default();
            let (partners, orders) = partners(why);
            let partners: Vec<String> = partners.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} | {} |",
                site.name,
                place(sources, site),
                ordering(site),
                partners.join(", "),
                cell(orders),
                proof(site, proofs)
            );
        }
    }
    text
}

fn ordering(site: &Site) -> String {
    format!("{:?}{}", site.ordering, if site.on_failure { " on failure" } else { "" })
}

/// The tests that show that a site needs its ordering, or why there is none.
fn proof(site: &Site, proofs: &[Proof]) -> String {
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for proof in proofs.iter().filter(|proof| proof.site == site.name) {
        files.entry(&proof.file).or_default().push(format!("`{}`", proof.test));
    }
    match (files.is_empty(), site.ordering) {
        (true, Ordering::Relaxed) => "already the weakest".into(),
        (true, _) => "not yet shown".into(),
        (false, _) => {
            let all: Vec<String> =
                files.iter().map(|(file, tests)| format!("{} in {}", tests.join(", "), link(file))).collect();
            all.join("; ")
        }
    }
}

/// The file of a site and the function around it; line numbers would change too often.
fn place(sources: &BTreeMap<String, String>, site: &Site) -> String {
    let before: Vec<&str> = sources[&site.file].lines().take(site.line as usize).collect();
    match before.iter().rev().find_map(|line| function(line.trim())) {
        Some(name) => format!("`{name}` in {}", link(&site.file)),
        None => link(&site.file),
    }
}

fn link(file: &str) -> String {
    format!("[{file}](../{file})")
}

/// Text as a cell of a table holds it; with full stops and capitals as they were.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").trim().to_owned()
}

fn is_test(sources: &BTreeMap<String, String>, site: &Site) -> bool {
    let mut before = sources[&site.file].lines().take(site.line as usize);
    site.file.contains("/tests/")
        || site.file.ends_with("tests.rs")
        || before.any(|line| line == "mod tests {")
}

/// The name of the function that begins on this line of code.
fn function(line: &str) -> Option<&str> {
    if line.starts_with("//") {
        return None;
    }
    let behind = line.strip_prefix("fn ").or_else(|| Some(line.split_once(" fn ")?.1))?;
    let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0).then_some(&behind[..end])
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
