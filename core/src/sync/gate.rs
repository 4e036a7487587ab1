//! Finds atomic accesses that have no named site, and orderings that are written where [`scan`](super::scan) could not see them.
//!
//! An ordering may stand in one place only: as `Ordering::Name`, among the arguments of an atomic access or a fence, below a
//! comment that names a site with that ordering. So none is imported by its own name, renamed, or passed on as a value.
//! Tests and the facade itself may do as they like.
//!
//! Read as text, like the sites: `core/examples/orderings.rs` and a unit test call it.

use super::scan::{self, Site};

/// What has an ordering among its arguments; and all names that begin with `fetch_`.
const ACCESSES: [&str; 7] =
    ["load", "store", "swap", "compare_exchange", "compare_exchange_weak", "fence", "compiler_fence"];

const NAME: &str = "Ordering";

/// What is wrong in one file of a library or the program, as `file:line: fault: text`.
pub fn faults(file: &str, text: &str, sites: &[Site]) -> Vec<String> {
    if file.starts_with("core/src/sync/") || file.contains("/tests/") || file.ends_with("tests.rs") {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().take_while(|line| *line != "mod tests {").collect();
    let code: Vec<String> = lines.iter().map(|line| scan::code(line)).collect();
    let imports = imports(&code);
    // Or the word stands for the results of comparisons.
    let of_atomics = code
        .iter()
        .zip(&imports)
        .any(|(line, import)| *import && words(line).any(|at| !is_comparison(line, at)));
    let mut faults = Vec::new();
    for (number, line) in code.iter().enumerate() {
        for at in words(line).filter(|at| !is_comparison(line, *at)) {
            let behind = line[at + NAME.len()..].trim_start();
            let ordering = behind.strip_prefix("::").map(leading_word).and_then(scan::ordering);
            let covered = |site: &Site| {
                site.file == file
                    && (site.line..=site.last_line).contains(&(number as u32 + 1))
                    && Some(site.ordering) == ordering
            };
            let fault = match ordering {
                _ if imports[number] && (behind.starts_with("::") || behind.starts_with("as ")) => {
                    "an ordering that is imported or renamed"
                }
                _ if imports[number] => continue,
                Some(_) if !is_argument(&code[..=number], at) => {
                    "an ordering that is no argument of an access"
                }
                Some(_) if !sites.iter().any(covered) => "an access without a site of its ordering",
                None if of_atomics && !behind.starts_with("::") => "an ordering that is passed as a value",
                _ => continue,
            };
            faults.push(format!("{file}:{}: {fault}: {}", number + 1, lines[number].trim()));
        }
    }
    faults
}

/// Which lines belong to a `use`.
fn imports(code: &[String]) -> Vec<bool> {
    let mut inside = false;
    let belongs = |line: &String| {
        let line = line.trim_start();
        let item = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|c| c != ' ').trim());
        let belongs = inside || item.starts_with("use ");
        inside = belongs && !line.contains(';');
        belongs
    };
    code.iter().map(belongs).collect()
}

/// Where the word `Ordering` begins in a line.
fn words(line: &str) -> impl Iterator<Item = usize> {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(NAME).map(|(at, _)| at).filter(move |at| {
        !line[..*at].ends_with(part_of_word) && !line[at + NAME.len()..].starts_with(part_of_word)
    })
}

/// Whether the word at `at` is the result of a comparison.
fn is_comparison(line: &str, at: usize) -> bool {
    line[..at].ends_with("cmp::") || line[..at].contains("cmp::{")
}

fn leading_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// Whether what is at `at` in the last of the lines is an argument of an atomic access, and nothing is around it there.
fn is_argument(code: &[String], at: usize) -> bool {
    let mut depth = 0;
    for (number, line) in code.iter().enumerate().rev() {
        let before = if number + 1 == code.len() { &line[..at] } else { line };
        for (open, c) in before.char_indices().rev() {
            match c {
                ')' | ']' | '}' => depth += 1,
                '(' if depth == 0 => {
                    let name = before[..open].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
                    return name.is_some_and(|name| name.starts_with("fetch_") || ACCESSES.contains(&name));
                }
                '[' | '{' | ';' if depth == 0 => return false,
                '(' | '[' | '{' => depth -= 1,
                _ => (),
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> Vec<String> {
        let text: Vec<&str> = text.lines().map(str::trim).collect();
        let text = text.join("\n");
        faults("a/src/b.rs", &text, &scan::scan("a/src/b.rs", &text))
    }

    #[test]
    fn accesses_below_their_sites_are_as_they_should_be() {
        let text = "
            use hnsw_core::sync::{AtomicU32, Ordering, fence};
            // Relaxed [gate-seen]: a number.
            let seen = word.load(Ordering::Relaxed);
            // Release [gate-won]: pairs with Acquire [gate-fence]; the row.
            // Relaxed on failure [gate-lost]: nothing is read.
            let won = word.compare_exchange(
                seen.max(1),
                {2}, // fetch_it(
                Ordering::Release,
                Ordering::Relaxed,
            );
            // Acquire [gate-fence]: pairs with Release [gate-won]; the row.
            fence(Ordering::Acquire);
            // Relaxed [gate-sum]: counts.
            words.iter().map(|word| word.fetch_add(1, Ordering::Relaxed)).sum()";
        assert_eq!(faults_of(text), [""; 0]);
    }

    #[test]
    fn an_access_needs_a_site_whatever_its_ordering() {
        for ordering in ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"] {
            let text = format!("// {ordering}: a comment without a name.\nx.swap(1, Ordering::{ordering});");
            let fault = "a/src/b.rs:2: an access without a site of its ordering: ";
            assert_eq!(faults_of(&text), [format!("{fault}x.swap(1, Ordering::{ordering});")]);
        }
    }

    #[test]
    fn a_site_is_not_one_of_another_ordering_or_of_another_statement() {
        let failure = "
            // Release [gate-swap]: pairs with Acquire [gate-fence]; the row.
            x.compare_exchange(1, 2, Ordering::Release, Ordering::Acquire);";
        assert_eq!(faults_of(failure).len(), 1, "the ordering on failure");
        let next = "
            // Relaxed [gate-first]: a number.
            x.load(Ordering::Relaxed);
            y.load(Ordering::Relaxed);";
        assert_eq!(
            faults_of(next),
            ["a/src/b.rs:4: an access without a site of its ordering: y.load(Ordering::Relaxed);"]
        );
    }

    #[test]
    fn an_ordering_is_not_imported_or_renamed() {
        for import in [
            "use Ordering::Relaxed;",
            "use hnsw_core::sync::Ordering::{self, Relaxed};",
            "pub(super) use hnsw_core::sync::Ordering as Order;",
            "use hnsw_core::sync::{\nAtomicU32,\nOrdering::*,\n};",
        ] {
            let faults = faults_of(import);
            assert!(matches!(&*faults, [one] if one.contains("imported or renamed")), "{import}: {faults:?}");
        }
    }

    #[test]
    fn an_ordering_is_not_a_value() {
        let import = "use hnsw_core::sync::Ordering;\n";
        for passed in [
            "fn read(&self, order: Ordering) -> u32 {",
            "const ORDER: Ordering = of();",
            "// Acquire [a]: pairs with Release [b].\nlet order = Ordering::Acquire;",
            "// Acquire [a]: pairs with Release [b].\nself.read(Ordering::Acquire);",
            "// Acquire [a]: pairs with Release [b].\nx.load(if new { Ordering::Acquire } else { o() });",
            "// Acquire [a]: pairs with Release [b].\nx.load(of(Ordering::Acquire));",
        ] {
            assert_eq!(faults_of(&format!("{import}{passed}")).len(), 1, "{passed}");
        }
    }

    #[test]
    fn comparisons_and_tests_and_the_facade_have_other_rules() {
        let compared = "
            use std::cmp::{Ordering, Reverse};
            fn cmp(&self, other: &Near) -> Ordering {
            fn cmp(&self, other: &Near) -> core::cmp::Ordering {
            Ordering::Less => 1,";
        assert_eq!(faults_of(compared), [""; 0]);
        let access = "x.load(Ordering::Relaxed);";
        assert_eq!(faults_of(access).len(), 1);
        assert_eq!(faults_of(&format!("mod tests {{\n{access}")), [""; 0]);
        for file in ["core/src/sync/std.rs", "strategies/tests/tsan.rs", "core/src/graph/tests.rs"] {
            assert_eq!(faults(file, access, &[]), [""; 0], "{file}");
        }
    }

    #[test]
    fn nothing_of_the_workspace_is_hidden() {
        let of_file = |(file, text): (String, String)| faults(&file, &text, &scan::scan(&file, &text));
        let faults: Vec<String> = scan::sources().into_iter().flat_map(of_file).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
