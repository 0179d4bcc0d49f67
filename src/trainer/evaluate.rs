//! Losses of batches that no step is taken on, and the outputs that they are computed from.

use super::step::{Pair, Stepper};
use crate::error::Result;
use crate::layer::{Pass, Role};
use crate::matrix::{MatrixMut, MatrixRef};
use crate::network::score_mean;
use crate::ops::fused;
use crate::scalar::Scalar;

impl<T: Scalar> Stepper<'_, T> {
    /// Loss and hits of a batch without training on it; of members those of what they predict in the mean.
    pub(super) fn evaluate(
        &mut self,
        (x, t): Pair<'_, T>,
        losses: MatrixMut<'_, T>,
        hits: MatrixMut<'_, T>,
    ) -> Result<()> {
        let samples = x.columns();
        if self.members.is_some() {
            self.with_output_role(|stepper| stepper.forward(x, Pass::Inference))?;
        } else {
            self.forward(x, Pass::Inference)?;
        }
        let output = self.layers[self.layers.len() - 1].output(samples)?;
        let Some(members) = &mut self.members else {
            let loss = (self.loss.formula(), self.first_by_row.as_ref());
            fused::loss(loss, output, t, losses, None)?;
            return fused::hits(output, t, self.loss.threshold(), hits);
        };
        let (loss, activation) = ((self.loss, self.first_by_row.as_ref()), members.activation());
        score_mean(loss, activation, (members.mean(output)?, t), losses, hits)
    }

    /// The network's outputs after a forward pass in [`Stepper::with_output_role`].
    pub(super) fn prediction(&mut self, samples: usize) -> Result<MatrixRef<'_, T>> {
        let output = self.layers[self.layers.len() - 1].output(samples)?;
        self.members.as_mut().map_or(Ok(output), |members| members.mean(output))
    }

    /// Runs with the last layer's activation in place, also where the trainer's loss reads its z.
    pub(super) fn with_output_role(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let last = self.layers.len() - 1;
        self.layers[last].set_role(Role::Output);
        let done = run(self);
        self.layers[last].set_role(self.output_role);
        done
    }
}
