//! What the tasks of one step of a build leave for those of the next: words that many tasks write at once, each of them one task.
//!
//! All accesses are Relaxed: that the pool joins the tasks of a step before those of the next begin is what orders them.
//! `core/tests/loom_bulk.rs` calls these functions from threads that are joined in the same way, and shows that this is enough.

use crate::hnsw::pool::Candidate;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The candidates of each point, in as many slots as it is in groups.
pub struct Candidates {
    of_slot: usize,
    of_point: usize,
    words: Vec<AtomicU32>,
}

impl Candidates {
    const NONE: u32 = u32::MAX;

    /// A place without a candidate.
    pub fn none() -> AtomicU32 {
        AtomicU32::new(Self::NONE)
    }

    /// None yet. There are `of_slot` places in a slot, and a point has `slots` of them.
    pub fn new(of_slot: usize, slots: usize, words: Vec<AtomicU32>) -> Self {
        Candidates { of_slot, of_point: of_slot * slots, words }
    }

    /// Writes candidates into a slot, whose group is the caller's task.
    #[inline]
    pub fn put(&self, slot: usize, found: impl ExactSizeIterator<Item = u32>) {
        let places = &self.words[slot * self.of_slot..][..found.len()];
        for (place, candidate) in places.iter().zip(found) {
            // Relaxed [bulk-candidate]: no one else writes this one, and the pool's join orders it before readers.
            place.store(candidate, Ordering::Relaxed);
        }
    }

    /// All candidates of a point, some of them more than once. Not before the tasks that put them are joined.
    #[inline]
    pub fn of(&self, point: usize) -> impl Iterator<Item = u32> {
        let places = &self.words[point * self.of_point..][..self.of_point];
        // Relaxed [bulk-candidate-read]: written before the pool's join that ended the comparing.
        let candidates = places.iter().map(|place| place.load(Ordering::Relaxed));
        candidates.filter(|candidate| *candidate != Self::NONE)
    }
}

/// How many links there will be to each place.
pub struct Counts(Vec<AtomicU32>);

impl Counts {
    /// None to any of the places.
    pub fn new(places: usize) -> Self {
        Counts((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    /// Counts a link.
    #[inline]
    pub fn count(&self, place: usize) {
        // Relaxed [bulk-count]: counts; the pool's join orders them before they are read.
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Makes room for as many links as were counted, which `room` allocates. Not before the tasks that count are joined.
    pub fn placed(self, room: impl FnOnce(usize) -> Vec<AtomicU64>) -> Placing {
        let mut starts = Vec::with_capacity(self.0.len() + 1);
        let mut end = 0;
        for next in &self.0 {
            starts.push(end);
            // Relaxed [bulk-counted]: after the join; no other thread is at work.
            let count = next.load(Ordering::Relaxed);
            // Relaxed [bulk-start]: before the tasks that place begin.
            next.store(end, Ordering::Relaxed);
            end += count;
        }
        starts.push(end);
        Placing { next: self.0, incoming: Incoming { starts, links: room(end as usize) } }
    }
}

/// Links that are being put where they belong.
pub struct Placing {
    /// Where the next link to a place goes.
    next: Vec<AtomicU32>,
    incoming: Incoming,
}

impl Placing {
    /// Places a link that was counted.
    #[inline]
    pub fn add(&self, place: usize, link: Candidate) {
        // Relaxed [bulk-place]: hands out places.
        let at = self.next[place].fetch_add(1, Ordering::Relaxed);
        // Relaxed [bulk-link]: no one else writes this one, and the pool's join orders it before readers.
        self.incoming.links[at as usize].store(link.to_bits(), Ordering::Relaxed);
    }

    /// All links. Not before the tasks that place are joined.
    pub fn end(self) -> Incoming {
        self.incoming
    }
}

/// The links to each point, by place: candidates whose distance is that of the link.
pub struct Incoming {
    /// Where the links to a place begin, and where the last ends.
    starts: Vec<u32>,
    /// [`Candidate::to_bits`].
    links: Vec<AtomicU64>,
}

impl Incoming {
    /// The links to a place, in no order that means anything.
    #[inline]
    pub fn to(&self, place: usize) -> impl Iterator<Item = Candidate> {
        let links = &self.links[self.starts[place] as usize..self.starts[place + 1] as usize];
        // Relaxed [bulk-link-read]: written before the join that ended the placing.
        links.iter().map(|link| Candidate::from_bits(link.load(Ordering::Relaxed)))
    }
}
