//! A folder of its own in which the program is run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hnsw_lab::record::{Document, read};
use tempfile::TempDir;

/// A sweep of seconds: 400 vectors, two strategies, five rows for each thread count of each.
pub const SMALL: &str = "sweep --generate clustered --n 400 --dim 16 --query-count 50 --seconds 0.02 --blocks 1 --retries 0 \
                         --strategies sequential,lockfree --threads 1,2 --ef 16 --out small.json";

pub struct Lab {
    folder: TempDir,
}

/// What one run of the program said.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
}

impl Lab {
    pub fn new() -> Lab {
        Lab { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with `args`, apart by spaces, in this folder; environment variables may come first as `NAME=VALUE`.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hnsw-lab"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("HNSW_ISA").env("HNSW_LAB_CACHE", self.path("cache"));
        let mut words = args.split_whitespace().peekable();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                break;
            }
            command.env(name, value);
            words.next();
        }
        command.args(words);
        command
    }

    pub fn run(&self, args: &str) -> Said {
        Said::of(self.command(args).output().expect("the program starts"))
    }

    /// The result document of this name, which must be whole.
    pub fn document(&self, name: &str) -> Document {
        read(&self.path(name)).expect("a whole document")
    }

    /// Everything in the folder, by path within it, in order.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.folder.path(), self.folder.path(), &mut found);
        found.sort();
        found
    }

    /// Text of the program with the name of this folder, which differs from run to run, taken out.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&*self.folder.path().to_string_lossy(), "DIR")
    }
}

impl Said {
    pub fn of(output: Output) -> Said {
        Said {
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
            code: output.status.code(),
        }
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).expect("within").to_string_lossy().into_owned());
        }
    }
}
