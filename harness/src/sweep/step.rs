//! Blocks that begin when another program says so: between them it can measure something else, and this one is idle.
//!
//! The other program writes a line for each block, and waits for the line that says that the block is measured.

use anyhow::{Context, Result};
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a wish to stop may go unnoticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Where a sweep is between the lines that it gets and those that it writes.
pub struct Steps {
    blocks: usize,
    /// The block that is being measured.
    inside: Option<usize>,
    lines: Receiver<()>,
}

impl Steps {
    /// Listens to standard input.
    pub fn new(blocks: usize) -> Steps {
        let (sender, lines) = sync_channel(0);
        // A thread that reads cannot be woken for a stop; it ends with the process.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                if line.is_err() || sender.send(()).is_err() {
                    break;
                }
            }
        });
        Steps { blocks, inside: None, lines }
    }

    /// Waits for the line that begins `block`, unless it has begun. False if the sweep is to end: no line can come any more, or
    /// `stop` is set.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn enter(&mut self, block: usize, stop: &AtomicBool) -> Result<bool> {
        if self.inside == Some(block) {
            return Ok(true);
        }
        self.end()?;
        loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(()) => break,
                // Relaxed [step-stop]: a wish; nothing is read because of it.
                Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
                Err(_) => return Ok(false),
            }
        }
        self.inside = Some(block);
        Ok(true)
    }

    /// Says that the block that is being measured, if any, is measured.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn end(&mut self) -> Result<()> {
        let Some(block) = self.inside.take() else { return Ok(()) };
        crate::output::print(&format!("block {} of {} is measured\n", block + 1, self.blocks))
            .context("cannot write to standard output")
    }
}
