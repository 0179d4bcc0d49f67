//! Files that are written whole or not at all.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file whole: to a temporary file in the same folder, which is synced and then renamed. `path` holds the old or the
/// new content at any moment, even if the process is killed. Models and checkpoints are written this way. A symbolic link stays, and
/// the file that it leads to is replaced.
///
/// ```
/// use travertine::model_file::replace_file;
/// let path = std::env::temp_dir().join(format!("travertine-replace-{}.txt", std::process::id()));
/// replace_file(&path, b"old")?;
/// replace_file(&path, b"new")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"new");
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// A folder that is missing, full or not writable; a path that is no regular file, such as a folder or a device. The old file is then
/// unchanged, and no temporary file is left.
pub fn replace_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_and_rename(path, bytes).map_err(|source| Error::io("write", path, source))
}

fn write_and_rename(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &followed(path)?;
    let folder = folder_of(path);
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut temporary = tempfile::Builder::new();
    temporary.prefix(&prefix).suffix(".tmp");
    // As any new file: the process's mask takes its share away. Temporary files alone would be their owner's.
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    temporary.permissions(mode);
    let mut file = temporary.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name is on disk once its folder is.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The file that a path leads to; itself where nothing is there.
fn followed(path: &Path) -> io::Result<PathBuf> {
    match path.metadata() {
        // A rename would put a file in the place of a device or a pipe.
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
        }
        Ok(_) => path.canonicalize(),
        // A link may lead to a file that is not there yet.
        Err(_) => {
            Ok(path.read_link().map_or_else(|_| path.to_owned(), |to| folder_of(path).join(to)))
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
