//! What the process of a task does.

use super::{Apart, Said, Setting};
use crate::churn::ChurnArgs;
use crate::ladder::LadderArgs;
use crate::latency::LatencyArgs;
use crate::output;
use crate::runbook::RunbookArgs;
use crate::sweep::SweepArgs;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// What a user who tries it learns.
const BY_HAND: &str = "`hnsw-lab session` is what sweep, tax, noise, churn, latency, runbook and ladder run for each of their trials; use one of those";

/// Does the task that standard input tells of, and says what it finds on standard output.
///
/// # Errors
/// Where standard input tells of none, or standard output cannot be written to. What goes wrong later is said to the parent.
pub fn serve(stop: &'static AtomicBool) -> Result<()> {
    if io::stdin().is_terminal() {
        bail!(BY_HAND);
    }
    // Otherwise it has the name of the link that it was started by.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(c"hnsw-lab");
    let lines = listen(stop);
    match lines.recv().context(BY_HAND)?.as_str() {
        SweepArgs::COMMAND => done::<SweepArgs>(&lines, stop),
        ChurnArgs::COMMAND => done::<ChurnArgs>(&lines, stop),
        LatencyArgs::COMMAND => done::<LatencyArgs>(&lines, stop),
        RunbookArgs::COMMAND => done::<RunbookArgs>(&lines, stop),
        LadderArgs::COMMAND => done::<LadderArgs>(&lines, stop),
        _ => bail!(BY_HAND),
    }
}

/// The lines of standard input. Where it ends, the parent wants this to stop, or is no longer there.
fn listen(stop: &'static AtomicBool) -> Receiver<String> {
    let (sender, lines) = channel();
    // A thread that reads cannot be woken; it ends with the process.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                break;
            }
        }
        // Relaxed [session-orphaned]: a wish; nothing is read because of it.
        stop.store(true, Ordering::Relaxed);
    });
    lines
}

fn done<A: Apart>(heard: &Receiver<String>, stop: &'static AtomicBool) -> Result<()> {
    let line = || heard.recv().context(BY_HAND);
    let setting: Setting<A> = serde_json::from_str(&line()?).context(BY_HAND)?;
    let task: A::Task = serde_json::from_str(&line()?).context(BY_HAND)?;
    let mut unsaid = None;
    let mut push = |found| match say(&Said::Found(found)) {
        // The parent says when it has stored it; until then it would disturb what comes next.
        Ok(()) => heard.recv().is_ok(),
        Err(error) => {
            unsaid = Some(error);
            false
        }
    };
    let measured = setting
        .ground()
        .and_then(|ground| setting.args.bench(ground, stop))
        .and_then(|mut measure| measure(&task, &mut push));
    let ended: Said<()> = match unsaid.map_or(measured, Err) {
        Ok(outcome) => Said::Ended(outcome),
        Err(error) => Said::Failed(format!("{error:#}")),
    };
    say(&ended)
}

fn say<F: Serialize>(said: &Said<F>) -> Result<()> {
    let line = serde_json::to_string(said)?;
    output::print(&format!("{line}\n")).context("cannot write to standard output")
}
