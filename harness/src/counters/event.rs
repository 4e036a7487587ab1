//! What is counted, and what is counted together.

/// Something that the CPU or the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Cycles of the core, at whatever frequency it ran.
    Cycles,
    /// Instructions that retired.
    Instructions,
    /// Branches that went another way than the core had foreseen.
    BranchMisses,
    /// Reads that the first data cache did not hold.
    L1dReadMisses,
    /// Reads that the last cache did not hold.
    LlcReadMisses,
    /// Reads whose address translation was not at hand.
    DtlbReadMisses,
    /// Nanoseconds that the thread had a CPU.
    TaskClock,
    /// Times that it gave its CPU up, or lost it.
    ContextSwitches,
    /// Pages that were not there when they were touched.
    PageFaults,
    /// Times that it came to another CPU.
    CpuMigrations,
}

impl Event {
    /// All of them, group by group.
    pub const ALL: [Event; 10] = [
        Event::Cycles,
        Event::Instructions,
        Event::BranchMisses,
        Event::L1dReadMisses,
        Event::LlcReadMisses,
        Event::DtlbReadMisses,
        Event::TaskClock,
        Event::ContextSwitches,
        Event::PageFaults,
        Event::CpuMigrations,
    ];

    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Cycles => "cycles",
            Event::Instructions => "instructions",
            Event::BranchMisses => "branch_misses",
            Event::L1dReadMisses => "l1d_read_misses",
            Event::LlcReadMisses => "llc_read_misses",
            Event::DtlbReadMisses => "dtlb_read_misses",
            Event::TaskClock => "task_clock_ns",
            Event::ContextSwitches => "context_switches",
            Event::PageFaults => "page_faults",
            Event::CpuMigrations => "cpu_migrations",
        }
    }

    /// Whether it happens in the kernel, so that a counter of user space alone would stay at 0.
    pub const fn is_in_kernel(self) -> bool {
        matches!(self, Event::ContextSwitches | Event::CpuMigrations)
    }

    /// The highest level of `perf_event_paranoid` at which anyone may count it.
    pub const fn most_paranoid(self) -> i32 {
        if self.is_in_kernel() { 1 } else { 2 }
    }

    /// The group that it is counted in.
    pub fn group(self) -> Group {
        let has = |group: &Group| group.events().contains(&self);
        Group::ALL.into_iter().find(has).unwrap_or(Group::Software)
    }
}

/// Events that are counted at the same time or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// How the core got on.
    Core,
    /// What it waited for memory.
    Cache,
    /// What the kernel counts, on every machine.
    Software,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 3] = [Group::Core, Group::Cache, Group::Software];

    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Core => "core",
            Group::Cache => "cache",
            Group::Software => "software",
        }
    }

    /// What belongs to it.
    pub const fn events(self) -> &'static [Event] {
        match self {
            Group::Core => &[Event::Cycles, Event::Instructions, Event::BranchMisses],
            Group::Cache => &[Event::L1dReadMisses, Event::LlcReadMisses, Event::DtlbReadMisses],
            Group::Software => {
                &[Event::TaskClock, Event::ContextSwitches, Event::PageFaults, Event::CpuMigrations]
            }
        }
    }
}
