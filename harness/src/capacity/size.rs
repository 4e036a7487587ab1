//! Sizes on the command line: `512MB`, `1.5 GB`, `64MiB`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes, not zero, as people write it: kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB are powers
/// of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(u64);

const UNITS: [(&str, u64); 9] = [
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("b", 1),
];

impl Size {
    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong =
            || format!("'{text}' is no size; write a number and a unit, such as 512MB, 1.5GB or 64MiB");
        let lower = text.trim().to_ascii_lowercase();
        let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = lower.split_at(split);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?.1;
        let bytes = number * unit as f64;
        // Up to 2^53 an f64 holds every whole number.
        if !(1.0..=(1u64 << 53) as f64).contains(&bytes) {
            return Err(format!("'{text}' is out of range; sizes are from 1 byte to 9000 TB"));
        }
        Ok(Size(bytes as u64))
    }
}

/// In the largest decimal unit, or failing that binary one, that gives a whole number.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 9] = ["TB", "GB", "MB", "kB", "TiB", "GiB", "MiB", "KiB", "B"];
        let (name, unit) = UNITS
            .iter()
            .zip(NAMES)
            .find(|((_, unit), _)| self.0.is_multiple_of(*unit))
            .map_or(("B", 1), |((_, unit), name)| (name, *unit));
        f.pad(&format!("{} {name}", self.0 / unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, String> {
        text.parse::<Size>().map(Size::bytes)
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("128MB", 128_000_000),
            ("1gb", 1_000_000_000),
            ("1.5 GB", 1_500_000_000),
            ("0.5kB", 500),
            ("64MiB", 64 << 20),
            ("2 TiB", 2 << 40),
            ("4096B", 4_096),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_in_one_line() {
        for text in ["", "MB", "12", "12 parsecs", "1.2.3MB", "-1MB", "nanMB", "1e3MB"] {
            let line = bytes(text).unwrap_err();
            assert!(line.contains("is no size") && !line.contains('\n'), "{text}: {line}");
        }
        for text in ["0MB", "0.1B", "99999999TB"] {
            assert!(bytes(text).unwrap_err().contains("out of range"), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_whole_units() {
        for text in ["128 MB", "16 GB", "1500 MB", "64 MiB", "4097 B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
