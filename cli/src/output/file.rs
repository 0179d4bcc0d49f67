//! Output files: checked before an hour of training instead of after it, and written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use travertine::{Error, ErrorKind, Result, model_file};

use crate::message::{note, wrong};

/// Bytes at the beginning of a file by which a program knows its own.
const HEAD_BYTES: u64 = 1 << 16;

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

/// Refuses a path, given by `option`, that is the file which standard input is read from.
pub(crate) fn check_is_not_standard_input(option: &'static str, path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let same = input.and_then(|input| {
            let (input, output) = (input.metadata()?, path.metadata()?);
            let is_same = (input.dev(), input.ino()) == (output.dev(), output.ino());
            Ok(is_same && input.is_file())
        });
        if same.unwrap_or(false) {
            let reason = format!(
                "{} is what standard input is read from; it is not replaced",
                path.display()
            );
            return Err(wrong(option, reason));
        }
    }
    #[cfg(not(unix))]
    let _ = (option, path);
    Ok(())
}

/// Refuses a file, given by `option`, whose beginning `is_own` does not know: it is not replaced.
pub(crate) fn check_is_own(
    (option, what): (&'static str, &str),
    path: &Path,
    is_own: impl Fn(&str) -> bool,
) -> Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    if read.is_ok() && (head.is_empty() || is_own(&String::from_utf8_lossy(&head))) {
        return Ok(());
    }
    let reason =
        format!("{} exists and is not {what} of travertine; it is not replaced", path.display());
    Err(wrong(option, reason))
}

/// Refuses a path that a file of `bytes` bytes cannot be saved at, by writing one beside it.
pub(crate) fn check(option: &'static str, path: &Path, bytes: usize) -> Result<()> {
    if path.file_name().is_none() || path.is_dir() {
        let reason = format!("{} is a folder; give the name of a file", path.display());
        return Err(wrong(option, reason));
    }
    if is_special(path) {
        return Ok(());
    }
    // A symbolic link stays, and the file that it leads to is replaced.
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&file);
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

/// Whether the path is a device, a pipe or the like, which is written into and not replaced.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Writes a file whole or not at all, and names it if it was there. Into a device or a pipe the content is written.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    if is_special(path) {
        let written = fs::OpenOptions::new().write(true).open(path);
        let written = written.and_then(|mut file| file.write_all(content));
        let failed = |source| ErrorKind::Io { action: "write", path: path.to_owned(), source };
        return Ok(written.map_err(failed)?);
    }
    name_replaced(path);
    model_file::replace_file(path, content)
}

/// Names a file that is about to be replaced.
pub(crate) fn name_replaced(path: &Path) {
    if path.exists() {
        note(&format!("replaces {}", path.display()));
    }
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
