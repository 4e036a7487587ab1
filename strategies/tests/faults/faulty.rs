//! A graph, a codec and a recorder that fail on demand.
//!
//! Each hands every call on to what it wraps, and marks *points* on the way: before each call, after each one that changes
//! something, and inside the function of a rewrite. On a thread that is [`armed`], the n-th point that it passes panics or waits
//! at a gate; other threads notice nothing. Running n up from 0 until a call ends before its n-th point reaches every step of
//! it: between two points there is only code of the algorithm that touches nothing shared.
//!
//! What the points cannot reach is the inside of a strategy's own calls, between two of its atomic accesses. No code of others
//! runs there, so nothing can panic, and to be suspended there is what `histories/suspended/` is about.

use crate::codec::{Hook, Hooked};
use core::cell::RefCell;
use hnsw_core::error::{ConfigError, Full};
use hnsw_core::graph::{
    At, Caps, Contention, Edit, Entry, Graph, GraphConfig, Level, Link, LinkBuf, MemoryReport, NodeId,
    NodeState, Snapshots, Stage, Stamp, Verdict, View,
};
use hnsw_core::hnsw::{Phase, Recorder};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

/// The session that a thread has open at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    Nothing,
    Read,
    Write,
    /// A session for changing, inside the function of a rewrite.
    Rewrite,
}

/// One point that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub what: &'static str,
    pub holds: Holds,
}

/// What happens at the n-th point.
pub enum Fault {
    Panic,
    Wait(Gate),
}

/// Where a thread waits: it tells the step, and goes on when the other end is sent to or gone.
pub struct Gate {
    pub reached: mpsc::Sender<Step>,
    pub open: mpsc::Receiver<()>,
}

/// What a panic of ours carries.
struct Planned;

struct Armed {
    /// The point at which it happens; taken when it has.
    fault: Option<(usize, Fault)>,
    holds: Holds,
    /// Added to the number of each attempt.
    attempts: u32,
    trace: Vec<Step>,
}

thread_local! {
    static ARMED: RefCell<Option<Armed>> = const { RefCell::new(None) };
}

/// Runs `body` on this thread with a fault at one of its points, if there is one. Returns what it returned, or `None` if
/// the fault ended it, and the steps that it passed. Any other panic goes on.
pub fn armed<R>(fault: Option<(usize, Fault)>, body: impl FnOnce() -> R) -> (Option<R>, Vec<Step>) {
    armed_from(0, fault, body)
}

/// As [`armed`], with sessions for changing that are opened as if so many attempts had failed.
pub fn armed_from<R>(
    attempts: u32,
    fault: Option<(usize, Fault)>,
    body: impl FnOnce() -> R,
) -> (Option<R>, Vec<Step>) {
    ARMED.set(Some(Armed { fault, holds: Holds::Nothing, attempts, trace: Vec::new() }));
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let trace = ARMED.take().map_or_else(Vec::new, |armed| armed.trace);
    match outcome {
        Ok(result) => (Some(result), trace),
        Err(panic) if panic.is::<Planned>() => (None, trace),
        Err(panic) => resume_unwind(panic),
    }
}

/// Marks a point.
pub fn point(what: &'static str) {
    let fault = ARMED.with_borrow_mut(|armed| {
        let armed = armed.as_mut()?;
        let step = Step { what, holds: armed.holds };
        armed.trace.push(step);
        let passed = armed.trace.len() - 1;
        armed.fault.take_if(|(at, _)| *at == passed).map(|(_, fault)| (step, fault))
    });
    match fault {
        None => {}
        // Without a message from the hook: there are thousands.
        Some((_, Fault::Panic)) => resume_unwind(Box::new(Planned)),
        Some((step, Fault::Wait(gate))) => {
            gate.reached.send(step).expect("the test waits for it");
            // Also ends when the sender is gone: then the test has failed, and the thread must not hang.
            let _ = gate.open.recv();
        }
    }
}

/// Remembers what the thread has open, until it is dropped.
struct Holding(Holds);

impl Holding {
    fn now(holds: Holds) -> Self {
        Holding(replace_holds(holds))
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        replace_holds(self.0);
    }
}

fn replace_holds(holds: Holds) -> Holds {
    ARMED.with_borrow_mut(|armed| {
        armed.as_mut().map_or(Holds::Nothing, |armed| core::mem::replace(&mut armed.holds, holds))
    })
}

/// A graph whose calls are points.
pub struct Faulty<G>(G);

/// A session of it.
pub struct Session<S> {
    inner: S,
    /// After the session, so that it is dropped later.
    holding: Holding,
}

impl<G: Graph> Graph for Faulty<G> {
    const NAME: &'static str = G::NAME;
    const CAPS: Caps = G::CAPS;

    type Read<'g> = Session<G::Read<'g>>;
    type Write<'g> = Session<G::Write<'g>>;

    fn with_config(config: &GraphConfig) -> Result<Self, ConfigError> {
        G::with_config(config).map(Faulty)
    }

    fn reserve(&self, count: usize, level_of: impl Fn(NodeId) -> Level) -> Result<NodeId, Full> {
        point("reserve");
        let first = self.0.reserve(count, level_of)?;
        point("reserved");
        Ok(first)
    }

    fn read(&self) -> Self::Read<'_> {
        point("read");
        Session { inner: self.0.read(), holding: Holding::now(Holds::Read) }
    }

    fn write(&self, attempt: u32) -> Self::Write<'_> {
        point("write");
        let attempts = ARMED.with_borrow(|armed| armed.as_ref().map_or(0, |armed| armed.attempts));
        Session { inner: self.0.write(attempt + attempts), holding: Holding::now(Holds::Write) }
    }

    fn memory(&self) -> MemoryReport {
        self.0.memory()
    }

    fn contention(&self) -> Contention {
        self.0.contention()
    }

    fn quiesce(&self) {
        self.0.quiesce();
    }
}

impl<G: Snapshots> Snapshots for Faulty<G> {
    type Snapshot = G::Snapshot;

    fn snapshot(&self) -> G::Snapshot {
        self.0.snapshot()
    }

    fn stamp(snapshot: &G::Snapshot) -> Stamp {
        G::stamp(snapshot)
    }
}

impl<S: View> View for Session<S> {
    fn entry(&self) -> Option<Entry> {
        point("entry");
        self.inner.entry()
    }

    fn node_count(&self) -> usize {
        point("node_count");
        self.inner.node_count()
    }

    fn state(&self, node: NodeId) -> NodeState {
        point("state");
        self.inner.state(node)
    }

    fn level(&self, node: NodeId) -> Level {
        point("level");
        self.inner.level(node)
    }

    fn may_have_tombstones(&self) -> bool {
        point("may_have_tombstones");
        self.inner.may_have_tombstones()
    }

    fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
        point("links");
        self.inner.links(at, buf)
    }

    fn prefetch(&self, at: At, stage: Stage) {
        // A hint, and no step.
        self.inner.prefetch(at, stage);
    }
}

impl<S: Edit> Edit for Session<S> {
    type Conflict = S::Conflict;

    fn rewrite<F>(&mut self, at: At, mut f: F) -> Verdict
    where
        F: FnMut(&[Link], &mut LinkBuf) -> Verdict,
    {
        point("rewrite");
        let verdict = self.inner.rewrite(at, |links, out| {
            let _holding = Holding::now(Holds::Rewrite);
            point("rewrite begins");
            let verdict = f(links, out);
            point("rewrite ends");
            verdict
        });
        point("rewritten");
        verdict
    }

    fn publish(&mut self, node: NodeId) {
        point("publish");
        self.inner.publish(node);
        point("published");
    }

    fn tombstone(&mut self, node: NodeId) -> bool {
        point("tombstone");
        let removed = self.inner.tombstone(node);
        point("tombstoned");
        removed
    }

    fn found(&mut self, entry: Entry) -> bool {
        point("found");
        let first = self.inner.found(entry);
        point("founded");
        first
    }

    fn raise_entry(&mut self, entry: Entry) -> bool {
        point("raise_entry");
        let raised = self.inner.raise_entry(entry);
        point("raised_entry");
        raised
    }

    fn commit(self) -> Result<Stamp, S::Conflict> {
        point("commit");
        let Session { inner, holding } = self;
        let outcome = inner.commit();
        drop(holding);
        point("committed");
        outcome
    }
}

/// Its calls are points.
#[derive(Clone, Copy)]
pub struct AtPoints;

impl Hook for AtPoints {
    const NAME: &'static str = "points";

    fn before(call: &'static str, _rows: usize) {
        point(call);
    }
}

/// The codec of vectors, whose work is points.
pub type Points = Hooked<AtPoints>;

/// A recorder whose calls are points.
pub struct Calls;

impl Recorder for Calls {
    fn done(&mut self, phase: Phase) {
        point(match phase {
            Phase::Search => "searched",
            Phase::Select => "selected",
            Phase::Link => "linked",
            Phase::Wait => "waited",
        });
    }
}
