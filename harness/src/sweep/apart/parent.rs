//! What the sweep does: starts a process for each session, and takes its rows.

use super::super::patience::Patience;
use super::super::{Outcome, Session, SweepArgs};
use super::{Said, Setting, Task, Truth};
use crate::data::Dataset;
use crate::machine::{Machine, canary};
use crate::record::{Key, Row};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a wish to stop may go unnoticed: not often, because each look takes a CPU from a worker. A process that the signal reached
/// itself does not wait for it.
const GLANCE: Duration = Duration::from_millis(100);

/// Measures each session in a process of its own.
pub struct Apart<'a> {
    /// The [`Setting`] as a line.
    setting: String,
    stop: &'a AtomicBool,
}

impl<'a> Apart<'a> {
    /// Of a sweep over `dataset`, which `brought` its exact neighbours or not.
    pub fn new(
        args: &SweepArgs,
        machine: &Machine,
        dataset: &Dataset,
        brought: bool,
        canary: canary::Seconds,
        stop: &'a AtomicBool,
    ) -> Result<Apart<'a>> {
        let truth = dataset.truth().filter(|_| !brought);
        let setting = Setting {
            // Whatever there is to be seen, the sweep shows.
            args: SweepArgs { quiet: true, ..args.clone() },
            machine: machine.clone(),
            digest: dataset.digest().to_hex().to_string(),
            truth: truth.map(|truth| Truth { k: truth.k, ids: truth.ids.clone() }),
            canary,
        };
        Ok(Apart { setting: serde_json::to_string(&setting)?, stop })
    }

    /// Measures the rows `wanted` of one session and hands each to `push`, which returns false to stop.
    pub fn session(
        &self,
        which: &Session,
        wanted: &BTreeSet<Key>,
        patience: &mut Patience,
        push: &mut dyn FnMut(Row) -> bool,
    ) -> Result<Outcome> {
        let task = serde_json::to_string(&Task {
            strategy: which.strategy.name().into(),
            codec: which.codec.into(),
            threads: which.threads,
            block: which.block,
            wanted: wanted.clone(),
            patience: *patience,
        })?;
        let mut child = command()?.spawn().context(
            "no process can be started to measure a session in; --in-process measures in the one that there is",
        )?;
        let (mut input, said) = (child.stdin.take(), child.stdout.take().map(listen).context("no pipe")?);
        // That a process is gone is noticed where its output ends.
        tell(&mut input, &format!("{}\n{task}", self.setting));
        let mut ended = None;
        loop {
            match said.recv_timeout(GLANCE) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(Said::Row(row)) => {
                        patience.count(row.attempt);
                        if push(*row) {
                            tell(&mut input, "");
                        } else {
                            input = None;
                        }
                    }
                    Ok(Said::Ended(outcome)) => ended = Some(Ok(outcome)),
                    Ok(Said::Failed(why)) => ended = Some(Err(anyhow!("{which}: {why}"))),
                    Err(error) => {
                        input = None;
                        ended = Some(Err(anyhow!("{which}: its process said what is no row: {error}")));
                    }
                },
                // Relaxed [session-stopped]: a wish; nothing is read because of it.
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => input = None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(input);
        let status = child.wait().context("the process of a session cannot be waited for")?;
        match ended {
            Some(ended) => ended,
            // Relaxed [session-ended]: as above.
            None if self.stop.load(Ordering::Relaxed) || was_asked_to_end(status) => Ok(Outcome::Interrupted),
            None => bail!("the process that measured {which} did not come to its end ({})", spoken(status)),
        }
    }
}

/// This program, as the process of a session.
fn command() -> Result<Command> {
    let mut command = Command::new(program().context("this program cannot be found; use --in-process")?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "hnsw-lab");
    command.arg("session").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command)
}

/// The file of this very program: a sweep lasts longer than it takes to put another build in its place.
fn program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() { Ok(running.into()) } else { std::env::current_exe() }
}

/// The lines that come; none any more when the output ends.
fn listen(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = sync_channel(0);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if line.map_or(true, |line| sender.send(line).is_err()) {
                break;
            }
        }
    });
    lines
}

/// Says a line, if there is someone to hear it.
fn tell(input: &mut Option<ChildStdin>, line: &str) {
    if let Some(to) = input
        && writeln!(to, "{line}").and_then(|()| to.flush()).is_err()
    {
        *input = None;
    }
}

/// Whether it was ended by a signal that a sweep in one process would have stopped for: it came before the process could watch for it.
fn was_asked_to_end(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].iter().any(|asks| signal == Some(*asks))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// How it ended, and what that may mean.
fn spoken(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        if signal == Some(libc::SIGKILL) {
            return format!("{status}: someone killed it, or the system ran out of memory");
        }
    }
    status.to_string()
}
