//! The dense layer, `a = f(W x + b)`.

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::{Activation, Keeps};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::{Outputs, dense_forward, dense_gradient, dense_propagate, pack_weights};
use crate::scalar::Scalar;

/// The inference layer: owns weights and bias, keeps nothing else.
///
/// ```
/// use travertine::layer::{Dense, Layer};
/// use travertine::{Activation, Matrix, engine};
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
    pub fn new(
        engine: &Arc<dyn Engine<T>>,
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<Self> {
        if inputs == 0 || outputs == 0 {
            let reason =
                format!("a layer must have inputs and outputs, not {inputs} and {outputs}");
            return Err(Error::argument("dense", reason));
        }
        Ok(Dense {
            weights: Matrix::zeros(engine, outputs, inputs)?,
            bias: Matrix::zeros(engine, outputs, 1)?,
            activation: activation.validate()?,
        })
    }

    /// `output = f(W input + b)`; input `inputs x samples`, output `outputs x samples`, where f overwrites z.
    ///
    /// # Errors
    /// Shapes that do not chain; a device that fails.
    pub fn forward(&self, input: MatrixRef<'_, T>, output: MatrixMut<'_, T>) -> Result<()> {
        self.infer(Role::Output, None, input, output)
    }

    /// `output = W input + b`, without the activation.
    ///
    /// # Errors
    /// As [`Dense::forward`].
    pub fn forward_linear(&self, input: MatrixRef<'_, T>, output: MatrixMut<'_, T>) -> Result<()> {
        self.infer(Role::Logits, None, input, output)
    }
}

impl<T: Scalar> Layer<T> for Dense<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Dense
    }

    fn inputs(&self) -> usize {
        self.weights.columns()
    }

    fn outputs(&self) -> usize {
        self.weights.rows()
    }

    own_parameters!();

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        let (weights, bias) = (self.weights.copy()?, self.bias.copy()?);
        Ok(Box::new(Dense { weights, bias, activation: self.activation }))
    }

    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()> {
        let (weights, bias) =
            init.validate()?.parameters(self.inputs(), self.outputs(), seed, number);
        self.weights.view_mut().write(&weights)?;
        self.bias.view_mut().write(&bias)
    }

    fn pack_weights(&self) -> Result<Option<Matrix<T>>> {
        pack_weights(self.weights())
    }

    fn infer(
        &self,
        role: Role,
        packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        let transfer = role.activation(self.activation).transfer();
        let outputs = Outputs { z: None, a: output, rounds: role == Role::Hidden, trains: false };
        dense_forward(self.weights(), packed, self.bias(), transfer, input, outputs)
    }

    fn training(&mut self, batch: usize, role: Role) -> Result<Training<'_, T>> {
        let outputs = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        let buffer = || Matrix::zeros(&engine, outputs, batch);
        let activation = role.activation(self.activation);
        Ok(Training::Dense(DenseTraining {
            z: if activation.keeps() == Keeps::Sum { Some(buffer()?) } else { None },
            a: buffer()?,
            delta: buffer()?,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            activation,
            own_activation: self.activation,
            role,
        }))
    }
}

impl<T: Scalar> From<Dense<T>> for Box<dyn Layer<T>> {
    fn from(layer: Dense<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters and keeps what backward needs. Dropping it ends the borrow.
///
/// While it lives, the inference layer cannot be used or released:
///
/// ```compile_fail,E0505
/// # use travertine::layer::{Dense, Layer};
/// # use travertine::{Activation, engine, layer::Role};
/// # let cpu = engine::open::<f32>("cpu").unwrap();
/// let mut layer = Dense::new(&cpu, 2, 1, Activation::Relu).unwrap();
/// let training = layer.training(10, Role::Output).unwrap();
/// drop(layer);
/// println!("{}", training.batch());
/// ```
pub struct DenseTraining<'l, T: Scalar> {
    /// `outputs x inputs`
    weights: MatrixMut<'l, T>,
    /// `outputs x 1`
    bias: MatrixMut<'l, T>,
    /// In this role.
    activation: Activation,
    own_activation: Activation,
    role: Role,
    /// `outputs x batch`, where the derivative is computed from z
    z: Option<Matrix<T>>,
    /// `outputs x batch`
    a: Matrix<T>,
    /// dC/dz, `outputs x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for DenseTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Dense
    }

    fn inputs(&self) -> usize {
        self.weights.columns()
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts { parameters: [self.weights.reborrow(), self.bias.reborrow()], statistics: None }
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        let samples = input.columns();
        self.discarded = false;
        let output = self.a.view_mut().sub_columns(0..samples)?;
        let z = self.z.as_mut().map(|z| z.view_mut().sub_columns(0..samples)).transpose()?;
        let outputs = Outputs { z, a: output, rounds: self.role == Role::Hidden, trains: true };
        dense_forward(
            self.weights.as_ref(),
            None,
            self.bias.as_ref(),
            self.activation.transfer(),
            input,
            outputs,
        )
    }

    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        let (_, out, fold) = previous.loss_operands(samples)?;
        dense_propagate(self.weights.as_ref(), self.delta(samples)?, fold, out)
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        dense_gradient(self.delta(input.columns())?, input, sinks, scale, keep)
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        dense_gradient(delta, input, [self.weights.reborrow(), self.bias.reborrow()], scale, keep)
    }

    fn set_role(&mut self, role: Role) {
        (self.activation, self.role) = (role.activation(self.own_activation), role);
    }

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        let z = self.z.as_ref().map(|z| ("z", z));
        z.into_iter().chain([("activation", &self.a), ("delta", &self.delta)]).collect()
    }
}
