//! What CPU and kernel counted for one operation.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use comfy_table::Cell;

use super::{cell, flags, grouped, plain};
use crate::counters::Event;
use crate::summary::{Counted, Point, Summary};

const HEADER: [&str; 17] = [
    "workload",
    "codec",
    "strategy",
    "threads",
    "instr/op",
    "cycles/op",
    "IPC",
    "br miss",
    "L1d",
    "LLC",
    "dTLB",
    "CPU ns",
    "switches",
    "faults",
    "moves",
    "scaled",
    "flags",
];

/// What the columns are.
const EXPLANATION: &str = "\
All of one operation, on average, in user space; medians over blocks. br miss: branches foreseen wrongly. L1d, LLC, dTLB: reads that missed there.
CPU ns: time on a CPU, kernel included. switches, faults, moves: context switches, page faults, changes of CPU in 1,000 operations.
scaled: what counts were multiplied by at most, because counters had to be shared.
";

/// The table, with the reasons for what it lacks below it.
pub(super) fn section(summary: &Summary, workloads: &[&str], terminal: bool) -> String {
    let mut table = plain(&HEADER, terminal);
    let mut reasons = BTreeSet::new();
    for workload in workloads {
        for (_, summary) in summary.by_codec() {
            for point in summary.at(workload, summary.chosen_ef(workload).ef) {
                let Some(counted) = &point.counted else { continue };
                table.add_row(cells(point, counted));
                reasons.extend(counted.unavailable.iter().cloned());
            }
        }
    }
    if table.row_count() == 0 {
        return "\nNo row has counters: `hnsw-lab sweep --counters` measures with them.\n".into();
    }
    let mut text = format!("\n{}\n{EXPLANATION}", table.trim_fmt());
    for (group, reason) in reasons {
        let _ = writeln!(text, "– {}: {reason}.", group.name());
    }
    text
}

fn cells(point: &Point, counted: &Counted) -> Vec<Cell> {
    let each = |event: Event| cell(counted.per_op(event).map(count));
    let of_1000 = |event: Event| cell(counted.per_op(event).map(|count| self::count(1e3 * count)));
    let workload = match point.ef {
        Some(ef) => format!("{} ef {ef}", point.workload),
        None => point.workload.clone(),
    };
    vec![
        Cell::new(workload),
        Cell::new(&point.codec),
        Cell::new(&point.strategy),
        Cell::new(point.threads),
        each(Event::Instructions),
        each(Event::Cycles),
        cell(counted.ipc.map(|ipc| format!("{ipc:.2}"))),
        each(Event::BranchMisses),
        each(Event::L1dReadMisses),
        each(Event::LlcReadMisses),
        each(Event::DtlbReadMisses),
        each(Event::TaskClock),
        of_1000(Event::ContextSwitches),
        of_1000(Event::PageFaults),
        of_1000(Event::CpuMigrations),
        cell(counted.scaling.map(|scaling| format!("{scaling:.2}"))),
        Cell::new(flags(point)),
    ]
}

/// Three significant digits where there is something before the point; two behind it at least.
fn count(value: f64) -> String {
    if value < 10.0 && value != 0.0 { format!("{value:.2}") } else { grouped(value) }
}
