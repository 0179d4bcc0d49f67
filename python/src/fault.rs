//! Errors of the library as Python's exceptions.

use pyo3::PyErr;
use pyo3::exceptions::{
    PyFloatingPointError, PyMemoryError, PyOSError, PyRuntimeError, PyValueError,
};
use travertine::{Error, ErrorKind};

/// The exception that a Python programmer expects for this error, with the library's message.
pub(crate) fn raised(error: Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Diverged { .. } => PyFloatingPointError::new_err(message),
        ErrorKind::Memory { .. } => PyMemoryError::new_err(message),
        ErrorKind::Io { .. } => PyOSError::new_err(message),
        ErrorKind::Unavailable { .. } | ErrorKind::Device { .. } => {
            PyRuntimeError::new_err(message)
        }
        _ => PyValueError::new_err(message),
    }
}
