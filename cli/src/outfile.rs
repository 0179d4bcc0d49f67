//! Where a model will be saved: known to work before an hour of training, not after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use travertine::{Error, ErrorKind, Result};

use crate::names::wrong;

/// Refuses a path that is one of the files that are read: the model would replace it.
pub(crate) fn check_is_not(path: &Path, inputs: &[&Path]) -> Result<()> {
    let Ok(model) = path.canonicalize() else { return Ok(()) };
    match inputs.iter().find(|input| input.canonicalize().is_ok_and(|input| input == model)) {
        Some(input) => Err(wrong("--out", format!("the model would replace the data in {}", input.display()))),
        None => Ok(()),
    }
}

/// Refuses a path that a file of `bytes` bytes cannot be saved at, by writing one beside it.
pub(crate) fn check(path: &Path, bytes: usize) -> Result<()> {
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
        return Err(wrong("--out", format!("{} is a folder; give the name of a file", path.display())));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(wrong("--out", format!("the folder {} does not exist", folder.display())));
    }
    let probe = folder.join(format!(".{}.{}.room", name.to_string_lossy(), std::process::id()));
    let tried = fill(&probe, bytes);
    let _ = fs::remove_file(&probe);
    tried.map_err(|source| refused(path, folder, source))
}

/// Real bytes, as a file with holes finds room anywhere.
fn fill(probe: &PathBuf, bytes: usize) -> io::Result<()> {
    static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(probe)?;
    let mut left = bytes;
    while left > 0 {
        let part = left.min(BLOCK.len());
        file.write_all(&BLOCK[..part])?;
        left -= part;
    }
    file.flush()
}

fn refused(path: &Path, folder: &Path, source: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        // Not the user's trouble: exit status 1.
        StorageFull | QuotaExceeded | FileTooLarge => {
            ErrorKind::Io { action: "save the model as", path: path.to_owned(), source }.into()
        }
        _ => wrong("--out", format!("cannot write into the folder {}: {source}", folder.display())),
    }
}
