//! What the process of a session does.

use super::super::session::{Bench, session};
use super::super::standing::Kept;
use super::super::{Outcome, Plan, Session};
use super::{Said, Setting, Task};
use crate::machine::Canary;
use crate::output;
use crate::record::Row;
use anyhow::{Context, Result, bail};
use std::io::{self, BufRead, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// What a user who tries it learns.
const BY_HAND: &str =
    "`hnsw-lab session` is what a sweep runs for each of its sessions; use `hnsw-lab sweep`";

/// Measures the session that standard input tells of, and says its rows on standard output.
///
/// # Errors
/// Where standard input tells of none, or standard output cannot be written to. What goes wrong later is said to the sweep.
pub fn serve(stop: &'static AtomicBool) -> Result<()> {
    if io::stdin().is_terminal() {
        bail!(BY_HAND);
    }
    // Otherwise it has the name of the link that it was started by.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(c"hnsw-lab");
    let lines = listen(stop);
    let line = || lines.recv().context(BY_HAND);
    let setting: Setting = serde_json::from_str(&line()?).context(BY_HAND)?;
    let task: Task = serde_json::from_str(&line()?).context(BY_HAND)?;
    let ended = match measured(&setting, &task, &lines, stop) {
        Ok(outcome) => Said::Ended(outcome),
        Err(error) => Said::Failed(format!("{error:#}")),
    };
    say(&ended)
}

/// The lines of standard input. Where it ends, the sweep wants this to stop, or is no longer there.
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

fn say(said: &Said) -> Result<()> {
    let line = serde_json::to_string(said)?;
    output::print(&format!("{line}\n")).context("cannot write to standard output")
}

fn measured(
    setting: &Setting,
    task: &Task,
    heard: &Receiver<String>,
    stop: &'static AtomicBool,
) -> Result<Outcome> {
    let Setting { args, machine, .. } = setting;
    let memory = args.place.settle(machine)?;
    let dataset = setting.dataset()?;
    let plan = Plan::new(args, machine, memory, &dataset)?;
    let own = |which: &Session| {
        (which.strategy.name(), which.codec, which.threads) == (&*task.strategy, &*task.codec, task.threads)
    };
    let which = plan.sessions(task.block).find(own).context("there is no such session")?;
    let canary = Canary::after(setting.canary, plan.first_cpu(machine));
    let bench = Bench::new(&plan, machine, &dataset, canary, stop);
    let (mut patience, mut failed) = (task.patience, None);
    let mut push = |row: Row| {
        let said = row.check().map_err(Into::into).and_then(|()| say(&Said::Row(Box::new(row))));
        failed = said.err();
        // The sweep says when it has stored the row; until then it would disturb what comes next.
        failed.is_none() && heard.recv().is_ok()
    };
    let outcome = session(&bench, &mut Kept::default(), &mut patience, &which, &task.wanted, &mut push);
    failed.map_or(Ok(outcome), Err)
}
