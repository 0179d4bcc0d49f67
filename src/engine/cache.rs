//! Cache files: compiled kernels and measured tiles, which make the second start fast.
//!
//! A file never decides a result. It is used only if the version, the device, the driver and the whole kernel text in it are the current
//! ones and its checksum is right; otherwise it is ignored and made again. Kernels of products are stored after they are proved.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use flate2::Crc;

/// The first bytes of a compiled kernel's file.
const MAGIC: &[u8; 16] = b"travertine 0002\n";

/// Compiled kernels that a folder holds at most, of all devices and drivers together.
const MAX_KERNELS: usize = 1000;

/// The cache files of one device and driver.
#[derive(Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Device, driver and versions; a file with another identity is ignored.
    identity: String,
}

impl Cache {
    /// The cache of one device in `folder`.
    pub fn new(folder: &Path, api: &str, identity: &str) -> Self {
        Cache { folder: folder.join(api), identity: identity.to_owned() }
    }

    /// The path of the file that was made from `text`.
    fn path(&self, text: &str, extension: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (&self.identity, text).hash(&mut hasher);
        self.folder.join(format!("{:016x}.{extension}", hasher.finish()))
    }

    /// Device, driver and versions.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The path of the tiles measured on this device, with a name that people can find.
    pub fn tiles(&self) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self
            .identity
            .lines()
            .take(3)
            .collect::<Vec<_>>()
            .join("-")
            .chars()
            .map(plain)
            .collect();
        self.path("tiles", "toml").with_file_name(format!("{name}.toml"))
    }

    /// The compiled kernel of this source, if there is one.
    pub fn load(&self, source: &str) -> Option<Vec<u8>> {
        let mut file = fs::read(self.path(source, "bin")).ok()?;
        let header = self.header(source);
        let start = header.len() + 4;
        let checked = file.len() >= start
            && file[..header.len()] == header[..]
            && file[header.len()..start] == checksum(&file[start..]);
        if !checked {
            return None;
        }
        file.drain(..start);
        Some(file)
    }

    /// Stores the compiled kernel of this source, if the folder can be written.
    pub fn store(&self, source: &str, binary: &[u8]) {
        let file = [&self.header(source)[..], &checksum(binary), binary].concat();
        let _ = replace(&self.path(source, "bin"), &file);
        self.remove_oldest(MAX_KERNELS);
    }

    /// Removes the oldest compiled kernels beyond `most`, and a quarter more, so that this is rare. Nothing else tells which of them belong to
    /// drivers and versions of the past.
    fn remove_oldest(&self, most: usize) {
        let is_kernel = |path: &Path| path.extension().is_some_and(|found| found == "bin");
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut kernels: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| is_kernel(path))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        if kernels.len() > most {
            kernels.sort();
            let surplus = kernels.len() - most * 3 / 4;
            kernels.iter().take(surplus).for_each(|(_, path)| drop(fs::remove_file(path)));
        }
    }

    /// The header of a file: everything that it was made from.
    fn header(&self, source: &str) -> Vec<u8> {
        let length = |text: &str| (text.len() as u64).to_le_bytes();
        let mut header = MAGIC.to_vec();
        for part in [self.identity.as_str(), source] {
            header.extend(length(part));
            header.extend(part.as_bytes());
        }
        header
    }
}

fn checksum(data: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum().to_le_bytes()
}

/// Writes a file and renames it into place, so that no reader sees a part of it.
pub(super) fn replace(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, data).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_kernels_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), "api", "device");
        let time = |age: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        for age in 0..12 {
            let name = age.to_string();
            cache.store(&name, b"kernel");
            let file = fs::File::options().append(true).open(cache.path(&name, "bin")).unwrap();
            file.set_modified(time(age)).unwrap();
        }
        replace(&cache.tiles(), b"tiles").unwrap();
        cache.remove_oldest(12);
        assert!((0..12).all(|age| cache.load(&age.to_string()).is_some()));
        cache.remove_oldest(8);
        let kept: Vec<bool> = (0..12).map(|age| cache.load(&age.to_string()).is_some()).collect();
        assert!(kept[..6].iter().all(|kept| *kept) && !kept[6..].iter().any(|kept| *kept));
        assert!(cache.tiles().exists());
    }
}
