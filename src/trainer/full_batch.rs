//! L-BFGS on a network: cost and gradient of all samples as a function of all parameters.

use std::ops::{ControlFlow, Range};

use super::Trainer;
use super::collected::zeros_like;
use super::gradients::Collect;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixMut};
use crate::network::Network;
use crate::optimizer::{Lbfgs, LbfgsProgress, LbfgsReport, minimize};
use crate::samples::Samples;
use crate::scalar::Scalar;

/// Samples whose gradient is computed at once.
const BATCH: usize = 1024;

impl Lbfgs {
    /// Trains the network until a minimum of the mean loss and the penalty over all samples; begins with the parameters that it has.
    ///
    /// # Errors
    /// A loss that cannot be learned with the network's output layer; samples of other sizes than the network's; a network with
    /// batch normalization; first parameters with a cost or gradient that is not finite; no memory; a device that fails.
    pub fn train<T: Scalar>(
        &self,
        network: &mut Network<T>,
        loss: Loss,
        samples: &mut Samples<'_, T>,
    ) -> Result<LbfgsReport> {
        self.train_with(network, loss, samples, |_| Ok(ControlFlow::Continue(())))
    }

    /// As [`Lbfgs::train`]; calls `watch` after every iteration, until it breaks off. The network then has the best parameters so
    /// far, with which another call begins anew.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use travertine::{Activation, Loss, Network, Samples, data, engine, optimizer::{Lbfgs, LbfgsEnd}};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut samples = Samples::from_dataset(&cpu, data::digits()?.take(100)?)?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).seed(1).build()?;
    /// let mut costs = Vec::new();
    /// let report = Lbfgs::new().train_with(&mut network, Loss::SoftmaxCrossEntropy, &mut samples, |progress| {
    ///     costs.push(progress.cost);
    ///     Ok(if progress.cost < 0.5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    /// })?;
    /// assert_eq!((report.end, report.last.cost), (LbfgsEnd::Stopped, costs[costs.len() - 1]));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Lbfgs::train`], and those of `watch`.
    pub fn train_with<T: Scalar>(
        &self,
        network: &mut Network<T>,
        loss: Loss,
        samples: &mut Samples<'_, T>,
        mut watch: impl FnMut(LbfgsProgress) -> Result<ControlFlow<()>>,
    ) -> Result<LbfgsReport> {
        let batch = samples.count().min(BATCH);
        let mut trainer = Trainer::builder(network, loss, Collect).batch(batch).build()?;
        trainer.check_samples("l-bfgs", samples)?;
        if trainer.layers().iter().any(|layer| layer.statistics().is_some()) {
            let reason = "batch normalization needs steps for its running statistics; use layer normalization or Adam";
            return Err(Error::argument("l-bfgs", reason));
        }
        samples.arrange_in_memory_order()?;
        let penalized = trainer.penalized();
        let penalty = self.penalty() / samples.weight();
        let mut gradients = zeros_like(&trainer.stepper.layers)?;
        let mut x = trainer.read_parameters()?;
        let mut evaluate = |x: &mut [f64], gradient: &mut [f64]| {
            trainer.write_parameters(x)?;
            let mean = trainer.cost(samples, &mut gradients)?;
            read(gradients.iter().flatten(), gradient)?;
            Ok(mean + penalize(penalty, &penalized, x, gradient))
        };
        let report = minimize(self, &mut x, &mut evaluate, &mut watch);
        trainer.write_parameters(&mut x)?;
        report
    }
}

impl<T: Scalar> Trainer<'_, T> {
    /// The places of the weights that a penalty is for, among all parameters.
    fn penalized(&self) -> Vec<Range<usize>> {
        let mut first = 0;
        let mut ranges = Vec::new();
        for layer in self.layers() {
            let [weights, bias] = [layer.weights(), layer.bias()].map(|m| m.rows() * m.columns());
            if layer.kind().multiplies() {
                ranges.push(first..first + weights);
            }
            first += weights + bias;
        }
        ranges
    }

    fn read_parameters(&self) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for layer in self.layers() {
            for matrix in [layer.weights(), layer.bias()] {
                all.extend(T::to_f64s(&matrix.to_vec()?));
            }
        }
        Ok(all)
    }

    /// Rounds x to the precision of the parameters and writes them.
    fn write_parameters(&mut self, x: &mut [f64]) -> Result<()> {
        let mut rest = x;
        let layers = self.stepper.layers.iter_mut();
        layers.flat_map(|layer| layer.parameters_mut()).try_for_each(
            |mut matrix: MatrixMut<'_, T>| {
                let (values, behind) =
                    std::mem::take(&mut rest).split_at_mut(matrix.rows() * matrix.columns());
                let rounded = T::from_f64s(values);
                values.copy_from_slice(&T::to_f64s(&rounded));
                rest = behind;
                matrix.write(&rounded)
            },
        )
    }

    /// The mean loss over all samples, and its gradient.
    fn cost(
        &mut self,
        samples: &mut Samples<'_, T>,
        gradients: &mut [[Matrix<T>; 2]],
    ) -> Result<f64> {
        let (count, batch) = (samples.count(), self.batch());
        for first in (0..count).step_by(batch) {
            let range = first..count.min(first + batch);
            let share = range.len() as f64 / count as f64;
            let keep = if first == 0 { 0.0 } else { 1.0 };
            let (x, t, _, results) = samples.all_for(range.clone())?;
            let pair = (x.sub_columns(range.clone())?, t.sub_columns(range)?);
            self.stepper.gradients(
                pair,
                (results.losses, results.weights),
                gradients,
                (share, keep),
            )?;
        }
        Ok(samples.report(count)?.loss)
    }
}

/// All elements, one matrix after the other.
fn read<'m, T: Scalar>(
    matrices: impl Iterator<Item = &'m Matrix<T>>,
    to: &mut [f64],
) -> Result<()> {
    let mut first = 0;
    for matrix in matrices {
        let values = T::to_f64s(&matrix.to_vec()?);
        to[first..first + values.len()].copy_from_slice(&values);
        first += values.len();
    }
    Ok(())
}

/// `penalty / 2 sum x^2` over the ranges; adds its gradient.
fn penalize(penalty: f64, ranges: &[Range<usize>], x: &[f64], gradient: &mut [f64]) -> f64 {
    let mut squares = 0.0;
    for range in ranges {
        for (x, g) in x[range.clone()].iter().zip(&mut gradient[range.clone()]) {
            squares += x * x;
            *g += penalty * x;
        }
    }
    penalty / 2.0 * squares
}
