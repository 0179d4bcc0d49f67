//! Where a model and what goes with it will be saved: known to work before an hour of training, not after it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use travertine::{Error, ErrorKind, Result};

use crate::names::wrong;

/// Refuses a path, given by `option`, that is one of the files that are read: what is written would replace it.
pub(crate) fn check_is_not(option: &'static str, path: &Path, inputs: &[&Path]) -> Result<()> {
    let Ok(output) = path.canonicalize() else { return Ok(()) };
    match inputs.iter().find(|input| input.canonicalize().is_ok_and(|input| input == output)) {
        Some(input) => {
            Err(wrong(option, format!("the file would replace the data in {}", input.display())))
        }
        None => Ok(()),
    }
}

/// Refuses a path that a file of `bytes` bytes cannot be saved at, by writing one beside it.
pub(crate) fn check(option: &'static str, path: &Path, bytes: usize) -> Result<()> {
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
        return Err(wrong(
            option,
            format!("{} is a folder; give the name of a file", path.display()),
        ));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(wrong(option, format!("the folder {} does not exist", folder.display())));
    }
    let probe = beside(&folder.join(name), "room");
    let tried = fill(&probe, bytes);
    let _ = fs::remove_file(&probe);
    tried.map_err(|source| refused(option, path, folder, source))
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

fn refused(option: &'static str, path: &Path, folder: &Path, source: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        // Not the user's trouble: exit status 1.
        StorageFull | QuotaExceeded | FileTooLarge => {
            let action = if option == "--out" { "save the model as" } else { "write to" };
            ErrorKind::Io { action, path: path.to_owned(), source }.into()
        }
        _ => wrong(option, format!("cannot write into the folder {}: {source}", folder.display())),
    }
}

/// A hidden name in the same folder, for a file that will be renamed or removed.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}

/// Makes the folder that `option` names, unless it is there, and tries to write into it.
pub(crate) fn make_folder(option: &'static str, folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".{}.room", std::process::id()));
    let tried = fs::create_dir_all(folder).and_then(|()| fill(&probe, 0));
    let _ = fs::remove_file(&probe);
    tried.map_err(|source| refused(option, folder, folder, source))
}
