//! The files by which drivers are installed: each names the library of a driver. The loader skips those that it cannot load without a word.

use std::fs;
use std::path::{Path, PathBuf};

/// The `.icd` files of a folder, in the order of their names; a path that is no folder is such a file itself.
pub(super) fn files(place: &Path) -> Vec<PathBuf> {
    let is_icd = |path: &Path| path.extension().is_some_and(|extension| extension == "icd");
    let mut files: Vec<PathBuf> = match fs::read_dir(place) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![place.to_owned()],
    };
    files.retain(|file| is_icd(file));
    files.sort();
    files
}

/// The files whose drivers cannot be loaded, with the reason.
pub(super) fn faults(place: &Path) -> Vec<(PathBuf, String)> {
    let fault = |file: PathBuf| {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => return Some((file, format!("the file cannot be read: {error}"))),
        };
        let library = text.lines().next().unwrap_or("").trim();
        let words = match library {
            "" => "the file names no library".to_owned(),
            _ => format!("its library cannot be loaded: {}", load_error(library)?),
        };
        Some((file, words))
    };
    files(place).into_iter().filter_map(fault).collect()
}

/// Why a library cannot be loaded, in the words of the dynamic linker; `None` if it can.
#[cfg(target_os = "linux")]
fn load_error(library: &str) -> Option<String> {
    use std::ffi::{CStr, CString};

    let Ok(name) = CString::new(library) else {
        return Some("its name contains a zero".to_owned());
    };
    // SAFETY: the name is a string; the loader of OpenCL opened the same library before, so that opening it again runs nothing new.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if !handle.is_null() {
        // SAFETY: the handle is open, and not used any more.
        unsafe { libc::dlclose(handle) };
        return None;
    }
    // SAFETY: the message is read before another call of the linker in this thread.
    let words = unsafe { libc::dlerror() };
    if words.is_null() {
        return Some(format!("{library}: no reason was given"));
    }
    // SAFETY: the linker's message is a string.
    Some(unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
}

#[cfg(not(target_os = "linux"))]
fn load_error(_library: &str) -> Option<String> {
    None
}
