//! Steps with a loss of the caller, and the outputs that such a loss reads.

use super::Trainer;
use super::step::Stepper;
use crate::error::{Error, Result};
use crate::layer::Pass;
use crate::loss::given_gradient;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::{self, fused};
use crate::scalar::Scalar;

impl<T: Scalar> Trainer<'_, T> {
    /// One step with a loss of one's own, on up to [`Trainer::batch`] samples: x `inputs x samples`. Policy gradients and losses of several tasks can be written so, on every engine.
    ///
    /// `loss` gets the network's output, behind its last activation, and a matrix of zeros; both are `outputs x samples`. It
    /// writes into column j the gradient of *the loss of sample j* by the output of sample j. The step uses the mean over the
    /// samples, so the gradient must not be divided by their number. The derivative of the last activation and everything before
    /// it is computed here. The trainer's own [`Loss`](crate::Loss) has no part in such a step; clip, dropout, schedule and all
    /// other settings apply. The loss itself is the caller's to report: [`Trainer::last_loss`] has none.
    ///
    /// The pinball loss, whose minimum is a quantile of the targets, here the upper quartile:
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Matrix, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f64>("cpu")?;
    /// let targets = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    /// let x = Matrix::from_slice(&cpu, 1, 8, &[0.0; 8])?;
    /// let mut network = Network::builder(&cpu, 1).dense(1, Activation::Identity).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?).build()?;
    /// for _ in 0..200 {
    ///     trainer.step_with(x.view(), |output, mut gradient| {
    ///         // tau (t - a) above the output a, (1 - tau) (a - t) below it
    ///         let slopes = output.to_vec()?.into_iter().zip(targets);
    ///         let slopes: Vec<f64> = slopes.map(|(a, t)| if t > a { -0.75 } else { 0.25 }).collect();
    ///         gradient.write(&slopes)
    ///     })?;
    /// }
    /// let quartile = trainer.infer(x.view())?.view().get(0, 0)?;
    /// assert!((6.0..=7.0).contains(&quartile), "{quartile}");
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A network with members; a trainer with slices or with several processes; an x that does not fit; those of `loss`, with the parameters as they were; a device that fails.
    pub fn step_with(
        &mut self,
        x: MatrixRef<'_, T>,
        loss: impl FnOnce(MatrixRef<'_, T>, MatrixMut<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.last_samples = 0;
        self.check_batch("step with", x, None)?;
        if self.stepper.members.is_some() {
            let reason =
                "a network with members has a loss for each member, not one for its outputs";
            return Err(Error::argument("step with", reason));
        }
        if self.stepper.slices.is_some() {
            let reason = "a loss of one's own is for the whole batch; build the trainer with one slice and one process";
            return Err(Error::argument("step with", reason));
        }
        self.stepper.schedule.check(self.stepper.step)?;
        let (outputs, samples) = (self.t.rows(), x.columns());
        let mut gradient = self.t.front_mut(outputs, samples);
        ops::fill(T::default(), gradient.reborrow())?;
        let values = self.losses.view_mut().sub_columns(0..samples)?;
        self.stepper.with_output_role(|stepper| {
            stepper.forward(x, Pass::Step)?;
            loss(stepper.output(samples)?, gradient.reborrow())?;
            stepper.backward_from(x, gradient.as_ref(), values)
        })
    }

    /// The network's outputs as it is now, for any number of samples: x `inputs x samples`, result `outputs x samples`.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Matrix, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 2).dense(3, Activation::Softmax).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).build()?;
    /// let probabilities = trainer.infer(Matrix::zeros(&cpu, 2, 100)?.view())?;
    /// assert_eq!((probabilities.rows(), probabilities.columns()), (3, 100));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// An x with another number of rows or on another engine; no memory; a device that fails.
    pub fn infer(&mut self, x: MatrixRef<'_, T>) -> Result<Matrix<T>> {
        let (samples, batch) = (x.columns(), self.batch());
        self.check_batch("infer", x.sub_columns(0..samples.min(batch))?, None)?;
        let mut output = Matrix::zeros(self.x.engine(), self.t.rows(), samples)?;
        self.stepper.with_output_role(|stepper| {
            for first in (0..samples).step_by(batch) {
                let range = first..samples.min(first + batch);
                stepper.forward(x.sub_columns(range.clone())?, Pass::Inference)?;
                let part = stepper.prediction(range.len())?;
                ops::copy(part, output.view_mut().sub_columns(range)?)?;
            }
            Ok(())
        })?;
        Ok(output)
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// Backward and update from a gradient by the outputs of the last forward pass. `values` is overwritten.
    fn backward_from(
        &mut self,
        x: MatrixRef<'_, T>,
        gradient: MatrixRef<'_, T>,
        values: MatrixMut<'_, T>,
    ) -> Result<()> {
        let last = self.layers.len() - 1;
        let (output, delta, fold) = self.layers[last].loss_operands(x.columns())?;
        fused::loss((given_gradient(), None), output, gradient, values, Some((delta, fold)))?;
        self.scale_delta(x.columns())?;
        self.backward(x)
    }
}
