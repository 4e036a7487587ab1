//! The flags that say where threads and memory go.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Machine, MemoryInForce, MemoryPolicy, Placement, memory};

// No documentation comment: clap would take it for the description of the commands that have these flags.
#[expect(missing_docs, reason = "it would become the help of the commands that flatten it")]
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct PlaceArgs {
    /// Where threads run: compact, scatter, smt, none, or list:CPUS
    ///
    /// compact: a core for each thread, of one memory node before the next, socket by socket; SMT siblings when each core has
    /// a thread. scatter: the same, with cores in turn from all sockets and nodes. smt: both hardware threads of a core before
    /// the next core. none: as the scheduler likes. list:0,2,4-7: these CPUs in this order; threads that get the same CPU are
    /// told as oversubscribed.
    #[arg(long, value_name = "POLICY", default_value = "compact")]
    pub pin: Placement,
    /// Where memory comes from: local, interleave, or bind:NODE [default: as the program was started]
    ///
    /// local: the node of the thread that touches a page first. interleave: page by page from all nodes that this process may
    /// use; accepted on a machine with one node, where it has no effect. bind:0: node 0 only, which must have room for
    /// everything. On Linux only.
    #[arg(long, value_name = "POLICY")]
    pub memory: Option<MemoryPolicy>,
}

impl PlaceArgs {
    /// Checks both against the machine, and gives the calling thread the memory policy: before other threads are started,
    /// because they inherit it.
    ///
    /// # Errors
    /// One line that names the flag.
    pub fn settle(&self, machine: &Machine) -> Result<MemoryInForce> {
        self.pin.check(machine)?;
        memory::settle(self.memory, machine)
    }
}
