//! Divergence is found after the epoch, located exactly and undone.

use super::Trainer;
use super::step::Stepper;
use crate::error::{ErrorKind, Result};
use crate::layer::{Pass, TrainingLayer};
use crate::matrix::{Matrix, MatrixRef};
use crate::ops;
use crate::samples::Samples;
use crate::scalar::Scalar;

/// The state from before this epoch: weights and bias of every layer, each with the optimizer's states.
pub(super) struct LastGood<T: Scalar> {
    /// States at the front that no later step reads: the gradient.
    transient: usize,
    layers: Vec<[Vec<Matrix<T>>; 2]>,
    /// `features x 2` for layers that have them.
    statistics: Vec<Option<Matrix<T>>>,
}

impl<T: Scalar> LastGood<T> {
    pub(super) fn new(stepper: &Stepper<'_, T>) -> Result<Self> {
        let mut layers = Vec::with_capacity(stepper.layers.len());
        let transient = stepper.transient_states();
        for (layer, states) in stepper.layers.iter().zip(&stepper.states) {
            let copies =
                |parameter: Result<Matrix<T>>, states: &[Matrix<T>]| -> Result<Vec<Matrix<T>>> {
                    std::iter::once(parameter)
                        .chain(states.iter().skip(transient).map(Matrix::copy))
                        .collect()
                };
            let [weights, bias] = states;
            layers.push([
                copies(layer.weights().copy(), weights)?,
                copies(layer.bias().copy(), bias)?,
            ]);
        }
        let statistics =
            stepper.layers.iter().map(|layer| layer.statistics().map(MatrixRef::copy).transpose());
        Ok(LastGood { transient, statistics: statistics.collect::<Result<_>>()?, layers })
    }

    /// Copies the present state.
    pub(super) fn keep(&mut self, stepper: &mut Stepper<'_, T>) -> Result<()> {
        if let Some(scaler) = stepper.scaler_mut() {
            scaler.last_good = scaler.state;
        }
        for ((good, layer), states) in
            self.layers.iter_mut().zip(&stepper.layers).zip(&stepper.states)
        {
            for ((good, parameter), states) in
                good.iter_mut().zip([layer.weights(), layer.bias()]).zip(states)
            {
                let now = std::iter::once(parameter)
                    .chain(states.iter().skip(self.transient).map(Matrix::view));
                good.iter_mut()
                    .zip(now)
                    .try_for_each(|(good, now)| ops::copy(now, good.view_mut()))?;
            }
        }
        for (good, layer) in self.statistics.iter_mut().zip(&stepper.layers) {
            if let (Some(good), Some(now)) = (good, layer.statistics()) {
                ops::copy(now, good.view_mut())?;
            }
        }
        Ok(())
    }

    /// Goes back to the copy, which is from before this step.
    pub(super) fn restore(&self, stepper: &mut Stepper<'_, T>, step: u64) -> Result<()> {
        for ((good, layer), states) in
            self.layers.iter().zip(&mut stepper.layers).zip(&mut stepper.states)
        {
            for ((good, parameter), states) in good.iter().zip(layer.parameters_mut()).zip(states) {
                let now = std::iter::once(parameter)
                    .chain(states.iter_mut().skip(self.transient).map(Matrix::view_mut));
                good.iter().zip(now).try_for_each(|(good, now)| ops::copy(good.view(), now))?;
            }
        }
        for (good, layer) in self.statistics.iter().zip(&mut stepper.layers) {
            if let (Some(good), Some(now)) = (good, layer.parts_mut().statistics) {
                ops::copy(good.view(), now)?;
            }
        }
        stepper.step = step;
        if let Some(scaler) = stepper.scaler_mut() {
            scaler.state = scaler.last_good;
        }
        Ok(())
    }

    /// The copies of weights, bias and statistics, layer by layer, to write.
    pub(super) fn parts_mut(
        &mut self,
    ) -> impl Iterator<Item = (&mut [Vec<Matrix<T>>; 2], &mut Option<Matrix<T>>)> {
        self.layers.iter_mut().zip(&mut self.statistics)
    }

    /// The copies of layer i.
    pub(super) fn of_layer(&self, i: usize) -> (&[Vec<Matrix<T>>; 2], Option<&Matrix<T>>) {
        (&self.layers[i], self.statistics[i].as_ref())
    }
}

impl<'n, T: Scalar> Trainer<'n, T> {
    /// Searches for losses and parameters that are not finite. If there are any, goes back to the last good state and returns
    /// an error with the step and the layer.
    pub(super) fn refuse_divergence(
        &mut self,
        samples: &mut Samples<'_, T>,
        first_step: u64,
    ) -> Result<()> {
        let losses = samples.losses()?;
        let bad_loss = losses.iter().position(|loss| !loss.is_finite());
        let bad_layer = self.layer_where(|layer| {
            let statistics = layer.statistics().map_or(Ok(0.0), ops::amax)?;
            Ok([ops::amax(layer.weights())?, ops::amax(layer.bias())?, statistics])
        })?;
        let (step, layer, what) = match (bad_loss, bad_layer) {
            (None, None) => return Ok(()),
            (None, Some(layer)) => (self.stepper.step - 1, layer, "a parameter of"),
            (Some(sample), _) => {
                let step = first_step + (sample / self.batch()) as u64;
                self.last_good.restore(&mut self.stepper, first_step)?;
                let (layer, what) = self.replay(samples, step, first_step)?;
                (step, layer, what)
            }
        };
        self.last_good.restore(&mut self.stepper, first_step)?;
        Err(ErrorKind::Diverged { step, epoch: self.epoch, layer, what }.into())
    }

    /// Repeats the epoch's steps up to `step`, bit by bit as before, and searches the outputs of its layers.
    fn replay(
        &mut self,
        samples: &mut Samples<'_, T>,
        step: u64,
        first_step: u64,
    ) -> Result<(usize, &'static str)> {
        let batch = self.batch();
        let count = samples.count();
        let range = |step: u64| {
            let first = (step - first_step) as usize * batch;
            first..count.min(first + batch)
        };
        for before in first_step..step {
            self.step_on(samples, range(before))?;
        }
        let n = range(step).len();
        self.gather(samples, range(step))?;
        self.stepper.forward(self.x.front(self.x.rows(), n), Pass::Step)?;
        let output = self.layer_where(|layer| Ok([ops::amax(layer.output(n)?)?, 0.0, 0.0]))?;
        Ok(output
            .map_or((self.layers().len() - 1, "the loss behind"), |layer| (layer, "the output of")))
    }

    /// The first layer for which one of the numbers is not finite.
    fn layer_where(
        &self,
        numbers: impl Fn(&dyn TrainingLayer<T>) -> Result<[f64; 3]>,
    ) -> Result<Option<usize>> {
        for (i, layer) in self.stepper.layers.iter().enumerate() {
            if !numbers(&**layer)?.iter().all(|x| x.is_finite()) {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }
}
