//! Output files: checked before an hour of training instead of after it, and written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use travertine::{Error, ErrorKind, Result};

use crate::message::wrong;

/// Refuses a path, given by `option`, that is one of the files that are read: what is written would replace it.
pub(crate) fn check_is_not(option: &'static str, path: &Path, inputs: &[PathBuf]) -> Result<()> {
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
    if path.file_name().is_none() || path.is_dir() {
        let reason = format!("{} is a folder; give the name of a file", path.display());
        return Err(wrong(option, reason));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(wrong(option, format!("the folder {} does not exist", folder.display())));
    }
    fill(folder, bytes).map_err(|source| refused(option, path, folder, source))
}

/// Makes the folder that `option` names, unless it is there, and tries to write into it.
pub(crate) fn make_folder(option: &'static str, folder: &Path) -> Result<()> {
    let tried = fs::create_dir_all(folder).and_then(|()| fill(folder, 0));
    tried.map_err(|source| refused(option, folder, folder, source))
}

/// Writes a file whole or not at all: under another name first, so that a full disk does not destroy an earlier file.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut new = temporary(folder_of(path))?;
    new.write_all(content)?;
    new.persist(path).map_err(|error| error.error)
}

/// Removes a file that this program has written.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let refused = |source| ErrorKind::Io { action: "remove", path: path.to_owned(), source }.into();
    fs::remove_file(path).map_err(refused)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A hidden file that is removed when it is dropped, readable for others as any new file.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".travertine-").suffix(".new");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes a temporary file of real bytes: a file with holes finds space anywhere.
fn fill(folder: &Path, bytes: usize) -> io::Result<()> {
    static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
    let mut file = temporary(folder)?;
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
        // Not the user's mistake: exit status 1.
        StorageFull | QuotaExceeded | FileTooLarge => {
            let action = if option == "--out" { "save the model as" } else { "write to" };
            ErrorKind::Io { action, path: path.to_owned(), source }.into()
        }
        _ => wrong(option, format!("cannot write into the folder {}: {source}", folder.display())),
    }
}
