//! Gradients compared with central differences, and their norms.

use super::Trainer;
use super::collected::zeros_like;
use super::step::{Losses, Pair, Stepper};
use crate::error::Result;
use crate::layer::{LayerKind, Pass};
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::network::Network;
use crate::optimizer::{Optimizer, Sink, Step};
use crate::samples::Samples;
use crate::scalar::Scalar;

/// The difference between backward and central differences.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCheck {
    /// The largest difference within a parameter matrix over the largest gradient in it, the worst of all matrices.
    pub relative_error: f64,
    /// The parameter with this error: `"layers.1.weight (3, 0)"`.
    pub place: String,
}

/// An optimizer that changes no parameter and keeps the gradient as its state.
pub(super) struct Collect;

impl<T: Scalar> Optimizer<T> for Collect {
    fn describe(&self) -> String {
        "collect".to_owned()
    }

    fn states(&self) -> usize {
        1
    }

    fn sink(&self, _step: Step) -> Sink {
        Sink::GRADIENT
    }
}

/// Compares the gradient of the mean loss over a batch with `(C(w + h) - C(w - h)) / 2h`, for every parameter. In f64
/// with h = 1e-5 a right gradient differs by less than 1e-6; f32 has too few digits. C is the loss as training sees it:
/// batch normalization uses the moments of the batch.
///
/// x: `inputs x samples`, t: `outputs x samples`. The parameters are as before afterwards.
///
/// ```
/// use travertine::{Activation, Loss, Matrix, Network, check_gradients, engine};
/// let cpu = engine::open::<f64>("cpu")?;
/// let mut network = Network::builder(&cpu, 3).dense(4, Activation::Tanh).dense(2, Activation::Identity).build()?;
/// let x = Matrix::from_slice(&cpu, 3, 2, &[0.1, 0.7, -0.3, 0.5, -0.2, 0.4])?;
/// let t = Matrix::from_slice(&cpu, 2, 2, &[1.0, 0.0, 0.0, 1.0])?;
/// let check = check_gradients(&mut network, Loss::Quadratic, x.view(), t.view(), 1e-5)?;
/// assert!(check.relative_error < 1e-6, "{} at {}", check.relative_error, check.place);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit; no memory; a device that fails.
pub fn check_gradients<T: Scalar>(
    network: &mut Network<T>,
    loss: Loss,
    x: MatrixRef<'_, T>,
    t: MatrixRef<'_, T>,
    h: f64,
) -> Result<GradientCheck> {
    let mut trainer = Trainer::builder(network, loss, Collect).batch(x.columns()).assemble()?;
    trainer.check_batch("check gradients", x, Some(t))?;
    trainer.step(x, t)?;
    let mut gradients = Vec::new();
    for states in trainer.states() {
        gradients.push([states[0][0].to_vec()?, states[1][0].to_vec()?]);
    }
    let mut worst = GradientCheck { relative_error: 0.0, place: "nowhere".to_owned() };
    for (layer, gradients) in gradients.iter().enumerate() {
        for (kind, gradient) in gradients.iter().enumerate() {
            let mut largest = largest_of(gradient).max(h * h);
            // Batch normalization subtracts a bias in front of it: the gradient of that bias is rounding errors.
            if kind == 1
                && trainer
                    .layers()
                    .get(layer + 1)
                    .is_some_and(|next| next.kind() == LayerKind::BatchNorm)
            {
                largest = largest.max(largest_of(&gradients[0]));
            }
            for (index, analytic) in gradient.iter().enumerate() {
                let numeric = trainer.central_difference((x, t), (layer, kind, index), h)?;
                let error = (analytic.to_f64() - numeric).abs() / largest;
                if error > worst.relative_error || error.is_nan() {
                    let name = ["weight", "bias"][kind];
                    let of = &trainer.layers()[layer];
                    let rows = if kind == 0 { of.weights().rows() } else { of.bias().rows() };
                    let place =
                        format!("layers.{layer}.{name} ({}, {})", index % rows, index / rows);
                    worst = GradientCheck { relative_error: error, place };
                }
            }
        }
    }
    // The step above went into the running statistics.
    trainer.last_good.restore(&mut trainer.stepper, 0)?;
    Ok(worst)
}

fn largest_of<T: Scalar>(gradient: &[T]) -> f64 {
    gradient.iter().map(|g| g.to_f64().abs()).fold(0.0, f64::max)
}

impl<T: Scalar> Trainer<'_, T> {
    /// The difference quotient of the mean loss over the batch by one element of a parameter, in training mode.
    fn central_difference(
        &mut self,
        (x, t): (MatrixRef<'_, T>, MatrixRef<'_, T>),
        (layer, kind, index): (usize, usize, usize),
        h: f64,
    ) -> Result<f64> {
        let layers = &self.stepper.layers;
        let parameter = if kind == 0 { layers[layer].weights() } else { layers[layer].bias() };
        let (row, column) = (index % parameter.rows(), index / parameter.rows());
        let value = parameter.get(row, column)?;
        let set = |value: T, stepper: &mut Stepper<'_, T>| -> Result<()> {
            let [weights, bias] = stepper.layers[layer].parameters_mut();
            let parameter = if kind == 0 { weights } else { bias };
            parameter.row(row)?.column(column)?.write(&[value])
        };
        let mut cost = |value: f64| -> Result<f64> {
            set(T::from_f64(value), &mut self.stepper)?;
            self.stepper.loss_of((x, t), (self.losses.view_mut(), None))?;
            let losses = self.losses.to_vec()?;
            Ok(losses.iter().map(|x| x.to_f64()).sum::<f64>() / losses.len() as f64)
        };
        let difference = cost(value.to_f64() + h)? - cost(value.to_f64() - h)?;
        set(value, &mut self.stepper)?;
        Ok(difference / (2.0 * h))
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// The losses of a batch as a step computes them, without dropout; nothing but buffers changes.
    fn loss_of(&mut self, (x, t): Pair<'_, T>, losses: Losses<'_, T>) -> Result<()> {
        self.forward(x, Pass::Look)?;
        self.loss(t, losses)
    }

    /// `sinks = scale gradient + keep sinks` for weights and bias of every layer; the parameters stay as they are.
    pub(super) fn gradients(
        &mut self,
        (x, t): Pair<'_, T>,
        losses: Losses<'_, T>,
        sinks: &mut [[Matrix<T>; 2]],
        (scale, keep): (f64, f64),
    ) -> Result<()> {
        let scaled = self.scale();
        self.loss_of((x, t), losses)?;
        for i in (0..self.layers.len()).rev() {
            let (before, after) = self.layers.split_at_mut(i);
            let input = match before.last_mut() {
                Some(previous) => {
                    after[0].propagate(&mut **previous, x.columns())?;
                    previous.output(x.columns())?
                }
                None => x,
            };
            let sinks = sinks[i].each_mut().map(Matrix::view_mut);
            after[0].gradient(input, sinks, scale / scaled, keep)?;
        }
        Ok(())
    }
}

/// Norms are those of the mean gradient over at most this number of samples.
const NORM_SAMPLES: usize = 1024;

impl<T: Scalar> Trainer<'_, T> {
    /// The Euclidean norm of every layer's gradient, weights and bias together, at the parameters as they are:
    /// `sqrt(sum dW^2 + sum db^2)`, where the gradient is that of the mean loss over up to 1,024 samples, the first in the
    /// order of the last epoch. Clipping, weight decay and dropout are not in it.
    ///
    /// For use between epochs: it allocates, waits for the device, and changes nothing that training uses.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let digits = data::digits()?;
    /// let mut network = Network::builder(&cpu, 64).dense(8, Activation::Tanh).dense(10, Activation::Softmax).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).batch(32).seed(1).build()?;
    /// let norms = trainer.gradient_norms(&Samples::new(&cpu, &digits)?)?;
    /// assert!(norms.len() == 2 && norms[0] > 0.0);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Samples of other sizes than the network's; no memory; a device that fails.
    pub fn gradient_norms(&mut self, samples: &Samples<'_, T>) -> Result<Vec<f64>> {
        self.check_samples("gradient norms", samples)?;
        let count = samples.count().min(NORM_SAMPLES);
        let mut gradients = zeros_like(&self.stepper.layers)?;
        for first in (0..count).step_by(self.batch()) {
            let end = count.min(first + self.batch());
            self.gather(samples, first..end)?;
            let (inputs, outputs, n) = (self.x.rows(), self.t.rows(), end - first);
            let batch = (self.x.front(inputs, n), self.t.front(outputs, n));
            let losses = self.losses.view_mut().sub_columns(0..n)?;
            let keep = if first == 0 { 0.0 } else { 1.0 };
            self.stepper.gradients(
                batch,
                (losses, None),
                &mut gradients,
                (n as f64 / count as f64, keep),
            )?;
        }
        let squares = |gradient: &Matrix<T>| -> Result<f64> {
            Ok(gradient.to_vec()?.iter().map(|x| x.to_f64().powi(2)).sum::<f64>())
        };
        gradients
            .iter()
            .map(|[weights, bias]| Ok((squares(weights)? + squares(bias)?).sqrt()))
            .collect()
    }
}
