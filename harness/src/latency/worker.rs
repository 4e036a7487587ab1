//! What one worker does in a window, whatever the operations are and whatever tells the time.
//!
//! In the *open* loop operations have intended starts that do not depend on how long others take. One that is late starts at
//! once, and its response time counts from the intended start: a stall is felt by all that should have begun meanwhile. In the
//! *closed* loop an operation begins when the last one has ended, at the earliest a scheduled gap after that one began: a stall
//! keeps others from being asked, so it counts once. That is *coordinated omission*.
//!
//! At the end of the window some operations of the open loop may not have begun: the *backlog*. If it is small they are still
//! done, so that the response times of all operations are known; else the rate was not kept up with, and how late they would
//! have been says more about the length of the window than about the system.

use super::arrivals::{Arrival, Kind};
use super::timing::Timing;

/// What tells a worker the time, in nanoseconds since the window opened.
pub(super) trait Time {
    /// Waits until `due`. The time then, read before whatever comes next; `None` if the user wants to stop.
    fn wait_until(&self, due: u64) -> Option<u64>;
    /// The time, read after all that came before.
    fn after(&self) -> u64;
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    /// A search that found fewer neighbours than there are.
    Short,
    /// The index refused it.
    Refused,
    /// There was no row to insert, so the worker cannot go on.
    NoRow,
}

/// What a worker did.
#[derive(Clone)]
pub(super) struct Worked {
    pub(super) search: Timing,
    pub(super) insert: Timing,
    /// Operations that were meant to begin in the window.
    pub(super) offered: u64,
    /// Those that had not begun at its end.
    pub(super) backlog: u64,
    pub(super) short: u64,
    pub(super) refused: u64,
    /// When the last operation ended.
    pub(super) ended: u64,
}

impl Worked {
    pub(super) fn new() -> Worked {
        let (search, insert) = (Timing::new(), Timing::new());
        Worked { search, insert, offered: 0, backlog: 0, short: 0, refused: 0, ended: 0 }
    }

    /// Adds what another worker did.
    pub(super) fn merge(&mut self, other: &Worked) {
        self.search.merge(&other.search);
        self.insert.merge(&other.insert);
        self.offered += other.offered;
        self.backlog += other.backlog;
        self.short += other.short;
        self.refused += other.refused;
        self.ended = self.ended.max(other.ended);
    }

    /// Operations that were done.
    pub(super) fn done(&self) -> u64 {
        self.search.count() + self.insert.count()
    }

    fn add(&mut self, kind: Kind, due: u64, start: u64, end: u64, ending: Ending) {
        match kind {
            Kind::Search => self.search.add(due, start, end),
            Kind::Insert => self.insert.add(due, start, end),
        }
        self.short += u64::from(ending == Ending::Short);
        self.refused += u64::from(ending == Ending::Refused);
        self.ended = self.ended.max(end);
    }
}

/// Does what was meant to begin before the end of the window. Of a backlog of more than `patience` operations it does the first
/// only: so there is one at least, however late the worker gets its CPU.
pub(super) fn open(
    schedule: impl Iterator<Item = Arrival> + Clone,
    window: u64,
    patience: u64,
    time: &impl Time,
    mut operate: impl FnMut(Kind) -> Ending,
) -> Worked {
    let mut worked = Worked::new();
    let mut arrivals = schedule.take_while(|arrival| arrival.due < window);
    while let Some(Arrival { due, kind }) = arrivals.next() {
        let Some(start) = time.wait_until(due) else { break };
        worked.offered += 1;
        if start >= window && worked.backlog == 0 {
            worked.backlog = 1 + arrivals.clone().count() as u64;
        }
        match operate(kind) {
            Ending::NoRow => break,
            ending => worked.add(kind, due, start, time.after(), ending),
        }
        if worked.backlog > patience {
            worked.offered += worked.backlog - 1;
            break;
        }
    }
    worked
}

/// Does operations at the gaps of the schedule, or one after another where that is slower, to the end of the window; one at
/// least.
pub(super) fn closed(
    schedule: impl Iterator<Item = Arrival>,
    window: u64,
    time: &impl Time,
    mut operate: impl FnMut(Kind) -> Ending,
) -> Worked {
    let mut worked = Worked::new();
    let (mut meant, mut began) = (0, 0);
    for Arrival { due, kind } in schedule {
        let Some(start) = time.wait_until(began + (due - meant)) else { break };
        if start >= window && worked.done() > 0 {
            break;
        }
        (meant, began) = (due, start);
        worked.offered += 1;
        match operate(kind) {
            Ending::NoRow => break,
            ending => worked.add(kind, start, start, time.after(), ending),
        }
    }
    worked
}

#[cfg(test)]
pub(super) mod fake {
    //! A clock that stands still but for waiting and working.

    use super::*;
    use std::cell::Cell;

    #[derive(Default)]
    pub(crate) struct Fake(Cell<u64>);

    impl Fake {
        pub(crate) fn pass(&self, nanos: u64) {
            self.0.set(self.0.get() + nanos);
        }
    }

    impl Time for Fake {
        fn wait_until(&self, due: u64) -> Option<u64> {
            self.0.set(self.0.get().max(due));
            Some(self.0.get())
        }

        fn after(&self) -> u64 {
            self.0.get()
        }
    }

    /// The open loop on a server that needs `service(n)` nanoseconds for its n-th operation.
    pub(crate) fn serve(
        schedule: impl Iterator<Item = Arrival> + Clone,
        window: u64,
        patience: u64,
        service: impl Fn(u64) -> u64,
    ) -> Worked {
        let (time, mut n) = (Fake::default(), 0);
        open(schedule, window, patience, &time, |_| {
            time.pass(service(n));
            n += 1;
            Ending::Done
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::{Arrivals, Offer, Schedule};
    use super::fake::{Fake, serve};
    use super::*;

    const MS: u64 = 1_000_000;

    fn every_ms() -> Schedule {
        Offer { arrivals: Arrivals::Constant, rate: 1e3, workers: 1, writes: 0.0, seed: 1 }.schedule(0)
    }

    /// In units of MS, to the nearest.
    fn ms(nanos: u64) -> u64 {
        (nanos + MS / 2) / MS
    }

    #[test]
    fn who_is_on_time_has_one_time() {
        let worked = serve(every_ms(), 1_000 * MS, 10, |_| MS / 2);
        assert_eq!((worked.offered, worked.done(), worked.backlog), (1_000, 1_000, 0));
        assert_eq!(worked.search.service, worked.search.response);
        assert_eq!(worked.ended, 999 * MS + MS / 2);
    }

    /// One operation of a thousand takes 100 ms. The hundred that should have begun meanwhile are late, and the open loop says
    /// so; the closed one does not ask meanwhile, and sees a single slow operation.
    #[test]
    fn a_stall_is_felt_by_all_that_should_have_begun_meanwhile() {
        let service = |n| if n == 500 { 100 * MS } else { MS / 10 };
        let open = serve(every_ms(), 1_000 * MS, 10, service);
        let (time, mut n) = (Fake::default(), 0);
        let closed = closed(every_ms(), 1_000 * MS, &time, |_| {
            time.pass(service(n));
            n += 1;
            Ending::Done
        });
        assert_eq!((open.offered, open.done(), closed.done()), (1_000, 1_000, 901));
        let late = open.search.response.count_between(MS, 200 * MS);
        // The queue gets shorter by 0.9 with each: 99 ms are made up for by the 110th.
        assert!(late.abs_diff(110) <= 2, "{late}");
        assert_eq!(ms(open.search.response.max()), 100);
        assert!(ms(open.search.response.value_at_quantile(0.95)).abs_diff(55) <= 1);
        assert_eq!(open.search.service.count_between(MS, 200 * MS), 1);
        assert_eq!(closed.search.response.count_between(MS, 200 * MS), 1);
        assert_eq!(ms(closed.search.response.value_at_quantile(0.99)), 0);
    }

    #[test]
    fn a_rate_that_is_not_kept_up_with_leaves_a_backlog() {
        let worked = serve(every_ms(), 1_000 * MS, 10, |_| 2 * MS);
        assert_eq!((worked.offered, worked.done(), worked.backlog), (1_000, 501, 500));
        assert_eq!((ms(worked.search.service.max()), ms(worked.search.response.max())), (2, 502));
    }

    #[test]
    fn a_small_backlog_is_done_after_the_window() {
        // The 991st operation keeps the next ten from beginning in the window.
        let service = |n| if n == 990 { 50 * MS } else { MS / 10 };
        let worked = serve(every_ms(), 1_000 * MS, 9, service);
        assert_eq!((worked.offered, worked.done(), worked.backlog), (1_000, 1_000, 9));
        assert_eq!(ms(worked.search.response.max()), 50);
        let given_up = serve(every_ms(), 1_000 * MS, 8, service);
        assert_eq!((given_up.offered, given_up.done(), given_up.backlog), (1_000, 992, 9));
    }

    #[test]
    fn the_closed_loop_keeps_the_gaps_of_the_schedule_if_it_can() {
        let time = Fake::default();
        let worked = closed(every_ms(), 1_000 * MS, &time, |_| {
            time.pass(MS / 2);
            Ending::Done
        });
        assert_eq!((worked.offered, worked.done(), worked.ended), (1_000, 1_000, 999 * MS + MS / 2));
        let at_once =
            Offer { arrivals: Arrivals::Poisson, rate: f64::INFINITY, workers: 2, writes: 0.0, seed: 1 };
        let time = Fake::default();
        let worked = closed(at_once.schedule(0), 1_000 * MS, &time, |_| {
            time.pass(MS / 2);
            Ending::Done
        });
        assert_eq!(worked.done(), 2_000);
    }

    /// The mean wait in an M/D/1 queue, by Pollaczek and Khinchine: ρ / (2 (1 - ρ)) service times.
    #[test]
    fn waiting_is_that_of_a_queue() {
        for load in [0.3, 0.6, 0.8] {
            let rate = load * 1e3;
            let offer = Offer { arrivals: Arrivals::Poisson, rate, workers: 1, writes: 0.0, seed: 11 };
            let worked = serve(offer.schedule(0), 1_000_000 * MS, 10_000, |_| MS);
            assert_eq!(worked.done(), worked.offered);
            let wait = worked.search.response.mean() / MS as f64 - 1.0;
            let wanted = load / (2.0 * (1.0 - load));
            assert!((wait / wanted - 1.0).abs() < 0.03, "{load}: {wait} for {wanted}");
        }
    }

    #[test]
    fn workers_are_merged_and_odd_endings_counted() {
        let offer = Offer { arrivals: Arrivals::Constant, rate: 1e3, workers: 2, writes: 0.5, seed: 1 };
        let mut all = Worked::new();
        for worker in 0..2 {
            let (time, mut n) = (Fake::default(), 0);
            all.merge(&open(offer.schedule(worker), 100 * MS, 10, &time, |_| {
                n += 1;
                [Ending::Short, Ending::Done, Ending::Refused, Ending::Done, Ending::Done][n % 5]
            }));
        }
        assert_eq!((all.offered, all.done(), all.short, all.refused), (100, 100, 20, 20));
        assert!(all.search.count() > 0 && all.insert.count() > 0);
        let none = open(offer.schedule(0), 100 * MS, 10, &Fake::default(), |_| Ending::NoRow);
        assert_eq!((none.offered, none.done()), (1, 0));
    }
}
