//! Parametric activations (Holzmüller, Grinsztajn and Steinwart 2024, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
//! Tabular Data", arXiv 2407.04491).

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::Activation;
use crate::engine::{Elementwise, Engine};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::ops::blend;
use crate::scalar::Scalar;

/// The inference layer: each unit learns how much of an activation f it has,
///
/// `y_i = (1 - a_i) x_i + a_i f(x_i)`,
///
/// for any f but softmax. a begins with 1, where the layer is f; with 0 it is the identity, and beyond 1 it bends more than f does.
/// Put it behind a dense layer with [`Activation::Identity`].
///
/// The weights (`units x 1`) are a. There is no bias: as every layer has a second matrix, this one's is a single 0, which nothing reads,
/// counts or saves, and whose gradient is 0. [`Layer::activation`] is f. A loss takes the outputs of a last layer of
/// this kind as they are, as behind the identity: a blend with the logistic function is no probability.
///
/// The gradients are `dC/dx_i = dC/dy_i (1 + a_i (f'(x_i) - 1))` and `dC/da_i = sum dC/dy_i (f(x_i) - x_i)` over the samples. The paper
/// trains a at a tenth of the network's rate ([`Factors`](crate::trainer::Factors)); weight decay pulls a to 0, so a
/// decay factor of 0 suits it. An infinite x may give NaN, as the formula does.
///
/// ```
/// use travertine::layer::{Layer, Parametric, Role};
/// use travertine::{Activation, Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let mut layer = Parametric::new(&cpu, 2, Activation::Relu)?;
/// layer.weights_mut().write(&[1.0, 0.25])?;
/// let x = Matrix::from_slice(&cpu, 2, 1, &[-8.0, -8.0])?;
/// let mut y = Matrix::zeros(&cpu, 2, 1)?;
/// layer.infer(Role::Output, None, x.view(), y.view_mut())?;
/// assert_eq!(y.to_vec()?, [0.0, -6.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Parametric<T: Scalar> {
    /// a, `units x 1`
    weights: Matrix<T>,
    /// A single 0, `1 x 1`
    bias: Matrix<T>,
    activation: Activation,
    f: Elementwise,
}

impl<T: Scalar> Parametric<T> {
    /// A layer that is the activation yet: a is 1.
    ///
    /// # Errors
    /// No units; softmax, which is no function of single units; an activation's parameter out of range; no memory.
    pub fn new(engine: &Arc<dyn Engine<T>>, units: usize, activation: Activation) -> Result<Self> {
        if units == 0 {
            return Err(Error::argument("parametric", "a layer must have units, not 0"));
        }
        let Some(f) = activation.validate()?.elementwise() else {
            let reason = format!(
                "{activation} is not computed element by element; give another activation, such as mish"
            );
            return Err(Error::argument("parametric", reason));
        };
        let mut weights = Matrix::zeros(engine, units, 1)?;
        ops::fill(T::from_f64(1.0), weights.view_mut())?;
        Ok(Parametric { weights, bias: Matrix::zeros(engine, 1, 1)?, activation, f })
    }
}

impl<T: Scalar> Layer<T> for Parametric<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Parametric
    }

    fn inputs(&self) -> usize {
        self.weights.rows()
    }

    fn outputs(&self) -> usize {
        self.weights.rows()
    }

    own_parameters!();

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        let (weights, bias) = (self.weights.copy()?, self.bias.copy()?);
        Ok(Box::new(Parametric { weights, bias, activation: self.activation, f: self.f }))
    }

    /// a becomes 1, whatever `init` is.
    fn initialize(&mut self, init: Init, _seed: u64, _number: u32) -> Result<()> {
        init.validate()?;
        ops::fill(T::from_f64(1.0), self.weights.view_mut())
    }

    fn infer(
        &self,
        _role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        blend::forward(self.f, self.weights(), input, output)
    }

    fn training(&mut self, batch: usize, _role: Role) -> Result<Training<'_, T>> {
        let units = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        Ok(Training::Parametric(ParametricTraining {
            f: self.f,
            a: Matrix::zeros(&engine, units, batch)?,
            delta: Matrix::zeros(&engine, units, batch)?,
            z: None,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            activation: Activation::Identity,
        }))
    }
}

impl<T: Scalar> From<Parametric<T>> for Box<dyn Layer<T>> {
    fn from(layer: Parametric<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters, keeps its outputs and their gradient. Backward computes f(x) again from the
/// output of the layer in front: a matrix less in memory.
pub struct ParametricTraining<'l, T: Scalar> {
    f: Elementwise,
    /// a, `units x 1`
    weights: MatrixMut<'l, T>,
    /// `1 x 1`
    bias: MatrixMut<'l, T>,
    /// Identity: nothing stands behind y.
    activation: Activation,
    /// None, as nothing stands behind y.
    z: Option<Matrix<T>>,
    /// y, `units x batch`
    a: Matrix<T>,
    /// dC/dy, `units x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for ParametricTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Parametric
    }

    fn inputs(&self) -> usize {
        self.weights.rows()
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts { parameters: [self.weights.reborrow(), self.bias.reborrow()], statistics: None }
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        self.discarded = false;
        let output = self.a.view_mut().sub_columns(0..input.columns())?;
        blend::forward(self.f, self.weights.as_ref(), input, output)
    }

    /// As the trait says; `previous` must be the layer whose output this one has had as its input.
    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        let delta = self.delta(samples)?;
        let (input, out, fold) = previous.loss_operands(samples)?;
        blend::propagate(self.f, [self.weights.as_ref(), input, delta], fold, out)
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        [weights, bias]: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        let delta = self.delta(input.columns())?;
        blend::gradient(self.f, [input, delta], weights, scale, keep)?;
        // Its gradient is 0.
        if keep == 0.0 { ops::fill(T::default(), bias) } else { ops::scal(T::from_f64(keep), bias) }
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        blend::gradient(self.f, [input, delta], self.weights.reborrow(), scale, keep)
    }

    fn set_role(&mut self, _role: Role) {}

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        vec![("activation", &self.a), ("delta", &self.delta)]
    }
}
