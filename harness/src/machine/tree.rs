//! Small text files of `/proc` and `/sys`, below a root that tests can choose.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// A list of CPUs that names one above this is taken for garbage.
const MAX_CPU: usize = 1 << 16;

/// A file tree that looks like that of a Linux system. Every read may fail; a file that is missing, unreadable or
/// malformed is `None`, never an error: the facts of a machine are recorded as far as they are visible.
#[derive(Clone, Debug)]
pub struct Tree(PathBuf);

impl Tree {
    /// The tree of this system.
    pub fn system() -> Tree {
        Tree::at("/")
    }

    /// The tree below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Tree {
        Tree(root.into())
    }

    /// The content of the file without the white space around it; `None` when that is empty.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.0.join(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The content of the file as one number.
    pub fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The content of the file as a list of CPUs.
    pub fn cpus(&self, path: &str) -> Option<Vec<usize>> {
        cpu_list(&self.text(path)?)
    }

    /// The value of the first line `key: value`.
    pub fn field(&self, path: &str, key: &str) -> Option<String> {
        field(&self.text(path)?, key).map(str::to_owned)
    }

    /// The value of the first line `key: value kB`, in bytes.
    pub fn kilobytes(&self, path: &str, key: &str) -> Option<u64> {
        kilobytes(&self.text(path)?, key)
    }

    /// The names `prefix<number>` in a folder, as their numbers in ascending order.
    pub fn numbered(&self, folder: &str, prefix: &str) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(self.0.join(folder)) else { return Vec::new() };
        let mut numbers: Vec<usize> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The value of the first line `key: value` of a text.
fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// The value of the first line `key: value kB` of a text, in bytes.
pub fn kilobytes(text: &str, key: &str) -> Option<u64> {
    field(text, key)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Parses the kernel's form of a set of CPUs, `0-3,8,10-11`, into ascending numbers.
pub fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = in_order(text)?;
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// Parses the same form, and keeps the order and what comes twice.
pub fn in_order(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if first > last || last > MAX_CPU {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// The text that [`in_order`] parses into these numbers.
pub fn spelled(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let parts = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(usize::to_string).collect(),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Parses `32K`, `8M` or `512` into bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (&text[..at], 1 << 10),
        (at, 'M' | 'm') => (&text[..at], 1 << 20),
        (at, 'G' | 'g') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_cpu_lists() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(cpu_list("4,2-3,3"), Some(vec![2, 3, 4]));
        for bad in ["", "x", "3-1", "0-", "-1", "0,,1", "0-4294967295"] {
            assert_eq!(cpu_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn spells_what_it_parses() {
        for (numbers, text) in [
            (vec![], ""),
            (vec![7], "7"),
            (vec![0, 1, 2, 5], "0-2,5"),
            (vec![4, 0, 0, 3, 2], "4,0,0,3,2"),
            (vec![3, 4, 0, 1], "3-4,0-1"),
        ] {
            assert_eq!(spelled(&numbers), text);
            assert_eq!(in_order(text), (!text.is_empty()).then_some(numbers));
        }
    }

    #[test]
    fn parses_sizes() {
        assert_eq!(bytes("32K"), Some(32 << 10));
        assert_eq!(bytes("8M"), Some(8 << 20));
        assert_eq!(bytes("512"), Some(512));
        assert_eq!(bytes(""), None);
        assert_eq!(bytes("K"), None);
        assert_eq!(bytes("99999999999999999999K"), None);
        assert_eq!(bytes("18446744073709551615G"), None);
    }
}
