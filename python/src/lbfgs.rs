//! Training of all samples at once, by L-BFGS.

use std::ops::ControlFlow;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError};
use pyo3::prelude::*;
use travertine::optimizer::{Lbfgs, LbfgsEnd};
use travertine::{Loss, Network, Scalar};

use crate::fault::raised;
use crate::training::{Data, samples};

/// How far it goes; the keys of the dict that Python passes.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub(crate) struct Limits {
    alpha: f64,
    iterations: u64,
    evaluations: u64,
    tolerance: f64,
    is_classes: bool,
}

/// Where it ended: the name of the reason, iterations and cost.
pub(crate) type Minimum = (&'static str, u64, f64);

/// Trains a network; `watch(iterations, cost)` answers whether to stop.
pub(crate) fn minimize<T: Scalar>(
    network: &mut Network<T>,
    loss: Loss,
    limits: &Limits,
    data: &Data<'_, T>,
    watch: &(dyn Fn(Python<'_>, u64, f64) -> PyResult<bool> + Send + Sync),
) -> PyResult<Minimum> {
    check_memory(network.parameters())?;
    let engine = Arc::clone(network.engine());
    let mut samples = samples(&engine, network, data, limits.is_classes).map_err(raised)?;
    let mut failure = None;
    let mut asked = |iterations, cost| {
        let answer = Python::attach(|py| {
            py.check_signals()?;
            watch(py, iterations, cost)
        });
        let stops = *answer.as_ref().unwrap_or(&true);
        failure = answer.err();
        Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let minimum = (|| {
        let lbfgs = Lbfgs::new().iterations(limits.iterations).evaluations(limits.evaluations);
        let lbfgs = lbfgs.gradient_tolerance(limits.tolerance)?.l2(limits.alpha)?;
        lbfgs.train_with(network, loss, &mut samples, |at| asked(at.iterations, at.cost))
    })();
    let minimum = minimum.map_err(raised)?;
    let is_signal =
        |error: &PyErr| Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py));
    let end = match (failure, minimum.end) {
        (Some(error), _) if is_signal(&error) => "interrupted",
        (Some(error), _) => return Err(error),
        (None, LbfgsEnd::Stopped) => "stopped",
        (None, LbfgsEnd::Iterations) => "iterations",
        (None, LbfgsEnd::Evaluations) => "evaluations",
        _ => "converged",
    };
    Ok((end, minimum.last.iterations, minimum.last.cost))
}

/// Whether the vectors of a minimization can be had: they are of f64, and a process that cannot have them would end.
fn check_memory(parameters: usize) -> PyResult<()> {
    // The pairs of steps and gradients that are kept, and two points with a gradient, a direction and their differences.
    const VECTORS: usize = 2 * 10 + 8;
    let numbers = parameters.saturating_mul(VECTORS);
    Vec::<f64>::new().try_reserve_exact(numbers).map_err(|_| {
        let bytes = numbers.saturating_mul(size_of::<f64>());
        let reason = format!(
            "solver='lbfgs' needs {bytes} bytes for {parameters} parameters, which cannot be had; use 'adam'"
        );
        PyMemoryError::new_err(reason)
    })
}
