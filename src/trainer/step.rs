//! One training step: the layers in a row, the loss behind them, the optimizer beside them.

use crate::error::Result;
use crate::layer::DenseTraining;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::network::Network;
use crate::ops::fused;
use crate::optimizer::{Optimizer, Sink};
use crate::scalar::Scalar;

/// What every step uses and changes.
pub(super) struct Stepper<'n, T: Scalar> {
    pub(super) layers: Vec<DenseTraining<'n, T>>,
    /// For every layer the optimizer's state of weights and bias.
    pub(super) states: Vec<[Vec<Matrix<T>>; 2]>,
    loss: Loss,
    optimizer: Box<dyn Optimizer<T>>,
    /// Steps done.
    pub(super) step: u64,
}

impl<'n, T: Scalar> Stepper<'n, T> {
    pub(super) fn new(
        network: &'n mut Network<T>,
        loss: Loss,
        optimizer: Box<dyn Optimizer<T>>,
        batch: usize,
    ) -> Result<Self> {
        let mut states = Vec::with_capacity(network.layers().len());
        for layer in network.layers() {
            let zeros = |like: MatrixRef<'_, T>| -> Result<Vec<Matrix<T>>> {
                (0..optimizer.states()).map(|_| Matrix::zeros(like.engine(), like.rows(), like.columns())).collect()
            };
            states.push([zeros(layer.weights())?, zeros(layer.bias())?]);
        }
        let fused = loss.is_fused_with(network.last().activation());
        let last = network.layers().len() - 1;
        let layers: Result<Vec<_>> = network
            .layers_mut()
            .iter_mut()
            .enumerate()
            .map(|(i, layer)| layer.training(batch, fused && i == last))
            .collect();
        Ok(Stepper { layers: layers?, states, loss, optimizer, step: 0 })
    }

    /// What the last layer put out, as the loss reads it.
    pub(super) fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
        self.layers[self.layers.len() - 1].output(samples)
    }

    /// Forward, loss, backward, update. The loss of every sample goes to `losses` (`1 x samples`), and where it is asked
    /// for 1 to `hits` for every sample whose class is right.
    pub(super) fn run(
        &mut self,
        x: MatrixRef<'_, T>,
        t: MatrixRef<'_, T>,
        losses: MatrixMut<'_, T>,
        hits: Option<MatrixMut<'_, T>>,
    ) -> Result<()> {
        self.forward(x)?;
        if let Some(hits) = hits {
            fused::hits(self.output(x.columns())?, t, self.loss.threshold(), hits)?;
        }
        let last = self.layers.len() - 1;
        let (output, delta, fold) = self.layers[last].loss_operands(x.columns())?;
        fused::loss(self.loss.formula(), output, t, losses, Some((delta, fold)))?;
        self.backward(x)
    }

    /// Loss and hits of a batch without training on it.
    pub(super) fn evaluate(
        &mut self,
        x: MatrixRef<'_, T>,
        t: MatrixRef<'_, T>,
        losses: MatrixMut<'_, T>,
        hits: MatrixMut<'_, T>,
    ) -> Result<()> {
        self.forward(x)?;
        let output = self.output(x.columns())?;
        fused::loss(self.loss.formula(), output, t, losses, None)?;
        fused::hits(output, t, self.loss.threshold(), hits)
    }

    pub(super) fn forward(&mut self, x: MatrixRef<'_, T>) -> Result<()> {
        for i in 0..self.layers.len() {
            let (before, after) = self.layers.split_at_mut(i);
            let input = match before.last() {
                Some(previous) => previous.output(x.columns())?,
                None => x,
            };
            after[0].forward(input)?;
        }
        Ok(())
    }

    /// From the last layer to the first: hands delta on while the weights are as they were, then updates them.
    fn backward(&mut self, x: MatrixRef<'_, T>) -> Result<()> {
        let samples = x.columns();
        for i in (0..self.layers.len()).rev() {
            let (before, after) = self.layers.split_at_mut(i);
            let layer = &mut after[0];
            let input = match before.last_mut() {
                Some(previous) => {
                    layer.propagate(previous, samples)?;
                    previous.output(samples)?
                }
                None => x,
            };
            let states = &mut self.states[i];
            match self.optimizer.sink(self.step) {
                Sink::Parameters { scale, keep } => layer.descend(input, scale, keep)?,
                Sink::State { scale, keep } => {
                    let [weights, bias] = states;
                    layer.gradient(input, [weights[0].view_mut(), bias[0].view_mut()], scale, keep)?;
                }
            }
            for (parameter, states) in layer.parameters_mut().into_iter().zip(states) {
                self.optimizer.update(self.step, parameter, states)?;
            }
        }
        self.step += 1;
        Ok(())
    }
}
