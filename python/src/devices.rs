//! The devices of this machine, and the engines on them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use travertine::engine::{self, Engine, Settings};
use travertine::{Result, Scalar};

/// All devices that engines know of, each as a dict: `name`, `description`, `threads`, `driver`, `memory` in bytes, `fp64`, and, if it
/// cannot be used, `missing` with the reason and the cure.
#[pyfunction]
pub(crate) fn devices(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let found = py.detach(engine::probe);
    let describe = |device: engine::Device| {
        let dict = PyDict::new(py);
        dict.set_item("name", device.name)?;
        dict.set_item("description", device.description)?;
        dict.set_item("threads", device.threads)?;
        dict.set_item("driver", device.driver)?;
        dict.set_item("memory", device.memory)?;
        dict.set_item("fp64", device.fp64)?;
        let missing = device.missing.map(|missing| format!("{}; {}", missing.reason, missing.cure));
        dict.set_item("missing", missing)?;
        Ok(dict)
    };
    found.into_iter().map(describe).collect()
}

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
