//! Data sets from outside: what the readers accept, and the errors for what they refuse.

mod csv;
mod dataset;
mod frame;
mod idx;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod split;
mod stream;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use travertine::data::{Dataset, Targets};
use travertine::random::{Philox, Purpose};
use travertine::{Error, Result};

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("travertine-data-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_message<X>(outcome: Result<X>, parts: &[&str]) -> Error {
    let Err(error) = outcome else { panic!("no error, but one with {parts:?} is due") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(error.is_input(), "{message}");
    error
}

#[track_caller]
fn classes(data: &Dataset<f64>) -> (Vec<u32>, Vec<&str>) {
    match data.targets() {
        Targets::Classes { labels, names } => {
            (labels.clone(), names.iter().map(String::as_str).collect())
        }
        other => panic!("classes expected, found {other:?}"),
    }
}

#[track_caller]
fn values(data: &Dataset<f64>) -> &[f64] {
    match data.targets() {
        Targets::Values { values, .. } => values,
        other => panic!("values expected, found {other:?}"),
    }
}

/// Printed past the test harness, which shows captured output only when a test fails.
fn left_out(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "LEFT OUT: {test}, as {reason}");
}

/// Reads many damaged copies of `sound`: each may be refused or not, but must neither panic nor exhaust the memory.
fn read_damaged<X>(name: &str, sound: &[u8], read: impl Fn(&Path) -> Result<X>) {
    let folder = Folder::new();
    for round in 0..400 {
        let random = Philox::new(7, Purpose::User, round);
        let mut bytes = sound.to_vec();
        for damage in 0..=random.below(0, 4) {
            let position = random.below(1 + 2 * damage, bytes.len() as u64) as usize;
            bytes[position] = random.words(2 + 2 * damage)[0] as u8;
        }
        if round % 4 == 0 {
            bytes.truncate(random.below(100, bytes.len() as u64) as usize);
        }
        let _ = read(&folder.write(name, bytes));
    }
}
