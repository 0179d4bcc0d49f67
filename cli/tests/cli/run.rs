//! A folder of its own for each test, and the binary run in it.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A temporary folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "travertine-cli-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.join(name), content).unwrap();
    }

    /// Runs `travertine` in this folder with arguments that hold no spaces.
    pub(crate) fn run(&self, arguments: &str) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run::new(arguments, output)
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_travertine"));
        // Caches too stay in this folder.
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .env("XDG_CACHE_HOME", &self.0);
        command
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) arguments: String,
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn new(arguments: &str, output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (status, out, err) = (output.status.code(), text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{arguments}: {err}");
        Run { arguments: arguments.to_owned(), status, out, err }
    }

    /// It must have gone well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{}: {}", self.arguments, self.err);
        self
    }

    /// It must have failed so, with all of these in the message, and nothing on standard output.
    pub(crate) fn fails(self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, Some(status), "{}: {}", self.arguments, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{}: no '{part}' in: {}", self.arguments, self.err);
        }
        assert_eq!(self.out, "", "{}", self.arguments);
    }

    /// Standard output, every line of which must be JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {line}: {e}", self.arguments))
        };
        self.out.lines().map(parse).collect()
    }

    /// The last line of it.
    pub(crate) fn result(&self) -> Value {
        self.json().pop().unwrap()
    }
}

/// The keys of an object, in their order.
pub(crate) fn keys(value: &str) -> Vec<&str> {
    value
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|key| value.contains(&format!("\"{key}\":")))
        .collect()
}
