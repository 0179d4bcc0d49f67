//! A model that is served: its current version, and how the next one takes its place.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use travertine::Result;

use crate::metrics::ModelMetrics;
use crate::options::Engines;
use crate::version::Version;

/// A model that is served.
pub(crate) struct Served {
    pub(crate) name: String,
    path: PathBuf,
    current: RwLock<Arc<Version>>,
    pub(crate) metrics: Arc<ModelMetrics>,
    capacity: usize,
    /// The file as it was loaded, or tried, last. It is locked while a version is loaded.
    loaded: Mutex<Option<Stamp>>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Of a file that took the place of another; 0 where the system has no such number.
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&file);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Stamp { bytes: file.len(), modified: file.modified().ok(), inode })
    }
}

/// What became of a file that was looked at.
pub(crate) enum Reloaded {
    Unchanged,
    /// The number of the version, and whether its columns or answers are others.
    New(u64, bool),
    /// The old version stays.
    Failed(travertine::Error),
}

impl Served {
    pub(crate) fn load(
        name: String,
        path: PathBuf,
        engines: &Engines,
        capacity: usize,
    ) -> Result<Self> {
        let metrics = Arc::new(ModelMetrics::new());
        let stamp = Stamp::of(&path);
        let version = Version::load((&name, &path), 1, engines, capacity, &metrics)?;
        metrics.version.store(1, Relaxed);
        let (current, loaded) = (RwLock::new(Arc::new(version)), Mutex::new(stamp));
        Ok(Served { name, path, current, metrics, capacity, loaded })
    }

    /// The version that answers new requests.
    pub(crate) fn current(&self) -> Arc<Version> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads the file if it has changed since it was last tried, or in any case; requests go to the new version from then on.
    pub(crate) fn reload(&self, in_any_case: bool, engines: &Engines) -> Reloaded {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.path);
        // A file that is gone for a moment, while another takes its place, is no change yet.
        if !in_any_case && (stamp.is_none() || stamp == *loaded) {
            return Reloaded::Unchanged;
        }
        *loaded = stamp;
        let old = self.current();
        let number = old.number + 1;
        let place = (&*self.name, &*self.path);
        match Version::load(place, number, engines, self.capacity, &self.metrics) {
            Ok(new) => {
                let is_other = !new.about.takes_and_gives_as(&old.about);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                self.metrics.version.store(number, Relaxed);
                self.metrics.reloads.fetch_add(1, Relaxed);
                Reloaded::New(number, is_other)
            }
            Err(error) => {
                self.metrics.failed_reloads.fetch_add(1, Relaxed);
                Reloaded::Failed(error)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
