//! Which program measured: the facts that the build script and the compiler know.

use hnsw_core::distance::{Kernels, Metric};
use serde::{Deserialize, Serialize};

use crate::alloc::ALLOCATOR;

/// Where this program comes from and how it was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// The version of the package.
    pub version: String,
    /// The commit that it was built from, or `unknown`.
    pub git_commit: String,
    /// Whether the sources differed from the commit; `None` when the commit is unknown.
    pub git_dirty: Option<bool>,
    /// The compiler, with its version.
    pub rustc: String,
    /// The target triple.
    pub target: String,
    /// The cargo profile.
    pub profile: String,
    /// Extra flags for the compiler, which may have chosen another CPU.
    pub rustflags: String,
    /// Whether debug assertions are compiled in. Timings of such a build are worthless.
    pub debug_assertions: bool,
    /// The instruction set that the distance kernels use on this machine.
    pub isa: String,
    /// The global allocator.
    pub allocator: String,
}

/// The facts about this program.
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: env!("HNSW_LAB_GIT_COMMIT").to_owned(),
        git_dirty: env!("HNSW_LAB_GIT_DIRTY").parse().ok(),
        rustc: env!("HNSW_LAB_RUSTC").to_owned(),
        target: env!("HNSW_LAB_TARGET").to_owned(),
        profile: env!("HNSW_LAB_PROFILE").to_owned(),
        rustflags: env!("HNSW_LAB_RUSTFLAGS").to_owned(),
        debug_assertions: cfg!(debug_assertions),
        isa: isa_in_use(),
        allocator: ALLOCATOR.to_owned(),
    }
}

/// The name of the instruction set that the distance kernels use.
pub(super) fn isa_in_use() -> String {
    format!("{:?}", Kernels::new(Metric::L2).isa()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_build_was() {
        let build = build_info();
        assert!(build.rustc.starts_with("rustc "), "{}", build.rustc);
        assert!(build.target.contains(std::env::consts::ARCH), "{}", build.target);
        assert!(!build.profile.is_empty() && !build.profile.contains('/'), "{}", build.profile);
        assert_eq!(build.debug_assertions, cfg!(debug_assertions));
        let is_commit =
            build.git_commit.len() >= 40 && build.git_commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(is_commit || build.git_commit == "unknown", "{}", build.git_commit);
        assert_eq!(build.git_dirty.is_some(), build.git_commit != "unknown");
        let json = serde_json::to_string(&build).expect("JSON");
        assert_eq!(serde_json::from_str::<BuildInfo>(&json).expect("the same"), build);
    }
}
