//! Dropout.

use crate::error::{Error, Result};
use crate::layer::{LayerKind, Training, TrainingLayer};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::regularize;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// The place of the slice in the number of a stream, above that of the layer.
const SLICE_BITS: u32 = 12;

/// Dropout (Srivastava et al. 2014): in training, each input of a layer becomes 0 with probability p; else it is multiplied by
/// 1 / (1 - p), so that inference needs no scaling. Rates are from 0 to less than 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// p for the inputs of the first dense layer: the features of a sample.
    pub inputs: f64,
    /// p for the inputs of every dense layer but the first: the outputs of hidden layers, behind their activations.
    pub hidden: f64,
}

impl Dropout {
    /// Whether anything is dropped at all.
    pub(super) fn drops(&self) -> bool {
        self.inputs > 0.0 || self.hidden > 0.0
    }

    /// For every layer the dropout of its input.
    pub(super) fn of_layers<T: Scalar>(
        self,
        layers: &[Training<'_, T>],
        seed: u64,
    ) -> Result<Vec<Option<InputDropout<T>>>> {
        for (rate, what) in [(self.inputs, "inputs"), (self.hidden, "hidden layers")] {
            if !(0.0..1.0).contains(&rate) {
                let reason =
                    format!("the rate of {what} must be from 0 to less than 1, not {rate}");
                return Err(Error::argument("dropout", reason));
            }
        }
        // Embeddings belong to the features.
        let embeds = |layer: &&Training<'_, T>| {
            matches!(layer.kind(), LayerKind::NumberEmbedding | LayerKind::CategoryEmbedding)
        };
        if self.hidden > 0.0 && layers.len() <= 1 + layers.iter().filter(embeds).count() {
            return Err(Error::argument(
                "dropout",
                "there are no hidden layers to drop outputs of; set their rate to 0",
            ));
        }
        let first = layers.iter().position(|layer| layer.kind().multiplies());
        let rate = |i: usize| if Some(i) == first { self.inputs } else { self.hidden };
        let dropout = |(i, layer): (usize, &dyn TrainingLayer<T>)| {
            (layer.kind().multiplies() && rate(i) > 0.0)
                .then(|| InputDropout::new(rate(i), seed, i, layer))
                .transpose()
        };
        layers.iter().map(|layer| &**layer).enumerate().map(dropout).collect()
    }
}

/// Dropout in front of one layer.
pub(super) struct InputDropout<T: Scalar> {
    rate: f64,
    /// The rate of the last step.
    current: f64,
    seed: u64,
    /// The number of the layer.
    layer: usize,
    /// Uniform numbers of the last step, `inputs x batch`: below the rate means dropped.
    draws: Matrix<T>,
    /// The layer's input after dropout, `inputs x batch`
    output: Matrix<T>,
}

impl<T: Scalar> InputDropout<T> {
    fn new(rate: f64, seed: u64, number: usize, layer: &dyn TrainingLayer<T>) -> Result<Self> {
        let zeros = || Matrix::zeros(layer.weights().engine(), layer.inputs(), layer.batch());
        Ok(InputDropout {
            rate,
            current: rate,
            seed,
            layer: number,
            draws: zeros()?,
            output: zeros()?,
        })
    }

    /// Names and matrices of the memory of this.
    pub(super) fn buffers(&self) -> [(&'static str, &Matrix<T>); 2] {
        [("dropout.draws", &self.draws), ("dropout.output", &self.output)]
    }

    /// An input `inputs x samples` after the dropout of this step and slice, with a factor of the rate.
    pub(super) fn forward(
        &mut self,
        (step, slice): (u64, usize),
        factor: f64,
        input: MatrixRef<'_, T>,
    ) -> Result<MatrixRef<'_, T>> {
        let samples = input.columns();
        let number = self.layer | slice << SLICE_BITS;
        let stream = Philox::new(self.seed, Purpose::Dropout, step as u32).of_layer(number);
        self.current = self.rate * factor;
        regularize::drop_out(
            &stream,
            self.current,
            input,
            self.draws.view_mut().sub_columns(0..samples)?,
            self.output.view_mut().sub_columns(0..samples)?,
        )?;
        self.output(samples)
    }

    /// The result of the last [`InputDropout::forward`], `inputs x samples`.
    pub(super) fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
        self.output.view().sub_columns(0..samples)
    }

    /// Turns the gradient by the output into the gradient by the input, in place; either may contain the factor `f'`.
    pub(super) fn backward(&self, delta: MatrixMut<'_, T>) -> Result<()> {
        let draws = self.draws.view().sub_columns(0..delta.columns())?;
        regularize::drop_out_within(self.current, draws, delta)
    }
}
