//! Reads the named ordering sites out of the source text.
//!
//! A site is a comment line directly above an atomic access that begins with the ordering and names the site in brackets:
//! `// Release [segment-install]: …`. A compare-and-swap may have a second one for the case of failure:
//! `// Relaxed on failure [segment-lost]: …`, or in one line `// Relaxed [take] and on failure [lost]: …`. The site reaches from that line to the end of the statement below, or to
//! the next site if that comes first. Text is all that is read, so an access that a macro expands to has no site.
//!
//! Unit tests, the models and `core/examples/orderings.rs`, which prints `docs/orderings.md`, read the sites from here.

use std::fmt;
use std::fs;
use std::iter;
#[cfg(any(hnsw_loom, hnsw_shuttle, hnsw_count))]
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// A named memory ordering.
#[derive(Clone, Debug)]
pub struct Site {
    /// Unique in the workspace.
    pub name: String,
    /// From the root of the workspace.
    pub file: String,
    /// The line of the name, counted from 1.
    pub line: u32,
    /// The last line of the access.
    pub last_line: u32,
    /// The ordering that the comment states.
    pub ordering: Ordering,
    /// This is the ordering of a compare-and-swap that fails.
    pub on_failure: bool,
    /// What the comment says after the name.
    pub why: String,
}

#[cfg(any(hnsw_loom, hnsw_shuttle, hnsw_count))]
impl Site {
    /// Whether what is called from `place` belongs to the site.
    pub(super) fn is_at(&self, place: &Location<'_>) -> bool {
        (self.line..=self.last_line).contains(&place.line())
            && place.file().replace('\\', "/").ends_with(&self.file)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {:?} at {}:{}", self.name, self.ordering, self.file, self.line)
    }
}

const ORDERINGS: [(&str, Ordering); 5] = [
    ("Relaxed", Ordering::Relaxed),
    ("Acquire", Ordering::Acquire),
    ("Release", Ordering::Release),
    ("AcqRel", Ordering::AcqRel),
    ("SeqCst", Ordering::SeqCst),
];

/// The ordering of this name.
pub fn ordering(name: &str) -> Option<Ordering> {
    ORDERINGS.iter().find(|(n, _)| *n == name).map(|&(_, ordering)| ordering)
}

/// All sites of the workspace, in the order of files and lines: those of the libraries, and those of protocols that tests
/// model on their own.
#[cfg(any(hnsw_loom, hnsw_shuttle, hnsw_count, not(test)))]
pub fn workspace() -> Vec<Site> {
    sources().iter().flat_map(|(file, text)| scan(file, text)).collect()
}

/// Path from the root of the workspace, and text, of all Rust files of all packages.
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is inside the workspace");
    let mut files = Vec::new();
    let folders = entries(root).into_iter().flat_map(|folder| {
        let inner = entries(&folder);
        iter::once(folder).chain(inner)
    });
    for package in folders.filter(|folder| folder.join("Cargo.toml").is_file()) {
        for part in ["src", "tests"] {
            rust_files(&package.join(part), &mut files);
        }
    }
    let read = |path: PathBuf| {
        let file = path.strip_prefix(root).expect("found below it").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        (file, text)
    };
    files.into_iter().map(read).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// What is in a folder, sorted; nothing if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// The sites of one file.
pub fn scan(file: &str, text: &str) -> Vec<Site> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut sites: Vec<Site> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if tags(lines[at]).is_empty() {
            at += 1;
            continue;
        }
        // The comment: this line and all that follow, until code comes.
        let code = at + lines[at..].iter().take_while(|line| comment(line).is_some()).count();
        let started = sites.len();
        for (line, text) in lines.iter().enumerate().take(code).skip(at) {
            let tags = tags(text);
            if tags.is_empty() {
                let why = &mut sites.last_mut().expect("the comment began with a site").why;
                why.push(' ');
                why.push_str(comment(text).unwrap_or_default());
            }
            sites.extend(tags.into_iter().map(|tag| Site {
                name: tag.name.to_owned(),
                file: file.to_owned(),
                line: line as u32 + 1,
                last_line: 0,
                ordering: tag.ordering,
                on_failure: tag.on_failure,
                why: tag.why.trim_start_matches([':', ' ']).to_owned(),
            }));
        }
        let last = statement_end(&lines, code);
        sites[started..].iter_mut().for_each(|site| site.last_line = last as u32 + 1);
        at = code;
    }
    sites
}

/// The text of a line that is nothing but a comment, doc comments excluded.
fn comment(line: &str) -> Option<&str> {
    let text = line.strip_prefix("//")?;
    (!text.starts_with(['/', '!'])).then(|| text.trim())
}

struct Tag<'a> {
    ordering: Ordering,
    on_failure: bool,
    name: &'a str,
    why: &'a str,
}

/// The sites that a comment line opens: none, one, or one for success and one for failure.
fn tags(line: &str) -> Vec<Tag<'_>> {
    let Some((head, name, why)) = comment(line).and_then(bracket) else { return Vec::new() };
    let Some(first) = head.split_whitespace().next().and_then(ordering) else { return Vec::new() };
    // `Acquire: pairs with Release [other]` refers to a site and opens none.
    if head.contains([':', ',', ';', '.']) {
        return Vec::new();
    }
    if let Some((link, other, why)) = bracket(why)
        && let Some(words) = link.strip_suffix("on failure ")
        && !words.contains([':', ';', '.'])
    {
        let failure = words.split_whitespace().find_map(ordering).unwrap_or(first);
        return vec![
            Tag { ordering: first, on_failure: false, name, why },
            Tag { ordering: failure, on_failure: true, name: other, why },
        ];
    }
    vec![Tag { ordering: first, on_failure: head.contains("failure"), name, why }]
}

/// What is before, in and behind the first brackets, if a name is in them.
fn bracket(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (name, behind) = rest.split_once(']')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(is_name)).then_some((before, name, behind))
}

/// The line on which the statement that begins at `first` ends, at the latest the one before the next site.
fn statement_end(lines: &[&str], first: usize) -> usize {
    let mut depth = 0i32;
    for (at, line) in lines.iter().enumerate().skip(first) {
        if at > first && !tags(line).is_empty() {
            return at - 1;
        }
        for c in code(line).chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                ';' if depth == 0 => return at,
                _ => (),
            }
            if depth < 0 {
                return at;
            }
        }
    }
    lines.len() - 1
}

/// A line without its comment and without what is between quotes.
pub fn code(line: &str) -> String {
    let mut kept = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => break,
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => (),
                    }
                }
            }
            // A character, not a lifetime: the closing quote is two further.
            '\'' => {
                let mut ahead = chars.clone();
                if ahead.next() == Some('\\') || ahead.next() == Some('\'') {
                    let escaped = chars.next() == Some('\\');
                    let more =
                        if escaped { chars.by_ref().skip(1).find(|&c| c == '\'') } else { chars.next() };
                    debug_assert_eq!(more, Some('\''), "{line}");
                }
            }
            c => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_found_with_ordering_and_extent() {
        let text = "
            // Acquire [probe]: pairs with Release [put]; this goes
            // on here.
            .take_while(|&s| s.load(Ordering::Acquire) != ';')
            .count();
            // Release [put]: the content; \"}\".
            // Relaxed on failure [lost]: nothing is read.
            let won = slot.compare_exchange(
                a, // ;
                Ordering::Release,
                Ordering::Relaxed,
            );
            // Relaxed: pairs with Release [put], so this opens nothing.
            if done {
                // SeqCst fence [last]: the end
                fence(Ordering::SeqCst)
            }
            // AcqRel [both] and Acquire on failure [else]: pairs with Release [put] on failure [no].
            x.compare_exchange(a, b, Ordering::AcqRel, Ordering::Acquire)
            // Relaxed [same] and on failure [so]: numbers.
            y.fetch_update(Ordering::Relaxed, Ordering::Relaxed, f);";
        let sites = scan("a/src/b.rs", text);
        let seen: Vec<_> =
            sites.iter().map(|s| (s.name.as_str(), s.ordering, s.on_failure, s.line, s.last_line)).collect();
        assert_eq!(
            seen,
            [
                ("probe", Ordering::Acquire, false, 2, 5),
                ("put", Ordering::Release, false, 6, 12),
                ("lost", Ordering::Relaxed, true, 7, 12),
                ("last", Ordering::SeqCst, false, 15, 17),
                ("both", Ordering::AcqRel, false, 18, 19),
                ("else", Ordering::Acquire, true, 18, 19),
                ("same", Ordering::Relaxed, false, 20, 21),
                ("so", Ordering::Relaxed, true, 20, 21),
            ]
        );
        assert_eq!(sites[0].why, "pairs with Release [put]; this goes on here.");
        assert_eq!(sites[0].to_string(), "[probe] Acquire at a/src/b.rs:2");
    }

    #[test]
    fn a_statement_with_a_body_ends_where_the_next_site_begins() {
        let text = "
            // Acquire [outer]: x
            while a.load(Ordering::Acquire) {
                // Relaxed [inner]: y
                b.load(Ordering::Relaxed);
            }
            ";
        let extents: Vec<_> = scan("b.rs", text).iter().map(|s| (s.line, s.last_line)).collect();
        assert_eq!(extents, [(2, 3), (4, 5)]);
    }

    /// The rule of the workspace: names are unique, and each comment states an ordering that its statement has.
    #[test]
    fn the_sites_of_the_workspace_are_sound() {
        let sources = sources();
        let mut faults = Vec::new();
        let mut sites: Vec<Site> = Vec::new();
        for (file, text) in &sources {
            let lines: Vec<&str> = text.lines().collect();
            for site in scan(file, text) {
                let statement = lines[site.line as usize..site.last_line as usize].join("\n");
                if !statement.contains(&format!("Ordering::{:?}", site.ordering)) {
                    faults.push(format!("{site}: its statement has no such ordering"));
                }
                if let Some(other) = sites.iter().find(|other| other.name == site.name) {
                    faults.push(format!("{site}: the name is taken by {other}"));
                }
                sites.push(site);
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(sites.iter().any(|site| site.name == "segment-install"), "the scan sees the libraries");
    }
}
