//! The dense layer, `a = f(W x + b)`.

use std::sync::Arc;

use crate::activation::{Activation, Keeps};
use crate::engine::{Engine, Transfer};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::{Fold, dense_forward, dense_gradient, dense_propagate, pack_weights};
use crate::scalar::Scalar;

/// The inference layer: owns weights and bias, keeps nothing else.
///
/// ```
/// use travertine::{Activation, Matrix, engine, layer::Dense};
/// let cpu = engine::open::<f32>("cpu")?;
/// let mut layer = Dense::new(&cpu, 2, 1, Activation::Relu)?;
/// layer.weights_mut().write(&[1.0, -2.0])?;
/// layer.bias_mut().write(&[0.5])?;
/// let x = Matrix::from_slice(&cpu, 2, 2, &[3.0, 1.0, 1.0, 3.0])?;
/// let mut a = Matrix::zeros(&cpu, 1, 2)?;
/// layer.forward(x.view(), a.view_mut())?;
/// assert_eq!(a.to_vec()?, [1.5, 0.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Dense<T: Scalar> {
    /// `outputs x inputs`
    weights: Matrix<T>,
    /// `outputs x 1`
    bias: Matrix<T>,
    activation: Activation,
}

impl<T: Scalar> Dense<T> {
    /// A layer whose parameters are all 0.
    ///
    /// # Errors
    /// No inputs or no outputs; an activation's parameter out of range; no memory.
    pub fn new(engine: &Arc<dyn Engine<T>>, inputs: usize, outputs: usize, activation: Activation) -> Result<Self> {
        if inputs == 0 || outputs == 0 {
            let reason = format!("a layer must have inputs and outputs, not {inputs} and {outputs}");
            return Err(Error::argument("dense", reason));
        }
        Ok(Dense {
            weights: Matrix::zeros(engine, outputs, inputs)?,
            bias: Matrix::zeros(engine, outputs, 1)?,
            activation: activation.validate()?,
        })
    }

    /// Draws the parameters: a function of the seed, the number of the layer and the position.
    ///
    /// # Errors
    /// A parameter of `init` out of range; a device that fails.
    pub fn initialize(&mut self, init: Init, seed: u64, layer: u32) -> Result<()> {
        let (weights, bias) = init.validate()?.parameters(self.inputs(), self.outputs(), seed, layer);
        self.weights.view_mut().write(&weights)?;
        self.bias.view_mut().write(&bias)
    }

    /// Rows of the input.
    pub fn inputs(&self) -> usize {
        self.weights.columns()
    }

    /// Rows of the output.
    pub fn outputs(&self) -> usize {
        self.weights.rows()
    }

    /// f
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// W, `outputs x inputs`
    pub fn weights(&self) -> MatrixRef<'_, T> {
        self.weights.view()
    }

    /// W, `outputs x inputs`, to write
    pub fn weights_mut(&mut self) -> MatrixMut<'_, T> {
        self.weights.view_mut()
    }

    /// b, `outputs x 1`
    pub fn bias(&self) -> MatrixRef<'_, T> {
        self.bias.view()
    }

    /// b, `outputs x 1`, to write
    pub fn bias_mut(&mut self) -> MatrixMut<'_, T> {
        self.bias.view_mut()
    }

    /// `output = f(W input + b)`; input `inputs x samples`, output `outputs x samples`, which z is overwritten in.
    ///
    /// # Errors
    /// Shapes that do not chain; a device that fails.
    pub fn forward(&self, input: MatrixRef<'_, T>, output: MatrixMut<'_, T>) -> Result<()> {
        self.forward_as(self.activation.transfer(), None, input, output)
    }

    /// `output = W input + b`: what the activation is applied to.
    ///
    /// # Errors
    /// As [`Dense::forward`].
    pub fn forward_linear(&self, input: MatrixRef<'_, T>, output: MatrixMut<'_, T>) -> Result<()> {
        self.forward_as(Transfer::Identity, None, input, output)
    }

    /// A copy of the weights for [`Dense::forward_as`], where the engine has a use for one.
    pub(crate) fn pack_weights(&self) -> Result<Option<Matrix<T>>> {
        pack_weights(self.weights())
    }

    /// `output = transfer(W input + b)`; packed: of these very weights.
    pub(crate) fn forward_as(
        &self,
        transfer: Transfer,
        packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        dense_forward(self.weights(), packed, self.bias(), transfer, input, None, output)
    }

    /// The training layer for batches of up to `batch` samples. `logits`: the loss takes z of this layer, which then
    /// leaves its activation out.
    ///
    /// # Errors
    /// A batch of 0; no memory.
    pub fn training(&mut self, batch: usize, logits: bool) -> Result<DenseTraining<'_, T>> {
        let outputs = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        let buffer = || Matrix::zeros(&engine, outputs, batch);
        let activation = if logits { Activation::Identity } else { self.activation };
        Ok(DenseTraining {
            z: if activation.keeps() == Keeps::Sum { Some(buffer()?) } else { None },
            a: buffer()?,
            delta: buffer()?,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            activation,
        })
    }
}

/// Output, gradient by z, factor of the gradient.
pub(crate) type LossOperands<'a, T> = (MatrixRef<'a, T>, MatrixMut<'a, T>, Fold<'a, T>);

/// The training layer: borrows an inference layer's parameters, keeps what backward needs. Dropping it ends the loan.
///
/// While it lives, the inference layer cannot be used or released:
///
/// ```compile_fail,E0505
/// # use travertine::{Activation, engine, layer::Dense};
/// # let cpu = engine::open::<f32>("cpu").unwrap();
/// let mut layer = Dense::new(&cpu, 2, 1, Activation::Relu).unwrap();
/// let training = layer.training(10, false).unwrap();
/// drop(layer);
/// println!("{}", training.batch());
/// ```
pub struct DenseTraining<'l, T: Scalar> {
    /// `outputs x inputs`
    weights: MatrixMut<'l, T>,
    /// `outputs x 1`
    bias: MatrixMut<'l, T>,
    activation: Activation,
    /// `outputs x batch`, where the derivative is computed from z
    z: Option<Matrix<T>>,
    /// `outputs x batch`
    a: Matrix<T>,
    /// dC/dz, `outputs x batch`
    delta: Matrix<T>,
}

impl<'l, T: Scalar> DenseTraining<'l, T> {
    /// The largest number of samples that fit.
    pub fn batch(&self) -> usize {
        self.a.columns()
    }

    /// W, `outputs x inputs`
    pub fn weights(&self) -> MatrixRef<'_, T> {
        self.weights.as_ref()
    }

    /// b, `outputs x 1`
    pub fn bias(&self) -> MatrixRef<'_, T> {
        self.bias.as_ref()
    }

    /// W and b to write, for an optimizer.
    pub fn parameters_mut(&mut self) -> [MatrixMut<'_, T>; 2] {
        [self.weights.reborrow(), self.bias.reborrow()]
    }

    /// a of the first `samples` samples, `outputs x samples`; z where the layer was made for logits.
    ///
    /// # Errors
    /// More samples than the batch, or none.
    pub fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
        self.a.view().sub_columns(0..samples)
    }

    /// dC/dz of the first `samples` samples, `outputs x samples`.
    ///
    /// # Errors
    /// More samples than the batch, or none.
    pub fn delta(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
        self.delta.view().sub_columns(0..samples)
    }

    /// a, to read, and dC/dz, to write: for a loss of one's own, whose gradient by a must be multiplied by f'.
    ///
    /// # Errors
    /// More samples than the batch, or none.
    pub fn output_and_delta_mut(&mut self, samples: usize) -> Result<(MatrixRef<'_, T>, MatrixMut<'_, T>)> {
        let (a, delta, _) = self.loss_operands(samples)?;
        Ok((a, delta))
    }

    /// `a = f(W input + b)`; input `inputs x samples`.
    ///
    /// # Errors
    /// Shapes that do not chain, more samples than the batch; a device that fails.
    pub fn forward(&mut self, input: MatrixRef<'_, T>) -> Result<()> {
        let samples = input.columns();
        let output = self.a.view_mut().sub_columns(0..samples)?;
        let z = self.z.as_mut().map(|z| z.view_mut().sub_columns(0..samples)).transpose()?;
        dense_forward(self.weights.as_ref(), None, self.bias.as_ref(), self.activation.transfer(), input, z, output)
    }

    /// The output, the place for the gradient by z, and f' that must be multiplied in: what a loss needs.
    pub(crate) fn loss_operands(&mut self, samples: usize) -> Result<LossOperands<'_, T>> {
        let a = self.a.view().sub_columns(0..samples)?;
        let kept = self.z.as_ref().unwrap_or(&self.a).view().sub_columns(0..samples)?;
        let delta = self.delta.view_mut().sub_columns(0..samples)?;
        Ok((a, delta, self.activation.derivative(kept)))
    }

    /// `delta_previous = (W^T delta) ⊙ f'_previous`: hands the gradient to the layer before this one.
    ///
    /// # Errors
    /// A layer that does not chain; more samples than the batch; a device that fails.
    pub fn propagate(&self, previous: &mut DenseTraining<'_, T>, samples: usize) -> Result<()> {
        let (_, out, fold) = previous.loss_operands(samples)?;
        dense_propagate(self.weights.as_ref(), self.delta(samples)?, fold, out)
    }

    /// `parameters = scale gradient + keep parameters`, the gradient being the mean over the samples: with -rate and 1,
    /// a step of gradient descent. Propagate first: it needs the weights as they were.
    ///
    /// # Errors
    /// An input of another shape than forward was called with; a device that fails.
    pub fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        dense_gradient(delta, input, [self.weights.reborrow(), self.bias.reborrow()], scale, keep)
    }

    /// `sinks = scale gradient + keep sinks` for matrices of the shapes of W and b.
    ///
    /// # Errors
    /// As [`DenseTraining::descend`]; sinks of another shape.
    pub fn gradient(&self, input: MatrixRef<'_, T>, sinks: [MatrixMut<'_, T>; 2], scale: f64, keep: f64) -> Result<()> {
        dense_gradient(self.delta(input.columns())?, input, sinks, scale, keep)
    }

    /// Names and shapes of what this layer has allocated.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = (&'static str, &Matrix<T>)> {
        let z = self.z.as_ref().map(|z| ("z", z));
        z.into_iter().chain([("activation", &self.a), ("delta", &self.delta)])
    }
}
