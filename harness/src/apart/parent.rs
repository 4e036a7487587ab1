//! What a command does that a user has started: starts a process for each task, and takes what it finds.

use super::{Apart, Ground, Measure, Said, Setting};
use crate::record::Isolation;
use crate::sweep::Outcome;
use anyhow::{Context, Result, anyhow, bail};
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a wish to stop may go unnoticed: not often, because each look takes a CPU from a worker. A process that the signal reached
/// itself does not wait for it.
const GLANCE: Duration = Duration::from_millis(100);

/// What does the tasks of a command: each in a process of its own, or all of them in this one. `brought`: the data set came with
/// the exact neighbours that it has, if it has any.
pub(crate) fn measurer<'a, A>(
    args: &'a A,
    isolation: Isolation,
    ground: Ground,
    brought: bool,
    stop: &'a AtomicBool,
) -> Result<Box<Measure<'a, A>>>
where
    A: Apart + 'a,
    A::Task: Display,
{
    match isolation {
        Isolation::None => args.bench(ground, stop),
        Isolation::Process => {
            let Ground { machine, dataset, canary, .. } = ground;
            let setting = Setting::new(args, &machine, &dataset, brought, canary.reference());
            let processes = Processes::new(&setting, stop)?;
            // The processes have vectors of their own: one copy is enough.
            drop(dataset);
            Ok(Box::new(move |task, push| processes.run(task, push)))
        }
    }
}

/// Does each task in a process of its own.
struct Processes<'a, A> {
    /// What they share, as a line.
    setting: String,
    stop: &'a AtomicBool,
    of: PhantomData<fn() -> A>,
}

impl<'a, A: Apart> Processes<'a, A> {
    fn new(setting: &Setting<A>, stop: &'a AtomicBool) -> Result<Processes<'a, A>> {
        Ok(Processes { setting: serde_json::to_string(setting)?, stop, of: PhantomData })
    }

    /// Does one task and hands what is found to `push`, which returns false to stop.
    fn run(&self, task: &A::Task, push: &mut dyn FnMut(A::Found) -> bool) -> Result<Outcome>
    where
        A::Task: Display,
    {
        let line = serde_json::to_string(task)?;
        let mut child = command()?.spawn().context(
            "no process can be started to measure in; --in-process measures in the one that there is",
        )?;
        let (mut input, said) = (child.stdin.take(), child.stdout.take().map(listen).context("no pipe")?);
        // That a process is gone is noticed where its output ends.
        for line in [A::COMMAND, &self.setting, &line] {
            tell(&mut input, line);
        }
        // It can be long, and a trial too.
        drop(line);
        let mut ended = None;
        loop {
            match said.recv_timeout(GLANCE) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(Said::Found(found)) => {
                        if push(found) {
                            tell(&mut input, "");
                        } else {
                            input = None;
                        }
                    }
                    Ok(Said::Ended(outcome)) => ended = Some(Ok(outcome)),
                    Ok(Said::Failed(why)) => ended = Some(Err(anyhow!("{task}: {why}"))),
                    Err(error) => {
                        input = None;
                        ended = Some(Err(anyhow!("{task}: its process said what cannot be read: {error}")));
                    }
                },
                // Relaxed [session-stopped]: a wish; nothing is read because of it.
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => input = None,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(input);
        let status = child.wait().context("a process that measured cannot be waited for")?;
        match ended {
            Some(ended) => ended,
            // Relaxed [session-ended]: as above.
            None if self.stop.load(Ordering::Relaxed) || was_asked_to_end(status) => Ok(Outcome::Interrupted),
            None => bail!("the process that measured {task} did not come to its end ({})", spoken(status)),
        }
    }
}

/// This program, as the process of a task.
fn command() -> Result<Command> {
    let mut command = Command::new(program().context("this program cannot be found; use --in-process")?);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "hnsw-lab");
    command.arg("session").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command)
}

/// The file of this very program: a measurement lasts longer than it takes to put another build in its place.
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

/// Whether it was ended by a signal that a command in one process would have stopped for: it came before the process could watch for it.
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
