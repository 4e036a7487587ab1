//! Instruction sets: which there are, which this machine runs, and which one the environment asks for.

use core::fmt;
use core::str::FromStr;
use std::ffi::OsStr;
use thiserror::Error;

/// An instruction set that a kernel is written for, from the plainest to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust; runs everywhere and defines the result.
    Scalar,
    /// Arm NEON.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512F.
    Avx512,
}

/// An instruction set that was asked for by name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IsaError {
    /// There is none of this name.
    #[error("unknown instruction set {0:?}; HNSW_ISA takes one of {all}", all = names(&Isa::ALL))]
    Unknown(String),
    /// This machine lacks it.
    #[error("HNSW_ISA asks for {0}, which this machine does not run; it runs {all}", all = names(&Isa::available()))]
    Unavailable(Isa),
}

impl Isa {
    /// The environment variable that overrides the choice.
    pub const VARIABLE: &'static str = "HNSW_ISA";

    const ALL: [Isa; 4] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// The name in `HNSW_ISA`, flags and result documents.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this machine runs it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[allow(unreachable_patterns, reason = "which sets remain depends on the architecture")]
            _ => false,
        }
    }

    /// All that this machine runs, the best last.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The best that this machine runs.
    pub fn detect() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Scalar)
    }

    /// The set that the environment variable `HNSW_ISA` names, if it is set and not empty.
    ///
    /// # Errors
    /// When it names no set, or one that this machine lacks. [`Kernels::new`](super::Kernels::new) then uses the best
    /// there is; a program that takes the variable seriously reports the error first.
    pub fn from_env() -> Result<Option<Isa>, IsaError> {
        Isa::from_setting(std::env::var_os(Isa::VARIABLE).as_deref())
    }

    fn from_setting(setting: Option<&OsStr>) -> Result<Option<Isa>, IsaError> {
        match setting {
            None => Ok(None),
            Some(name) if name.is_empty() => Ok(None),
            Some(name) => {
                let isa: Isa = name.to_string_lossy().parse()?;
                if isa.is_available() { Ok(Some(isa)) } else { Err(IsaError::Unavailable(isa)) }
            }
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        let found = Isa::ALL.into_iter().find(|isa| isa.name() == name);
        found.ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}

fn names(isas: &[Isa]) -> String {
    isas.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
            assert_eq!(isa.to_string(), isa.name());
        }
    }

    #[test]
    fn the_best_available_is_detected() {
        let available = Isa::available();
        assert_eq!(available.first(), Some(&Isa::Scalar));
        assert_eq!(available.last(), Some(&Isa::detect()));
        assert!(available.is_sorted());
    }

    #[test]
    fn no_setting_and_an_empty_one_leave_the_choice_open() {
        assert_eq!(Isa::from_setting(None), Ok(None));
        assert_eq!(Isa::from_setting(Some(OsStr::new(""))), Ok(None));
    }

    #[test]
    fn a_setting_is_an_available_set_or_an_error() {
        for isa in Isa::ALL {
            let expected = if isa.is_available() { Ok(Some(isa)) } else { Err(IsaError::Unavailable(isa)) };
            assert_eq!(Isa::from_setting(Some(OsStr::new(isa.name()))), expected);
        }
    }

    #[test]
    fn errors_are_one_line_that_says_what_is_possible() {
        let unknown = Isa::from_setting(Some(OsStr::new("sse\n9"))).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unknown instruction set \"sse\\n9\"; HNSW_ISA takes one of scalar, neon, avx2, avx512"
        );
        let unavailable = IsaError::Unavailable(Isa::Neon).to_string();
        assert!(unavailable.starts_with("HNSW_ISA asks for neon"), "{unavailable}");
        assert!(unavailable.contains("it runs scalar"), "{unavailable}");
    }
}
