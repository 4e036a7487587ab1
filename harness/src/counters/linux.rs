//! Counters of a thread, through `perf_event_open`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Software};
use perf_event::{Builder, Counter};

use super::refusal::reason;
use super::{Counted, Counts, Event, Group, Reason};

/// The counters of the thread that opened them. Another one may start and read them.
pub struct Counting {
    groups: Vec<Opened>,
}

/// One group.
struct Opened {
    /// Counts nothing itself, so that no event can be missing for lack of another one.
    leader: Option<perf_event::Group>,
    members: Vec<(Event, Result<Counter, Reason>)>,
}

impl Counting {
    /// Opens all groups for the calling thread. They do not count yet.
    pub fn open() -> Counting {
        Counting { groups: Group::ALL.into_iter().map(Opened::new).collect() }
    }

    /// Why an event will not be counted.
    pub fn refused(&self, event: Event) -> Option<&Reason> {
        let mut members = self.groups.iter().flat_map(|group| &group.members);
        members.find(|(own, _)| *own == event)?.1.as_ref().err()
    }

    /// Begins to count.
    pub fn start(&mut self) {
        self.groups.iter_mut().for_each(Opened::start);
    }

    /// Ends counting. Reading can wait.
    pub fn stop(&mut self) {
        for group in &mut self.groups {
            // A group that is not stopped counts a little of what comes after; there is nothing to lose by going on.
            let _ = group.leader.as_mut().map(perf_event::Group::disable);
        }
    }

    /// What was counted from [`Counting::start`] to [`Counting::stop`].
    pub fn read(self) -> Counts {
        Counts(self.groups.into_iter().flat_map(Opened::read).collect())
    }
}

impl Opened {
    fn new(group: Group) -> Opened {
        let mut leader = perf_event::Group::new();
        let mut open = |event: Event| match &mut leader {
            Ok(leader) => leader.add(&builder(event)).map_err(|error| reason(event, &error)),
            Err(error) => Err(reason(event, error)),
        };
        let members = group.events().iter().map(|&event| (event, open(event))).collect();
        Opened { leader: leader.ok(), members }
    }

    fn is_idle(&self) -> bool {
        self.members.iter().all(|(_, counter)| counter.is_err())
    }

    fn start(&mut self) {
        if !self.is_idle()
            && let Some(Err(error)) = self.leader.as_mut().map(perf_event::Group::enable)
        {
            self.refuse(&error);
        }
    }

    /// None of it can be counted, after all.
    fn refuse(&mut self, error: &io::Error) {
        for (event, counter) in self.members.iter_mut().filter(|(_, counter)| counter.is_ok()) {
            *counter = Err(reason(*event, error));
        }
    }

    fn read(mut self) -> BTreeMap<Event, Result<Counted, Reason>> {
        let idle = self.is_idle();
        let data = self.leader.as_mut().filter(|_| !idle).map(perf_event::Group::read);
        if let Some(Err(error)) = &data {
            self.refuse(error);
        }
        let data = data.and_then(Result::ok);
        let nanos = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos() as u64);
        let counted = |counter: &Counter| {
            let data = data.as_ref()?;
            let (enabled, running) = (nanos(data.time_enabled()), nanos(data.time_running()));
            Some(Counted { value: data.get(counter)?.value(), enabled, running })
        };
        let members = self.members.into_iter().map(|(event, counter)| {
            let missing = || "the system does not say what it counted".to_owned();
            (event, counter.and_then(|counter| counted(&counter).ok_or_else(missing)))
        });
        members.collect()
    }
}

/// User space alone, but for what only the kernel does.
fn builder(event: Event) -> Builder<'static> {
    let misses = |which| Cache { which, operation: CacheOp::READ, result: CacheResult::MISS };
    let mut builder = match event {
        Event::Cycles => Builder::new(Hardware::CPU_CYCLES),
        Event::Instructions => Builder::new(Hardware::INSTRUCTIONS),
        Event::BranchMisses => Builder::new(Hardware::BRANCH_MISSES),
        Event::L1dReadMisses => Builder::new(misses(CacheId::L1D)),
        // Not `CACHE_MISSES`: that is the second cache on some CPUs and the first on others.
        Event::LlcReadMisses => Builder::new(misses(CacheId::LL)),
        Event::DtlbReadMisses => Builder::new(misses(CacheId::DTLB)),
        Event::TaskClock => Builder::new(Software::TASK_CLOCK),
        Event::ContextSwitches => Builder::new(Software::CONTEXT_SWITCHES),
        Event::PageFaults => Builder::new(Software::PAGE_FAULTS),
        Event::CpuMigrations => Builder::new(Software::CPU_MIGRATIONS),
    };
    builder.exclude_kernel(!event.is_in_kernel()).exclude_hv(true);
    builder
}
