//! Where blocks come from and go back to.
//!
//! A block is taken off a free list of its class, or cut from fresh units when no shard has a free one. Free lists
//! are Treiber stacks, chained through the first words of the free blocks; there is a set of them per *shard*, and
//! each thread has a shard, so threads rarely meet.
//!
//! Blocks go back in two steps. A session that ends puts the handles of the blocks it replaced on the garbage chain
//! of its shard, written into *records*, which are blocks themselves, so that nothing is allocated. When
//! [`HAND_OVER`] bytes have come together, the chain is handed to the epoch collector as one deferred call, which
//! puts the blocks on the free lists after the grace period.
//!
//! # Invariants
//! - I1: a block is in one place: in a list, held by a session, in a record on a garbage chain, handed to the
//!   collector, or on one free list.
//! - I2: blocks are popped off a free list by pinned threads only.
//! - I3: a block that was popped is pushed again only after a grace period that began after the pop.
//!
//! # Why a pop needs no tag against ABA
//! A pop reads the head `h`, reads the next of `h`, and replaces `h` by it. It would go wrong if `h` were popped by
//! another thread and pushed again in between, with another block behind it. By I2 the thread is pinned from before
//! it read `h` until after the compare-and-swap. By I3 the second push comes after a grace period that began in
//! between, and that does not end before the thread unpins. So `h` is still the head only if it was the head all
//! the time. This is also why a session keeps the block with which it lost a race, rather than push it back at
//! once.
//!
//! # Synchronisation
//! - `free-push` (Release) with `free-head` and `free-again` (Acquire): whoever finds a block on a free list sees
//!   its chain word, and what was done to the block before. Pushes and pops are read-modify-writes, so each
//!   continues the release sequences of all before it, and a pop may be Relaxed.
//! - `garbage-push` (Release) with `garbage-take` (Acquire): whoever takes the chain sees the records, and the
//!   blocks in them were unlinked before.
//! - What readers did with a block happened before it is pushed: that is the grace period (their unpinning, then
//!   the deferred call).
//!
//! # Progress
//! Lock-free.
//!
//! # Memory
//! A free block stays free for lists of its class. One session's garbage is what it replaced; see [`super`] for the
//! bound.

use super::blocks::{Blocks, CLASSES, Handle};
use hnsw_core::graph::{GraphConfig, arc_bytes};
use hnsw_core::planted;
use hnsw_core::sync::epoch::Guard;
use hnsw_core::sync::{Arc, AtomicU32, AtomicU64, AtomicUsize, CachePadded, Moment, Ordering};

/// Garbage of one shard is handed to the collector when it reaches this many bytes.
const HAND_OVER: usize = 16 << 10;
/// Garbage of one shard beyond which its writers let other threads run first; several times what waits in the normal
/// course of things.
const CROWDED: usize = 64 << 10;
/// The most shards. A thread that finds its own shard without a free block looks into all others before it takes
/// fresh memory, so more shards are not always better.
const MAX_SHARDS: usize = 16;

/// All blocks of a graph.
pub(super) struct Slab {
    pub(super) blocks: Blocks,
    /// Units cut off so far.
    cut: CachePadded<AtomicUsize>,
    shards: Box<[CachePadded<Shard>]>,
}

/// What threads of one shard share.
struct Shard {
    /// Heads of the free lists.
    free: [AtomicU32; CLASSES],
    /// The newest record of blocks that wait to be handed to the collector.
    garbage: AtomicU32,
    /// Units on the garbage chain, about.
    gathered: AtomicUsize,
    /// Units put into lists less units taken out of them, by sessions of this shard; modulo 2^64.
    linked: AtomicUsize,
    /// Units retired less units freed.
    retired: AtomicUsize,
    /// Compare-and-swap operations on list heads that failed.
    lost: AtomicU64,
}

impl Shard {
    fn new() -> Self {
        Shard {
            free: core::array::from_fn(|_| AtomicU32::new(Handle::EMPTY.bits())),
            garbage: AtomicU32::new(Handle::EMPTY.bits()),
            gathered: AtomicUsize::new(0),
            linked: AtomicUsize::new(0),
            retired: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }
}

/// A chain of blocks that one thread owns.
#[derive(Clone, Copy)]
struct Chain {
    first: Handle,
    last: Handle,
}

impl Chain {
    const EMPTY: Chain = Chain { first: Handle::EMPTY, last: Handle::EMPTY };
}

/// The blocks that one session has taken out of lists.
pub(super) struct Retired {
    /// Records; the first is being filled.
    records: Chain,
    /// Words of the first record that are in use, its chain word among them.
    words: usize,
    /// Units of all blocks, with the records.
    units: usize,
}

impl Retired {
    pub(super) const NONE: Retired = Retired { records: Chain::EMPTY, words: 0, units: 0 };
}

impl Slab {
    pub(super) fn new(config: &GraphConfig) -> Slab {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let shards = if cfg!(hnsw_loom) { 1 } else { threads.next_power_of_two().min(MAX_SHARDS) };
        Slab {
            blocks: Blocks::new(config),
            // Unit 0 is no block's: its handle means the empty list.
            cut: CachePadded::new(AtomicUsize::new(1)),
            shards: (0..shards).map(|_| CachePadded::new(Shard::new())).collect(),
        }
    }

    /// The shard of the calling thread.
    pub(super) fn my_shard(&self) -> usize {
        thread_number() % self.shards.len()
    }

    /// Takes a block of `class`, which is then the caller's. The pin is what I2 asks for.
    ///
    /// # Panics
    /// When all memory that handles can name is in use; see [`Blocks::most_nodes`].
    pub(super) fn take(&self, class: usize, shard: usize, pin: &Guard) -> Handle {
        let shards = self.shards.len();
        (0..shards)
            .find_map(|i| self.pop(&self.shards[(shard + i) % shards].free[class], pin))
            .unwrap_or_else(|| self.cut(class, shard))
    }

    /// Cuts a block from fresh units.
    #[cold]
    fn cut(&self, class: usize, shard: usize) -> Handle {
        let units = class + 1;
        // Relaxed [cut-probe]: a first guess for the compare-and-swap below.
        let mut at = self.cut.load(Ordering::Relaxed);
        loop {
            let start = Blocks::start(at, units);
            // Relaxed [cut-take]: it hands out numbers; what makes a block known to others orders its content.
            // Relaxed on failure [cut-lost]: only the number is used.
            match self.cut.compare_exchange(at, start + units, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.blocks.grow(start + units);
                    if start > at {
                        // What alignment skipped is a block itself.
                        let gap = Handle::new(at, start - at - 1);
                        self.push(Chain { first: gap, last: gap }, shard);
                    }
                    return Handle::new(start, class);
                }
                Err(now) => at = now,
            }
        }
    }

    fn pop(&self, head: &AtomicU32, _pin: &Guard) -> Option<Handle> {
        // Acquire [free-head]: pairs with Release [free-push]; the chain word of the block, and all that was done
        // to it.
        let mut first = Handle::from_bits(head.load(Ordering::Acquire));
        while first != Handle::EMPTY {
            // Relaxed [free-next]: ordered by the Acquire load of the head. If another thread has taken the block
            // meanwhile the word may be anything, and the compare-and-swap fails.
            let next = self.blocks.next(first).load(Ordering::Relaxed);
            // Relaxed [free-pop]: continues the release sequences of the pushes below it, and publishes nothing of
            // its own.
            // Acquire on failure [free-again]: pairs with Release [free-push], as `free-head` does.
            match head.compare_exchange(first.bits(), next, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return Some(first),
                Err(now) => first = Handle::from_bits(now),
            }
        }
        None
    }

    /// Puts a chain of free blocks, all of the class of its first, on the free list of that class.
    fn push(&self, chain: Chain, shard: usize) {
        let head = &self.shards[shard].free[chain.first.class()];
        // Relaxed [free-guess]: only the number is used.
        let mut below = head.load(Ordering::Relaxed);
        loop {
            // Relaxed [free-link]: the push publishes it.
            self.blocks.next(chain.last).store(below, Ordering::Relaxed);
            // Release [free-push]: pairs with Acquire [free-head]; the chain words, and what was done to the blocks
            // before.
            // Relaxed on failure [free-lost]: only the number is used.
            match head.compare_exchange(below, chain.first.bits(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => below = now,
            }
        }
    }

    /// Notes that `block` is in no list any more.
    pub(super) fn retire(&self, block: Handle, retired: &mut Retired, shard: usize, pin: &Guard) {
        if retired.records.first == Handle::EMPTY || retired.words == self.blocks.slots(retired.records.first)
        {
            let record = self.take(self.blocks.longest(), shard, pin);
            // SAFETY: just taken, so it is this session's alone.
            unsafe { self.blocks.clear(record) };
            self.prepend(record, &mut retired.records);
            retired.words = 1;
            retired.units += record.units();
        }
        // SAFETY: the record is this session's alone until the session ends.
        unsafe { self.blocks.set_word(retired.records.first, retired.words, block.bits()) };
        retired.words += 1;
        retired.units += block.units();
    }

    fn prepend(&self, block: Handle, chain: &mut Chain) {
        // Relaxed [chain-link]: the chain is this thread's; a push publishes it.
        self.blocks.next(block).store(chain.first.bits(), Ordering::Relaxed);
        chain.first = block;
        if chain.last == Handle::EMPTY {
            chain.last = block;
        }
    }

    /// Ends a session: takes over its garbage, and counts what it put into lists less what it took out.
    pub(super) fn settle(slab: &Arc<Slab>, retired: Retired, linked: isize, shard: usize, pin: &Guard) {
        Moment::pass();
        let at = &slab.shards[shard];
        if linked != 0 {
            // Relaxed [linked-add]: a number for reports.
            at.linked.fetch_add(linked as usize, Ordering::Relaxed);
        }
        let Retired { records, units, .. } = retired;
        if records.first == Handle::EMPTY {
            return;
        }
        // Relaxed [retired-add]: a number for reports.
        at.retired.fetch_add(units, Ordering::Relaxed);
        // Relaxed [garbage-guess]: only the number is used.
        let mut below = at.garbage.load(Ordering::Relaxed);
        loop {
            // Relaxed [garbage-link]: the push publishes it.
            slab.blocks.next(records.last).store(below, Ordering::Relaxed);
            // Release [garbage-push]: pairs with Acquire [garbage-take]; the records, and the unlinking of the
            // blocks in them. (ABA does no harm: the chain is taken as a whole, so whatever the number names is
            // what lies below.)
            // Relaxed on failure [garbage-lost]: only the number is used.
            match at.garbage.compare_exchange(
                below,
                records.first.bits(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => below = now,
            }
        }
        // Relaxed [gathered-add]: a number that decides when to hand over; being late does no harm.
        let gathered = at.gathered.fetch_add(units, Ordering::Relaxed) + units;
        if gathered * slab.blocks.unit_bytes() >= HAND_OVER {
            Slab::hand_over(slab, shard, pin);
        }
    }

    /// Hands the garbage of a shard to the collector.
    pub(super) fn hand_over(slab: &Arc<Slab>, shard: usize, pin: &Guard) {
        let at = &slab.shards[shard];
        // Relaxed [gathered-reset]: as `gathered-add`.
        at.gathered.store(0, Ordering::Relaxed);
        // Acquire [garbage-take]: pairs with Release [garbage-push]; the records are complete, and their blocks
        // were unlinked before. (`crossbeam-epoch` puts a SeqCst fence before it takes over a deferred call, which
        // would acquire what was pushed as well; but its interface promises no fence, and there is none if it runs
        // the call at once because no one can be pinned.)
        let records = Handle::from_bits(at.garbage.swap(Handle::EMPTY.bits(), Ordering::Acquire));
        if records == Handle::EMPTY {
            return;
        }
        if planted!("lockfree-no-grace") {
            slab.recycle(records, shard);
            return;
        }
        let (slab, moment) = (Arc::clone(slab), Moment::now());
        // No allocation: the closure is two words.
        pin.defer(move || {
            moment.charge_lag();
            slab.recycle(records, shard);
        });
        pin.flush();
    }

    /// Puts all blocks in a chain of records, and the records, on the free lists. Runs after the grace period.
    fn recycle(&self, records: Handle, shard: usize) {
        let mut chains = [Chain::EMPTY; CLASSES];
        let mut units = 0;
        let mut free = |block: Handle| {
            self.blocks.watch_write(block);
            units += block.units();
            self.prepend(block, &mut chains[block.class()]);
        };
        let mut record = records;
        while record != Handle::EMPTY {
            // Relaxed [record-next]: ordered by the Acquire that took the chain.
            let next = Handle::from_bits(self.blocks.next(record).load(Ordering::Relaxed));
            // SAFETY: the chain was taken off its shard by the one who deferred this call, so the records are this
            // call's.
            (1..self.blocks.slots(record))
                .map(|word| Handle::from_bits(unsafe { self.blocks.word(record, word) }))
                .take_while(|block| *block != Handle::EMPTY)
                .for_each(&mut free);
            free(record);
            record = next;
        }
        for chain in chains.into_iter().filter(|chain| chain.first != Handle::EMPTY) {
            self.push(chain, shard);
        }
        // Relaxed [retired-sub]: a number for reports.
        self.shards[shard].retired.fetch_sub(units, Ordering::Relaxed);
    }

    /// Counts a compare-and-swap that another thread won.
    #[cold]
    pub(super) fn count_loss(&self, shard: usize) {
        // Relaxed [lost-add]: a number for reports.
        self.shards[shard].lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Compare-and-swap operations that failed.
    pub(super) fn losses(&self) -> u64 {
        // Relaxed [lost-read]: a number for reports.
        self.shards.iter().map(|shard| shard.lost.load(Ordering::Relaxed)).sum()
    }

    /// True if so much garbage of a shard waits that some session must have been open for long: mostly because its
    /// thread has lost its core.
    pub(super) fn crowded(&self, shard: usize) -> bool {
        // A model has no scheduler to give hints to.
        if cfg!(hnsw_loom) {
            return false;
        }
        // Relaxed [retired-probe]: a number that decides about a hint to the scheduler. It can be below 0 for a moment.
        let units = self.shards[shard].retired.load(Ordering::Relaxed) as isize;
        units > (CROWDED / self.blocks.unit_bytes()) as isize
    }

    /// Number of shards.
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Bytes of the blocks that are in lists.
    pub(super) fn linked_bytes(&self) -> usize {
        // Relaxed [linked-read]: a number for reports.
        self.sum(|shard| shard.linked.load(Ordering::Relaxed))
    }

    /// Bytes of the blocks that wait for the grace period.
    pub(super) fn retired_bytes(&self) -> usize {
        // Relaxed [retired-read]: a number for reports.
        self.sum(|shard| shard.retired.load(Ordering::Relaxed))
    }

    /// Bytes cut off for blocks so far, in use or free.
    #[cfg(all(test, not(hnsw_loom)))]
    pub(super) fn cut_bytes(&self) -> usize {
        // Relaxed [cut-read]: a number for tests.
        self.cut.load(Ordering::Relaxed) * self.blocks.unit_bytes()
    }

    /// Bytes that do not grow, of a slab that is shared.
    pub(super) fn fixed_bytes(&self) -> usize {
        arc_bytes::<Self>() + size_of_val(&*self.shards) + self.blocks.spine_bytes()
    }

    fn sum(&self, units: impl Fn(&Shard) -> usize) -> usize {
        self.shards.iter().map(|shard| units(shard)).fold(0, usize::wrapping_add) * self.blocks.unit_bytes()
    }
}

/// A number for the calling thread, counted up from 0.
fn thread_number() -> usize {
    #[cfg(hnsw_loom)]
    return 0;
    #[cfg(not(hnsw_loom))]
    {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            // Relaxed [thread-number]: it hands out numbers.
            static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        NUMBER.with(|number| *number)
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::sync::epoch;
    use std::collections::BTreeSet;

    #[test]
    fn a_block_that_is_free_on_any_shard_is_taken_before_new_ones_are_cut() {
        let slab = Slab::new(&GraphConfig::new(16));
        let pin = epoch::pin();
        let block = slab.take(2, 0, &pin);
        let cut = slab.cut_bytes();
        for from in 0..slab.shards() {
            for to in 0..slab.shards() {
                slab.push(Chain { first: block, last: block }, from);
                assert_eq!(slab.take(2, to, &pin), block, "free on {from}, wanted on {to}");
            }
        }
        assert_eq!(slab.cut_bytes(), cut);
    }

    #[test]
    fn what_alignment_skips_is_a_free_block() {
        let slab = Slab::new(&GraphConfig::new(16));
        let pin = epoch::pin();
        assert_eq!(slab.take(1, 0, &pin), Handle::new(2, 1), "two units begin at an even one");
        let cut = slab.cut_bytes();
        assert_eq!(slab.take(0, 0, &pin), Handle::new(1, 0));
        assert_eq!(slab.cut_bytes(), cut);
    }

    #[test]
    fn a_record_names_as_many_retired_blocks_as_it_has_words() {
        let slab = Arc::new(Slab::new(&GraphConfig::new(16)));
        let pin = epoch::pin();
        let mut retired = Retired::NONE;
        // Four units of eight words, of which the first leads to the next record.
        for blocks in 1..=100_usize {
            let block = slab.take(0, 0, &pin);
            slab.retire(block, &mut retired, 0, &pin);
            assert_eq!(retired.units, blocks + 4 * blocks.div_ceil(31), "{blocks} blocks of one unit");
        }
        Slab::settle(&slab, retired, 0, 0, &pin);
        assert_eq!(slab.retired_bytes(), (100 + 4 * 4) * 32);
    }

    #[test]
    fn each_thread_has_a_number_and_with_it_a_shard() {
        let slab = Slab::new(&GraphConfig::new(16));
        let own = || {
            let number = thread_number();
            assert_eq!(number, thread_number());
            assert_eq!(slab.my_shard(), number % slab.shards());
            number
        };
        let numbers: BTreeSet<_> = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(own));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(numbers.len(), 4, "no two threads have one number");
    }
}
