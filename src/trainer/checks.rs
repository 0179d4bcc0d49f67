//! Checks of batches and samples before a trainer uses them. Messages are made only when something is wrong.

use std::sync::Arc;

use super::Trainer;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::MatrixRef;
use crate::samples::Samples;
use crate::scalar::Scalar;

const OWN_ENGINE: &str = "make it with the network's own engine, a clone of the same `Arc`";

impl<T: Scalar> Trainer<'_, T> {
    fn engine(&self) -> &Arc<dyn Engine<T>> {
        self.x.engine()
    }

    /// Refuses inputs and targets that do not fit the network or the batch, with every reason.
    pub(super) fn check_batch(
        &self,
        operation: &'static str,
        x: MatrixRef<'_, T>,
        t: Option<MatrixRef<'_, T>>,
    ) -> Result<()> {
        let is_ours = |m: &MatrixRef<'_, T>| Arc::ptr_eq(m.engine(), self.engine());
        let fits = |t: &MatrixRef<'_, T>| {
            t.rows() == self.t.rows() && t.columns() == x.columns() && is_ours(t)
        };
        let x_fits = x.rows() == self.x.rows() && x.columns() <= self.batch() && is_ours(&x);
        if x_fits && t.as_ref().is_none_or(fits) {
            return Ok(());
        }
        let mut wrong = Vec::new();
        let (inputs, outputs, batch) = (self.x.rows(), self.t.rows(), self.batch());
        let (rows, samples) = (x.rows(), x.columns());
        if rows != inputs {
            wrong.push(format!("x has {rows} rows, the network has {inputs} inputs"));
        }
        if samples > batch {
            wrong.push(format!("x has {samples} samples, the trainer's batch is {batch}"));
        }
        if !is_ours(&x) {
            wrong.push(format!("x is on another engine than the network; {OWN_ENGINE}"));
        }
        if let Some(t) = t.filter(|t| !fits(t)) {
            if t.rows() != outputs {
                let rows = t.rows();
                wrong.push(format!("t has {rows} rows, the network has {outputs} outputs"));
            }
            if t.columns() != samples {
                wrong.push(format!("t has {} columns for {samples} samples", t.columns()));
            }
            if !is_ours(&t) {
                wrong.push(format!("t is on another engine than the network; {OWN_ENGINE}"));
            }
        }
        Err(Error::argument(operation, wrong.join("; ")))
    }

    /// Refuses samples that do not fit the network, with every reason.
    pub(super) fn check_samples(
        &self,
        operation: &'static str,
        samples: &Samples<'_, T>,
    ) -> Result<()> {
        samples.check(operation, self.engine(), self.x.rows(), self.t.rows())
    }
}
