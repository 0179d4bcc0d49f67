//! The compiled part of the Python package: networks and their training on NumPy's arrays. Estimators are written in Python on top of
//! it.

use std::ffi::OsString;
use std::process::ExitCode;

use pyo3::prelude::*;

mod devices;
mod fault;
mod layers;
mod lbfgs;
mod model;
mod network;
mod table;
mod training;

/// Runs the command line: the words that begin it, and its arguments, the first of which is its name. Returns the exit status.
#[pyfunction]
fn command_line(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    let status = py.detach(|| travertine_cli::run_as(program, arguments));
    (0..=u8::MAX).find(|code| status == ExitCode::from(*code)).unwrap_or(1)
}

#[pymodule]
fn _travertine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<network::Network>()?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(command_line, module)?)?;
    module.add_function(wrap_pyfunction!(devices::after_fork, module)?)?;
    module.add_function(wrap_pyfunction!(table::train_table, module)?)?;
    Ok(())
}
