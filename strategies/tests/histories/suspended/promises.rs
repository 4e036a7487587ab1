//! Who may be held up by a suspended thread: the first table of P8 in `docs/contract.md`, row by row.

use hnsw_core::graph::Caps;

/// From when to when a thread holds something that others wait for. Steps have the names of their sites; what is done to locks
/// has none, and is named by the file in which they are taken.
#[derive(Clone, Copy)]
pub struct Hold {
    /// It has it when one of these is behind it.
    taken: &'static [&'static str],
    /// It has given it back when it has done this as often as it took it.
    given: &'static str,
    /// All that it does in between, and how often at most; whatever it likes, if this is empty.
    between: &'static [&'static str],
    /// Everyone wants it, so all of them wait.
    pub of_all: bool,
}

/// Who may wait, and while the suspended thread holds what.
#[derive(Clone, Copy)]
pub struct Promise {
    pub searches: Option<Hold>,
    pub writers: Option<Hold>,
}

/// The byte of one list, for as long as a function of others runs.
const BYTE: Hold = Hold { taken: &["list-lock"], given: "list-unlock", between: &[], of_all: false };
/// The byte of one list, for looking at it and storing it.
const STORE: Hold = Hold { between: &["slots-read-locked", "slots-write"], ..BYTE };
/// A version that is odd.
const VERSION: Hold =
    Hold { taken: &["version-claim"], given: "version-end", between: &["version-store"], of_all: false };

/// # Panics
/// When a strategy has no row, or its row is not what its `CAPS` say.
pub fn promise(name: &str, caps: Caps) -> Promise {
    const MUTEX: Hold = Hold {
        taken: &["lock at strategies/src/sequential/mod.rs"],
        given: "unlock at strategies/src/sequential/mod.rs",
        between: &[],
        of_all: true,
    };
    const SESSION: Hold = Hold {
        taken: &["read lock at strategies/src/coarse/mod.rs", "write lock at strategies/src/coarse/mod.rs"],
        given: "unlock at strategies/src/coarse/mod.rs",
        between: &[],
        of_all: true,
    };
    const EDIT: Hold = Hold { taken: &["write lock at strategies/src/coarse/mod.rs"], ..SESSION };
    // The queue of requests has a lock of its own in that file, which is taken under the other one.
    const COMMIT: Hold = Hold {
        taken: &["lock at strategies/src/mvcc/commit.rs"],
        given: "unlock at strategies/src/mvcc/commit.rs",
        between: &[],
        of_all: true,
    };
    let (searches, writers) = match name {
        "sequential" => (Some(MUTEX), Some(MUTEX)),
        "coarse" => (Some(EDIT), Some(SESSION)),
        "fine" | "batch" => (Some(BYTE), Some(BYTE)),
        "lockfree" => (None, None),
        "mvcc" => (None, Some(COMMIT)),
        "slots" => (None, Some(STORE)),
        "seqlock" => (Some(VERSION), Some(VERSION)),
        _ => panic!("{name} has no row in the table"),
    };
    assert_eq!(searches.is_none(), caps.wait_free_reads || caps.snapshots, "{name}");
    assert_eq!(writers.is_none(), caps.lock_free_writes, "{name}");
    Promise { searches, writers }
}

impl Hold {
    /// Whether a thread that has done this holds it. No hold lasts longer than `cap` steps of a kind, if it is bounded.
    ///
    /// # Panics
    /// When it did what it does not do while it holds it.
    pub fn is_held(&self, done: &[&str], cap: usize) -> bool {
        // Without the line.
        let kind = |step| str::rsplit_once(step, ':').map_or(step, |(what, _)| what);
        let (mut depth, mut steps) = (0_usize, Vec::new());
        for step in done {
            if self.taken.contains(&kind(step)) {
                depth += 1;
            } else if self.given == kind(step) {
                // Another lock of that file may have been shared.
                depth = depth.saturating_sub(1);
                steps.clear();
            } else if depth > 0 {
                steps.push(step);
                let as_often = steps.iter().filter(|other| *other == &step).count();
                let may = self.between.is_empty() || self.between.contains(step) && as_often <= cap;
                assert!(may, "holds {:?} for {steps:?}", self.taken);
            }
        }
        depth > 0
    }
}
