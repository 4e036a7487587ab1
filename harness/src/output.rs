//! Printing to standard output, where a closed pipe is not an error.

use std::io::{self, Write};

/// Writes `text` to standard output. A reader that went away (`| head`) has seen what it wanted.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
