//! A canary: a fixed piece of work that is timed before and after each trial. It knows nothing of indexes, so when it takes longer
//! than before the sweep, it is the machine that changed: frequency, a neighbour on the same core, cache or memory.
//!
//! Two kernels, on the first CPU of the trials. Arithmetic is a chain of multiplications that
//! each need the one before. Memory is a walk along a ring through 3 MB, which is more than the caches of one core hold. A cache
//! that several cores share may take a dozen walks to let in what the trial had driven out, and some of them are no faster than the
//! one before: so a kernel is run in vain until it is as fast as before the sweep, or has had its share of runs. What a trial leaves
//! in the caches must not matter. Each is the median of three.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pin_current_thread;
use crate::record;
use crate::stats::median;

/// Arithmetic may take so many times as long as before the sweep, or that part of it.
pub const ARITHMETIC_BAND: f64 = 1.10;
/// The same for the walk through memory, which neighbours disturb more easily.
pub const MEMORY_BAND: f64 = 1.25;

/// Bytes that the walk goes through.
const RING_BYTES: usize = 3 << 20;
const LINE: usize = 64;
const MULTIPLICATIONS: u32 = 300_000;
const READINGS: usize = 3;
/// Runs in vain at most. A walk that misses all caches takes about 5 ms.
const MOST_IN_VAIN: usize = 16;
/// A kernel that takes at most so many times the reference is warm.
const WARM: f64 = 1.05;
/// The reference is the least of a number of readings, so that a neighbour who is busy just then does not set the measure: there
/// are readings until so many in a row are no slower than the least (by [`WARM`]), or there were the most of them.
const ALIKE: usize = 4;
const MOST_REFERENCES: usize = 24;
/// What was read so shortly after one trial need not be read again before the next.
const FRESH: Duration = Duration::from_millis(100);
const SEED: u64 = 42;

/// A cache line that names the next one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    next: u32,
}

/// The two kernels, and what they took before anything was measured.
pub struct Canary {
    ring: Vec<Line>,
    cpu: Option<usize>,
    reference: Seconds,
    /// When it last sang, and what.
    last: Mutex<Option<(Instant, record::Canary)>>,
}

/// What the kernels took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seconds {
    arithmetic: f64,
    memory: f64,
}

impl Canary {
    /// Makes the ring, and takes the reference on this CPU (`None`: wherever the system puts it).
    pub fn new(cpu: Option<usize>) -> Canary {
        // At first there is none, and no run is as fast as 0 s: all runs in vain take place.
        let mut canary = Canary::after(Seconds { arithmetic: 0.0, memory: 0.0 }, cpu);
        let mut alike = 0;
        for _ in 0..MOST_REFERENCES {
            let (known, now) = (canary.reference, canary.timed());
            let least = |known: f64, now: f64| if known > 0.0 { known.min(now) } else { now };
            let arithmetic = least(known.arithmetic, now.arithmetic);
            let memory = least(known.memory, now.memory);
            // Below the least so far is not alike: what came before it was slow.
            let close = |known: f64, least: f64, now: f64| now.max(known) <= WARM * least;
            let both = close(known.arithmetic, arithmetic, now.arithmetic)
                && close(known.memory, memory, now.memory);
            alike = if both { alike + 1 } else { 0 };
            canary.reference = Seconds { arithmetic, memory };
            if alike == ALIKE {
                break;
            }
        }
        canary
    }

    /// Makes the ring in a process that was started after the reference had been taken.
    pub fn after(reference: Seconds, cpu: Option<usize>) -> Canary {
        let lines = RING_BYTES / LINE;
        let mut order: Vec<u32> = (0..lines as u32).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut order);
        let mut ring = vec![Line { next: 0 }; lines];
        for (at, &line) in order.iter().enumerate() {
            ring[line as usize].next = order[(at + 1) % lines];
        }
        Canary { ring, cpu, reference, last: Mutex::new(None) }
    }

    /// What the kernels took before the sweep.
    pub fn reference(&self) -> Seconds {
        self.reference
    }

    /// How long it takes now, or took a moment ago, over what it took before the sweep.
    pub fn sing_or_echo(&self) -> record::Canary {
        let fresh = |&(when, _): &(Instant, record::Canary)| when.elapsed() < FRESH;
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(fresh).map_or_else(|| self.sing(), |(_, sung)| sung)
    }

    /// How long it takes now, over what it took before the sweep.
    pub fn sing(&self) -> record::Canary {
        let now = self.timed();
        let over = |now: f64, then: f64| (1e4 * now / then.max(1e-9)).round() / 1e4;
        let sung = record::Canary {
            arithmetic: over(now.arithmetic, self.reference.arithmetic),
            memory: over(now.memory, self.reference.memory),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), sung));
        sung
    }

    fn timed(&self) -> Seconds {
        let Canary { ring, cpu, reference: Seconds { arithmetic, memory }, .. } = self;
        std::thread::scope(|scope| {
            let own = scope.spawn(|| {
                // Unpinned where it cannot be: the workers say so.
                let _ = cpu.map(pin_current_thread);
                let middle = |reference: f64, kernel: &mut dyn FnMut()| {
                    let mut run = || {
                        let begin = Instant::now();
                        kernel();
                        begin.elapsed().as_secs_f64()
                    };
                    let _ = (0..MOST_IN_VAIN).find(|_| run() <= WARM * reference);
                    let seconds: Vec<f64> = (0..READINGS).map(|_| run()).collect();
                    median(&seconds).unwrap_or(0.0)
                };
                Seconds {
                    arithmetic: middle(*arithmetic, &mut multiply),
                    memory: middle(*memory, &mut || walk(ring)),
                }
            });
            own.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// All the way round.
fn walk(ring: &[Line]) {
    let mut line = 0;
    for _ in 0..ring.len() {
        line = ring[line as usize].next;
    }
    black_box(line);
}

fn multiply() {
    let mut value = black_box(SEED);
    for _ in 0..MULTIPLICATIONS {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(value);
}

/// One line for each kernel that is out of its band; `when` is "before" or "after".
pub fn reasons(canary: &record::Canary, when: &str) -> Vec<String> {
    let kernels =
        [("arithmetic", canary.arithmetic, ARITHMETIC_BAND), ("memory", canary.memory, MEMORY_BAND)];
    let out = kernels.into_iter().filter(|(_, took, band)| !(1.0 / band..=*band).contains(took));
    out.map(|(name, took, _)| {
        format!("fixed work ({name}) took {took:.2} times as long {when} the trial as before the sweep")
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_leads_through_all_lines() {
        let canary = Canary::new(None);
        let (mut line, mut seen) = (0, vec![false; canary.ring.len()]);
        for _ in 0..canary.ring.len() {
            line = canary.ring[line as usize].next;
            assert!(!std::mem::replace(&mut seen[line as usize], true), "a line comes twice");
        }
        assert_eq!((line, size_of::<Line>()), (0, LINE));
        let sung = canary.sing();
        assert!(sung.arithmetic > 0.0 && sung.memory > 0.0, "{sung:?}");
        assert_eq!(canary.sing_or_echo(), sung, "a moment later it is what it was");
        assert!(canary.reference.arithmetic > 0.0 && canary.reference.memory > 0.0);
    }

    #[test]
    fn a_canary_out_of_its_band_is_a_reason_whichever_way() {
        let of = |arithmetic: f64, memory: f64| reasons(&record::Canary { arithmetic, memory }, "after");
        assert!(of(1.0, 1.0).is_empty() && of(1.09, 0.85).is_empty());
        assert_eq!(
            of(1.5, 1.0),
            ["fixed work (arithmetic) took 1.50 times as long after the trial as before the sweep"]
        );
        assert_eq!(of(0.8, 2.0).len(), 2);
        assert_eq!(of(f64::NAN, 1.0).len(), 1);
    }
}
