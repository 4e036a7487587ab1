//! The laws of scaling of each strategy, or why there are none.

use maud::{Markup, html};

use super::named;
use crate::report::scaling::{HEADER, laws};
use crate::summary::Summary;

pub(super) fn section(summary: &Summary) -> Markup {
    let laws = laws(summary, &summary.workloads());
    html! {
        p.faint { "X(N) = λN / (1 + σ(N − 1) + κN(N − 1)), the Universal Scalability Law: σ is what threads queue for, κ what each pair of them spends on agreeing; fitted to "
            "medians over blocks, without runs of more threads than CPUs, with 95 % bands over blocks drawn again. Amdahl's law has no κ." }
        @if !laws.rows.is_empty() {
            div.scroll tabindex="0" { table {
                thead { tr { th { "strategy" } @for name in HEADER.iter().filter(|name| **name != "strategy") { th { (name) } } } }
                tbody { @for row in &laws.rows { tr {
                    td { (named(&row[2])) }
                    @for (name, cell) in HEADER.iter().zip(row) { @if *name != "strategy" { td { (cell) } } }
                } } }
            } }
        }
        @for note in &laws.notes { p { (note) } }
    }
}
