//! The engines of this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use pyo3::prelude::*;
use travertine::engine::{self, Engine, Settings};
use travertine::{Result, Scalar};

/// Called in a process that was forked: the threads of its engines exist in the parent alone.
#[pyfunction]
pub(crate) fn after_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    engine::after_fork();
}

/// How often this process and its parents have been forked.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// How often this process and its parents have been forked: a lock that was taken when it was less is held by a thread of a parent.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::SeqCst)
}

/// An engine by the name of its device and its number of threads.
type Key = (&'static str, String, Option<usize>);

/// The engines of the process. Networks share one, because each has threads of its own. It is locked by threads that hold the
/// interpreter's lock and keep it, because another thread may fork the process otherwise, whose child would wait for ever.
static ENGINES: LazyLock<Mutex<HashMap<Key, Box<dyn std::any::Any + Send>>>> =
    LazyLock::new(Mutex::default);

/// The engine of a device, opened once.
pub(crate) fn open<T: Scalar>(device: &str, threads: Option<usize>) -> Result<Arc<dyn Engine<T>>> {
    let key = (T::NAME, device.to_owned(), threads);
    if let Some(found) = Python::attach(|_| known(&key)) {
        return Ok(found);
    }
    let settings = threads.map_or_else(Settings::default, Settings::threads);
    let engine = engine::open_with::<T>(device, &settings)?;
    Ok(Python::attach(|_| {
        // Another thread may have opened it meanwhile.
        known(&key).unwrap_or_else(|| {
            let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
            engines.insert(key, Box::new(Arc::clone(&engine)));
            engine
        })
    }))
}

fn known<T: Scalar>(key: &Key) -> Option<Arc<dyn Engine<T>>> {
    let engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.get(key)?.downcast_ref::<Arc<dyn Engine<T>>>().map(Arc::clone)
}
