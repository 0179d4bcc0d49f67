//! The layers that normalize, `a = f(gamma ⊙ (x - mean) / sqrt(variance + 1e-5) + beta)`: batch normalization (Ioffe and
//! Szegedy 2015) and layer normalization (Ba, Kiros and Hinton 2016); and, with mean 0 and variance 1 for every batch, scaling.

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::{Activation, Keeps};
use crate::engine::{Along, Engine};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::ops::normalize::{self, Forward, Kept, Moments};
use crate::scalar::Scalar;

/// Added to variances before they divide; PyTorch's.
pub(crate) const EPSILON: f64 = 1e-5;
/// The weight of a batch in the running statistics; PyTorch's.
const MOMENTUM: f64 = 0.1;

/// The inference layer. Its weights are gamma, its bias is beta; one activation behind both.
///
/// Batch normalization uses mean and variance of each feature over the batch in training, and in inference the running ones, in
/// which a batch k steps ago has the weight `0.1 (1 - 0.1)^k`. Layer normalization always uses those of each sample over its
/// features. Scaling uses neither: `a = f(gamma ⊙ x + beta)`, a factor for each feature, which learns how much it counts.
///
/// ```
/// use travertine::layer::{Layer, Normalization, Role};
/// use travertine::{Activation, Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let layer = Normalization::layer(&cpu, 4, Activation::Relu)?;
/// let x = Matrix::from_slice(&cpu, 4, 1, &[1.0, 2.0, 3.0, 4.0])?;
/// let mut a = Matrix::zeros(&cpu, 4, 1)?;
/// layer.infer(Role::Output, None, x.view(), a.view_mut())?;
/// assert_eq!(a.to_vec()?[..2], [0.0, 0.0]);
/// assert!((a.to_vec()?[3] - 1.5 / 1.25f32.sqrt()).abs() < 1e-4);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Normalization<T: Scalar> {
    /// gamma, `features x 1`
    weights: Matrix<T>,
    /// beta, `features x 1`
    bias: Matrix<T>,
    /// Running mean and variance, `features x 2`, of batch normalization; 0 and 1 of scaling.
    statistics: Option<Matrix<T>>,
    kind: LayerKind,
    activation: Activation,
}

impl<T: Scalar> Normalization<T> {
    /// Batch normalization that changes nothing yet: mean and beta 0, variance and gamma 1.
    ///
    /// # Errors
    /// No features; softmax, which is for dense layers; an activation's parameter out of range; no memory.
    pub fn batch(
        engine: &Arc<dyn Engine<T>>,
        features: usize,
        activation: Activation,
    ) -> Result<Self> {
        let mut layer = Normalization::layer(engine, features, activation)?;
        let mut statistics = Matrix::zeros(engine, features, 2)?;
        ops::fill(T::from_f64(1.0), statistics.view_mut().column(1)?)?;
        (layer.statistics, layer.kind) = (Some(statistics), LayerKind::BatchNorm);
        Ok(layer)
    }

    /// Scaling that changes nothing yet: `a = f(gamma ⊙ x + beta)` with gamma 1 and beta 0.
    ///
    /// ```
    /// use travertine::layer::{Layer, Normalization, Role};
    /// use travertine::{Activation, Matrix, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let mut layer = Normalization::scale(&cpu, 2, Activation::Identity)?;
    /// layer.weights_mut().write(&[2.0, -0.5])?;
    /// let x = Matrix::from_slice(&cpu, 2, 1, &[3.0, 4.0])?;
    /// let mut a = Matrix::zeros(&cpu, 2, 1)?;
    /// layer.infer(Role::Output, None, x.view(), a.view_mut())?;
    /// assert_eq!(a.to_vec()?, [6.0, -2.0]);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Normalization::batch`].
    pub fn scale(
        engine: &Arc<dyn Engine<T>>,
        features: usize,
        activation: Activation,
    ) -> Result<Self> {
        let batch = Normalization::batch(engine, features, activation)?;
        Ok(Normalization { kind: LayerKind::Scale, ..batch })
    }

    /// Layer normalization with gamma 1 and beta 0.
    ///
    /// # Errors
    /// As [`Normalization::batch`].
    pub fn layer(
        engine: &Arc<dyn Engine<T>>,
        features: usize,
        activation: Activation,
    ) -> Result<Self> {
        if features == 0 {
            return Err(Error::argument("normalization", "a layer must have features, not 0"));
        }
        if activation == Activation::Softmax {
            let reason =
                "softmax is for dense layers; give this layer another activation or identity";
            return Err(Error::argument("normalization", reason));
        }
        let mut weights = Matrix::zeros(engine, features, 1)?;
        ops::fill(T::from_f64(1.0), weights.view_mut())?;
        let bias = Matrix::zeros(engine, features, 1)?;
        let (kind, activation) = (LayerKind::LayerNorm, activation.validate()?);
        Ok(Normalization { weights, bias, statistics: None, kind, activation })
    }
}

/// Whether moments are those of each feature or those of each sample.
fn along(kind: LayerKind) -> Along {
    if kind == LayerKind::LayerNorm { Along::Columns } else { Along::Rows }
}

/// What is added to variances; the variance 1 of scaling stays.
fn epsilon(kind: LayerKind) -> f64 {
    if kind == LayerKind::Scale { 0.0 } else { EPSILON }
}

impl<T: Scalar> Layer<T> for Normalization<T> {
    fn kind(&self) -> LayerKind {
        self.kind
    }

    fn inputs(&self) -> usize {
        self.weights.rows()
    }

    fn outputs(&self) -> usize {
        self.weights.rows()
    }

    own_parameters!();

    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        let runs = self.kind == LayerKind::BatchNorm;
        self.statistics.as_ref().filter(|_| runs).map(Matrix::view)
    }

    fn statistics_mut(&mut self) -> Option<MatrixMut<'_, T>> {
        let runs = self.kind == LayerKind::BatchNorm;
        self.statistics.as_mut().filter(|_| runs).map(Matrix::view_mut)
    }

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(Box::new(Normalization {
            weights: self.weights.copy()?,
            bias: self.bias.copy()?,
            statistics: self.statistics.as_ref().map(Matrix::copy).transpose()?,
            kind: self.kind,
            activation: self.activation,
        }))
    }

    /// gamma 1, beta 0, whatever `init` is.
    fn initialize(&mut self, init: Init, _seed: u64, _number: u32) -> Result<()> {
        init.validate()?;
        ops::fill(T::from_f64(1.0), self.weights.view_mut())?;
        ops::fill(T::from_f64(0.0), self.bias.view_mut())
    }

    fn infer(
        &self,
        role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        normalize::forward(Forward {
            along: along(self.kind),
            weights: self.weights(),
            bias: self.bias(),
            epsilon: epsilon(self.kind),
            moments: match &self.statistics {
                Some(statistics) => Moments::Given(statistics.view()),
                None => Moments::Passing,
            },
            input,
            normalized: None,
            transfer: role.activation(self.activation).transfer(),
            z: None,
            output,
        })
    }

    fn training(&mut self, batch: usize, role: Role) -> Result<Training<'_, T>> {
        let (features, kind, along) = (self.outputs(), self.kind, along(self.kind));
        if kind == LayerKind::BatchNorm && batch == 1 {
            let reason =
                "a batch of 1 sample has no variance; use a larger batch or layer normalization";
            return Err(Error::argument("batch normalization", reason));
        }
        let engine = Arc::clone(self.weights.engine());
        let buffer = || Matrix::zeros(&engine, features, batch);
        let activation = role.activation(self.activation);
        Ok(Training::Normalization(NormalizationTraining {
            kind,
            moments: Matrix::zeros(
                &engine,
                if along == Along::Rows { features } else { batch },
                2,
            )?,
            given: false,
            normalized: buffer()?,
            z: if activation.keeps() == Keeps::Sum { Some(buffer()?) } else { None },
            a: buffer()?,
            delta: buffer()?,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            statistics: self.statistics.as_mut().map(Matrix::view_mut),
            activation,
            own_activation: self.activation,
        }))
    }
}

impl<T: Scalar> From<Normalization<T>> for Box<dyn Layer<T>> {
    fn from(layer: Normalization<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters and running statistics, keeps what backward needs.
///
/// For a batch of one sample, with which an epoch may end, batch normalization uses the running statistics and does not update
/// them: one sample has no variance.
pub struct NormalizationTraining<'l, T: Scalar> {
    kind: LayerKind,
    /// gamma, `features x 1`
    weights: MatrixMut<'l, T>,
    /// beta, `features x 1`
    bias: MatrixMut<'l, T>,
    /// `features x 2`
    statistics: Option<MatrixMut<'l, T>>,
    /// In the layer's role.
    activation: Activation,
    own_activation: Activation,
    /// Means and variances of the last batch, `features x 2` or `batch x 2`
    moments: Matrix<T>,
    /// Whether the last pass used the running statistics.
    given: bool,
    /// `features x batch`
    normalized: Matrix<T>,
    /// `features x batch`, where the derivative is computed from z
    z: Option<Matrix<T>>,
    /// `features x batch`
    a: Matrix<T>,
    /// dC/dz, `features x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> NormalizationTraining<'_, T> {
    /// The rows of the moments for so many samples: one for each row or column that is normalized.
    fn lines(&self, samples: usize) -> usize {
        if along(self.kind) == Along::Rows { self.weights.rows() } else { samples }
    }

    /// `running = 0.9 running + 0.1 batch`, with the variance that divides by n - 1.
    fn follow(&mut self, samples: usize) -> Result<()> {
        let Some(statistics) = &mut self.statistics else { return Ok(()) };
        if self.kind != LayerKind::BatchNorm {
            return Ok(());
        }
        let n = samples as f64;
        let (keep, weights) = (T::from_f64(1.0 - MOMENTUM), [MOMENTUM, MOMENTUM * n / (n - 1.0)]);
        weights.into_iter().enumerate().try_for_each(|(column, weight)| {
            let (batch, running) =
                (self.moments.view().column(column)?, statistics.reborrow().column(column)?);
            ops::axpby(T::from_f64(weight), batch, keep, running)
        })
    }
}

impl<T: Scalar> TrainingLayer<T> for NormalizationTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        self.kind
    }

    fn inputs(&self) -> usize {
        self.weights.rows()
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts {
            parameters: [self.weights.reborrow(), self.bias.reborrow()],
            statistics: match self.kind {
                LayerKind::BatchNorm => self.statistics.as_mut().map(MatrixMut::reborrow),
                _ => None,
            },
        }
    }

    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        let runs = self.kind == LayerKind::BatchNorm;
        self.statistics.as_ref().filter(|_| runs).map(MatrixMut::as_ref)
    }

    fn forward_as(&mut self, pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        let (samples, lines) = (input.columns(), self.lines(input.columns()));
        let is_constant = self.kind == LayerKind::Scale;
        let takes_running = pass == Pass::Inference || samples == 1 || is_constant;
        let running = self.statistics.as_ref().filter(|_| takes_running);
        self.given = running.is_some();
        self.discarded = false;
        normalize::forward(Forward {
            along: along(self.kind),
            weights: self.weights.as_ref(),
            bias: self.bias.as_ref(),
            epsilon: epsilon(self.kind),
            moments: match running {
                Some(running) => Moments::Given(running.as_ref()),
                None => Moments::Measured(self.moments.view_mut().sub_rows(0..lines)?),
            },
            input,
            normalized: Some(self.normalized.view_mut().sub_columns(0..samples)?),
            transfer: self.activation.transfer(),
            z: self.z.as_mut().map(|z| z.view_mut().sub_columns(0..samples)).transpose()?,
            output: self.a.view_mut().sub_columns(0..samples)?,
        })?;
        if pass == Pass::Step && !self.given { self.follow(samples) } else { Ok(()) }
    }

    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        let moments = match &self.statistics {
            Some(running) if self.given => running.as_ref(),
            _ => self.moments.view().sub_rows(0..self.lines(samples))?,
        };
        let kept = Kept {
            along: along(self.kind),
            weights: self.weights.as_ref(),
            epsilon: epsilon(self.kind),
            moments,
            given: self.given,
            normalized: self.normalized.view().sub_columns(0..samples)?,
            delta: self.delta(samples)?,
        };
        let (_, out, fold) = previous.loss_operands(samples)?;
        normalize::propagate(&kept, fold, out)
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        let samples = input.columns();
        normalize::gradient(
            self.delta(samples)?,
            self.normalized.view().sub_columns(0..samples)?,
            sinks,
            scale,
            keep,
        )
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let samples = 0..input.columns();
        let (delta, normalized) = (
            self.delta.view().sub_columns(samples.clone())?,
            self.normalized.view().sub_columns(samples)?,
        );
        normalize::gradient(
            delta,
            normalized,
            [self.weights.reborrow(), self.bias.reborrow()],
            scale,
            keep,
        )
    }

    fn set_role(&mut self, role: Role) {
        self.activation = role.activation(self.own_activation);
    }

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        let z = self.z.as_ref().map(|z| ("z", z));
        let others =
            [("activation", &self.a), ("delta", &self.delta), ("normalized", &self.normalized)];
        z.into_iter().chain(others).chain([("moments", &self.moments)]).collect()
    }
}
