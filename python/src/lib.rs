//! The compiled part of the Python package: networks and their training on NumPy's arrays. Estimators are written in Python on top of
//! it.

use pyo3::prelude::*;

mod devices;
mod fault;
mod layers;
mod model;
mod network;
mod training;

#[pymodule]
fn _travertine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<network::Network>()?;
    module.add_class::<model::Model>()?;
    module.add_function(wrap_pyfunction!(devices::devices, module)?)?;
    module.add_function(wrap_pyfunction!(devices::after_fork, module)?)?;
    Ok(())
}
