//! Signs of life on a terminal; silence where there is none.

use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::data::Watch;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

fn bar(len: Option<u64>, template: &str, quiet: bool) -> ProgressBar {
    let hidden = quiet || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(len, target).with_style(style)
}

/// A bar of rows of a result document.
pub(crate) fn rows(len: u64, quiet: bool) -> ProgressBar {
    bar(Some(len), "{bar:16} {pos}/{len} rows, {elapsed} gone, {msg}", quiet)
}

/// A spinner for work of unknown length; it ends when the bar is dropped.
pub(crate) fn spinner(what: String, quiet: bool) -> ProgressBar {
    let spinner = bar(None, "{spinner} {msg}, {elapsed} gone", quiet).with_message(what);
    spinner.enable_steady_tick(TURN);
    spinner
}

/// Runs a computation that reports to a [`Watch`] under a bar that says `what` it is.
pub(crate) fn watched<T>(
    what: &str,
    quiet: bool,
    cancel: &AtomicBool,
    work: impl FnOnce(Watch<'_>) -> T,
) -> T {
    let template = "{bar:30} {percent} %, about {eta} to go  {msg}";
    let bar = bar(None, template, quiet).with_message(what.to_owned());
    let progress = |done: u64, all: u64| {
        bar.set_length(all);
        // Reports may come out of order.
        bar.set_position(done.max(bar.position()));
    };
    let result = work(Watch { progress: &progress, cancel });
    bar.finish_and_clear();
    result
}
