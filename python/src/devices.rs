//! The engines of this process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use pyo3::prelude::*;
use travertine::engine::{self, Engine, Settings};
use travertine::{Result, Scalar};

/// Called in a process that was forked: the threads of its engines exist in the parent alone.
#[pyfunction]
pub(crate) fn after_fork() {
    engine::after_fork();
}

/// An engine by the name of its device and its number of threads.
type Key = (&'static str, String, Option<usize>);

/// The engines of the process. Networks share one, because each has threads of its own.
static ENGINES: LazyLock<Mutex<HashMap<Key, Box<dyn std::any::Any + Send>>>> =
    LazyLock::new(Mutex::default);

/// The engine of a device, opened once.
pub(crate) fn open<T: Scalar>(device: &str, threads: Option<usize>) -> Result<Arc<dyn Engine<T>>> {
    let key = (T::NAME, device.to_owned(), threads);
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) =
        engines.get(&key).and_then(|engine| engine.downcast_ref::<Arc<dyn Engine<T>>>())
    {
        return Ok(Arc::clone(found));
    }
    let settings = threads.map_or_else(Settings::default, Settings::threads);
    let engine = engine::open_with::<T>(device, &settings)?;
    engines.insert(key, Box::new(Arc::clone(&engine)));
    Ok(engine)
}
