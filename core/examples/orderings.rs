//! Prints `docs/orderings.md`: every memory ordering of the workspace, what it is there for, and the model that fails when
//! it is weakened. All of it is read from the source text. `scripts/orderings` runs this.
//!
//! Ends with exit code 1 when the text contradicts itself: two sites of one name, a partner or a weakened site that is not
//! there; when an access has no site, or an ordering is written where it could not be read; and when a stronger ordering is not
//! accounted for: a site without a partner, a weaker ordering that neither a model nor a reason rules out.

#[path = "../src/sync/gate.rs"]
mod gate;
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
    // The text that the scanner and the gate are tested with is no code.
    sites.retain(|site| !["core/src/sync/scan.rs", "core/src/sync/gate.rs"].contains(&&*site.file));
    let proofs: Vec<Proof> = sources.iter().flat_map(|(file, text)| proofs(file, text)).collect();
    let mut faults = faults(&sites, &proofs);
    faults.extend(sources.iter().flat_map(|(file, text)| gate::faults(file, text, &sites)));
    faults.iter().for_each(|fault| eprintln!("error: {fault}"));
    print!("{}", document(&sources, &sites, &proofs));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A test that fails unless a model fails with the ordering of this site weakened.
struct Proof {
    site: String,
    to: Ordering,
    file: String,
    test: String,
}

/// The tests of a file that weaken a site: those that call `expect_weak("site", Relaxed, …)`, and the rows
/// `test: "site" Relaxed, …;` of a macro that does; the ordering may be missing there if the macro names one. A test that
/// expects `expect_weak` itself to refuse is none.
fn proofs(file: &str, text: &str) -> Vec<Proof> {
    let by_macro = ["expect_weak($", "needs! {"].iter().any(|table| text.contains(table));
    let of_macro = text.split_once("expect_weak($site, ").and_then(|(_, to)| first_ordering(to));
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
            && let Some((site, to)) = site.split_once('"')
            && let Some(to) = first_ordering(to.trim_start_matches([',', ' '])).or(of_macro)
        {
            proofs.push(Proof { site: site.into(), to, file: file.into(), test: test.into() });
        }
    }
    proofs
}

/// The ordering whose name the text begins with.
fn first_ordering(text: &str) -> Option<Ordering> {
    scan::ordering(text.trim_start_matches("Ordering::").split(|c: char| !c.is_ascii_alphabetic()).next()?)
}

/// The orderings of which each must be shown to be too weak. What is weaker still need not be. For a fence, `Relaxed` is none.
fn next_weaker(than: Ordering) -> &'static [Ordering] {
    use Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
    match than {
        SeqCst => &[AcqRel, Relaxed],
        AcqRel => &[Acquire, Release],
        Acquire | Release => &[Relaxed],
        _ => &[],
    }
}

/// The weaker orderings that no model has shown to be too weak.
fn not_shown(site: &Site, proofs: &[Proof]) -> Vec<Ordering> {
    let shown = |to: Ordering| proofs.iter().any(|proof| proof.site == site.name && proof.to == to);
    next_weaker(site.ordering).iter().copied().filter(|&to| !shown(to)).collect()
}

const NO_MODEL: &str = "No model: ";

/// Why no model can show that a site needs its ordering.
fn reason(site: &Site) -> Option<&str> {
    site.why.split_once(NO_MODEL).map(|(_, reason)| reason)
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
    for site in sites.iter().filter(|site| site.ordering != Ordering::Relaxed) {
        if partners(&site.why).0.is_empty() {
            faults.push(format!("{site}: its comment does not say what it pairs with"));
        }
        match (not_shown(site, proofs).as_slice(), reason(site)) {
            ([], None) | ([_, ..], Some(_)) => (),
            (missing, None) => faults.push(format!(
                "{site}: no model fails with {missing:?}; write one, or a weaker ordering, or why not: `{NO_MODEL}…`"
            )),
            ([], Some(_)) => faults.push(format!("{site}: has a model and says why it has none")),
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
    let (in_tests, in_libraries): (Vec<&Site>, Vec<&Site>) =
        sites.iter().partition(|site| is_test(sources, site));
    let strong = in_libraries.iter().copied().filter(needed).count();
    let unaccounted = |site: &&Site| reason(site).is_none() && !not_shown(site, proofs).is_empty();
    let missing: Vec<&Site> = sites.iter().filter(unaccounted).collect();
    let excused: Vec<&Site> = sites.iter().filter(|site| reason(site).is_some()).collect();
    let among = |part: &[&Site]| {
        part.iter().filter(|site| in_libraries.iter().any(|other| other.name == site.name)).count()
    };
    let (unshown, reasoned) = (among(&missing), among(&excused));

    let mut text = String::new();
    let out = &mut text;
    let _ = write!(
        out,
        "# Memory orderings\n\n\
         Generated from the source by `scripts/orderings`; do not edit. Search the source for `[site]` to get to the code.\n\n\
         Each atomic access has a comment that names its ordering, its site and its partner. *Too weak, shown by* gives for \
         each weaker ordering the tests that put it in place of this one and pass only if a model then fails \
         (`scripts/loom TEST` runs one). An AcqRel is weakened to either half, a SeqCst fence to AcqRel and to none at all. A \
         Relaxed access cannot be weakened; its comment says why nothing depends on its order. `scripts/orderings --check` \
         fails if a weaker ordering has neither a model nor a reason.\n\n\
         | | sites |\n|---|---:|\n\
         | in the libraries and the program | {} |\n| of these Relaxed | {} |\n| of these stronger | {strong} |\n\
         | stronger, shown to be needed | {} |\n| stronger, not yet shown | {unshown} |\n\
         | stronger, cannot be shown by a model | {reasoned} |\n\
         | in protocols that only tests have | {} |\n",
        in_libraries.len(),
        in_libraries.len() - strong,
        strong - unshown - reasoned,
        in_tests.len(),
    );
    let _ = write!(out, "\n## Not yet shown to be needed: {}\n", missing.len());
    if missing.is_empty() {
        let _ = write!(out, "\nNone.\n");
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
    let _ = write!(
        out,
        "\n## Cannot be shown by a model: {}\n\n\
         The orderings inside `crossbeam-epoch`, `arc-swap` and `parking_lot` are not listed: they are no sites of this \
         workspace. The models use the first as it is, and stand-ins for the others.\n\n\
         | site | ordering | where | because |\n|---|---|---|---|\n",
        excused.len()
    );
    for site in excused {
        let why = cell(reason(site).unwrap_or_default());
        let _ = writeln!(out, "| `{}` | {} | {} | {why} |", site.name, ordering(site), place(sources, site));
    }
    for (title, part) in [("Sites", in_libraries), ("Protocols that only tests have", in_tests)] {
        let _ = write!(
            out,
            "\n## {title}\n\n| site | where | ordering | partner | what it orders | too weak, shown by |\n|---|---|---|---|---|---|\n"
        );
        for site in part {
            let why = site.why.split(" SAFETY:").next().unwrap_or_default();
            let why = why.split(NO_MODEL).next().unwrap_or_default();
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

/// For each weaker ordering the tests that show it to be too weak, or why there is none.
fn proof(site: &Site, proofs: &[Proof]) -> String {
    let mut orderings: BTreeMap<String, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for proof in proofs.iter().filter(|proof| proof.site == site.name) {
        let files = orderings.entry(format!("{:?}", proof.to)).or_default();
        files.entry(&proof.file).or_default().push(format!("`{}`", proof.test));
    }
    match (orderings.is_empty(), site.ordering) {
        (true, Ordering::Relaxed) => "already the weakest".into(),
        (true, _) if reason(site).is_some() => "cannot be shown by a model".into(),
        (true, _) => "not yet shown".into(),
        (false, _) => {
            let tests = |files: BTreeMap<&str, Vec<String>>| {
                let in_files =
                    files.iter().map(|(file, tests)| format!("{} in {}", tests.join(", "), link(file)));
                in_files.collect::<Vec<_>>().join("; ")
            };
            let all = orderings.into_iter().map(|(to, files)| format!("{to}: {}", tests(files)));
            all.collect::<Vec<_>>().join("<br>")
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
