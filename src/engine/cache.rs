//! Files that make the second start fast: compiled kernels, measured tiles. Losing one costs time, never correctness, so
//! whatever cannot be read or does not fit is passed over.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use flate2::Crc;

/// The first bytes of a compiled kernel's file.
const MAGIC: &[u8; 16] = b"travertine 0001\n";

/// The files of one device and driver.
#[derive(Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Device, driver and versions; a file that was made for others is not used.
    identity: String,
}

impl Cache {
    /// In `folder`, for the devices of one API.
    pub fn new(folder: &Path, api: &str, identity: &str) -> Self {
        Cache { folder: folder.join(api), identity: identity.to_owned() }
    }

    /// The file for something that is made from `text`.
    fn path(&self, text: &str, extension: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (&self.identity, text).hash(&mut hasher);
        self.folder.join(format!("{:016x}.{extension}", hasher.finish()))
    }

    /// Device, driver and versions.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The file of the tiles measured on this device, which people may want to find.
    pub fn tiles(&self) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self
            .identity
            .lines()
            .take(2)
            .collect::<Vec<_>>()
            .join("-")
            .chars()
            .map(plain)
            .collect();
        self.path("tiles", "toml").with_file_name(format!("{name}.toml"))
    }

    /// What was stored for this source.
    pub fn load(&self, source: &str) -> Option<Vec<u8>> {
        let mut file = fs::read(self.path(source, "bin")).ok()?;
        let head = self.head(source);
        let start = head.len() + 4;
        let checked = file.len() >= start
            && file[..head.len()] == head[..]
            && file[head.len()..start] == sum(&file[start..]);
        if !checked {
            return None;
        }
        file.drain(..start);
        Some(file)
    }

    /// Keeps what was made of this source, if the folder can be written.
    pub fn store(&self, source: &str, binary: &[u8]) {
        let file = [&self.head(source)[..], &sum(binary), binary].concat();
        let _ = replace(&self.path(source, "bin"), &file);
    }

    /// What a file begins with: all that it was made from.
    fn head(&self, source: &str) -> Vec<u8> {
        let length = |text: &str| (text.len() as u64).to_le_bytes();
        let mut head = MAGIC.to_vec();
        for part in [self.identity.as_str(), source] {
            head.extend(length(part));
            head.extend(part.as_bytes());
        }
        head
    }
}

fn sum(data: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum().to_le_bytes()
}

/// Writes a file so that nobody ever sees half of it.
pub(super) fn replace(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, data).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
